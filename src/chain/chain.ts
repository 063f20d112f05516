import type { CID } from "multiformats/cid";
import { sha256 } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { assertBytes } from "../bytes/guards.ts";
import type { Block } from "../block/block.ts";
import { decodeGenesis, ledgerId, type Genesis } from "../block/genesis.ts";
import { decodeHeader, type Header } from "../block/header.ts";
import { decodeTransaction, encodeSignedTransaction, rootOfSigned } from "../block/transaction.ts";
import { ChainError, EncodingError, LedgerError, ProofError, StorageError } from "../errors.ts";
import type { Signer } from "../identity/signer.ts";
import {
  appendLeaf,
  emptyFrontier,
  frontierFrom,
  frontierRoot,
  samePeaks,
  type Frontier,
} from "../merkle/frontier.ts";
import { leafHash } from "../merkle/hash.ts";
import { verifyInclusion } from "../merkle/verify.ts";
import { treeRoot } from "../merkle/tree.ts";
import { proveInclusion } from "../merkle/proof.ts";
import { EMPTY_MAP, type MapProof } from "../merkle/sparse-map.ts";
import type { ChainStore, Head, StorageAdapter } from "../storage/types.ts";
import { ANCHOR_EVERY, openAnchor } from "./anchor.ts";
import {
  checkBlock,
  emptyTip,
  readBlock,
  tipAfter,
  type AppliedBlock,
  type Tip,
} from "./apply-block.ts";
import { decodeBlockRecord, encodeBlockRecord } from "./block-record.ts";
import { aheadOf, checkedClock } from "./clock.ts";
import { checkedTree } from "./checked-tree.ts";
import { assertCopied } from "./copy-mark.ts";
import {
  openDerived,
  type DerivedData,
  type DerivedMark,
  type TransactionPlace,
} from "./derived.ts";
import { findTransaction } from "./find-transaction.ts";
import { genesisState } from "./genesis-state.ts";
import type { KindRule } from "./kind-rule.ts";
import { openState, proveState, type LedgerState, type ReadableState } from "./ledger-state.ts";
import { POLICY_KEY } from "./state.ts";
import type { KindRules } from "./prepare.ts";

export interface ChainOptions {
  /** Must have `chains` and `state`. */
  readonly storage: StorageAdapter;
  /** The genesis record that founds the ledger. */
  readonly genesis: Uint8Array;
  /** Rules of the entry kinds that the policy registers. */
  readonly kinds?: readonly KindRule[];
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
}

/** A block as read from the store. */
export interface StoredBlock {
  readonly block: Block;
  /** The block's canonical bytes. */
  readonly bytes: Uint8Array;
  readonly header: Header;
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
  /** Root of the first `size` blocks. */
  rootAt(size: number): Promise<Uint8Array>;
  proveInclusion(height: number, size: number): Promise<Uint8Array[]>;
  proveConsistency(oldSize: number, newSize: number): Promise<Uint8Array[]>;
  /** Proves the value of a key, or its absence, in the state before the block at a height. */
  proveState(
    key: string,
    height: number,
  ): Promise<{ readonly value: Uint8Array | null; readonly proof: MapProof }>;
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
  /** Writes derived data still in memory. The storage stays open. */
  close(): Promise<void>;
  readonly rules: KindRules;
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

/**
 * Opens a ledger's chain. Reads one record and the blocks that the derived data do not yet cover;
 * with an anchor, all blocks that it has not signed yet, which is every block the first time.
 *
 * @throws {EncodingError} or {ChainError} `ERR_CHAIN_GENESIS` when the bytes are not a genesis
 *   record, or would found a ledger in a store that holds another one
 * @throws {ChainError} `ERR_CHAIN_INVALID` when the store holds an invalid block
 * @throws {StorageError} `ERR_STORAGE_INCOMPLETE` when a copy into the store is unfinished
 * @example
 * const chain = await openChain({ storage, genesis });
 * chain.size; // number of blocks
 * await chain.close();
 */
export async function openChain(options: ChainOptions): Promise<AppendableChain> {
  const { storage } = options;
  let { signal, onProgress } = options;
  const { chains, state: stateStore } = storage;
  if (chains === undefined || stateStore === undefined) {
    throw new TypeError("a chain needs a storage with `chains` and `state`");
  }
  assertBytes(options.genesis, "genesis");
  const genesisBytes = new Uint8Array(options.genesis);
  await assertCopied(stateStore);
  const now = options.now && checkedClock(options.now);
  const genesis = decodeGenesis(genesisBytes);
  const ledger = ledgerId(genesisBytes);
  const chainName = blocksChain(ledger);
  const rules: KindRules = new Map((options.kinds ?? []).map((rule) => [rule.name, rule]));
  const derived = openDerived(stateStore, ledger);
  const anchor = options.anchor && openAnchor(options.anchor, ledger, derived);
  const state = openState(EMPTY_MAP, derived.stateNodes);

  let tip = emptyTip(ledger);
  let frontier: Frontier = emptyFrontier;
  let head: Head = { size: 0, hash: null };
  let anchored = 0;
  let expected: DerivedMark | undefined;
  let refreshing: Promise<number> | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  function exclusively<T>(work: () => Promise<T>): Promise<T> {
    const mine = turn.then(work);
    turn = mine.catch(() => undefined);
    return mine;
  }

  function advance(applied: AppliedBlock, headerBytes: Uint8Array, newHead: Head): void {
    const nodes = state.apply(applied.changes);
    const appended = appendLeaf(frontier, leafHash(headerBytes));
    frontier = appended.frontier;
    tip = tipAfter(headerBytes, applied.header);
    head = newHead;
    derived.add({
      height: applied.header.height,
      completed: appended.completed,
      nodes,
      transactions: applied.transactions,
      root: state.root,
      record: newHead.hash!,
    });
  }

  /** Anchors the tip once it is at least `blocks` ahead of the last anchor. */
  async function anchorAfter(blocks: number): Promise<void> {
    if (anchor === undefined || head.hash === null || tip.size - anchored < blocks) return;
    const { size } = tip;
    // Set first, even if the write fails: an anchor only saves time, and nothing depends on it.
    anchored = size;
    await anchor.put({ size, root: state.root, record: head.hash }).catch(() => undefined);
  }

  async function flushDerived(): Promise<void> {
    await anchorAfter(ANCHOR_EVERY);
    if (derived.isFull) await derived.flush();
  }

  /**
   * Flushes derived data; if the store refuses writes, they stay in memory and the store can still
   * be read.
   */
  async function flushIfTaken(): Promise<void> {
    try {
      await derived.flush();
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== "ERR_STORAGE_FAILED") throw error;
    }
  }

  /** Checks and applies the records from the tip to the store's head. */
  async function follow(): Promise<number> {
    const storeHead = await chains!.head(chainName);
    if (storeHead.size < head.size) {
      throw lost(head.size, storeHead.size);
    }
    if (storeHead.size === head.size && !sameHash(storeHead.hash, head.hash)) {
      throw new ChainError("ERR_CHAIN_INVALID", "the store holds another history than before");
    }
    for await (const { index, record } of chains!.read(chainName, {
      from: head.size,
      limit: storeHead.size - head.size,
      ...(signal === undefined ? {} : { signal }),
    })) {
      const stored = decodeStored(record, index);
      const result = await checkBlock(stored.block, tip, state, rules);
      if (!result.ok) throw invalid(index, result.reason);
      const { peaks } = appendLeaf(frontier, leafHash(stored.block.header)).frontier;
      if (!samePeaks(peaks, stored.peaks)) throw invalid(index, "wrong-frontier");
      if (expected?.size === index + 1 && !equalBytes(sha256(record), expected.record)) {
        throw invalid(index, "it is not the block that was checked before");
      }
      advance(result, stored.block.header, headAfter(index, record));
      await anchorAfter(ANCHOR_EVERY);
      if (derived.isFull) await (derived.isOverfull ? derived.flush() : flushIfTaken());
      onProgress?.({ done: index + 1, total: storeHead.size });
    }
    return tip.size;
  }

  /** Resumes from the derived data if they are trusted and belong to this history. */
  async function resume(mark: DerivedMark): Promise<boolean> {
    if (mark.size === 0) return false;
    const from = mark.size - 1;
    const [last] = await readRecords(chains!, chainName, from, 1);
    if (last === undefined || !equalBytes(sha256(last), mark.record)) return false;
    const { block, peaks } = decodeStored(last, from);
    const header = readHeader(block, from);
    if (header.height !== from || !header.ledger.equals(ledger)) throw invalid(from, "corrupt");
    state.reset(mark.root);
    frontier = frontierFrom(mark.size, peaks);
    tip = tipAfter(block.header, header);
    head = headAfter(from, last);
    anchored = mark.size;
    try {
      await state.load([POLICY_KEY]);
      await follow();
      return true;
    } catch (error) {
      if (error instanceof ProofError) return false;
      throw error;
    }
  }

  const tree = checkedTree(
    derived.treeNodes,
    () => ({ size: tip.size, root: frontierRoot(frontier) }),
    derived.forgetTreeNodes,
  );

  /** Checks that a header in the store is the one that was checked when its block was applied. */
  async function assertInTree(headerBytes: Uint8Array, height: number): Promise<void> {
    const { size } = tip;
    const root = frontierRoot(frontier);
    const proof = await proveInclusion(height, size, derived.treeNodes);
    const claim = { index: height, size, leafHash: leafHash(headerBytes), proof, root };
    if (verifyInclusion(claim).ok) return;
    derived.forgetTreeNodes();
    throw invalid(height, "corrupt");
  }

  /** Reads the block at a height from the store, and proves that its header is under the root. */
  async function readChecked(height: number): Promise<StoredBlock> {
    const [record] = height < tip.size ? await readRecords(chains!, chainName, height, 1) : [];
    if (record === undefined) {
      throw new ProofError("ERR_PROOF_RANGE", `there is no block at height ${height}`);
    }
    const { block, bytes } = decodeStored(record, height);
    const header = readHeader(block, height);
    await assertInTree(block.header, height);
    return { block, bytes, header };
  }

  async function readWhole(height: number): Promise<StoredBlock> {
    const stored = await readChecked(height);
    if (!holdsItsTransactions(stored.block, stored.header)) throw invalid(height, "corrupt");
    return stored;
  }

  /**
   * Proves against the state root in the header at a height or, at the next height, against the
   * current state.
   */
  async function proveStateAt(
    key: string,
    height: number,
  ): Promise<{ readonly value: Uint8Array | null; readonly proof: MapProof }> {
    if (height === tip.size) return proveState(state.root, key, derived.stateNodes);
    const { header } =
      height === tip.size - 1 ? { header: decodeHeader(tip.header!) } : await readChecked(height);
    return proveState(header.state, key, derived.stateNodes);
  }

  /**
   * Refuses a store that has fewer blocks than its derived data cover, or than this member's key
   * signed as checked: it has lost blocks, and continuing would create a second history.
   */
  async function assertNothingLost(signed: DerivedMark | undefined): Promise<void> {
    // Read the head last: others may advance it meanwhile.
    const unsigned = await derived.mark();
    const { size } = await chains!.head(chainName);
    const marked = Math.max(signed?.size ?? 0, unsigned?.size ?? 0);
    if (marked > size) throw lost(marked, size);
    if ((await derived.reachTo(size)) && (await chains!.head(chainName)).size === size) {
      throw lost(size + 1, size);
    }
  }

  /** Starts from the derived data if they are valid, otherwise from genesis. */
  async function start(): Promise<void> {
    if (options.acceptLoss === true) await derived.removeAll(options.anchor?.key);
    const signed = await anchor?.read();
    if (options.acceptLoss !== true) await assertNothingLost(signed);
    if (options.rebuild !== true) {
      const isTrusted = anchor === undefined && options.trustStore === true;
      const mark = isTrusted ? await derived.mark() : signed;
      if (mark !== undefined && (await resume(mark))) return;
    }
    // Blocks that were checked before must appear again, and their anchor is kept until they have.
    expected = signed;
    tip = emptyTip(ledger);
    frontier = emptyFrontier;
    head = { size: 0, hash: null };
    anchored = signed?.size ?? 0;
    state.reset(EMPTY_MAP);
    const changes = genesisState(genesis);
    await state.load([...changes.keys()]);
    derived.addState(state.apply(changes));
    await follow();
  }

  /**
   * Refuses a store that holds the blocks of another ledger only: otherwise a wrong genesis record
   * would look like that of a ledger without blocks.
   */
  async function assertAlone(): Promise<void> {
    for await (const name of chains!.list()) {
      if (!isBlocksChain(name) || name === chainName) continue;
      throw new ChainError(
        "ERR_CHAIN_GENESIS",
        "the store holds another ledger but none founded by this genesis record",
      );
    }
  }

  function refresh(): Promise<number> {
    // Shared only until it begins: a later caller must see later blocks.
    refreshing ??= exclusively(() => {
      refreshing = undefined;
      return follow();
    });
    return refreshing;
  }

  await start();
  if (tip.size === 0 && options.beside !== true) await assertAlone();
  await anchorAfter(1);
  await flushIfTaken();
  signal = undefined;
  onProgress = undefined;

  return {
    ledger,
    genesis,
    genesisBytes,
    rules,
    chainName,
    derived,
    state,
    get size() {
      return tip.size;
    },
    get root() {
      return frontierRoot(frontier);
    },
    get ahead() {
      return now === undefined ? 0 : aheadOf(now(), tip.time, state.policy().maxDrift);
    },
    get tip() {
      return tip;
    },
    get head() {
      return head;
    },
    recordFor(header, block) {
      const { peaks } = appendLeaf(frontier, leafHash(header)).frontier;
      return encodeBlockRecord({ block, peaks });
    },
    advance,
    flushDerived,
    exclusively,
    refresh,
    async durableHead() {
      await refresh();
      // Taken together: more blocks may be appended while the record is read.
      const { hash, size } = head;
      const root = frontierRoot(frontier);
      if (hash === null) return { size, root };
      const [record] = await readRecords(chains, chainName, size - 1, 1);
      if (record === undefined || !equalBytes(sha256(record), hash)) {
        throw invalid(size - 1, "it is not the block that was appended");
      }
      return { size, root };
    },
    readBlock: readWhole,
    ...tree,
    proveState: proveStateAt,
    async findTransaction(...name) {
      const chain = { size: tip.size, proveState: proveStateAt, readBlock: readWhole };
      return findTransaction(chain, name, await derived.findTransaction(...name));
    },
    async close() {
      await exclusively(async () => {
        await anchorAfter(1);
        await flushIfTaken();
      });
    },
  };
}

function decodeStored(
  record: Uint8Array,
  height: number,
): { readonly block: Block; readonly bytes: Uint8Array; readonly peaks: readonly Uint8Array[] } {
  try {
    const { block: bytes, peaks } = decodeBlockRecord(record);
    const block = readBlock(bytes);
    if (block === undefined) throw invalid(height, "malformed");
    return { block, bytes, peaks };
  } catch (error) {
    if (error instanceof EncodingError) throw invalid(height, "malformed");
    throw error;
  }
}

function holdsItsTransactions(block: Block, header: Header): boolean {
  const leaves = block.transactions.map((signed) => leafHash(encodeSignedTransaction(signed)));
  return (
    equalBytes(treeRoot(leaves), header.transactions) &&
    block.transactions.every((signed) =>
      equalBytes(rootOfSigned(signed), decodeTransaction(signed.tx).entries),
    )
  );
}

function readHeader(block: Block, height: number): Header {
  try {
    return decodeHeader(block.header);
  } catch (error) {
    if (error instanceof LedgerError) throw invalid(height, "malformed");
    throw error;
  }
}

async function readRecords(
  chains: ChainStore,
  name: string,
  from: number,
  limit: number,
): Promise<Uint8Array[]> {
  const records: Uint8Array[] = [];
  for await (const { record } of chains.read(name, { from, limit })) records.push(record);
  return records;
}

function sameHash(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : equalBytes(a, b);
}

function headAfter(index: number, record: Uint8Array): Head {
  return { size: index + 1, hash: sha256(record) };
}

function lost(before: number, now: number): ChainError {
  return new ChainError(
    "ERR_CHAIN_LOST",
    `the store had at least ${before} blocks and now holds ${now}: restore its newest copy`,
  );
}

function invalid(height: number, reason: string): ChainError {
  return new ChainError("ERR_CHAIN_INVALID", `block ${height} in the store: ${reason}`);
}
