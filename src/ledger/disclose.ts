import type { CID } from "multiformats/cid";
import { toHex } from "../bytes/hex.ts";
import { isInForce, keyKey, memberKey, POLICY_KEY } from "../chain/state.ts";
import type { EntryPlace } from "../chain/make-receipt.ts";
import type { Decision } from "../consent/decision.ts";
import { compileDirectives } from "../consent/evaluate.ts";
import type { Directive } from "../consent/model.ts";
import type { ConsentRequest } from "../consent/request.ts";
import type { ConsentSnapshot, SnapshotDirective } from "../consent/snapshot.ts";
import { BTG, defaultTerminology } from "../consent/terminology.ts";
import { directiveCid } from "../consent/directive.ts";
import type { CoseRecipient } from "../crypto/cose-hpke.ts";
import { verifySignature } from "../crypto/sign.ts";
import { makeGrant, narrowKeys } from "../envelope/grant.ts";
import { decodeSignedHeader } from "../envelope/header.ts";
import { LedgerError } from "../errors.ts";
import { encode } from "../codec/dag-cbor.ts";
import { accessItems, encodeAccess, type AccessContent } from "./access.ts";
import type { Catalogue } from "./catalogue.ts";
import { capacityFacts, type FiledConsents } from "./consents.ts";
import type { CatalogueItem } from "./catalogue.ts";
import { reviewName } from "./consenting.ts";
import type { LedgerContext } from "./context.ts";
import { contentKeyName, sealEntry, type Filing } from "./filing.ts";
import type { Manifest } from "./manifest.ts";
import { currentRecords, judgedForm, type CurrentRecord } from "./records.ts";
import {
  decodeRequest,
  decodeSealedRequest,
  decodeSignedRequest,
  requestAad,
  type DisclosureRequest,
  type SealedRequest,
} from "./request.ts";
import type { Subject, Subjects } from "./subjects.ts";

/** Why a request is not even judged. */
export type RequestRefusal =
  | "malformed"
  | "other-ledger"
  | "other-custodian"
  | "unknown-requester"
  | "bad-signature"
  | "recipient-key"
  | "stale"
  | "replayed";

/** One record that is released: what its requester needs to open it. */
export interface ReleasedItem {
  /** Name of the record: hexadecimal id of the entry that created it. */
  readonly record: string;
  /** Id and place of the entry whose envelope this is. */
  readonly entry: Uint8Array;
  readonly place: EntryPlace;
  readonly envelope: CID;
  /** The envelope's signed header. */
  readonly header: Uint8Array;
  /** The keys, sealed to the requester's agreement key. */
  readonly grant: Uint8Array;
}

/** What a custodian answers. */
export interface DisclosureAnswer {
  /** Id of the access entry that every grant rests on; `null` when nobody is known by that name. */
  readonly access: Uint8Array | null;
  /** A decision that says nothing about what was withheld. */
  readonly decision: Decision;
  readonly items: readonly ReleasedItem[];
}

export type DisclosureResult =
  | { readonly ok: true; readonly answer: DisclosureAnswer }
  | { readonly ok: false; readonly reason: RequestRefusal };

/** What disclosing stands on. */
export interface DiscloseContext extends LedgerContext {
  readonly catalogue: Catalogue;
  readonly filing: Filing;
  readonly subjects: Subjects;
  readonly readConsents: (items: readonly CatalogueItem[]) => Promise<FiledConsents>;
  readonly defaults: readonly Directive[];
  readonly overlays: ConsentSnapshot["overlays"];
  readonly understood: readonly string[];
  /** CID of the label rules that are current. */
  readonly labels: CID | null;
  /** Longest time that a request may count, in ms. */
  readonly maxRequestLifetime: number;
  /** Roles whose holders may break the glass. */
  readonly privilegedRoles: readonly string[];
  /** Longest time that breaking the glass opens anything, in ms. */
  readonly maxBreakGlass: number;
  /** For tests of what lands in between; called after deciding, before the access entry is filed. */
  readonly beforeFiling?: () => Promise<void>;
  /** Called after the access entry is durable, before anything is released. */
  readonly beforeRelease?: () => Promise<void>;
}

interface Decided {
  readonly record: CurrentRecord;
  readonly decision: Decision;
  /** Permitted by a declaration, under review. */
  readonly brokenGlass: boolean;
}

/** All that a decision was made from. */
interface Judgement {
  readonly decided: readonly Decided[];
  readonly probe: Decision;
  readonly snapshot: CID;
  readonly height: number;
  /** Differs when something that matters has changed. */
  readonly fingerprint: string;
}

/**
 * Answers a signed request: verify, resolve, decide, record, decide again if something that
 * matters landed in between, and only then wrap keys for exactly what every decision admits.
 *
 * Whatever fails before the access entry is durable releases nothing; nothing that fails later
 * loses the entry.
 */
export async function disclose(
  context: DiscloseContext,
  bytes: Uint8Array,
): Promise<DisclosureResult> {
  const { catalogue, subjects, now } = context;
  const checked = await checkRequest(context, bytes);
  if (!checked.ok) return checked;
  const { request, sealed, recipient, replayName } = checked;
  // From here to the durable access entry the id counts as used.
  const id = toHex(replayName);
  const busy = inFlight(context);
  if (busy.has(id) || (await context.vault.get(replayName)) !== undefined) {
    return { ok: false, reason: "replayed" };
  }
  busy.add(id);
  try {
    await catalogue.catchUp();
    const subject = await subjects.find(sealed.patient);
    const asOf = now();
    const first = await judge(context, request, sealed, subject, asOf);
    if (subject === undefined) {
      return { ok: true, answer: { access: null, decision: first.probe, items: [] } };
    }
    await context.beforeFiling?.();
    const access = await fileAccess(context, { request, sealed, subject, judgement: first, asOf }, [
      context.vault.put(replayName, encode(request.expires)),
    ]);
    await context.beforeRelease?.();
    await catalogue.catchUp();
    let released = first.decided.filter(isPermitted);
    const second = await judge(context, request, sealed, subject, asOf);
    if (second.fingerprint !== first.fingerprint) {
      const still = new Map(
        second.decided.filter(isPermitted).map(({ record }) => [nameOf(record), record]),
      );
      const both = released.filter(({ record }) => still.has(nameOf(record)));
      if (both.length < released.length) {
        const kept = new Set(both.map(({ record }) => nameOf(record)));
        const decided = second.decided.filter(({ record }) => !kept.has(nameOf(record)));
        await fileAccess(
          context,
          {
            request,
            sealed,
            subject,
            judgement: { ...second, decided },
            asOf,
            replaces: access.id,
          },
          [],
        );
      }
      released = both;
    }
    const items: ReleasedItem[] = [];
    for (const { record } of released) {
      const item = await release(context, record, access.id, request, recipient);
      if (item !== undefined) items.push(item);
    }
    const decision = items.length > 0 ? released[0]!.decision : second.probe;
    return { ok: true, answer: { access: access.id, decision, items } };
  } finally {
    busy.delete(id);
  }
}

const isPermitted = ({ decision }: Decided): boolean => decision.outcome === "permit";
const nameOf = ({ record, head }: CurrentRecord): string => `${record} ${toHex(head.id)}`;

const flights = new WeakMap<object, Set<string>>();

function inFlight({ vault }: LedgerContext): Set<string> {
  let set = flights.get(vault);
  if (set === undefined) {
    set = new Set();
    flights.set(vault, set);
  }
  return set;
}

type CheckedRequest =
  | {
      readonly ok: true;
      readonly request: DisclosureRequest;
      readonly sealed: SealedRequest;
      readonly recipient: CoseRecipient;
      readonly replayName: Uint8Array;
    }
  | { readonly ok: false; readonly reason: RequestRefusal };

/** Verifies who asks, that the request is for us and fresh, and whom it is about. */
async function checkRequest(context: DiscloseContext, bytes: Uint8Array): Promise<CheckedRequest> {
  const { chain, keys, signer, now, vault } = context;
  const refuse = (reason: RequestRefusal): CheckedRequest => ({ ok: false, reason });
  try {
    const signed = decodeSignedRequest(bytes);
    const request = decodeRequest(signed.request);
    if (!request.ledger.equals(chain.ledger)) return refuse("other-ledger");
    if (request.custodian !== signer.actor) return refuse("other-custodian");
    await chain.refresh();
    const { state, size } = chain;
    await state.load([
      POLICY_KEY,
      memberKey(request.requester),
      keyKey(signed.key),
      keyKey(request.recipient),
    ]);
    const member = state.member(request.requester);
    const key = state.key(signed.key);
    if (member === undefined || member.until !== null) return refuse("unknown-requester");
    if (
      key?.actor !== request.requester ||
      key.use !== "sign" ||
      key.alg !== signed.alg ||
      !isInForce(key, size)
    ) {
      return refuse("unknown-requester");
    }
    const good = verifySignature({
      alg: signed.alg,
      publicKey: key.pub,
      signature: signed.sig,
      what: "request",
      bytes: signed.request,
    });
    if (!good) return refuse("bad-signature");
    const time = now();
    const { maxDrift } = state.policy();
    if (
      request.time > time + maxDrift ||
      request.expires <= time ||
      request.expires - request.time > context.maxRequestLifetime
    ) {
      return refuse("stale");
    }
    const agree = state.key(request.recipient);
    if (agree?.actor !== request.requester || agree.use !== "agree" || !isInForce(agree, size)) {
      return refuse("recipient-key");
    }
    const sealed = await openSealed(keys, request);
    if (sealed === undefined) return refuse("malformed");
    return {
      ok: true,
      request,
      sealed,
      recipient: { alg: agree.alg as CoseRecipient["alg"], publicKey: agree.pub },
      replayName: vault.name("request", request.requester, request.id),
    };
  } catch (error) {
    if (error instanceof LedgerError && error.code.startsWith("ERR_ENCODING_")) {
      return refuse("malformed");
    }
    throw error;
  }
}

/** Opens what is sealed to the custodian, with whichever of its keys it was sealed to. */
async function openSealed(
  keys: LedgerContext["keys"],
  request: DisclosureRequest,
): Promise<SealedRequest | undefined> {
  const aad = requestAad(request.ledger, request.id, request.custodian);
  for (const { key, use } of keys.list()) {
    if (use !== "agree") continue;
    try {
      return decodeSealedRequest(await keys.agreement(key).unwrap(request.sealed, aad));
    } catch (error) {
      if (!(error instanceof LedgerError)) throw error;
    }
  }
  return undefined;
}

/** Decides about every record that is asked for, at the ledger's present height. */
async function judge(
  context: DiscloseContext,
  request: DisclosureRequest,
  sealed: SealedRequest,
  subject: Subject | undefined,
  asOf: number,
): Promise<Judgement> {
  const { catalogue, chain, signer } = context;
  const items = subject === undefined ? [] : await catalogue.itemsOf(subject.local);
  const consents = await context.readConsents(items);
  const members = await membersNamed(context, request);
  const height = chain.size - 1;
  const snapshot: ConsentSnapshot = {
    height,
    directives: consents.directives,
    organisation: context.defaults.map(filedDefault),
    overlays: context.overlays,
    members: members.map(({ actor }) => actor),
    memberships: [],
    roles: [],
    capacities: capacityFacts(consents),
    links: consents.keys.map(({ item }) => item.id),
    terminology: defaultTerminology().cid,
    labels: context.labels,
  };
  const consentRequest: ConsentRequest = {
    id: toHex(request.id),
    requester: request.requester,
    ...(request.user === undefined ? {} : { user: request.user }),
    // Who signs the request vouches for his own people, and for nobody else's.
    roles: request.roles.map(({ code, attestedBy }) => ({
      code,
      attestedBy: attestedBy === request.requester ? attestedBy : "",
    })),
    purposes: request.purposes,
    action: request.action,
    subject: subject === undefined ? "" : toHex(subject.local),
    query: request.query,
    expires: request.expires,
  };
  const compiled = compileDirectives(snapshot);
  const prepared = compiled.prepare(consentRequest, asOf, { understood: context.understood });
  const decided: Decided[] = [];
  for (const record of currentRecords(items).values()) {
    if (record.retracted || !isAskedFor(record, request.query)) continue;
    const resource = judgedForm(record, signer.actor);
    const decision = prepared.decide(resource);
    decided.push({ record, ...breakGlass(context, request, sealed, decision, asOf) });
  }
  const type = request.query.types?.[0] ?? "Basic";
  const probe = prepared.decide({ type, codes: [], labels: null, controller: signer.actor });
  return {
    decided,
    probe,
    snapshot: compiled.snapshotCid,
    height,
    fingerprint: JSON.stringify([
      items.filter(({ kind }) => kind !== "access").map(({ id }) => toHex(id)),
      members.map(({ actor, state }) => [actor, state]),
    ]),
  };
}

/** What breaking the glass obliges to: tell the patient, and have it reviewed. */
const BREAK_GLASS_DUTIES: readonly string[] = ["notify-patient", "review"];

/** A privileged requester's declaration opens what was withheld, unless a rule says never. */
function breakGlass(
  context: DiscloseContext,
  request: DisclosureRequest,
  { declaration }: SealedRequest,
  decision: Decision,
  asOf: number,
): Pick<Decided, "decision" | "brokenGlass"> {
  if (!request.purposes.includes(BTG)) return { decision, brokenGlass: false };
  const declared =
    declaration !== undefined &&
    declaration.reason.trim() !== "" &&
    declaration.until > asOf &&
    declaration.until - asOf <= context.maxBreakGlass;
  const privileged = request.roles.some(
    ({ code, attestedBy }) =>
      attestedBy === request.requester && context.privilegedRoles.includes(code),
  );
  const permitted = decision.outcome === "permit";
  if (declared && (permitted || (privileged && decision.breakGlass !== "never"))) {
    const opened: Decision = {
      ...decision,
      outcome: "permit",
      obligations: [...new Set([...decision.obligations, ...BREAK_GLASS_DUTIES])],
      expiresAt: Math.min(decision.expiresAt ?? Infinity, declaration.until),
    };
    return { decision: opened, brokenGlass: true };
  }
  // Without a declaration nothing is opened, whatever a rule permits.
  const closed = permitted ? { ...decision, outcome: "deny" as const } : decision;
  return { decision: closed, brokenGlass: false };
}

/** The members that a request names, with what the ledger's state says of them. */
async function membersNamed(
  { chain }: DiscloseContext,
  request: DisclosureRequest,
): Promise<{ readonly actor: string; readonly state: string }[]> {
  const actors = new Set([request.requester, ...request.roles.map(({ attestedBy }) => attestedBy)]);
  const { state } = chain;
  await state.load([...actors].map(memberKey));
  const found: { actor: string; state: string }[] = [];
  for (const actor of actors) {
    const member = state.member(actor);
    if (member === undefined || member.until !== null) continue;
    found.push({ actor, state: toHex(state.get(memberKey(actor))!) });
  }
  return found;
}

function filedDefault(directive: Directive, index: number): SnapshotDirective {
  const cid = directiveCid(directive);
  return {
    entry: cid.multihash.digest,
    place: { height: 0, index },
    cid,
    directive,
    standing: "valid",
  };
}

function isAskedFor(record: CurrentRecord, query: DisclosureRequest["query"]): boolean {
  const resource = record.head.manifest.resource;
  if (query.types !== undefined && !query.types.includes(resource?.type ?? "")) return false;
  if (query.ids !== undefined) {
    const reference = `${resource?.type}/${resource?.id}`;
    if (!query.ids.includes(record.record) && !query.ids.includes(reference)) return false;
  }
  const { codes } = query;
  if (codes !== undefined) {
    const has = resource?.codes.some(({ system, code }) =>
      codes.some((wanted) => wanted.system === system && wanted.code === code),
    );
    if (has !== true) return false;
  }
  return true;
}

interface AccessToFile {
  readonly request: DisclosureRequest;
  readonly sealed: SealedRequest;
  readonly subject: Subject;
  readonly judgement: Judgement;
  readonly asOf: number;
  /** The access entry of which less was released. */
  readonly replaces?: Uint8Array;
}

/** Files what was asked and decided, denials too; resolves when durable. */
async function fileAccess(
  context: DiscloseContext,
  access: AccessToFile,
  state: Parameters<Filing["fileAlone"]>[1],
) {
  const { request, sealed, subject, judgement, asOf, replaces } = access;
  const { declaration } = sealed;
  const content: AccessContent = {
    v: 1,
    request: request.id,
    requester: request.requester,
    ...(request.user === undefined ? {} : { user: request.user }),
    roles: request.roles.map(({ code }) => code),
    purposes: request.purposes,
    action: request.action,
    decidedAt: asOf,
    height: judgement.height,
    snapshot: judgement.snapshot,
    ...accessItems(
      judgement.decided.map(({ record, decision }) => ({
        record: record.record,
        entry: record.head.id,
        type: record.head.manifest.resource?.type ?? "unknown",
        decision,
      })),
    ),
    ...(declaration === undefined || !request.purposes.includes(BTG) ? {} : { declaration }),
  };
  const manifest: Manifest = {
    v: 1,
    op: replaces === undefined ? "access" : "difference",
    local: subject.local,
    ...(replaces === undefined ? {} : { replaces }),
  };
  const { key } = await context.subjects.read(subject);
  const entry = await sealEntry(context, {
    kind: "access",
    manifest,
    subjectKey: key,
    parts: [{ id: "content", bytes: encodeAccess(content) }],
  });
  context.catalogue.remember(entry.id, manifest);
  const glassBroken =
    declaration !== undefined &&
    judgement.decided.some((one) => one.brokenGlass && isPermitted(one));
  const [filed] = await context.filing.fileAlone(
    [entry],
    glassBroken
      ? [...(state ?? []), context.vault.put(reviewName(context, entry.id), entry.id)]
      : state,
  );
  return filed!;
}

/** Wraps the keys of one envelope for the requester, resting on the access entry. */
async function release(
  context: DiscloseContext,
  { record, head }: CurrentRecord,
  basis: Uint8Array,
  request: DisclosureRequest,
  recipient: CoseRecipient,
): Promise<ReleasedItem | undefined> {
  const { storage, vault, signer, random } = context;
  const { envelope, id, place } = head;
  const cek = await vault.get(contentKeyName(context, envelope));
  const header = await storage.blobs.get(envelope);
  // Erased while the request was being answered.
  if (cek === undefined || header === undefined) return undefined;
  const { parts } = request.query;
  const keys =
    parts === undefined
      ? { cek }
      : narrowKeys({ cek }, { header: decodeSignedHeader(header).header, parts });
  const grant = await makeGrant({ envelope, basis, keys, recipient, signer, random });
  cek.fill(0);
  return { record, entry: id, place, envelope, header, grant };
}
