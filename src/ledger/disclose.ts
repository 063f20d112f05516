import type { CID } from "multiformats/cid";
import { toHex } from "../bytes/hex.ts";
import { isInForce, keyKey, memberKey, POLICY_KEY } from "../chain/state.ts";
import type { EntryPlace } from "../chain/make-receipt.ts";
import type { Decision } from "../consent/decision.ts";
import { compileDirectives } from "../consent/evaluate.ts";
import type { Directive } from "../consent/model.ts";
import type { ConsentRequest, RequestQuery } from "../consent/request.ts";
import type { ConsentSnapshot, SnapshotDirective } from "../consent/snapshot.ts";
import { BTG, canonicalPurpose, defaultTerminology } from "../consent/terminology.ts";
import { resolvePeriod, type Period } from "../consent/time.ts";
import { findZone } from "../consent/zone.ts";
import { directiveCid } from "../consent/directive.ts";
import type { CoseRecipient } from "../crypto/cose-hpke.ts";
import { verifySignature } from "../crypto/sign.ts";
import { makeGrant, narrowKeys } from "../envelope/grant.ts";
import { decodeSignedHeader } from "../envelope/header.ts";
import { wipeKeys } from "../envelope/keys.ts";
import { LedgerError, StorageError } from "../errors.ts";
import type { StateChange } from "../storage/types.ts";
import { encode } from "../codec/dag-cbor.ts";
import { accessItems, encodeAccess, strangers, type AccessContent } from "./access.ts";
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
  type SignedRequest,
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
  /** Id of the access entry that every grant rests on. */
  readonly access: Uint8Array;
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
  /** ISO 3166 codes of the law that this custodian's records are under. */
  readonly jurisdictions?: readonly string[];
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
  /** When it was decided, in ms since 1970. */
  readonly asOf: number;
}

/**
 * Answers a signed request: verify, resolve, decide, record, decide again by what landed in
 * between, and only then hand out keys for exactly what every decision admits.
 *
 * Whatever fails before the access entry is durable releases nothing; nothing that fails later
 * loses the entry. Who asks about somebody unknown here is answered and recorded like who asks
 * about somebody of whom there is nothing.
 *
 * @throws {StorageError} `ERR_STORAGE_MISSING` when a consent on the ledger does not open here
 */
export async function disclose(
  context: DiscloseContext,
  bytes: Uint8Array,
): Promise<DisclosureResult> {
  const { catalogue, subjects, now } = context;
  const checked = await checkRequest(context, bytes);
  if (!checked.ok) return checked;
  const { request, sealed, replayName } = checked;
  // From here to the durable access entry the id counts as used.
  const id = toHex(replayName);
  const busy = inFlight(context);
  if (busy.has(id)) return { ok: false, reason: "replayed" };
  busy.add(id);
  try {
    if ((await context.vault.get(replayName)) !== undefined) {
      return { ok: false, reason: "replayed" };
    }
    await catalogue.catchUp();
    if (await catalogue.lacksConsents()) {
      throw new StorageError(
        "ERR_STORAGE_MISSING",
        "a consent on the ledger does not open here, and nothing erased it: restore the store",
      );
    }
    const subject = await subjects.find(sealed.patient);
    const first = await judge(context, request, sealed, subject, now());
    await context.beforeFiling?.();
    const access = await fileAccess(context, { request, sealed, subject, judgement: first }, [
      context.vault.put(replayName, encode(request.expires)),
    ]);
    await context.beforeRelease?.();
    await catalogue.catchUp();
    const asked = first.decided.filter(isPermitted);
    const second = await judge(context, request, sealed, subject, now());
    const items: ReleasedItem[] = [];
    const decisions: Decision[] = [];
    const recipient = await standing(context, checked);
    if (recipient.ok) {
      const still = new Map(
        second.decided.filter(isPermitted).map((one) => [nameOf(one.record), one.decision]),
      );
      const admitted = asked.flatMap(({ record, decision }) => {
        const later = still.get(nameOf(record));
        return later === undefined ? [] : [{ record, decisions: [decision, later] }];
      });
      for (let at = 0; at < admitted.length; at += READ_TOGETHER) {
        const some = admitted.slice(at, at + READ_TOGETHER);
        const released = await release(
          context,
          some.map(({ record }) => record),
          access.id,
          request,
          recipient,
        );
        for (const [i, item] of released.entries()) {
          if (item === undefined) continue;
          items.push(item);
          decisions.push(...some[i]!.decisions);
        }
      }
    }
    if (items.length < asked.length) {
      const released = new Set(items.map(({ record }) => record));
      const decided = asked
        .filter(({ record }) => !released.has(record.record))
        .map((one) => laterDecision(one, second, recipient.ok));
      const judgement = { ...second, decided };
      await fileAccess(context, { request, sealed, subject, judgement, replaces: access.id });
    }
    const decision = unite(decisions) ?? second.probe;
    return { ok: true, answer: { access: access.id, decision, items } };
  } finally {
    busy.delete(id);
  }
}

/** What became of a record that was permitted at first. */
function laterDecision(first: Decided, second: Judgement, stands: boolean): Decided {
  const { record } = first.record;
  const later = second.decided.find((one) => one.record.record === record)?.decision;
  if (later !== undefined && stands && later.outcome !== "permit") {
    return { ...first, decision: later, brokenGlass: false };
  }
  // The requester is none any more; or the record is not what was decided about.
  const decision: Decision = {
    ...second.probe,
    outcome: stands ? "not-applicable" : "deny",
    obligations: [],
    refrains: [],
    reasons: [],
    basedOn: [],
  };
  return { ...first, decision, brokenGlass: false };
}

/** One decision for all that is released: the duties of each bind the requester. */
function unite(decisions: readonly Decision[]): Decision | undefined {
  const [first] = decisions;
  if (first === undefined) return undefined;
  const all = <T>(pick: (decision: Decision) => readonly T[]): T[] => [
    ...new Map(
      decisions.flatMap((one) => pick(one)).map((item) => [JSON.stringify(item), item]),
    ).values(),
  ];
  const ends = decisions.flatMap(({ expiresAt }) => expiresAt ?? []);
  return {
    ...decisions.at(-1)!,
    obligations: all(({ obligations }) => obligations).sort(),
    refrains: all(({ refrains }) => refrains).sort(),
    reasons: all(({ reasons }) => reasons),
    basedOn: all(({ basedOn }) => basedOn),
    expiresAt: ends.length === 0 ? null : Math.min(...ends),
  };
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
      readonly signed: SignedRequest;
      readonly sealed: SealedRequest;
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
    const key = await signingKeyOf(context, signed, request);
    if (key === undefined) return refuse("unknown-requester");
    const good = verifySignature({
      alg: signed.alg,
      publicKey: key,
      signature: signed.sig,
      what: "request",
      bytes: signed.request,
    });
    if (!good) return refuse("bad-signature");
    const time = now();
    await chain.state.load([POLICY_KEY]);
    const { maxDrift } = chain.state.policy();
    if (
      request.time > time + maxDrift ||
      request.expires <= time ||
      request.expires - request.time > context.maxRequestLifetime
    ) {
      return refuse("stale");
    }
    if ((await recipientOf(context, request)) === undefined) return refuse("recipient-key");
    const sealed = await openSealed(keys, request);
    if (sealed === undefined) return refuse("malformed");
    return {
      ok: true,
      request,
      signed,
      sealed,
      replayName: vault.name("request", request.requester, request.id),
    };
  } catch (error) {
    if (error instanceof LedgerError && error.code.startsWith("ERR_ENCODING_")) {
      return refuse("malformed");
    }
    throw error;
  }
}

/** The key that a request is signed with, if it speaks for the requester at the present height. */
async function signingKeyOf(
  { chain: { state, size } }: LedgerContext,
  signed: SignedRequest,
  { requester }: DisclosureRequest,
): Promise<Uint8Array | undefined> {
  await state.load([memberKey(requester), keyKey(signed.key)]);
  const member = state.member(requester);
  const key = state.key(signed.key);
  if (member === undefined || member.until !== null || key === undefined) return undefined;
  const speaks =
    key.actor === requester && key.use === "sign" && key.alg === signed.alg && isInForce(key, size);
  return speaks ? key.pub : undefined;
}

/** The requester's agreement key that answers go to, if it is in force at the present height. */
async function recipientOf(
  { chain: { state, size } }: LedgerContext,
  { requester, recipient }: DisclosureRequest,
): Promise<CoseRecipient | undefined> {
  await state.load([keyKey(recipient)]);
  const key = state.key(recipient);
  if (key?.actor !== requester || key.use !== "agree" || !isInForce(key, size)) return undefined;
  return { alg: key.alg as CoseRecipient["alg"], publicKey: key.pub };
}

/** Whether the requester is still one, and the request still counts, when keys are handed out. */
async function standing(
  context: DiscloseContext,
  { signed, request }: CheckedRequest & { readonly ok: true },
): Promise<({ readonly ok: true } & CoseRecipient) | { readonly ok: false }> {
  const key = await signingKeyOf(context, signed, request);
  const recipient = await recipientOf(context, request);
  if (key === undefined || recipient === undefined || context.now() >= request.expires) {
    return { ok: false };
  }
  return { ok: true, ...recipient };
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
    members,
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
    const resource = {
      ...judgedForm(record, signer.actor, context.jurisdictions),
      ...partsOf(request.query),
    };
    const decision = prepared.decide(resource);
    decided.push({ record, ...breakGlass(context, request, sealed, decision, asOf) });
  }
  const type = request.query.types?.[0] ?? "Basic";
  const probe = prepared.decide({
    type,
    codes: [],
    labels: null,
    controller: signer.actor,
    ...(context.jurisdictions === undefined ? {} : { jurisdictions: context.jurisdictions }),
    ...partsOf(request.query),
  });
  return {
    decided,
    probe,
    snapshot: compiled.snapshotCid,
    height,
    asOf,
  };
}

/** What breaking the glass obliges to: tell the patient, and have it reviewed. */
const BREAK_GLASS_DUTIES: readonly string[] = ["notify-patient", "review"];

/** However the purpose is written, with its code system or bare. */
const breaksGlass = ({ purposes }: DisclosureRequest): boolean =>
  purposes.some((purpose) => canonicalPurpose(purpose) === BTG);

/** A privileged requester's declaration opens what was withheld, unless a rule says never. */
function breakGlass(
  context: DiscloseContext,
  request: DisclosureRequest,
  { declaration }: SealedRequest,
  decision: Decision,
  asOf: number,
): Pick<Decided, "decision" | "brokenGlass"> {
  if (!breaksGlass(request)) return { decision, brokenGlass: false };
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

/** The members in force that a request names. */
async function membersNamed(
  { chain: { state } }: DiscloseContext,
  request: DisclosureRequest,
): Promise<string[]> {
  const named = new Set([request.requester, ...request.roles.map(({ attestedBy }) => attestedBy)]);
  await state.load([...named].map(memberKey));
  return [...named].filter((actor) => state.member(actor)?.until === null);
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

/** The parts that every envelope of a record has. */
const PARTS: readonly string[] = ["manifest", "content"];

/**
 * The parts that a request with a choice of them gets: the manifest always, since without it
 * nobody can tell what the others are.
 */
function partsOf({ parts }: RequestQuery): { readonly parts?: readonly string[] } {
  if (parts === undefined) return {};
  return { parts: PARTS.filter((part) => part === "manifest" || parts.includes(part)) };
}

function isAskedFor(record: CurrentRecord, query: RequestQuery): boolean {
  const resource = record.head.manifest.resource;
  const { types, ids, codes, period, parts } = query;
  if (types !== undefined && !types.includes(resource?.type ?? "")) return false;
  if (ids !== undefined) {
    const reference = `${resource?.type}/${resource?.id}`;
    if (!ids.includes(record.record) && !ids.includes(reference)) return false;
  }
  if (codes !== undefined) {
    const has = resource?.codes.some(({ system, code }) =>
      codes.some((wanted) => wanted.system === system && wanted.code === code),
    );
    if (has !== true) return false;
  }
  if (parts !== undefined && !parts.some((part) => PARTS.includes(part))) return false;
  return period === undefined || overlaps(resource?.period, period);
}

/** Whether what a resource tells was so within a period; dates are read as those of UTC. */
function overlaps(told: Period | undefined, wanted: Period): boolean {
  if (told === undefined) return false;
  const utc = findZone("UTC")!;
  const [one, other] = [resolvePeriod(told, utc), resolvePeriod(wanted, utc)];
  if (one === undefined || other === undefined) return false;
  return one.start <= other.end && other.start <= one.end;
}

interface AccessToFile {
  readonly request: DisclosureRequest;
  readonly sealed: SealedRequest;
  /** `undefined` when nobody is known by that identifier. */
  readonly subject: Subject | undefined;
  readonly judgement: Judgement;
  /** The access entry of which less was released. */
  readonly replaces?: Uint8Array;
}

/** Files what was asked and decided, denials too; resolves when durable. */
async function fileAccess(
  context: DiscloseContext,
  access: AccessToFile,
  state: readonly StateChange[] = [],
) {
  const { request, sealed, subject, judgement, replaces } = access;
  const { declaration } = sealed;
  const content: AccessContent = {
    v: 1,
    request: request.id,
    requester: request.requester,
    ...(request.user === undefined ? {} : { user: request.user }),
    roles: request.roles.map(({ code }) => code),
    purposes: request.purposes,
    action: request.action,
    ...partsOf(request.query),
    decidedAt: judgement.asOf,
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
    ...(declaration === undefined || !breaksGlass(request) ? {} : { declaration }),
  };
  const manifest: Manifest = {
    v: 1,
    op: replaces === undefined ? "access" : "difference",
    local: subject?.local ?? strangers(context),
    ...(replaces === undefined ? {} : { replaces }),
  };
  const key =
    subject === undefined ? context.random(32) : (await context.subjects.read(subject)).key;
  const entry = await sealEntry(context, {
    kind: "access",
    manifest,
    subjectKey: key,
    parts: [{ id: "content", bytes: encodeAccess(content) }],
  });
  key.fill(0);
  context.catalogue.remember(entry.id, manifest);
  const glassBroken =
    declaration !== undefined &&
    judgement.decided.some((one) => one.brokenGlass && isPermitted(one));
  const [filed] = await context.filing.fileAlone(
    [entry],
    glassBroken ? [...state, context.vault.put(reviewName(context, entry.id), entry.id)] : state,
  );
  return filed!;
}

/** Envelopes whose keys and headers are read in one go. */
const READ_TOGETHER = 128;

/**
 * Wraps the keys of records' envelopes for the requester, resting on the access entry.
 *
 * @returns in the records' order; `undefined` for what was erased while the request was answered
 */
async function release(
  context: DiscloseContext,
  records: readonly CurrentRecord[],
  basis: Uint8Array,
  request: DisclosureRequest,
  recipient: CoseRecipient,
): Promise<(ReleasedItem | undefined)[]> {
  const { storage, vault, signer, random } = context;
  const envelopes = records.map(({ head }) => head.envelope);
  const ceks = await vault.getMany(envelopes.map((cid) => contentKeyName(context, cid)));
  const headers = await storage.blobs.getMany(envelopes);
  const { parts } = partsOf(request.query);
  const items: (ReleasedItem | undefined)[] = [];
  for (const [i, { record, head }] of records.entries()) {
    const { envelope, id, place } = head;
    const [cek, header] = [ceks[i], headers[i]];
    if (cek === undefined || header === undefined) {
      items.push(undefined);
      continue;
    }
    const keys =
      parts === undefined
        ? { cek }
        : narrowKeys({ cek }, { header: decodeSignedHeader(header).header, parts });
    const grant = await makeGrant({ envelope, basis, keys, recipient, signer, random });
    wipeKeys(keys);
    cek.fill(0);
    items.push({ record, entry: id, place, envelope, header, grant });
  }
  return items;
}
