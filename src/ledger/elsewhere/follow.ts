import type { Chain } from "../../chain/chain.ts";
import { ChainError } from "../../errors.ts";
import {
  followEntries,
  type FollowedEntry,
  type FollowedSource,
  type FollowEntriesOptions,
} from "../../network/follow-entries.ts";

/** Milliseconds between two looks for blocks that other processes appended. */
const PAUSE = 1000;

/** The ledger in a store of its own: what it has is durable there, whoever signs it later. */
function storedSource(
  chain: Chain,
  sleep: (ms: number, signal: AbortSignal) => Promise<void>,
  closing: AbortSignal,
): FollowedSource {
  return {
    chain,
    get newest() {
      return { size: chain.size };
    },
    async grown(after, signal) {
      const either = AbortSignal.any([signal, closing]);
      while (!signal.aborted && (await chain.refresh()) <= after) {
        if (closing.aborted) throw new ChainError("ERR_CHAIN_CLOSED", "the ledger is closed");
        await sleep(PAUSE, either);
      }
    },
  };
}

/** Makes the call that gives out entries in order, from any height on. */
export function following(
  where: {
    readonly chain: Chain;
    readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
    readonly closing: AbortSignal;
  },
  replica: FollowedSource | undefined,
): (options?: FollowEntriesOptions) => AsyncIterable<FollowedEntry> {
  const source = replica ?? storedSource(where.chain, where.sleep, where.closing);
  return (options) => followEntries(source, options);
}
