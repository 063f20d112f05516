import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { sha256 } from "#crypto";
import { decodeGenesis, ledgerId } from "../block/genesis.ts";
import { decodeHeader } from "../block/header.ts";
import { equalBytes } from "../bytes/compare.ts";
import { assertBytes } from "../bytes/guards.ts";
import { StorageError, ChainError, ProofError } from "../errors.ts";
import {
  type Frontier,
  emptyFrontier,
  appendLeaf,
  samePeaks,
  frontierFrom,
  frontierRoot,
} from "../merkle/frontier.ts";
import { leafHash } from "../merkle/hash.ts";
import { EMPTY_MAP } from "../merkle/map-node.ts";
import type { MapProof } from "../merkle/map-proof.ts";
import { proveInclusion } from "../merkle/proof.ts";
import { verifyInclusion } from "../merkle/verify.ts";
import type { Head } from "../storage/types.ts";
import { openAnchor, ANCHOR_EVERY } from "./anchor.ts";
import { emptyTip, type AppliedBlock, tipAfter, checkBlock } from "./apply-block.ts";
import { takingCalls } from "./check-ahead.ts";
import { encodeBlockRecord } from "./block-record.ts";
import { type ChainOptions, type AppendableChain, blocksChain, isBlocksChain } from "./chain.ts";
import { checkedTree } from "./checked-tree.ts";
import { checkedClock, aheadOf } from "./clock.ts";
import { assertCopied } from "./copy-mark.ts";
import { openDerived, type DerivedMark } from "./derived.ts";
import { findTransaction } from "./find-transaction.ts";
import { governanceChange } from "./governance-change.ts";
import { genesisState } from "./genesis-state.ts";
import { openState, proveState } from "./ledger-state.ts";
import { ledgerRules } from "./prepare.ts";
import { readBlocks } from "./read-blocks.ts";
import { POLICY_KEY } from "./state.ts";
import {
  decodeStoredBlock,
  invalidBlock,
  readStoredRecords,
  lostBlocks,
  readStoredHeader,
  type StoredBlock,
  holdsItsTransactions,
} from "./stored-block.ts";

const OPEN_CHAIN_OPTIONS: OptionsOf<ChainOptions> = {
  ...{ storage: true, genesis: true, kinds: true, contracts: true, now: true, timers: true },
  ...{ beside: true, rebuild: true, acceptLoss: true, anchor: true, trustStore: true },
  ...{ onProgress: true, signal: true },
};

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
  assertOptions(options, OPEN_CHAIN_OPTIONS, "openChain");
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
  const rules = ledgerRules(options);
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
    const changed = governanceChange(applied);
    if (changed !== undefined) derived.addGovernance(changed);
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
  async function applyNewBlocks(): Promise<number> {
    const storeHead = await chains!.head(chainName);
    if (storeHead.size < head.size) {
      throw lostBlocks(head.size, storeHead.size);
    }
    if (storeHead.size === head.size && !sameHash(storeHead.hash, head.hash)) {
      throw new ChainError("ERR_CHAIN_INVALID", "the store holds another history than before");
    }
    for await (const { index, record } of chains!.read(chainName, {
      from: head.size,
      limit: storeHead.size - head.size,
      ...(signal === undefined ? {} : { signal }),
    })) {
      const stored = decodeStoredBlock(record, index);
      const result = await checkBlock(stored.block, tip, state, rules);
      if (!result.ok) throw invalidBlock(index, result.reason);
      const { peaks } = appendLeaf(frontier, leafHash(stored.block.header)).frontier;
      if (!samePeaks(peaks, stored.peaks)) throw invalidBlock(index, "wrong-frontier");
      if (expected?.size === index + 1 && !equalBytes(sha256(record), expected.record)) {
        throw invalidBlock(index, "it is not the block that was checked before");
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
    const [last] = await readStoredRecords(chains!, chainName, from, 1);
    if (last === undefined || !equalBytes(sha256(last), mark.record)) return false;
    const { block, peaks } = decodeStoredBlock(last, from);
    const header = readStoredHeader(block, from);
    if (header.height !== from || !header.ledger.equals(ledger))
      throw invalidBlock(from, "corrupt");
    state.reset(mark.root);
    frontier = frontierFrom(mark.size, peaks);
    tip = tipAfter(block.header, header);
    head = headAfter(from, last);
    anchored = mark.size;
    try {
      await state.load([POLICY_KEY]);
      await applyNewBlocks();
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
    throw invalidBlock(height, "corrupt");
  }

  /** Reads the block at a height from the store, and proves that its header is under the root. */
  async function readChecked(height: number): Promise<StoredBlock> {
    const [record] =
      height < tip.size ? await readStoredRecords(chains!, chainName, height, 1) : [];
    if (record === undefined) {
      throw new ProofError("ERR_PROOF_RANGE", `there is no block at height ${height}`);
    }
    return checkRecord(record, height);
  }

  async function checkRecord(record: Uint8Array, height: number): Promise<StoredBlock> {
    const { block, bytes } = decodeStoredBlock(record, height);
    const header = readStoredHeader(block, height);
    await assertInTree(block.header, height);
    return { block, bytes, header };
  }

  function whole(stored: StoredBlock, height: number): StoredBlock {
    if (!holdsItsTransactions(stored.block, stored.header)) throw invalidBlock(height, "corrupt");
    return stored;
  }

  const readWhole = async (height: number): Promise<StoredBlock> =>
    whole(await readChecked(height), height);

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
    if (marked > size) throw lostBlocks(marked, size);
    if ((await derived.reachTo(size)) && (await chains!.head(chainName)).size === size) {
      throw lostBlocks(size + 1, size);
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
    await applyNewBlocks();
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
      return applyNewBlocks();
    });
    return refreshing;
  }

  await start();
  if (tip.size === 0 && options.beside !== true) await assertAlone();
  await anchorAfter(1);
  await flushIfTaken();
  signal = onProgress = undefined;

  const chain = {
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
    get frontier() {
      return frontier;
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
      const [record] = await readStoredRecords(chains, chainName, size - 1, 1);
      if (record === undefined || !equalBytes(sha256(record), hash)) {
        throw invalidBlock(size - 1, "it is not the block that was appended");
      }
      return { size, root };
    },
    readBlock: readWhole,
    readBlocks: (range) =>
      readBlocks(
        chains,
        { chainName, size: tip.size },
        async (record, height) => whole(await checkRecord(record, height), height),
        range,
      ),
    ...tree,
    governance: derived.governance,
    proveState: proveStateAt,
    async findTransaction(...name) {
      const source = { size: tip.size, proveState: proveStateAt, readBlock: readWhole };
      return findTransaction(source, name, await derived.findTransaction(...name));
    },
    async close() {
      await exclusively(async () => {
        await anchorAfter(1);
        await flushIfTaken();
      });
    },
  } satisfies Omit<AppendableChain, "ingest" | "checkAhead"> & { readonly frontier: Frontier };
  return Object.assign(chain, takingCalls(chain, storage, options.timers));
}

function sameHash(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : equalBytes(a, b);
}

function headAfter(index: number, record: Uint8Array): Head {
  return { size: index + 1, hash: sha256(record) };
}
