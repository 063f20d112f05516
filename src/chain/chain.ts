import type { CID } from "multiformats/cid";
import type { Genesis } from "../block/genesis.ts";
import type { Signer } from "../identity/signer.ts";
import type { MapProof } from "../merkle/sparse-map.ts";
import type { Timers } from "../storage/settle.ts";
import type { Head, StorageAdapter } from "../storage/types.ts";
import type { AppliedBlock, Tip } from "./apply-block.ts";
import type { DerivedData, GovernanceBlock, TransactionPlace } from "./derived.ts";
import type { BlocksAhead, IngestOptions, IngestResult } from "./ingest-result.ts";
import type { LedgerState, ReadableState } from "./ledger-state.ts";
import type { GivenRules, LedgerRules } from "./prepare.ts";
import type { ReadBlocksOptions } from "./read-blocks.ts";
import type { StoredBlock } from "./stored-block.ts";

export interface ChainOptions extends GivenRules {
  /** Must have `chains` and `state`. */
  readonly storage: StorageAdapter;
  /** The genesis record that founds the ledger. */
  readonly genesis: Uint8Array;
  /** Clock in ms since 1970, for {@link Chain.ahead}. */
  readonly now?: () => number;
  /** Called while opening, with the number of blocks read. */
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
  /** Aborts opening. */
  readonly signal?: AbortSignal;
  /**
   * Founds a ledger in a store that holds another one. Refused by default, because a wrong genesis
   * record looks the same.
   */
  readonly beside?: boolean;
  /** Rebuilds the derived data from the blocks; set it if they may be damaged. */
  readonly rebuild?: boolean;
  /**
   * Opens a store that has lost blocks, and continues from the blocks that are left: for everyone
   * who saw the lost blocks this is a second history. Data derived from the lost blocks are
   * removed.
   */
  readonly acceptLoss?: boolean;
  /**
   * Signs how far blocks were checked, when opening, when closing and every 256 blocks. Only signed
   * derived data are trusted when opening again; everything else in the store is checked again.
   * Without an anchor, every block is checked each time, unless {@link trustStore} is set.
   */
  readonly anchor?: Signer;
  /**
   * Without an {@link anchor}, trusts the store's unsigned note of how far blocks were checked, which
   * makes opening fast. Any party that can write to the store then determines the state, so set it
   * only for a store that nobody else can write to. Default `false`.
   */
  readonly trustStore?: boolean;
  /** Clock and waits of writes that are retried. Default: the platform's. */
  readonly timers?: Timers;
}

/** A ledger's blocks in a store: reads, follows and proves them, and never appends. */
export interface Chain {
  readonly ledger: CID;
  readonly genesis: Genesis;
  /** The genesis record's bytes; borrowed. */
  readonly genesisBytes: Uint8Array;
  /** Number of blocks known here. */
  readonly size: number;
  /** RFC 6962 root over the headers. */
  readonly root: Uint8Array;
  readonly tip: Tip;
  /**
   * Milliseconds by which the newest block is ahead of the clock, beyond the allowed difference of
   * clocks; otherwise, or without a clock, 0. While it is not 0, everything can be read and nothing
   * is written.
   */
  readonly ahead: number;
  /** The state after the last block. */
  readonly state: ReadableState;
  /**
   * Reads and checks all blocks that others had appended when this was called.
   *
   * @returns the size
   * @throws {ChainError} `ERR_CHAIN_INVALID` when the store holds an invalid block, or another
   *   history than before
   */
  refresh(): Promise<number>;
  /**
   * Refreshes, then reads the newest block's record back and compares it with the record that was
   * checked.
   *
   * @returns size and root, at one moment, of blocks that this process has checked and that are
   *   durable in the store
   * @throws {ChainError} `ERR_CHAIN_INVALID` as in {@link refresh}, or when the record read differs
   */
  durableHead(): Promise<{ readonly size: number; readonly root: Uint8Array }>;
  /**
   * Reads a block and proves that it is, with all its entries, the one under {@link root}. This
   * call and the ones below check everything that they read in the store against that root before
   * they return it; none reaches beyond {@link size}.
   *
   * @throws {ChainError} `ERR_CHAIN_INVALID` when the store's block is not the one that was
   *   appended
   * @throws {ProofError} `ERR_PROOF_RANGE` when there is no such block; another code when nodes of
   *   the header tree are missing or wrong
   */
  readBlock(height: number): Promise<StoredBlock>;
  /**
   * Streams encoded blocks in height order, each checked as by {@link readBlock} before it is given
   * out; one is in memory at a time.
   *
   * @throws {ChainError} and {ProofError} as in {@link readBlock}
   */
  readBlocks(options: ReadBlocksOptions): AsyncIterable<Uint8Array>;
  /** Root of the first `size` blocks. */
  rootAt(size: number): Promise<Uint8Array>;
  proveInclusion(height: number, size: number): Promise<Uint8Array[]>;
  proveConsistency(oldSize: number, newSize: number): Promise<Uint8Array[]>;
  /**
   * Hashes of complete subtrees next to each other, as C2SP tlog-tiles groups them: up to 256 of
   * 256^level blocks each.
   *
   * @returns as many as the ledger has by now; 32 bytes each, borrowed
   */
  readTile(tile: {
    readonly level: number;
    readonly index: number;
  }): Promise<readonly Uint8Array[]>;
  /** Proves the value of a key, or its absence, in the state before the block at a height. */
  proveState(
    key: string,
    height: number,
  ): Promise<{ readonly value: Uint8Array | null; readonly proof: MapProof }>;
  /**
   * Begins to check blocks beyond this chain in memory, as a validator does before it cosigns them: nothing is
   * appended that no accepted checkpoint covers.
   */
  checkAhead(): BlocksAhead;
  /**
   * The blocks that changed members or policy, oldest first, as derived data have them: a store may
   * leave some out.
   */
  governance(): Promise<readonly GovernanceBlock[]>;
  /**
   * Finds the place of a transaction; `undefined` means that its absence is proved.
   *
   * @throws {ChainError} or {ProofError} when the store cannot say
   */
  findTransaction(
    key: Uint8Array,
    lane: number,
    seq: number,
  ): Promise<TransactionPlace | undefined>;
}

/** A chain with the additional calls that a sequencer needs. */
export interface AppendableChain extends Chain {
  readonly state: LedgerState;
  /**
   * Appends blocks of another store of the same ledger, all of them or none, in one commit. They
   * are checked against a state of their own, and nothing of them is seen here before they are
   * durable.
   *
   * A store cannot be truncated, and one foreign block would stop every reader for ever. So only
   * blocks that an accepted checkpoint covers are appended.
   *
   * @param blocks - encoded, in height order, the first at {@link size}; together at most 32 MiB, or half
   *   of what the store accepts at once, unless there is only one
   * @returns the new size, or the first fault
   * @throws {InputError} `ERR_INPUT_TOO_LARGE` when there are more blocks than can be appended at once
   * @throws {StorageError} `ERR_STORAGE_CONFLICT` when another process appended meanwhile
   */
  ingest(
    blocks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: IngestOptions,
  ): Promise<IngestResult>;
  /** Writes derived data still in memory. The storage stays open. */
  close(): Promise<void>;
  readonly rules: LedgerRules;
  readonly chainName: string;
  readonly head: Head;
  readonly derived: DerivedData;
  /** The store's record of a block, if it came next. */
  recordFor(header: Uint8Array, block: Uint8Array): Uint8Array;
  /**
   * Runs work while nothing else advances the chain. The work must not await `refresh`.
   *
   * Building a block on the tip, making it durable and advancing to it must happen within this
   * call.
   */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
  /** Advances to a block that was made durable; call within {@link exclusively}. */
  advance(applied: AppliedBlock, header: Uint8Array, head: Head): void;
  /**
   * Writes derived data if many are pending, and anchors them from time to time; call within
   * {@link exclusively}.
   */
  flushDerived(): Promise<void>;
}

const BLOCKS = "/blocks";

/** Name of the chain of a ledger's blocks. */
export const blocksChain = (ledger: CID): string => ledger.toString() + BLOCKS;

/** Whether a chain's name is that of some ledger's blocks. */
export const isBlocksChain = (name: string): boolean => name.endsWith(BLOCKS);
