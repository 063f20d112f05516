import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { InputError } from "../errors.ts";
import type { RequestQuery } from "../consent/model/request.ts";
import type { WitnessOptions } from "./consents/evidence.ts";
import type { Declaration } from "./disclosure/request.ts";
import type { Subject } from "./entries/subjects.ts";
import type { Governance } from "./governance.ts";
import type { Ledger } from "./ledger.ts";

/** Options of a call, and of the groups within them. */
interface Known {
  readonly names: Readonly<Record<string, true>>;
  readonly groups?: Readonly<Record<string, Readonly<Record<string, true>>>>;
}

/** The names of an argument's fields, by what the interface declares: a table that lacks one does not compile. */
type Names<Call extends keyof Ledger, At extends number> = Ledger[Call] extends (
  ...given: infer Given
) => unknown
  ? OptionsOf<NonNullable<Given[At]>>
  : never;

const QUERY: OptionsOf<RequestQuery> = {
  ...{ ids: true, types: true, codes: true, period: true, parts: true },
};
const DECLARATION: OptionsOf<Declaration> = { reason: true, until: true };
const WITNESS: OptionsOf<WitnessOptions> = {
  ...{ user: true, form: true, takenAt: true, evidence: true },
};
const ASKED = { query: QUERY, declaration: DECLARATION };

const MERGE: Names<"merge", 2> = { reason: true };
const UNMERGE: Names<"unmerge", 1> = { reason: true };
const DISMISS: Names<"dismissProposal", 1> = { reason: true };
const ALIAS: Names<"alias", 1> = { with: true };
const AMEND: Names<"amend", 2> = {
  ...{ labels: true, attachments: true, fields: true, onProgress: true, signal: true },
};
const RECORD: Names<"record", 2> = { ...AMEND, idempotencyKey: true };
const RECORD_BUNDLE: Names<"recordBundle", 2> = {
  ...{ onProgress: true, signal: true, mix: true, fields: true, source: true },
};
const RECORD_NDJSON: Names<"recordNdjson", 1> = {
  ...{ source: true, onProgress: true, signal: true, maxLineBytes: true },
  ...{ maxProblems: true, mix: true, fields: true },
};
const UNASSIGNED: Names<"unassigned", 0> = { source: true, signal: true };
const RELABEL_STALE: Names<"relabelStale", 0> = { former: true, onProgress: true, signal: true };
const RECORDS: Names<"records", 1> = { after: true, limit: true };
const CONSENT: Names<"consent", 2> = {
  signer: true,
  signed: true,
  salt: true,
  witness: true,
  custodians: true,
};
const QUESTION: Names<"decide", 1> = {
  ...{ requester: true, user: true, roles: true, memberships: true, attestations: true },
  ...{ purposes: true, action: true, query: true },
};
const QUESTION_TIME: Names<"decide", 2> = { height: true, asOf: true };
const WHAT: Names<"ask", 1> = {
  ...{ patient: true, purposes: true, action: true, query: true, user: true, roles: true },
  ...{ attestations: true, declaration: true },
};
const ASK: Names<"ask", 2> = { peer: true, from: true, signal: true };
const PULL: Names<"pull", 1> = { ...ASK, after: true, limit: true };
const ANSWER_ASK: Names<"answerAsk", 1> = { admit: true };
const DELIVER: Names<"deliver", 1> = { to: true, signal: true };
const DELIVER_PENDING: Names<"deliverPending", 0> = { signal: true };
const REQUEST: Names<"request", 1> = { ...WHAT, from: true };
const EXPORT_RECORDS: Names<"exportRecords", 1> = { ...REQUEST, compress: true };
const AUDIT: Names<"audit", 1> = { after: true };
const RECEIPT: Names<"receipt", 1> = { from: true };
const VERIFY: Names<"verify", 0> = {
  ...{ checkpoint: true, trust: true, scratch: true, maxState: true },
  ...{ onProgress: true, signal: true },
};
const VERIFY_BLOBS: Names<"verifyBlobs", 0> = { signal: true };
type GovernanceNames<Call extends keyof Governance, At extends number> = OptionsOf<
  NonNullable<Parameters<Governance[Call]>[At]>
>;
const PROPOSE: GovernanceNames<"propose", 1> = { notAfter: true };
const ENACT: GovernanceNames<"enact", 2> = { breakSteps: true };
const KEY_CHANGE: GovernanceNames<"changeKey", 0> = {
  ...{ op: true, key: true, compromisedSince: true },
};
const POLICY_POSITION: GovernanceNames<"policySteps", 0> = { policyHeight: true, size: true };
const FOLLOW: Names<"follow", 0> = { from: true, until: true, kinds: true, signal: true };
const GIVE_UP: Names<"giveUp", 1> = { reason: true };

/** For each call with options, the place of its options among its arguments, and what they may be. */
const CALLS: {
  readonly [Name in keyof Ledger | `governance.${keyof Governance}`]?: Readonly<
    Record<number, Known>
  >;
} = {
  merge: { 2: { names: MERGE } },
  unmerge: { 1: { names: UNMERGE } },
  dismissProposal: { 1: { names: DISMISS } },
  alias: { 1: { names: ALIAS } },
  acceptAlias: { 2: { names: ALIAS } },
  withdrawAlias: { 1: { names: ALIAS } },
  record: { 2: { names: RECORD } },
  amend: { 2: { names: AMEND } },
  recordBundle: { 2: { names: RECORD_BUNDLE } },
  recordNdjson: { 1: { names: RECORD_NDJSON } },
  unassigned: { 0: { names: UNASSIGNED } },
  relabelStale: { 0: { names: RELABEL_STALE } },
  records: { 1: { names: RECORDS } },
  consent: { 2: { names: CONSENT, groups: { witness: WITNESS } } },
  decide: { 1: { names: QUESTION, groups: { query: QUERY } }, 2: { names: QUESTION_TIME } },
  ask: { 1: { names: WHAT, groups: ASKED }, 2: { names: ASK } },
  pull: { 1: { names: PULL } },
  answerAsk: { 1: { names: ANSWER_ASK } },
  deliver: { 1: { names: DELIVER } },
  deliverPending: { 0: { names: DELIVER_PENDING } },
  request: { 1: { names: REQUEST, groups: ASKED } },
  exportRecords: { 1: { names: EXPORT_RECORDS, groups: ASKED } },
  audit: { 1: { names: AUDIT } },
  receipt: { 1: { names: RECEIPT } },
  verify: { 0: { names: VERIFY } },
  verifyBlobs: { 0: { names: VERIFY_BLOBS } },
  giveUp: { 1: { names: GIVE_UP } },
  follow: { 0: { names: FOLLOW } },
  "governance.propose": { 1: { names: PROPOSE } },
  "governance.enact": { 2: { names: ENACT } },
  "governance.changeKey": { 0: { names: KEY_CHANGE }, 1: { names: ENACT } },
  "governance.signKeyChange": { 0: { names: KEY_CHANGE } },
  "governance.submit": { 1: { names: ENACT } },
  "governance.policySteps": { 0: { names: POLICY_POSITION } },
};

/** Calls whose argument at a position is a person: a table that lacks one does not compile. */
type CallsAbout<At extends number> = {
  [Call in keyof Ledger]: Ledger[Call] extends (...given: infer Given) => unknown
    ? [NonNullable<Given[At]>] extends [never]
      ? never
      : [NonNullable<Given[At]>] extends [Subject]
        ? Call
        : never
    : never;
}[keyof Ledger];

const FIRST_IS_PERSON: Readonly<Record<CallsAbout<0>, true>> = {
  acceptAlias: true,
  alias: true,
  attest: true,
  audit: true,
  consent: true,
  decide: true,
  directives: true,
  erase: true,
  held: true,
  identify: true,
  liftHold: true,
  merge: true,
  placeHold: true,
  receive: true,
  record: true,
  recordBundle: true,
  records: true,
};
const FOR_NOBODY: readonly string[] = ["audit", "held", "recordBundle"];
const SECOND_IS_PERSON: Readonly<Record<CallsAbout<1>, true>> = {
  ...{ assign: true, merge: true, reattribute: true },
};

/** @throws {InputError} `ERR_INPUT_INVALID` when a person is given by anything else than what names them here */
function assertPersons(call: string, [first, second]: readonly unknown[]): void {
  const persons = [
    ...(Object.hasOwn(FIRST_IS_PERSON, call) ? [first] : []),
    ...(Object.hasOwn(SECOND_IS_PERSON, call) ? [second] : []),
  ];
  for (const person of persons) {
    const isNobody = person === null && FOR_NOBODY.includes(call);
    const { local } = (person ?? {}) as Partial<Subject>;
    if (isNobody || local instanceof Uint8Array) continue;
    throw new InputError(
      "ERR_INPUT_INVALID",
      `${call} takes a person as ensureSubject gives them, not an identifier`,
    );
  }
}

/**
 * Refuses persons that are none, and unknown options of a call of a ledger, also within groups.
 *
 * @throws {InputError} `ERR_INPUT_INVALID`
 */
export function assertCallOptions(call: string, given: readonly unknown[]): void {
  assertPersons(call, given);
  const known = Object.hasOwn(CALLS, call) ? CALLS[call as keyof typeof CALLS] : undefined;
  for (const [at, { names, groups = {} }] of Object.entries(known ?? {})) {
    const options = given[Number(at)];
    assertOptions(options, names, call);
    for (const [name, inner] of Object.entries(groups)) {
      assertOptions((options as Record<string, unknown> | undefined)?.[name], inner, name);
    }
  }
}
