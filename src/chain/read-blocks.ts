import { assertUint } from "../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { ChainStore } from "../storage/types.ts";
import { invalidBlock, type StoredBlock } from "./stored-block.ts";

/** The blocks that {@link Chain.readBlocks} reads. */
export interface ReadBlocksOptions {
  /** Height of the first block. */
  readonly from: number;
  /** Most blocks to read; if absent, all that the chain knows when this is called. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

const READ_BLOCKS_OPTIONS: OptionsOf<ReadBlocksOptions> = { from: true, limit: true, signal: true };

/**
 * Reads encoded blocks in order, one at a time.
 *
 * @param check - decodes a record and proves its block, as for one height
 */
export function readBlocks(
  chains: ChainStore,
  { chainName, size }: { readonly chainName: string; readonly size: number },
  check: (record: Uint8Array, height: number) => Promise<StoredBlock>,
  options: ReadBlocksOptions,
): AsyncIterable<Uint8Array> {
  assertOptions(options, READ_BLOCKS_OPTIONS, "readBlocks");
  const { from, limit = Infinity, signal } = options;
  assertUint(from, "from");
  if (limit !== Infinity) assertUint(limit, "limit");
  const wanted = Math.max(0, Math.min(limit, size - from));
  return read();

  async function* read(): AsyncIterable<Uint8Array> {
    signal?.throwIfAborted();
    if (wanted === 0) return;
    const range = { from, limit: wanted, ...(signal === undefined ? {} : { signal }) };
    let height = from;
    for await (const { record } of chains.read(chainName, range)) {
      yield (await check(record, height)).bytes;
      height++;
      if (height === from + wanted) return;
    }
    throw invalidBlock(height, "missing");
  }
}
