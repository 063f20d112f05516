import { equalBytes } from "../bytes/compare.ts";
import { sha256 } from "#crypto";
import { ledgerId } from "../block/genesis.ts";
import { MAX_BLOCK_BYTES } from "../block/limits.ts";
import { readCar } from "../codec/car.ts";
import { encode } from "../codec/dag-cbor.ts";
import { ChainError, InputError } from "../errors.ts";
import { appendLeaf, emptyFrontier, frontierRoot, type Frontier } from "../merkle/frontier.ts";
import { leafHash } from "../merkle/hash.ts";
import type { StorageAdapter } from "../storage/types.ts";
import { readBlock } from "./apply-block.ts";
import { encodeBlockRecord } from "./block-record.ts";
import { blocksChain } from "./chain.ts";
import { COPY_KEY } from "./copy-mark.ts";
import { verifyExport, type VerifyExportOptions } from "./export.ts";
import type { VerifiedLedger } from "./verify-ledger.ts";

/** Options of {@link importLedger}. */
export interface ImportLedgerOptions extends Omit<VerifyExportOptions, "ledger"> {
  /** Where the copy goes: empty, or with an older copy of the same ledger. Needs `chains` and `state`. */
  readonly storage: StorageAdapter;
  /** The genesis record that the reader trusts. */
  readonly genesis: Uint8Array;
}

/** A ledger that was taken from an export into a store. */
export interface ImportedLedger extends VerifiedLedger {
  /** The signed checkpoint of the export, which the ledger's policy accepts. */
  readonly checkpoint: Uint8Array;
  /** Blocks that the store did not have before. */
  readonly added: number;
}

/** A misspelt `trust` would otherwise count as none. */
const OPTIONS: Readonly<Record<keyof ImportLedgerOptions, true>> = {
  storage: true,
  genesis: true,
  trust: true,
  kinds: true,
  contracts: true,
  scratch: true,
  maxState: true,
  onProgress: true,
  signal: true,
};

/** Records that are written in one step, and their bytes. */
const WRITTEN_TOGETHER = 512;
const BYTES_TOGETHER: number = 8 * 1024 * 1024;

/**
 * Verifies an export, as `verifyExport` does, and then copies its blocks into a store, where
 * `openChain`, or `openLedger` with `readOnly`, opens them: a reader's own copy of the ledger. A later
 * export brings the copy up to date. Envelopes are never in an export, so nothing of a patient is.
 *
 * Nothing is written before the whole export has been verified. Nothing else may write to the store
 * meanwhile; where this was interrupted, opening refuses the store until the call is made again.
 *
 * @param source - the export's bytes, or what reads them from the beginning, which is called twice
 * @throws {TypeError} for an unknown option
 * @throws {ChainError} `ERR_CHAIN_INVALID` when the export does not verify, or is of another history
 *   than the copy in the store
 * @throws {InputError} `ERR_INPUT_INVALID` when the store holds an unfinished copy of something else, or
 *   of a longer export; `ERR_INPUT_TOO_LARGE` as `verifyExport` does
 * @example
 * const { checkpoint } = await importLedger(car, { storage: memoryStorage(), genesis });
 */
export async function importLedger(
  source: Uint8Array | (() => AsyncIterable<Uint8Array>),
  given: ImportLedgerOptions,
): Promise<ImportedLedger> {
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(OPTIONS, name)) throw new TypeError(`importLedger has no option ${name}`);
  }
  const { storage, genesis, ...options } = given;
  const { chains, state } = storage;
  if (chains === undefined || state === undefined) {
    throw new TypeError("a copy of a ledger needs a storage with chains and state");
  }
  const read = source instanceof Uint8Array ? () => once(source.slice()) : source;
  const ledger = ledgerId(genesis);
  const name = blocksChain(ledger);
  const mark = encode(["import", name]);
  const old = await state.get(COPY_KEY);
  if (old !== undefined && !equalBytes(old, mark)) {
    throw unfinished("the store holds an unfinished copy of another kind");
  }
  const verified = await verifyExport(read(), { ...options, ledger });
  if (!verified.ok) {
    const { reason, height } = verified;
    const where = height === undefined ? "" : ` at block ${height}`;
    throw new ChainError("ERR_CHAIN_INVALID", `the export does not verify${where}: ${reason}`);
  }
  const { ok: _, ...what } = verified;
  const before = await chains.head(name);
  let head = before;
  let checkpoint: Uint8Array | undefined;
  let frontier: Frontier = emptyFrontier;
  let last: Uint8Array | undefined;
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  async function write(): Promise<void> {
    if (waiting.length === 0) return;
    head = await chains!.append(name, head, waiting);
    waiting = [];
    bytes = 0;
  }
  const { maxBatch, maxAppendBytes } = chains.caps;
  const most = Math.min(WRITTEN_TOGETHER, maxBatch);
  const mostBytes = Math.min(BYTES_TOGETHER, maxAppendBytes);
  for await (const block of blocksOf(read(), (note) => (checkpoint = note))) {
    const header = readBlock(block)?.header;
    if (header === undefined) break;
    frontier = appendLeaf(frontier, leafHash(header)).frontier;
    last = encodeBlockRecord({ block, peaks: frontier.peaks });
    const { size } = frontier;
    if (size < before.size) continue;
    if (size === before.size) {
      if (!equalBytes(sha256(last), before.hash!)) throw otherHistory();
      continue;
    }
    if (size === before.size + 1) await state.batch([{ key: COPY_KEY, value: mark }]);
    if (waiting.length >= most || (waiting.length > 0 && bytes + last.length > mostBytes)) {
      await write();
    }
    waiting.push(last);
    bytes += last.length;
  }
  await write();
  if (frontier.size !== what.size || !equalBytes(frontierRoot(frontier), what.root)) {
    // The mark stays: what was written was not what had been verified.
    throw new ChainError("ERR_CHAIN_INVALID", "the export changed while it was read");
  }
  if (old !== undefined && frontier.size < before.size) {
    // It proves nothing of what the interrupted call wrote behind it.
    throw unfinished("the store holds an unfinished copy of a longer export: call again with that");
  }
  if (last !== undefined && frontier.size < before.size) {
    for await (const { record } of chains.read(name, { from: frontier.size - 1, limit: 1 })) {
      if (!equalBytes(record, last)) throw otherHistory();
    }
  }
  await state.batch([{ key: COPY_KEY, value: null }]);
  return { ...what, checkpoint: checkpoint!, added: Math.max(0, frontier.size - before.size) };
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

/** The blocks of an export, whose form was checked before: behind its header, genesis and checkpoint. */
async function* blocksOf(
  source: AsyncIterable<Uint8Array>,
  onCheckpoint: (note: Uint8Array) => void,
): AsyncIterable<Uint8Array> {
  const car = await readCar(source, { maxBlockBytes: MAX_BLOCK_BYTES + 64 });
  let at = 0;
  for await (const { bytes } of car.blocks) {
    if (at === 2) onCheckpoint(bytes);
    if (at > 2) yield bytes;
    at++;
  }
}

function unfinished(why: string): InputError {
  return new InputError("ERR_INPUT_INVALID", why);
}

function otherHistory(): ChainError {
  return new ChainError("ERR_CHAIN_INVALID", "the store holds another history than the export");
}
