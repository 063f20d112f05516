import { equalBytes } from "../bytes/compare.ts";
import { ChainError } from "../errors.ts";
import { appendLeaf, frontierRoot, type Frontier } from "../merkle/frontier.ts";
import { leafHash } from "../merkle/hash.ts";
import { memoryNodes, type MemoryNodes, type StoredNode } from "../merkle/map-node.ts";
import type { Timers } from "../storage/settle.ts";
import type { StorageAdapter } from "../storage/types.ts";
import { checkBlock, readBlock, tipAfter, type Tip } from "./apply-block.ts";
import type { AppendableChain } from "./chain.ts";
import type { BlocksAhead } from "./ingest-result.ts";
import { createIngest } from "./ingest.ts";
import { openState, type LedgerState } from "./ledger-state.ts";
import { stagedNodes } from "./staged-nodes.ts";

/** Most bytes of state, and most blocks, that are kept of what is ahead. */
interface MostAhead {
  readonly bytes: number;
  readonly blocks: number;
}

const MOST: MostAhead = { bytes: 64 * 1024 * 1024, blocks: 1_000_000 };

/** A chain, with what the next block is added to. */
export type CheckedChain = Omit<AppendableChain, "ingest" | "checkAhead"> & {
  readonly frontier: Frontier;
};

/** Makes the calls of a chain that take blocks of others. */
export function takingCalls(
  chain: CheckedChain,
  storage: StorageAdapter,
  timers: Timers | undefined,
): Pick<AppendableChain, "ingest" | "checkAhead"> {
  return {
    ingest: createIngest(chain, storage, timers),
    checkAhead: () => startChecking(chain),
  };
}

/** A block that was checked: the root with it, and the nodes of the state that it made. */
interface Checked {
  readonly root: Uint8Array;
  readonly nodes: readonly StoredNode[];
}

/** Checks blocks beyond a chain; `chain.checkAhead` is this with the limits that it has. */
export function startChecking(chain: CheckedChain, most: MostAhead = MOST): BlocksAhead {
  let tip: Tip;
  let frontier: Frontier;
  let state: LedgerState;
  /** Size and root of the chain at which the checked blocks begin. */
  let base: { readonly size: number; readonly root: Uint8Array };
  let checked: Checked[];
  let bytes: number;
  let created: MemoryNodes;
  begin();

  function begin(): void {
    ({ tip, frontier } = chain);
    base = { size: chain.size, root: chain.root };
    checked = [];
    bytes = 0;
    created = memoryNodes();
    state = openState(chain.state.root, (hashes) => stagedNodes(created, chain.derived, hashes));
  }

  function keep(nodes: readonly StoredNode[]): void {
    for (const node of nodes) {
      created.set(node.hash, node.bytes);
      bytes += node.hash.length + node.bytes.length;
    }
  }

  function rootAt(size: number): Uint8Array | undefined {
    return size === base.size ? base.root : checked[size - base.size - 1]?.root;
  }

  return {
    get size() {
      return tip.size;
    },
    rootAt,
    async settle() {
      await chain.refresh();
      const { size } = chain;
      const root = rootAt(size);
      if (root === undefined || !equalBytes(root, chain.root) || size === tip.size) return begin();
      if (size === base.size) return;
      checked = checked.slice(size - base.size);
      base = { size, root };
      // The chain's own store has the nodes of the others now.
      bytes = 0;
      created = memoryNodes();
      for (const { nodes } of checked) keep(nodes);
    },
    async check(given) {
      const height = tip.size;
      if (bytes > most.bytes || checked.length >= most.blocks) {
        throw new ChainError(
          "ERR_CHAIN_BUSY",
          "too many blocks are ahead of this copy: none of them is under an accepted checkpoint",
        );
      }
      const block = readBlock(given);
      if (block === undefined) return { reason: "malformed", height };
      const result = await checkBlock(block, tip, state, chain.rules);
      if (!result.ok) {
        const { ok: _, ...fault } = result;
        return { ...fault, height };
      }
      const nodes = state.apply(result.changes);
      keep(nodes);
      frontier = appendLeaf(frontier, leafHash(block.header)).frontier;
      tip = tipAfter(block.header, result.header);
      checked.push({ root: frontierRoot(frontier), nodes });
      return undefined;
    },
  };
}
