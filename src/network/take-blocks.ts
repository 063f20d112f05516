import type { AppendableChain } from "../chain/chain.ts";
import type { TreeHead } from "../chain/connection.ts";
import type { IngestOptions } from "../chain/ingest-result.ts";
import { isOwnStore } from "../chain/stored-block.ts";
import { ChainError, ProofError, StorageError, TransportError } from "../errors.ts";
import { proveConsistency } from "../merkle/proof.ts";
import type { LedgerPeer } from "../transport/types.ts";
import { fetchBlocks, type FetchedBlock } from "./fetch-blocks.ts";
import type { PeerList } from "./peer-list.ts";

/** Blocks, and bytes of them, that are appended at once. */
const BATCH = 256;
const BATCH_BYTES: number = 8 * 1024 * 1024;

/**
 * Fetches the blocks that a chain lacks under an accepted checkpoint, and appends them in batches, each
 * checked by every rule. A peer that gives a wrong one is at fault, and the next one goes on.
 *
 * @param options.beside - gives changes of state that become durable together with blocks
 * @throws {LedgerError} the last peer's fault, when none is left
 */
export async function takeBlocks(
  chain: AppendableChain,
  accepted: TreeHead,
  list: PeerList,
  options: {
    readonly signal: AbortSignal;
    readonly beside?: NonNullable<IngestOptions["beside"]>;
  },
): Promise<void> {
  const { signal } = options;
  while (chain.size < accepted.size) {
    let batch: FetchedBlock[] = [];
    let bytes = 0;
    let isGoingOn = true;
    for await (const block of fetchBlocks(accepted, chain.size, list, signal)) {
      batch.push(block);
      bytes += block.bytes.length;
      if (batch.length < BATCH && bytes < BATCH_BYTES) continue;
      isGoingOn = await ingest(batch);
      batch = [];
      bytes = 0;
      if (!isGoingOn) break;
    }
    if (isGoingOn && batch.length > 0) await ingest(batch);
  }

  /** Appends a batch; resolves to `false` if it is to be fetched again. */
  async function ingest(batch: readonly FetchedBlock[]): Promise<boolean> {
    const from = chain.size;
    const size = from + batch.length;
    const last = batch.at(-1)!;
    try {
      const proof =
        size === accepted.size
          ? []
          : await proveConsistency(size, accepted.size, last.tree.readNodes);
      const blocks = batch.map(({ bytes }) => bytes);
      const result = await chain.ingest(blocks, { ...options, accepted, proof });
      if (result.ok) return true;
      // Another process may have been faster, and then the blocks are not the next ones.
      if (chain.size !== from) return false;
      const { peer } = batch[(result.height ?? size - 1) - from]!;
      const at = result.height === undefined ? "" : ` at block ${result.height}`;
      throw new PeerWrong(
        peer,
        new ChainError("ERR_CHAIN_INVALID", `refused${at}: ${result.reason}`),
      );
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StorageError && error.code === "ERR_STORAGE_CONFLICT") {
        await chain.refresh();
        return false;
      }
      if (isOwnStore(error)) throw error;
      const [peer, fault] =
        error instanceof PeerWrong ? [error.peer, error.fault] : [last.peer, error];
      if (!(
        fault instanceof ChainError ||
        fault instanceof ProofError ||
        fault instanceof TransportError
      )) {
        throw fault;
      }
      list.fault(peer, fault);
      if (list.ready().length === 0) throw fault;
      return false;
    }
  }
}

/** A block that was refused, and who gave it. */
class PeerWrong extends Error {
  readonly peer: LedgerPeer;
  readonly fault: ChainError;

  constructor(peer: LedgerPeer, fault: ChainError) {
    super(fault.message);
    this.peer = peer;
    this.fault = fault;
  }
}
