import type { CID } from "multiformats/cid";
import { toHex } from "../../bytes/hex.ts";
import { toEntryId, type EntryId, type RecordId } from "../../codec/ids.ts";
import { memberKey } from "../../chain/state.ts";
import type { Decision } from "../../consent/model/decision.ts";
import { directiveCid } from "../../consent/model/directive.ts";
import { withinBounds } from "../../consent/rules/capacity.ts";
import { decisionForAll } from "../../consent/decide-whole.ts";
import { compileDirectives } from "../../consent/evaluate.ts";
import type { Labeller } from "../../consent/labels/labeller.ts";
import type { Directive } from "../../consent/model/model.ts";
import type { ConsentRequest, RequestQuery } from "../../consent/model/request.ts";
import type { ConsentResource } from "../../consent/model/resource.ts";
import type {
  ConsentSnapshot,
  RoleAttestation,
  SnapshotDirective,
} from "../../consent/model/snapshot.ts";
import { BTG, canonicalPurpose, type Terminology } from "../../consent/terminology/terminology.ts";
import { RECORD_PARTS } from "./asked-for.ts";
import { askerOf } from "./asker.ts";
import { judgeAttestations } from "./attestation.ts";
import type { RequestToJudge } from "./check-request.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { capacityFacts, speaks } from "../consents/attested-key.ts";
import type { ConsentReader, FiledConsents } from "../consents/read-consents.ts";
import { withWaiting } from "../consents/waiting.ts";
import type { LedgerContext } from "../context.ts";
import type { EntriesOfJoined } from "../persons/person-entries.ts";
import type { FoldedRecord } from "../records/current-record.ts";
import { judgedForm } from "../records/judged-form.ts";
import { decideWithCompanions } from "./companions.ts";
import type { DisclosureRequest, SealedRequest } from "./request.ts";
import type { Subject } from "../entries/subjects.ts";

/** The dependencies for judging a request. */
export interface JudgeContext extends LedgerContext {
  readonly catalogue: Catalogue;
  readonly readConsents: ConsentReader;
  readonly defaults: readonly Directive[];
  readonly overlays: ConsentSnapshot["overlays"];
  /** Terminology that codes are interpreted by. */
  readonly terminology: Terminology;
  readonly supportedObligations: readonly string[];
  /** ISO 3166 codes of the jurisdictions whose law governs this custodian's records. */
  readonly jurisdictions?: readonly string[];
  /** The labeller whose rules are current. */
  readonly labeller: Pick<Labeller, "name" | "version" | "replaces" | "cid">;
  /** Roles whose holders may break the glass. */
  readonly privilegedRoles: readonly string[];
  /** Longest time for which breaking the glass gives access, in ms. */
  readonly maxBreakGlass: number;
}

/** The decision about one record. */
export interface Decided {
  readonly record: FoldedRecord;
  readonly decision: Decision;
  /** Permitted by a declaration, under review. */
  readonly brokenGlass: boolean;
}

/** The decisions about a request, and everything that they were made from. */
export interface Judgement {
  readonly decided: readonly Decided[];
  readonly probe: Decision;
  readonly snapshot: CID;
  readonly height: number;
  /** When it was decided, in ms since 1970. */
  readonly asOf: number;
  /** Codes of the roles that the decision accepted. */
  readonly roles: readonly string[];
  /** The signed attestations that the decision relied on. */
  readonly attestations: readonly Uint8Array[];
  /** Whether a privileged requester declares that the glass is broken, whatever that opens. */
  readonly opensGlass: boolean;
}

export const isPermitted = ({ decision }: Decided): boolean => decision.outcome === "permit";
/** The records that a judgement permits. */
export const permittedRecords = ({ decided }: Pick<Judgement, "decided">): readonly RecordId[] =>
  decided.filter(isPermitted).map(({ record }) => record.record);
/** Names a record in one version. */
export const versionName = ({ record, head }: FoldedRecord): string =>
  `${record} ${toHex(head.id)}`;

/** Kinds of entries that a decision depends on. */
const DECIDING = ["record", "consent", "erase", "link"] as const;

/** Catches up; rejects if an entry that could be about anybody, and say anything, does not open. */
export async function requireReadableConsents({ catalogue }: JudgeContext): Promise<void> {
  await catalogue.catchUp();
  await catalogue.assertComplete();
}

/** The facts of a snapshot that are the same for every requester. */
export function factsOf(
  context: JudgeContext,
  consents: FiledConsents,
  merges: readonly CatalogueItem[],
): Omit<ConsentSnapshot, "height" | "members" | "memberships" | "roles"> {
  return {
    directives: consents.directives,
    organisation: context.defaults.map(filedDefault),
    overlays: context.overlays,
    capacities: capacityFacts(consents.keys),
    custodian: context.signer.actor,
    witnesses: consents.witnesses,
    links: linksOf(consents, merges),
    terminology: context.terminology.cid,
    labels: context.labeller.cid,
  };
}

/** Decides about every requested record, at the ledger's present height. */
export async function decideRecords(
  context: JudgeContext,
  checked: Pick<RequestToJudge, "request" | "sealed" | "signed" | "byPerson">,
  subject: Subject | undefined,
  asOf: number,
): Promise<Judgement> {
  const { catalogue, chain, signer } = context;
  const { request, sealed } = checked;
  const { records, others, merges } = await readDeciding(catalogue, subject);
  const filed = await context.readConsents(others, chain.size - 1);
  const consents = await withWaiting(context, catalogue, others, filed, chain.size - 1);
  const attested = await judgeAttestations(context, request, sealed.attestations ?? [], asOf);
  const asker = askerOf(checked, consents, attested, signer.actor, asOf);
  const members = await membersNamed(context, request, asker.roles);
  const height = chain.size - 1;
  const snapshot: ConsentSnapshot = {
    height,
    ...factsOf(context, consents, merges),
    members,
    memberships: attested.memberships,
    roles: asker.roles,
  };
  const consentRequest: ConsentRequest = {
    id: toHex(request.id),
    requester: request.requester,
    ...(asker.user === undefined ? {} : { user: asker.user }),
    roles: asker.claimed,
    purposes: request.purposes,
    action: request.action,
    subject: subject === undefined ? "" : toHex(subject.local),
    query: request.query,
    expires: request.expires,
  };
  const { believed } = asker;
  const compiled = compileDirectives(snapshot, { terminology: context.terminology });
  const prepared = compiled.prepare(consentRequest, asOf, {
    supportedObligations: context.supportedObligations,
  });
  const glass = glassOf(context, request, sealed, believed, asOf);
  const isWithin = withinBounds(asker.bounds, request, asOf, context.terminology);
  const decided = decideWithCompanions(records, request.query, {
    form: (record, parts) => judgedForm(record, { ...context, parts, controller: signer.actor }),
    decide(record, given, inside) {
      const resource = inParts(given, partsOf(request.query));
      const decision = decisionForAll([prepared.decide(resource), ...inside]);
      if (!isWithin(resource)) return { record, decision: denied(decision), brokenGlass: false };
      return { record, ...breakGlass(request, glass, decision) };
    },
  });
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
    roles: believed,
    attestations: attested.signed,
    opensGlass: glass.until !== undefined && glass.isPrivileged,
  };
}

/** What is outside the bounds of the capacity in which a person asks is none of their business, whatever permits it. */
const denied = (decision: Decision): Decision => ({
  ...decision,
  outcome: "deny",
  ...{ obligations: [], refrains: [], reasons: [], basedOn: [] },
});

/** A resource of which some parts are asked for, and so of those inside it. */
export function inParts(
  resource: ConsentResource,
  parts: Pick<ConsentResource, "parts">,
): ConsentResource {
  const { contains } = resource;
  const inside = contains?.map((one) => inParts(one, parts));
  return { ...resource, ...parts, ...(inside !== undefined && { contains: inside }) };
}

/**
 * Reads the entries that a decision about a person depends on.
 *
 * @param subject - `undefined` for nobody
 * @param height - the last block that counts; default the newest
 */
export async function readDeciding(
  catalogue: Catalogue,
  subject: Subject | undefined,
  height: number = Infinity,
): Promise<EntriesOfJoined> {
  if (subject === undefined) return { records: [], others: [], merges: [] };
  const entries = await catalogue.entriesOf(subject.local, DECIDING, height);
  if (height === Infinity) return entries;
  const isKnown = ({ place }: CatalogueItem): boolean => place.height <= height;
  const { records, others } = entries;
  return { ...entries, records: records.filter(isKnown), others: others.filter(isKnown) };
}

/** The link entries that a decision depends on. */
const linksOf = ({ keys, list }: FiledConsents, merges: readonly CatalogueItem[]): EntryId[] =>
  [
    ...merges,
    ...keys.filter(speaks).map(({ item }) => item),
    ...(list === undefined ? [] : [list]),
  ].map(({ id }) => toEntryId(id));

/** Obligations of breaking the glass: notify the patient, and have the access reviewed. */
const BREAK_GLASS_DUTIES: readonly string[] = ["notify-patient", "review"];

/** Whether a request breaks the glass; the purpose may be written with its code system or without. */
export const breaksGlass = ({ purposes }: DisclosureRequest): boolean =>
  purposes.some((purpose) => canonicalPurpose(purpose) === BTG);

/** What a request may open by breaking the glass. */
interface Glass {
  /** When the declared emergency ends; absent if none is declared as it must be. */
  readonly until?: number;
  /** Whether who declares it may open what no rule permits. */
  readonly isPrivileged: boolean;
}

/** A declaration opens records for treatment only: not for a request that also has other purposes. */
function glassOf(
  context: JudgeContext,
  request: DisclosureRequest,
  { declaration }: SealedRequest,
  roles: readonly string[],
  asOf: number,
): Glass {
  const isDeclared =
    breaksGlass(request) &&
    declaration !== undefined &&
    declaration.reason.trim() !== "" &&
    declaration.until > asOf &&
    declaration.until - asOf <= context.maxBreakGlass;
  const { terminology } = context;
  const isTreating = request.purposes.every(
    (purpose) => terminology.purposesBelow(canonicalPurpose(purpose))?.has(BTG) === true,
  );
  return {
    ...(isDeclared ? { until: declaration.until } : {}),
    isPrivileged: isTreating && roles.some((code) => context.privilegedRoles.includes(code)),
  };
}

/** A privileged requester's declaration opens withheld records, unless a rule says never. */
function breakGlass(
  request: DisclosureRequest,
  { until, isPrivileged }: Glass,
  decision: Decision,
): Pick<Decided, "decision" | "brokenGlass"> {
  if (!breaksGlass(request)) return { decision, brokenGlass: false };
  const permitted = decision.outcome === "permit";
  const opens = isPrivileged && decision.breakGlass !== "never";
  if (until !== undefined && (permitted || opens)) {
    const opened: Decision = {
      ...decision,
      outcome: "permit",
      obligations: [...new Set([...decision.obligations, ...BREAK_GLASS_DUTIES])],
      expiresAt: Math.min(decision.expiresAt ?? Infinity, until),
    };
    return { decision: opened, brokenGlass: true };
  }
  // Without a declaration the glass stays closed, whatever a rule permits.
  const closed = permitted ? { ...decision, outcome: "deny" as const } : decision;
  return { decision: closed, brokenGlass: false };
}

/** The members in force that a request names, or that attest its roles. */
async function membersNamed(
  { chain: { state } }: JudgeContext,
  request: DisclosureRequest,
  roles: readonly RoleAttestation[],
): Promise<string[]> {
  const vouching = [...request.roles, ...roles].map(({ attestedBy }) => attestedBy);
  const named = new Set([request.requester, ...vouching]);
  await state.load([...named].map(memberKey));
  return [...named].filter((actor) => state.member(actor)?.until === null);
}

/** A default policy as if it had been filed before everything else. */
export function filedDefault(directive: Directive, index: number): SnapshotDirective {
  const cid = directiveCid(directive);
  return {
    entry: toEntryId(cid.multihash.digest),
    place: { height: 0, index },
    cid,
    directive,
    standing: "valid",
  };
}

/**
 * The parts granted to a request that chooses parts. The manifest is always one of them, because it tells
 * what the other parts are.
 */
export function partsOf({ parts }: RequestQuery): { readonly parts?: readonly string[] } {
  if (parts === undefined) return {};
  return { parts: RECORD_PARTS.filter((part) => part === "manifest" || parts.includes(part)) };
}
