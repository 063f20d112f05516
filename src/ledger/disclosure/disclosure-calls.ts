import type { Checkpoints } from "../../chain/checkpoints.ts";
import { connectHeads } from "../../chain/connection.ts";
import type { KnownForks } from "../../chain/known-forks.ts";
import { isInForce, keyStateKey } from "../../chain/state.ts";
import { trustFromGenesis } from "../../chain/trust.ts";
import { checkpointOf } from "../../chain/make-receipt.ts";
import { EnvelopeError, LedgerError } from "../../errors.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import type { CustodianPeer } from "../../transport/types.ts";
import type { LedgerContext } from "../context.ts";
import type { Elsewhere } from "../elsewhere/open-elsewhere.ts";
import type { Ledger } from "../ledger.ts";
import { answerAsk } from "./answer-ask.ts";
import { ask, assertPeer, type AskerChecks } from "./ask-custodian.ts";
import { checkRequest, type RequestToJudge } from "./check-request.ts";
import { compareCheckpoint } from "./compare-checkpoint.ts";
import { discloseChecked, type DiscloseContext, type DisclosureResult } from "./disclose.ts";
import { exportRecords } from "./export-records.ts";
import { freshness, MAX_AGE } from "./freshness.ts";
import { ownRequests } from "./own-requests.ts";
import { agreementKeyOf } from "./request.ts";

/** The calls by which records leave a custodian, and come from another one. */
export type DisclosureCalls = Pick<
  Ledger,
  "ask" | "answerAsk" | "disclose" | "request" | "exportRecords"
>;

/** What they need besides what disclosing needs. */
interface Dependencies {
  readonly checkpoints: Checkpoints;
  readonly forks: KnownForks;
  readonly elsewhere: Elsewhere | undefined;
  readonly custodians: readonly CustodianPeer[];
  /** Age in ms of what is known of the ledger, from which on nothing is disclosed. */
  readonly maxAge: number | undefined;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Makes the calls. */
export function disclosureCalls(
  context: DiscloseContext,
  { checkpoints, forks, elsewhere, custodians, maxAge = MAX_AGE, sleep }: Dependencies,
): DisclosureCalls {
  const { chain, signer, now, random, padding, terminology } = context;

  const assertFresh = freshness({ chain, checkpoints, elsewhere, now, maxAge });

  async function decide(
    checked: RequestToJudge,
    often: "once" | "again",
  ): Promise<DisclosureResult> {
    elsewhere?.outbox.assertNothingBinds();
    await assertFresh();
    if (often === "again") elsewhere?.outbox.assertNoAccessWaits();
    const result = await discloseChecked(context, checked, often);
    // Nothing leaves if a fork was found meanwhile.
    await forks.assertNone();
    return result;
  }

  async function disclose(bytes: Uint8Array): Promise<DisclosureResult> {
    elsewhere?.outbox.assertNothingBinds();
    const checked = await checkRequest(context, bytes);
    return checked.ok ? decide(checked, "once") : checked;
  }

  const answering = {
    ...{ ...context, checkpoints, forks },
    discloseAgain: (checked: RequestToJudge) => decide(checked, "again"),
  };
  const self: CustodianPeer = {
    did: signer.actor,
    async *ask(sealed) {
      yield* await answerAsk(answering, sealed, {});
    },
  };
  const request = ownRequests(context, { checkpoints, answerTo: disclose });
  return {
    disclose,
    request,
    exportRecords: (requester, { compress = false, ...what }) =>
      exportRecords(() => request(requester, what), { random, compress }),
    answerAsk: (sealed, options = {}) => answerAsk(answering, sealed, options),
    async ask(did, what, { peer: given, from, signal } = {}) {
      const peer =
        did === signer.actor ? self : (given ?? custodians.find((one) => one.did === did));
      assertPeer(peer, did);
      await chain.refresh();
      return ask(
        {
          ...what,
          ...{ peer, signer, now, random, padding, sleep, terminology },
          trust: from ?? trustFromGenesis(chain.genesisBytes),
          custodianKey: await agreementKeyOf(chain, did),
          agreement: await ownAgreement(context),
          ...(signal === undefined ? {} : { signal }),
        },
        await checksOf({ ...context, forks }, checkpoints),
      );
    },
  };
}

/** The newest key on the ledger that answers can be sealed to: a newer one may not be announced yet. */
async function ownAgreement({ chain, keys, signer }: LedgerContext): Promise<KeyAgreement> {
  const own = keys.list().flatMap(({ key, use }) => (use === "agree" ? [key] : []));
  await chain.state.load(own.map(keyStateKey));
  const inForce = own.filter((key) => {
    const known = chain.state.key(key);
    return known?.actor === signer.actor && isInForce(known, chain.size);
  });
  return keys.agreement(inForce.at(-1));
}

/** What an asker with a copy of the ledger checks besides. */
async function checksOf(
  context: LedgerContext & { readonly forks: KnownForks },
  checkpoints: Checkpoints,
): Promise<AskerChecks> {
  const { chain } = context;
  const own = chain.size === 0 ? undefined : await newestOf(checkpoints);
  return {
    async onKey(key) {
      await chain.refresh();
      await chain.state.load([keyStateKey(key)]);
      const known = chain.state.key(key);
      if (known === undefined || isInForce(known, chain.size)) return;
      throw new EnvelopeError(
        "ERR_ENVELOPE_INVALID",
        "the custodian's answer was refused: its key is not in force",
      );
    },
    ...(own === undefined
      ? {}
      : {
          checkpoint: own.note,
          seen: own.size,
          async onCheckpoint(note, consistency) {
            const theirs = checkpointOf(note);
            const isOurs =
              theirs.size > own.size
                ? connectHeads(own, theirs, consistency ?? []) === "connected"
                : (await compareCheckpoint(context, note, own)) !== undefined;
            if (isOurs) return;
            throw new EnvelopeError(
              "ERR_ENVELOPE_INVALID",
              "the custodian's answer was refused: its checkpoint is of another history",
            );
          },
        }),
  };
}

/** The newest checkpoint; `undefined` if none can be had, which need not keep a member from asking. */
async function newestOf(checkpoints: Checkpoints) {
  try {
    return await checkpoints.provable();
  } catch (error) {
    if (error instanceof LedgerError && error.code === "ERR_CHAIN_POLICY") return undefined;
    throw error;
  }
}
