import type { CID } from "multiformats/cid";
import { isInForce, memberKey } from "../../chain/state.ts";
import type { Decision } from "../../consent/model/decision.ts";
import { decisionForAll } from "../../consent/decide-whole.ts";
import { compileDirectives } from "../../consent/evaluate.ts";
import type { ClaimedRole, ConsentRequest, RequestQuery } from "../../consent/model/request.ts";
import type { ConsentSnapshot, SnapshotMembership } from "../../consent/model/snapshot.ts";
import { toHex } from "../../bytes/hex.ts";
import { judgeAttestations } from "./attestation.ts";
import {
  inParts,
  partsOf,
  requireReadableConsents,
  factsOf,
  readDeciding,
  type JudgeContext,
} from "./decide-records.ts";
import { giveResult } from "../give-results.ts";
import { giveRecord, type CurrentRecord } from "../records/current-record.ts";
import { judgedForm } from "../records/judged-form.ts";
import { decideWithCompanions } from "./companions.ts";
import { withWaiting } from "../consents/waiting.ts";
import type { Subject } from "../entries/subjects.ts";

/** A custodian's question to itself: may this party have these records? */
export interface Question {
  /** did:key, or another name by which directives name parties. */
  readonly requester: string;
  /** The person who would ask on the requester's behalf; absent: not stated. */
  readonly user?: string;
  /** Assumed roles of the user; a role counts if its attester was a member. Default none. */
  readonly roles?: readonly ClaimedRole[];
  /** Assumed memberships of the requester or the user. */
  readonly memberships?: readonly SnapshotMembership[];
  /** Signed attestations that would come with the request; they count as they would in it. */
  readonly attestations?: readonly Uint8Array[];
  readonly purposes: readonly string[];
  /** Default `access`. */
  readonly action?: string;
  readonly query?: RequestQuery;
}

/** The height and time that a question is about. */
export interface QuestionTime {
  /**
   * The last block that counts: directives, keys, records and labels in later blocks are ignored. Default
   * the newest; -1: nothing at all.
   */
  readonly height?: number;
  /** Legal time, in ms since 1970. Default now. */
  readonly asOf?: number;
}

/** The decisions that are, or would have been, made. */
export interface AnsweredQuestion {
  readonly height: number;
  readonly asOf: number;
  /** Names everything that the decisions depend on. */
  readonly snapshot: CID;
  /** The facts that `snapshot` names; with them `explain` tells which records, to whom and until when. */
  readonly facts: ConsentSnapshot;
  /** The decision without a record: for a search, or a token. */
  readonly request: Decision;
  /** Each requested record, as it was at that height. */
  readonly records: readonly { readonly record: CurrentRecord; readonly decision: Decision }[];
}

/**
 * Decides about a person's records without disclosing any. The result is for the custodian only, about
 * records that it holds itself. Nothing is recorded, and no glass is broken.
 *
 * @throws {RangeError} when the ledger has no such height
 * @throws {StorageError} `ERR_STORAGE_MISSING` when a consent on the ledger does not open here
 */
export async function decideQuestion(
  context: JudgeContext,
  subject: Subject,
  question: Question,
  time: QuestionTime,
): Promise<AnsweredQuestion> {
  const { catalogue, chain, signer } = context;
  await requireReadableConsents(context);
  const newest = chain.size - 1;
  const { height = newest, asOf = context.now() } = time;
  if (!Number.isSafeInteger(height) || height < -1 || height > newest) {
    throw new RangeError(`height must be from -1 (nothing) to ${newest}, the newest of the ledger`);
  }
  const known = await readDeciding(catalogue, subject, height);
  const filed = await context.readConsents(known.others, height);
  const consents = await withWaiting(context, catalogue, known.others, filed, height);
  const roles = question.roles ?? [];
  const { requester, user, attestations = [] } = question;
  const asker = { requester, ...(user === undefined ? {} : { user }) };
  const attested = await judgeAttestations(context, asker, attestations, asOf, height);
  // Copied first, so that the decisions share no data with the ledger.
  const snapshot = giveResult({
    height,
    ...factsOf(context, consents, known.merges),
    members: await membersAt(
      context,
      [requester, ...[...roles, ...attested.roles].map((one) => one.attestedBy)],
      height,
    ),
    memberships: [...attested.memberships, ...(question.memberships ?? [])],
    roles: attested.roles,
  } satisfies ConsentSnapshot) as ConsentSnapshot;
  const request: ConsentRequest = {
    id: "question",
    ...asker,
    roles,
    purposes: question.purposes,
    action: question.action ?? "access",
    subject: toHex(subject.local),
    query: question.query ?? {},
  };
  const { supportedObligations } = context;
  const compiled = compileDirectives(snapshot, { terminology: context.terminology });
  const prepared = compiled.prepare(request, asOf, { supportedObligations });
  const query = question.query ?? {};
  return {
    height,
    asOf,
    snapshot: compiled.snapshotCid,
    facts: snapshot,
    request: giveResult(prepared.decideRequest()) as Decision,
    records: decideWithCompanions(known.records, query, {
      form: (record, parts) => judgedForm(record, { ...context, parts, controller: signer.actor }),
      decide: (record, resource, inside) => ({
        record,
        decision: decisionForAll([prepared.decide(inParts(resource, partsOf(query))), ...inside]),
      }),
    }).map(({ record, decision }) => ({ record: giveRecord(record), decision })),
  };
}

/** Which of these were members at a height. */
async function membersAt(
  { chain: { state } }: JudgeContext,
  actors: readonly string[],
  height: number,
): Promise<string[]> {
  const named = [...new Set(actors)];
  await state.load(named.map(memberKey));
  return named.filter((actor) => {
    const member = state.member(actor);
    return member !== undefined && isInForce(member, height + 1);
  });
}
