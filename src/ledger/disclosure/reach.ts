import type { Checkpoints } from "../../chain/checkpoints.ts";
import { connectHeads } from "../../chain/connection.ts";
import type { KnownForks } from "../../chain/known-forks.ts";
import { isInForce, keyStateKey } from "../../chain/state.ts";
import { trustFromGenesis } from "../../chain/trust.ts";
import { checkpointOf } from "../../chain/make-receipt.ts";
import { EnvelopeError, InputError, LedgerError } from "../../errors.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import type { CustodianPeer } from "../../transport/types.ts";
import type { LedgerContext } from "../context.ts";
import type { AskingOptions } from "./asking.ts";
import { compareCheckpoint } from "./compare-checkpoint.ts";
import { agreementKeyOf } from "./request.ts";
import type { AskerChecks, SendOptions } from "./send-ask.ts";

/** How a custodian is asked by a member with a copy of the ledger. */
export type Reach = (
  did: string,
  options?: AskingOptions,
) => Promise<{ readonly to: SendOptions; readonly checks: AskerChecks }>;

/**
 * Finds custodians and their keys in force.
 *
 * @returns a function that throws {InputError} `ERR_INPUT_INVALID` when nobody says where the custodian is, and
 *   {ConsentError} `ERR_CONSENT_REQUEST` when it has no agreement key in force
 */
export function reaching(
  context: LedgerContext & { readonly forks: KnownForks },
  options: {
    readonly self: CustodianPeer;
    readonly custodians: readonly CustodianPeer[];
    readonly checkpoints: Checkpoints;
    readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  },
): Reach {
  const { chain, signer, now, random, padding } = context;
  const { self, custodians, checkpoints, sleep } = options;
  return async (did, { peer: given, from, signal } = {}) => {
    const peer = did === signer.actor ? self : (given ?? custodians.find((one) => one.did === did));
    assertPeer(peer, did);
    await chain.refresh();
    const to = {
      ...{ peer, signer, now, random, padding, sleep },
      trust: from ?? trustFromGenesis(chain.genesisBytes),
      custodianKey: await agreementKeyOf(chain, did),
      agreement: await ownAgreement(context),
      ...(signal === undefined ? {} : { signal }),
    };
    return { to, checks: await checksOf(context, checkpoints) };
  };
}

/** @throws {InputError} `ERR_INPUT_INVALID` when nobody says where the custodian is, or another one is there */
function assertPeer(peer: CustodianPeer | undefined, did: string): asserts peer is CustodianPeer {
  if (peer?.did === did) return;
  throw new InputError(
    "ERR_INPUT_INVALID",
    peer === undefined
      ? "no peer for this custodian: name it in `custodians` of openLedger, or give `peer`"
      : "`peer` is another organisation than the one that is asked",
  );
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
