import type { Checkpoints } from "../../chain/checkpoints.ts";
import type { KnownForks } from "../../chain/known-forks.ts";
import type { Trust } from "../../chain/trust.ts";
import { ChainError } from "../../errors.ts";
import type { CustodianPeer } from "../../transport/types.ts";
import type { Consenting } from "../consents/file-consent.ts";
import type { Elsewhere } from "../elsewhere/open-elsewhere.ts";
import type { Ledger } from "../ledger.ts";
import { answerAsk } from "./answer-ask.ts";
import { answerBlobs, FETCH_WITHIN } from "./answer-blobs.ts";
import { answerHandIn } from "./answer-hand-in.ts";
import { answerPull } from "./answer-pull.ts";
import { ask } from "./ask-custodian.ts";
import { checkRequest, type MessageToAnswer, type RequestToJudge } from "./check-request.ts";
import { budgetNames } from "./budget-names.ts";
import { discloseChecked, type DiscloseContext, type DisclosureResult } from "./disclose.ts";
import { deliveryCalls } from "./delivery-calls.ts";
import type { Delivering } from "./delivering.ts";
import { isDeclared } from "./emergency.ts";
import { exportRecords } from "./export-records.ts";
import { freshness, MAX_AGE } from "./freshness.ts";
import { ownRequests } from "./own-requests.ts";
import { reaching } from "./reach.ts";
import { pullEntries } from "./read-pull.ts";
import { deliveryTaker } from "./take-delivery.ts";

/** The calls by which records leave a custodian, and come from another one. */
export type DisclosureCalls = Pick<
  Ledger,
  "ask" | "pull" | "answerAsk" | "disclose" | "request" | "exportRecords" | keyof Delivering
>;

/** What they need besides what disclosing needs. */
interface Dependencies {
  readonly checkpoints: Checkpoints;
  readonly forks: KnownForks;
  readonly elsewhere: Elsewhere | undefined;
  readonly custodians: readonly CustodianPeer[];
  /** Age in ms of what is known of the ledger, from which on nothing is disclosed. */
  readonly maxAge: number | undefined;
  readonly takeIn: Consenting["takeIn"];
  /** Whether a declared emergency is decided while this member is cut off. */
  readonly whileCutOff: boolean;
  /** Time in ms for which an access lets its requester fetch ciphertext. */
  readonly fetchWithin: number | undefined;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly takeDelivery: Consenting["takeDelivery"];
}

/** Makes the calls. */
export function disclosureCalls(
  context: DiscloseContext,
  {
    checkpoints,
    forks,
    elsewhere,
    custodians,
    maxAge = MAX_AGE,
    whileCutOff,
    fetchWithin = FETCH_WITHIN,
    sleep,
    takeIn,
    takeDelivery,
  }: Dependencies,
): DisclosureCalls {
  const { chain, signer, now, random, terminology } = context;

  const { catalogue, filing, readConsents, turns } = context;
  const bring = async (): Promise<void> => void (await elsewhere?.replica.sync());
  const takeFromMember = deliveryTaker(context, { catalogue, takeDelivery, bring });
  const assertFresh = freshness({ chain, checkpoints, elsewhere, now, maxAge });

  async function decide(
    checked: RequestToJudge,
    often: "once" | "again",
  ): Promise<DisclosureResult> {
    const outbox = elsewhere?.outbox;
    const kept = whileCutOff && isDeclared(checked) ? context.kept : undefined;
    let stale: ChainError | undefined;
    function assertNothingElse(): void {
      outbox?.assertNothingBinds();
      if (stale !== undefined) throw stale;
      if (often === "again") outbox?.assertNoAccessWaits();
    }
    if (kept === undefined) outbox?.assertNothingBinds();
    try {
      await assertFresh();
    } catch (error) {
      if (kept === undefined || !isStale(error)) throw error;
      stale = error;
    }
    if (kept === undefined) assertNothingElse();
    await forks.assertNone();
    const emergency = kept && {
      ...{ kept, assertNothingElse },
      ...(stale === undefined ? {} : { stale }),
    };
    const how = { often, ...(emergency === undefined ? {} : { emergency }) };
    const result = await discloseChecked(context, checked, how);
    // Nothing leaves if a fork was found meanwhile.
    await forks.assertNone();
    return result;
  }

  async function disclose(bytes: Uint8Array): Promise<DisclosureResult> {
    if (!whileCutOff) elsewhere?.outbox.assertNothingBinds();
    const checked = await checkRequest(context, bytes);
    return checked.ok ? decide(checked, "once") : checked;
  }

  const custodian = { ...context, checkpoints, forks, fetchWithin };
  const answering = {
    ...custodian,
    budgetName: budgetNames(random),
    discloseAgain: (checked: RequestToJudge) => decide(checked, "again"),
    async assertReady() {
      elsewhere?.outbox.assertNothingBinds();
      await assertFresh();
    },
    answerers: {
      pull: (checked: MessageToAnswer, from: Trust) => answerPull(custodian, checked, from),
      blobs: (checked: MessageToAnswer) => answerBlobs(custodian, checked),
      deliver: (checked: MessageToAnswer, from: Trust) =>
        checked.person === undefined
          ? takeFromMember(checked, from)
          : answerHandIn(custodian, takeIn, checked, from),
    },
  };
  const self: CustodianPeer = {
    did: signer.actor,
    async *ask(sealed) {
      yield* await answerAsk(answering, sealed, {});
    },
  };
  const reach = reaching({ ...context, forks }, { self, custodians, checkpoints, sleep });
  const request = ownRequests(context, { checkpoints, answerTo: disclose });
  return {
    disclose,
    request,
    ...deliveryCalls(context, { catalogue, filing, readConsents, turns, reach, bring }),
    exportRecords: (requester, { compress = false, ...what }) =>
      exportRecords(() => request(requester, what), { random, compress }),
    answerAsk: (sealed, options = {}) => answerAsk(answering, sealed, options),
    async *pull(did, { after, limit, ...options } = {}) {
      await forks.assertNone();
      const { to, checks } = await reach(did, options);
      yield* pullEntries(to, checks, {
        ...(after === undefined ? {} : { after }),
        ...(limit === undefined ? {} : { limit }),
      });
    },
    async ask(did, what, options = {}) {
      const { to, checks } = await reach(did, options);
      return ask({ ...what, ...to, terminology }, checks);
    },
  };
}

const isStale = (error: unknown): error is ChainError =>
  error instanceof ChainError && error.code === "ERR_CHAIN_STALE";
