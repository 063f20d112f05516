import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import { ChainError } from "../../errors.ts";
import { sealEntry, type Filed, type Filing, type SealedEntry } from "../entries/filing.ts";
import { entitledField } from "../entries/entitlements.ts";
import type { Manifest } from "../entries/manifest.ts";
import type { Subject, Subjects } from "../entries/subjects.ts";
import { accessItems, encodeAccess, unknownSubjectId, type AccessContent } from "./access.ts";
import {
  breaksGlass,
  isPermitted,
  partsOf,
  type Decided,
  type JudgeContext,
  type Judgement,
} from "./decide-records.ts";
import type { DisclosureRequest, SealedRequest } from "./request.ts";

/** A request and what was decided about it. */
export interface AccessToFile {
  readonly request: DisclosureRequest;
  /** SHA-256 of the signed request. */
  readonly asked: Uint8Array;
  readonly sealed: SealedRequest;
  /** `undefined` if nobody is known by that identifier. */
  readonly subject: Subject | undefined;
  readonly judgement: Judgement;
}

/** An access entry, and the person in whose audit it is. */
export interface FiledAccess extends Pick<Filed, "id"> {
  readonly local: Uint8Array;
  /** Absent if it is kept in the outbox, and not on the ledger yet. */
  readonly place?: EntryPlace;
}

/** Dependencies of filing accesses. */
interface AccessContext extends JudgeContext {
  readonly filing: Filing;
  readonly subjects: Subjects;
}

/**
 * Files a request and its decisions, including denials; resolves once durable. Of persons who are joined,
 * each has an access entry of their own with the decisions about their records, so that everybody's audit is
 * complete, and is nobody else's, also once they are parted. They are filed together; all but the first name
 * the first.
 *
 * @param access - `answers`: name of the request that is answered for the first time
 * @param patience - ms after which entries that are durable in the outbox will do; default: they will not
 * @returns the entries; the first is about the person asked about
 */
export async function fileAccesses(
  context: AccessContext,
  access: AccessToFile & { readonly answers: Uint8Array },
  patience?: number,
): Promise<readonly FiledAccess[]> {
  const { subject, judgement, answers } = access;
  const local = subject?.local ?? unknownSubjectId(context);
  const { own, others } = splitByPerson(judgement.decided, local);
  const first = await sealAccess(context, access, own, {
    ...{ op: "access", local },
    request: answers,
  });
  const sealed = [first];
  for (const [whose, decided] of others) {
    const manifest = { op: "access", local: whose, replaces: toEntryId(first.id) } as const;
    sealed.push(await sealAccess(context, access, decided, manifest));
  }
  const places = await fileOrKeep(context, sealed, patience);
  return sealed.map(({ id, manifest }, at) => {
    const place = places?.[at];
    return { id, local: manifest.local, ...(place === undefined ? {} : { place }) };
  });
}

/** @returns the entries' places; `undefined` if they are kept in the outbox */
async function fileOrKeep(
  { filing }: AccessContext,
  sealed: readonly SealedEntry[],
  patience: number | undefined,
): Promise<readonly EntryPlace[] | undefined> {
  try {
    return (await filing.fileAlone(sealed, [], patience)).map(({ place }) => place);
  } catch (error) {
    const isKept = error instanceof ChainError && error.code === "ERR_CHAIN_PENDING";
    if (patience === undefined || !isKept) throw error;
    return undefined;
  }
}

/** Files what was not released although access entries said so, for each entry that said so. */
export async function fileDifferences(
  context: AccessContext,
  access: AccessToFile,
  accesses: readonly FiledAccess[],
  patience?: number,
): Promise<void> {
  const sealed: SealedEntry[] = [];
  for (const { id, local } of accesses) {
    const { own } = splitByPerson(access.judgement.decided, local);
    if (own.length === 0) continue;
    const manifest = { op: "difference", local, replaces: toEntryId(id) } as const;
    sealed.push(await sealAccess(context, access, own, manifest));
  }
  await fileOrKeep(context, sealed, patience);
}

/** Separates decisions about a person's own records from those about others', by person. */
function splitByPerson(decided: readonly Decided[], local: Uint8Array) {
  const own: Decided[] = [];
  const others = new Map<string, readonly [Uint8Array, Decided[]]>();
  for (const one of decided) {
    const whose = one.record.head.manifest.local;
    if (equalBytes(whose, local)) {
      own.push(one);
      continue;
    }
    const known = others.get(toHex(whose));
    if (known === undefined) others.set(toHex(whose), [whose, [one]]);
    else known[1].push(one);
  }
  return { own, others: others.values() };
}

async function sealAccess(
  context: AccessContext,
  { request, asked, sealed, subject, judgement }: AccessToFile,
  decided: readonly Decided[],
  what: Pick<Manifest, "local" | "request"> & {
    readonly op: "access" | "difference";
    readonly replaces?: EntryId;
  },
): Promise<SealedEntry> {
  const { declaration } = sealed;
  const content: AccessContent = {
    v: 1,
    request: request.id,
    asked,
    requester: request.requester,
    ...(request.user === undefined ? {} : { user: request.user }),
    roles: judgement.roles,
    purposes: request.purposes,
    action: request.action,
    ...partsOf(request.query),
    decidedAt: judgement.asOf,
    height: judgement.height,
    snapshot: judgement.snapshot,
    ...accessItems(
      decided.map(({ record, decision }) => ({
        record: record.record,
        entry: record.head.id,
        type: record.head.manifest.resource?.type ?? "unknown",
        decision,
      })),
    ),
    ...(judgement.attestations.length === 0 ? {} : { attestations: judgement.attestations }),
    ...(what.op === "difference" ? { difference: true } : {}),
    ...(declaration === undefined || !breaksGlass(request) ? {} : { declaration }),
  };
  const glassBroken =
    declaration !== undefined && decided.some((one) => one.brokenGlass && isPermitted(one));
  const manifest: Manifest = {
    ...{ v: 1, ...what },
    ...(glassBroken ? { review: true } : {}),
    ...entitledField(context.auditors),
  };
  const key = subject === undefined ? context.random(32) : (await context.subjects.read(what)).key;
  const entry = await sealEntry(context, {
    kind: "access",
    manifest,
    subjectKey: key,
    parts: [{ id: "content", bytes: encodeAccess(content) }],
  });
  key.fill(0);
  context.catalogue.remember(entry);
  return entry;
}
