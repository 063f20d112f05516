import { assertBytes, assertUint } from "../bytes/guards.ts";
import { equalBytes } from "../bytes/compare.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { InputError } from "../errors.ts";
import { appendLeaf, frontierRoot, type Frontier } from "../merkle/frontier.ts";
import { HASH_LENGTH, leafHash } from "../merkle/hash.ts";
import { memoryNodes, type MemoryNodes } from "../merkle/map-node.ts";
import type { Timers } from "../storage/settle.ts";
import type { StorageAdapter } from "../storage/types.ts";
import { sha256 } from "#crypto";
import { checkBlock, readBlock, tipAfter, type AppliedBlock } from "./apply-block.ts";
import { encodeBlockRecord } from "./block-record.ts";
import type { AppendableChain } from "./chain.ts";
import { commitBlock } from "./commit-block.ts";
import { connectHeads } from "./connection.ts";
import { openState, type LedgerState } from "./ledger-state.ts";
import { LOOK_AHEAD, lookAhead } from "./look-ahead.ts";
import { stagedNodes } from "./staged-nodes.ts";
import type { IngestFault, IngestOptions, IngestResult } from "./ingest-result.ts";

/** A block that was checked, and the record that the store will hold of it. */
interface Staged {
  readonly applied: AppliedBlock;
  readonly header: Uint8Array;
  readonly record: Uint8Array;
}

const INGEST_OPTIONS: OptionsOf<IngestOptions> = {
  ...{ accepted: true, proof: true, beside: true, signal: true },
};

/** Most bytes of blocks in one call, unless a single block has more. */
const MOST_BYTES: number = 32 * 1024 * 1024;

type IngestChain = Omit<AppendableChain, "ingest" | "checkAhead"> & { readonly frontier: Frontier };

/** Makes the call that appends blocks of others to a chain, all of them or none. */
export function createIngest(
  chain: IngestChain,
  storage: StorageAdapter,
  timers: Timers | undefined,
): AppendableChain["ingest"] {
  const { maxAppendBytes, maxBatch } = storage.chains!.caps;
  // Half of what the storage accepts in one call, because derived data are written with the blocks.
  const mostBytes = Math.min(MOST_BYTES, maxAppendBytes / 2);
  const mostBlocks = Math.max(1, maxBatch / 2 - 1);
  let created: MemoryNodes = memoryNodes();
  // Apart from the chain's own state: nobody may see that of blocks that are not durable.
  let staging: LedgerState | undefined;

  /** Reads the blocks before the chain is held, since whoever gives them may be slow. */
  async function gather(
    blocks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array[]> {
    const copies: Uint8Array[] = [];
    let bytes = 0;
    for await (const block of blocks) {
      signal?.throwIfAborted();
      assertBytes(block, "block");
      bytes += block.length;
      if (copies.length > 0 && (bytes > mostBytes || copies.length >= mostBlocks)) {
        throw new InputError("ERR_INPUT_TOO_LARGE", "too many blocks to append at once");
      }
      copies.push(new Uint8Array(block));
    }
    return copies;
  }

  function stagingState(): LedgerState {
    const { root } = chain.state;
    // Kept from call to call, unless the last one failed or the chain advanced in another way.
    if (staging === undefined || !equalBytes(staging.root, root)) {
      staging = openState(root, (hashes) => stagedNodes(created, chain.derived, hashes));
    }
    created = memoryNodes();
    return staging;
  }

  /** Checks blocks as they would follow one another, without changing the chain. */
  async function stage(
    blocks: readonly Uint8Array[],
    { accepted, proof = [], signal }: IngestOptions,
  ): Promise<readonly Staged[] | IngestFault> {
    const state = stagingState();
    const { rules } = chain;
    let { tip, frontier } = chain;
    const staged: Staged[] = [];
    const base = { ledger: tip.ledger, rules, state };
    const read = (bytes: Uint8Array) => ({ block: readBlock(bytes), bytes: bytes.length });
    for await (const next of lookAhead(blocks, read, base, LOOK_AHEAD, signal)) {
      signal?.throwIfAborted();
      const height = tip.size;
      if (height >= accepted.size) return { reason: "beyond-the-checkpoint", height };
      const { item: bytes, block } = next;
      if (block === undefined) return { reason: "malformed", height };
      const result = await checkBlock(block, tip, state, rules, next);
      if (!result.ok) {
        const { ok: _, ...fault } = result;
        return { ...fault, height };
      }
      for (const node of state.apply(result.changes)) created.set(node.hash, node.bytes);
      frontier = appendLeaf(frontier, leafHash(block.header)).frontier;
      tip = tipAfter(block.header, result.header);
      const record = encodeBlockRecord({ block: bytes, peaks: frontier.peaks });
      staged.push({ applied: result, header: block.header, record });
    }
    const head = { size: frontier.size, root: frontierRoot(frontier) };
    const held = connectHeads(head, accepted, proof) === "connected";
    return held ? staged : { reason: "not-under-the-checkpoint" };
  }

  async function append(
    staged: readonly Staged[],
    beside: NonNullable<IngestOptions["beside"]>,
  ): Promise<void> {
    await chain.flushDerived();
    const derived = chain.derived.pending();
    const expected = chain.head;
    const records = staged.map(({ record }) => record);
    const commit = {
      append: { chain: chain.chainName, expected, records },
      state: [...derived, ...beside(staged.flatMap(({ applied }) => placed(applied)))],
    };
    await commitBlock(storage, commit, { timers });
    chain.derived.written(derived);
    for (const [i, { applied, header, record }] of staged.entries()) {
      await chain.state.load([...applied.changes.keys()]);
      chain.advance(applied, header, { size: expected.size + i + 1, hash: sha256(record) });
    }
  }

  return async (blocks, options) => {
    assertOptions(options, INGEST_OPTIONS, "ingest");
    const { accepted, proof = [], beside = () => [], signal } = options;
    assertUint(accepted.size, "accepted.size");
    assertBytes(accepted.root, "accepted.root", HASH_LENGTH);
    const copied = {
      accepted: { size: accepted.size, root: new Uint8Array(accepted.root) },
      proof: proof.map((hash) => new Uint8Array(hash)),
      ...(signal === undefined ? {} : { signal }),
    };
    const copies = await gather(blocks, signal);
    await chain.refresh();
    return chain.exclusively(async (): Promise<IngestResult> => {
      if (copies.length === 0) return { ok: true, size: chain.size };
      const staged = await stage(copies, copied);
      if (!Array.isArray(staged)) return { ok: false, ...(staged as IngestFault) };
      await append(staged, beside);
      return { ok: true, size: chain.size };
    });
  };
}

const placed = ({ header: { height }, transactions }: AppliedBlock) =>
  transactions.map(({ signed: { tx } }, transaction) => ({ height, transaction, tx }));
