import { sha256 } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { ChainError } from "../errors.ts";
import { afterWriting, untilSettled, type SettleOptions } from "../storage/settle.ts";
import type { Commit, Head, StorageAdapter } from "../storage/types.ts";

/** A commit of blocks and of the writes that become durable together with them. */
export interface BlockCommit extends Commit {
  readonly append: NonNullable<Commit["append"]>;
}

/**
 * Makes blocks durable: in one step if the storage supports it, otherwise referenced data first
 * and then the data that refer to them. If no answer arrives, the same bytes are written again: the
 * store reports whether they are there.
 *
 * @returns the chain's head after the blocks
 * @throws {AppendConflict} when another block was appended at the first one's height
 * @throws {ChainError} `ERR_CHAIN_INVALID` when the store holds another block than was appended
 */
export async function commitBlock(
  storage: StorageAdapter,
  commit: BlockCommit,
  settle: SettleOptions,
): Promise<Head> {
  const { append, blobs = [], state = [] } = commit;
  const head = await untilSettled(async () => {
    if (storage.commit !== undefined) return (await storage.commit(commit))!;
    if (blobs.length > 0) await storage.blobs!.put(blobs);
    const after = await storage.chains!.append(append.chain, append.expected, append.records);
    // The blocks are written, so a failure of the other writes must not report that it is not.
    if (state.length > 0) await afterWriting(() => storage.state!.batch(state));
    return after;
  }, settle);
  const record = append.records.at(-1);
  const size = append.expected.size + append.records.length;
  if (head.size !== size || head.hash === null || !equalBytes(head.hash, sha256(record!))) {
    throw new ChainError("ERR_CHAIN_INVALID", "the store holds another block than was appended");
  }
  return head;
}

/**
 * Repeats the writes that belong to a block that is already durable: without a commit in one step,
 * they may have failed after the block was written.
 */
export async function completeCommit(
  storage: StorageAdapter,
  { blobs = [], state = [] }: Omit<Commit, "append">,
): Promise<void> {
  if (storage.commit !== undefined) return;
  if (blobs.length > 0) await storage.blobs!.put(blobs);
  if (state.length > 0) await storage.state!.batch(state);
}
