import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { VerifyLedgerOptions } from "../chain/verify-ledger.ts";
import type { RequestQuery } from "../consent/model/request.ts";
import type { WitnessOptions } from "./consents/evidence.ts";
import type { ConsentOptions } from "./consents/file-consent.ts";
import type { AuditOptions } from "./disclosure/audit.ts";
import type { Question, QuestionTime } from "./disclosure/question.ts";
import type { Declaration, RequestOptions } from "./disclosure/request.ts";
import type { Ledger, ProofOptions } from "./ledger.ts";
import type { BundleOptions } from "./records/bundle-options.ts";
import type { RecordPageOptions } from "./records/list-records.ts";
import type { NdjsonOptions } from "./records/record-ndjson.ts";
import type { RecordOptions } from "./records/recording.ts";
import type { RelabelOptions } from "./records/relabelling.ts";

/** Options of a call, and of the groups within them. */
interface Known {
  readonly names: Readonly<Record<string, true>>;
  readonly groups?: Readonly<Record<string, Readonly<Record<string, true>>>>;
}

const QUERY: OptionsOf<RequestQuery> = {
  ...{ ids: true, types: true, codes: true, period: true, parts: true },
};
const DECLARATION: OptionsOf<Declaration> = { reason: true, until: true };
const WITNESS: OptionsOf<WitnessOptions> = {
  ...{ user: true, form: true, takenAt: true, evidence: true },
};
const PROOF: OptionsOf<ProofOptions> = { from: true };
const REQUEST: OptionsOf<RequestOptions> = {
  ...{ patient: true, purposes: true, action: true, query: true, user: true, roles: true },
  ...{ attestations: true, declaration: true },
};
const ASKED = { query: QUERY, declaration: DECLARATION };
const RECORD: OptionsOf<RecordOptions> = {
  ...{ labels: true, attachments: true, fields: true, onProgress: true, signal: true },
};

/** For each call with options, the place of its options among its arguments, and what they may be. */
const CALLS: { readonly [Name in keyof Ledger]?: Readonly<Record<number, Known>> } = {
  record: { 2: { names: RECORD } },
  amend: { 2: { names: RECORD } },
  recordBundle: {
    2: {
      names: {
        ...{ onProgress: true, signal: true, mix: true, fields: true, source: true },
      } satisfies OptionsOf<BundleOptions>,
    },
  },
  recordNdjson: {
    1: {
      names: {
        ...{ source: true, onProgress: true, signal: true, maxLineBytes: true },
        ...{ maxProblems: true, mix: true, fields: true },
      } satisfies OptionsOf<NdjsonOptions>,
    },
  },
  relabelStale: {
    0: {
      names: { former: true, onProgress: true, signal: true } satisfies OptionsOf<RelabelOptions>,
    },
  },
  records: { 1: { names: { after: true, limit: true } satisfies OptionsOf<RecordPageOptions> } },
  consent: {
    2: {
      names: {
        ...{ signer: true, signed: true, salt: true, witness: true },
      } satisfies OptionsOf<ConsentOptions>,
      groups: { witness: WITNESS },
    },
  },
  decide: {
    1: {
      names: {
        ...{ requester: true, user: true, roles: true, memberships: true, attestations: true },
        ...{ purposes: true, action: true, query: true },
      } satisfies OptionsOf<Question>,
      groups: { query: QUERY },
    },
    2: { names: { height: true, asOf: true } satisfies OptionsOf<QuestionTime> },
  },
  request: { 1: { names: { ...REQUEST, ...PROOF }, groups: ASKED } },
  exportRecords: { 1: { names: { ...REQUEST, ...PROOF, compress: true }, groups: ASKED } },
  audit: { 1: { names: { after: true } satisfies OptionsOf<AuditOptions> } },
  receipt: { 1: { names: PROOF } },
  verify: {
    0: {
      names: {
        ...{ checkpoint: true, trust: true, scratch: true, maxState: true },
        ...{ onProgress: true, signal: true },
      } satisfies OptionsOf<Omit<VerifyLedgerOptions, "genesis" | "kinds">>,
    },
  },
  verifyBlobs: { 0: { names: { signal: true } } },
  giveUp: { 1: { names: { reason: true } } },
};

/**
 * Refuses unknown options of a call of a ledger, also within groups.
 *
 * @throws {InputError} `ERR_INPUT_INVALID`
 */
export function assertCallOptions(call: string, given: readonly unknown[]): void {
  const known = Object.hasOwn(CALLS, call) ? CALLS[call as keyof Ledger] : undefined;
  for (const [at, { names, groups = {} }] of Object.entries(known ?? {})) {
    const options = given[Number(at)];
    assertOptions(options, names, call);
    for (const [name, inner] of Object.entries(groups)) {
      assertOptions((options as Record<string, unknown> | undefined)?.[name], inner, name);
    }
  }
}
