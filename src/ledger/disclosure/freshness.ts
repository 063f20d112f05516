import type { Chain } from "../../chain/chain.ts";
import type { Checkpoints } from "../../chain/checkpoints.ts";
import { policyAt } from "../../chain/policy-at.ts";
import { POLICY_KEY } from "../../chain/state.ts";
import { judgeCheckpoint, trustFromGenesis, withPolicy } from "../../chain/trust.ts";
import { ChainError, LedgerError, StorageError } from "../../errors.ts";
import type { Elsewhere } from "../elsewhere/open-elsewhere.ts";

/** Default of `policy.maxAge`, in ms. */
export const MAX_AGE = 300_000;

/**
 * Makes the check that what this custodian knows of the ledger is not too old to disclose anything by it: a
 * withdrawal may have been recorded since.
 *
 * - Where the policy requires cosigners: the last cosignature on the newest checkpoint. If it is too old, a home has
 *   its head cosigned again, and a member elsewhere asks its home and its peers.
 * - Where it does not: a home knows all there is. A member elsewhere goes by its home's last answer.
 *
 * @param maxAge - in ms
 * @returns a function that throws {ChainError} `ERR_CHAIN_STALE`
 */
export function freshness({
  chain,
  checkpoints,
  elsewhere,
  now,
  maxAge,
}: {
  readonly chain: Chain;
  readonly checkpoints: Pick<Checkpoints, "sign">;
  readonly elsewhere: Pick<Elsewhere, "replica"> | undefined;
  readonly now: () => number;
  readonly maxAge: number;
}): () => Promise<void> {
  const trust = trustFromGenesis(chain.genesisBytes);
  let cosignedAt: number | undefined;

  // A cosigner whose clock is far ahead must not vouch for the future.
  const isRecent = (at: number | undefined): boolean =>
    at !== undefined && Math.abs(now() - at) <= maxAge;

  async function confirmedAtHome(): Promise<number | undefined> {
    if (isRecent(cosignedAt)) return cosignedAt;
    const { note, size } = await checkpoints.sign();
    const judged = judgeCheckpoint(note, withPolicy(trust, await policyAt(chain, size), size));
    cosignedAt = judged.ok ? judged.cosignedAt : undefined;
    return cosignedAt;
  }

  return async () => {
    if (maxAge === Infinity || (await chain.refresh()) === 0) return;
    await chain.state.load([POLICY_KEY]);
    const { validators, witnesses } = chain.state.policy().cosignaturePolicy;
    const isCosigned = validators.required + witnesses.required > 0;
    if (elsewhere === undefined && !isCosigned) return;
    const confirmedElsewhere = (): number | undefined => {
      const { confirmed } = elsewhere!.replica;
      return isCosigned ? confirmed.cosignedAt : confirmed.answeredAt;
    };
    let cause: unknown;
    try {
      if (elsewhere === undefined) {
        if (isRecent(await confirmedAtHome())) return;
      } else {
        if (isRecent(confirmedElsewhere())) return;
        await elsewhere.replica.sync();
        if (isRecent(confirmedElsewhere())) return;
      }
    } catch (error) {
      const isLasting =
        !(error instanceof LedgerError) ||
        error instanceof StorageError ||
        error.code === "ERR_CHAIN_FORKED" ||
        error.code === "ERR_CHAIN_CLOSED";
      if (isLasting) throw error;
      cause = error;
    }
    throw new ChainError(
      "ERR_CHAIN_STALE",
      "what is known here of the ledger is older than `policy.maxAge`, so that nothing is disclosed by it",
      { cause },
    );
  };
}
