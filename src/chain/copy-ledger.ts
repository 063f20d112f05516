import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { equalBytes } from "../bytes/compare.ts";
import { ledgerId } from "../block/genesis.ts";
import { matchesCid, type CID } from "../codec/cid.ts";
import { encode } from "../codec/dag-cbor.ts";
import { ChainError, InputError, StorageError } from "../errors.ts";
import { sameHead } from "../storage/guards.ts";
import {
  MAX_STATE_KEY_BYTES,
  type NamedBlob,
  type BlobStore,
  type ChainRecord,
  type ChainStore,
  type Head,
  type StateChange,
  type StateStore,
  type StorageAdapter,
} from "../storage/types.ts";
import { blocksChain, isBlocksChain } from "./chain.ts";
import { assertCopied, COPY_KEY } from "./copy-mark.ts";
import { headBefore } from "./copy-until.ts";
import type { GivenRules } from "./prepare.ts";
import type { Trust } from "./trust.ts";
import { verifyRecords, type VerifiedLedger } from "./verify-ledger.ts";
import { inPages, PAGE_ITEMS, inBatches, clamp, PAGE_BYTES } from "./copy-pages.ts";

/** Progress of a copy, in one of its three parts. */
export interface CopyProgress {
  readonly part: "blobs" | "state" | "records";
  readonly done: number;
  /** Present if it is known beforehand. */
  readonly total?: number;
}

export interface CopyOptions extends GivenRules {
  /**
   * The genesis record of the ledger in the store, or of each ledger if the store holds several.
   */
  readonly genesis: Uint8Array | readonly Uint8Array[];
  /**
   * A signed checkpoint that the ledger must reach or extend; only if the store holds one ledger.
   */
  readonly checkpoint?: Uint8Array;
  /** Trust in the ledger, as for `verifyLedger`; only if the store holds one ledger. */
  readonly trust?: Trust;
  /**
   * Height at which the copy stops, because the store's record there is no valid block: somebody else
   * appended it, and it stops every reader. The target holds the blocks before it. Refused while a
   * valid block or anything that was ever checked would be left behind; only if the store holds one ledger.
   */
  readonly until?: number;
  /** Called after each batch. */
  readonly onProgress?: (progress: CopyProgress) => void;
  /** Stops the copy between two batches; the same call made later resumes it. */
  readonly signal?: AbortSignal;
}

/** The content of the target. */
export interface CopiedLedger {
  readonly blobs: number;
  readonly state: number;
  readonly records: number;
  /** The verified ledgers, in the order of `genesis`. */
  readonly ledgers: readonly VerifiedLedger[];
}

type FullTarget = Required<Pick<StorageAdapter, "chains" | "blobs" | "state">>;
const LAST_KEY = /* @__PURE__ */ new Uint8Array(MAX_STATE_KEY_BYTES).fill(0xff);

const COPY_LEDGER_OPTIONS: OptionsOf<CopyOptions> = {
  ...{
    genesis: true,
    checkpoint: true,
    trust: true,
    kinds: true,
    contracts: true,
    onProgress: true,
  },
  ...{ signal: true, until: true },
};

/**
 * Copies everything in one store into an empty store of any adapter, and checks it: before writing,
 * every blob against its CID and every block for structure, signatures, roots and rules from
 * genesis on; afterwards, every chain's head.
 *
 * Nothing else may write to either store meanwhile. A copy interrupted by its signal, an error or
 * the end of the process leaves a mark in the target: the same call resumes it, and removes what
 * the source has erased since. `openLedger` refuses the target until the copy is complete. Keys
 * outside the storage (a key store, a folder of shard keys) are not copied.
 *
 * Memory does not grow with the store. The source is not changed; erase it only after the target
 * has been backed up, and remember that its files still hold data that later erasures must destroy.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when the target is neither empty nor an unfinished copy
 *   of this source, when the source holds a ledger whose genesis record is not given, or when `until`
 *   is not the height of the first invalid block
 * @throws {ChainError} `ERR_CHAIN_LOST` when blocks from `until` on were valid once
 * @throws {ChainError} `ERR_CHAIN_INVALID` at the first invalid block
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` at the first blob that does not match its CID;
 *   `ERR_STORAGE_CONFLICT` when the source was written to meanwhile; `ERR_STORAGE_INCOMPLETE` when
 *   the source itself is an unfinished copy
 * @throws the signal's reason
 * @example
 * const from = await lmdbStorage({ path: "data/ledger" });
 * const to = await lmdbStorage({ path: "/mnt/new/ledger" });
 * const { blobs, records } = await copyLedger(from, to, { genesis });
 */
export async function copyLedger(
  from: StorageAdapter,
  to: StorageAdapter,
  options: CopyOptions,
): Promise<CopiedLedger> {
  assertOptions(options, COPY_LEDGER_OPTIONS, "copyLedger");
  const geneses = options.genesis instanceof Uint8Array ? [options.genesis] : options.genesis;
  const { until } = options;
  if ((options.checkpoint ?? options.trust ?? until) !== undefined && geneses.length !== 1) {
    throw new TypeError(
      "`checkpoint`, `trust` and `until` apply to one ledger; give one genesis record",
    );
  }
  const source = asFullTarget(from, "from");
  const target = asFullTarget(to, "to");
  // A part of a ledger is valid as far as it goes, and appending to it as if it were complete would
  // fork the ledger.
  await assertCopied(source.state);
  const heads = await headsOf(source.chains);
  const ledgers = new Map(geneses.map((genesis) => [blocksChain(ledgerId(genesis)), genesis]));
  for (const chain of heads.keys()) {
    if (isBlocksChain(chain) && !ledgers.has(chain)) {
      throw invalid(`the source holds a ledger whose genesis record was not given: ${chain}`);
    }
  }
  const ends = new Map(heads);
  if (until !== undefined) {
    const genesis = geneses[0]!;
    const chain = blocksChain(ledgerId(genesis));
    const end = await headBefore(source, until, { ...options, genesis });
    if (end.size > 0) ends.set(chain, end);
    else ends.delete(chain);
  }
  const mark = encode([...ledgers.keys()].sort());
  const resumed = await markUnfinished(target, mark);

  const blobs = await copyBlobs(source.blobs, target.blobs, resumed, options);
  const state = await copyState(source.state, target.state, resumed, options);
  const verified = new Map<string, VerifiedLedger>();
  let records = 0;
  for (const [chain, head] of ends) {
    const genesis = ledgers.get(chain);
    const copied = copyChain(source.chains, target.chains, chain, head, options, records);
    if (genesis === undefined) {
      for await (const _ of copied);
    } else {
      verified.set(chain, await verifyWhile(copied, genesis, head.size, options));
    }
    records += head.size;
    if (!sameHead(await target.chains.head(chain), head)) {
      throw new StorageError(
        "ERR_STORAGE_CORRUPT",
        `the target's chain has another head than the source's: ${chain}`,
      );
    }
  }
  for (const [chain, genesis] of ledgers) {
    // A ledger without blocks: there is nothing to copy, but a checkpoint may claim that it has
    // blocks.
    if (verified.has(chain)) continue;
    verified.set(chain, await verifyWhile(noRecords(), genesis, 0, options));
  }
  await assertUnchanged(source.chains, heads);
  await target.state.batch([{ key: COPY_KEY, value: null }]);
  return { blobs, state, records, ledgers: [...ledgers.keys()].map((name) => verified.get(name)!) };
}

/** Marks the target as unfinished; returns whether it already was. */
async function markUnfinished(target: FullTarget, mark: Uint8Array): Promise<boolean> {
  const old = await target.state.get(COPY_KEY);
  if (old !== undefined) {
    if (equalBytes(old, mark)) return true;
    throw invalid("the target holds an unfinished copy of another store");
  }
  if (!(await isEmpty(target))) throw invalid("the target is not empty");
  await target.state.batch([{ key: COPY_KEY, value: mark }]);
  return false;
}

async function isEmpty({ chains, blobs, state }: FullTarget): Promise<boolean> {
  for (const part of [chains.list(), blobs.list(), allKeys(state)]) {
    for await (const _ of part) return false;
  }
  return true;
}

async function copyBlobs(
  from: BlobStore,
  to: BlobStore,
  resumed: boolean,
  { onProgress, signal }: CopyOptions,
): Promise<number> {
  if (resumed) {
    for await (const page of inPages(to.list(), () => PAGE_ITEMS, signal)) {
      const kept = await Promise.all(page.map((cid) => from.has(cid)));
      const gone = page.filter((_, i) => !kept[i]);
      if (gone.length > 0) await to.delete(gone);
    }
  }
  const total = await from.count();
  let done = 0;
  // Blobs have any size, so the next page has as many as the average size in the last one allows.
  let size = 16;
  for await (const page of inPages(from.list(), () => size, signal)) {
    const there = resumed ? await Promise.all(page.map((cid) => to.has(cid))) : [];
    const wanted = page.filter((_, i) => there[i] !== true);
    const read = wanted.length === 0 ? [] : await from.getMany(wanted);
    const found = wanted.map((cid, i) => checkedBlob(cid, read[i]));
    for (const batch of inBatches(found, ({ bytes }) => bytes.length, to.caps)) await to.put(batch);
    const bytes = found.reduce((sum, blob) => sum + blob.bytes.length, 1);
    size = clamp(Math.floor((PAGE_BYTES * Math.max(1, found.length)) / bytes), 1, PAGE_ITEMS);
    done += page.length;
    onProgress?.({ part: "blobs", done, total });
  }
  return done;
}

function checkedBlob(cid: CID, bytes: Uint8Array | undefined): NamedBlob {
  if (bytes === undefined) {
    throw new StorageError(
      "ERR_STORAGE_CONFLICT",
      `the source lost a blob during the copy: ${cid}`,
    );
  }
  if (!matchesCid(cid, bytes)) {
    throw new StorageError("ERR_STORAGE_CORRUPT", `the source's blob is damaged: ${cid}`);
  }
  return { cid, bytes };
}

async function copyState(
  from: StateStore,
  to: StateStore,
  resumed: boolean,
  { onProgress, signal }: CopyOptions,
): Promise<number> {
  if (resumed) {
    for await (const page of inPages(allKeys(to), () => PAGE_ITEMS, signal)) {
      const keys = page.map(({ key }) => key).filter((key) => !equalBytes(key, COPY_KEY));
      const kept = await from.getMany(keys);
      const gone = keys.filter((_, i) => kept[i] === undefined);
      const removals = gone.map((key) => ({ key, value: null }));
      for (const batch of inBatches<StateChange>(removals, sizeOf, to.caps)) await to.batch(batch);
    }
  }
  let done = 0;
  for await (const page of inPages(allKeys(from), () => PAGE_ITEMS, signal, sizeOf)) {
    const there = resumed ? await to.getMany(page.map(({ key }) => key)) : [];
    const wanted = page.filter(({ value }, i) => {
      const old = there[i];
      return old === undefined || !equalBytes(old, value);
    });
    for (const batch of inBatches<StateChange>(wanted, sizeOf, to.caps)) await to.batch(batch);
    done += page.length;
    onProgress?.({ part: "state", done });
  }
  return done;
}

function sizeOf({ key, value }: StateChange): number {
  return key.length + (value?.length ?? 0);
}

/** Every entry; a scan ends before its last key, so that key is read separately. */
async function* allKeys(
  store: StateStore,
): AsyncGenerator<{ readonly key: Uint8Array; readonly value: Uint8Array }> {
  yield* store.scan({ gte: Uint8Array.of(0), lt: LAST_KEY });
  const value = await store.get(LAST_KEY);
  if (value !== undefined) yield { key: LAST_KEY.slice(), value };
}

/**
 * Yields the source's records, and writes each to the target once the consumer requests the next
 * one. A consumer that checks records must stop at the first wrong one.
 */
async function* copyChain(
  from: ChainStore,
  to: ChainStore,
  chain: string,
  end: Head,
  { onProgress, signal }: CopyOptions,
  before: number,
): AsyncGenerator<ChainRecord, void, undefined> {
  let head = await to.head(chain);
  if (head.size > end.size)
    throw invalid(`the target's chain is longer than the source's: ${chain}`);
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  async function write(): Promise<void> {
    if (waiting.length === 0) return;
    head = await to.append(chain, head, waiting);
    waiting = [];
    bytes = 0;
    onProgress?.({ part: "records", done: before + head.size });
  }
  if (head.size > 0) await assertSameRecord(from, to, chain, head.size - 1);
  for await (const item of from.read(chain, { from: 0, limit: end.size })) {
    signal?.throwIfAborted();
    yield item;
    if (item.index < head.size) continue;
    const { record } = item;
    if (
      waiting.length >= Math.min(PAGE_ITEMS, to.caps.maxBatch) ||
      (waiting.length > 0 && bytes + record.length > Math.min(PAGE_BYTES, to.caps.maxAppendBytes))
    ) {
      await write();
    }
    waiting.push(record);
    bytes += record.length;
  }
  await write();
}

async function* noRecords(): AsyncGenerator<ChainRecord> {}

async function assertSameRecord(
  from: ChainStore,
  to: ChainStore,
  chain: string,
  index: number,
): Promise<void> {
  const [theirs, ours] = await Promise.all([
    recordAt(from, chain, index),
    recordAt(to, chain, index),
  ]);
  if (theirs === undefined || ours === undefined || !equalBytes(theirs, ours)) {
    throw invalid(`the target's chain is not a prefix of the source's: ${chain}`);
  }
}

async function recordAt(
  store: ChainStore,
  chain: string,
  index: number,
): Promise<Uint8Array | undefined> {
  for await (const { record } of store.read(chain, { from: index, limit: 1 })) return record;
  return undefined;
}

async function verifyWhile(
  records: AsyncIterable<ChainRecord>,
  genesis: Uint8Array,
  size: number,
  { kinds, contracts, checkpoint, trust }: CopyOptions,
): Promise<VerifiedLedger> {
  const result = await verifyRecords(records, size, {
    genesis,
    ...(kinds === undefined ? {} : { kinds }),
    ...(contracts === undefined ? {} : { contracts }),
    ...(checkpoint === undefined ? {} : { checkpoint }),
    ...(trust === undefined ? {} : { trust }),
  });
  if (result.ok) return result;
  const { reason, height } = result;
  const where = height === undefined ? "the checkpoint" : `block ${height}`;
  throw new ChainError("ERR_CHAIN_INVALID", `the source is invalid at ${where}: ${reason}`);
}

async function headsOf(chains: ChainStore): Promise<Map<string, Head>> {
  const heads = new Map<string, Head>();
  for await (const chain of chains.list()) heads.set(chain, await chains.head(chain));
  return heads;
}

async function assertUnchanged(chains: ChainStore, before: Map<string, Head>): Promise<void> {
  const after = await headsOf(chains);
  const same = [...after].every(([chain, head]) => {
    const old = before.get(chain);
    return old !== undefined && sameHead(old, head);
  });
  if (!same || after.size !== before.size) {
    throw new StorageError(
      "ERR_STORAGE_CONFLICT",
      "the source was written to while it was copied; close every user of it and call again",
    );
  }
}

function asFullTarget({ chains, blobs, state }: StorageAdapter, name: string): FullTarget {
  if (!chains || !blobs || !state) {
    throw new TypeError(`\`${name}\` must be a storage with chains, blobs and state`);
  }
  return { chains, blobs, state };
}

function invalid(message: string): InputError {
  return new InputError("ERR_INPUT_INVALID", message);
}
