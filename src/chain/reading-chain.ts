import type { AppendableChain, Chain } from "./chain.ts";
import type { LedgerState, ReadableState } from "./ledger-state.ts";

/** A read-only view of a chain, which can neither advance nor close it. */
export function readingChain(chain: AppendableChain): Chain {
  const { ledger, genesis, genesisBytes, refresh, durableHead, readBlock, readBlocks } = chain;
  const { rootAt, proveInclusion, proveConsistency, readTile, proveState } = chain;
  const { findTransaction, governance, checkAhead } = chain;
  return {
    ...{ ledger, genesis, genesisBytes, refresh, durableHead, readBlock, readBlocks },
    ...{ rootAt, proveInclusion, proveConsistency, readTile, proveState, findTransaction },
    ...{ governance, checkAhead },
    state: readableState(chain.state),
    get size() {
      return chain.size;
    },
    get root() {
      return chain.root;
    },
    get tip() {
      return chain.tip;
    },
    get ahead() {
      return chain.ahead;
    },
  };
}

function readableState(state: LedgerState): ReadableState {
  const { load, get, isLoaded, policy, member, key, seq, nonces } = state;
  return {
    ...{ load, get, isLoaded, policy, member, key, seq, nonces },
    get root() {
      return state.root;
    },
  };
}
