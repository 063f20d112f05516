import { equalBytes } from "../bytes/compare.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { bytesToUtf8, utf8ToBytes } from "../bytes/utf8.ts";
import type { Chain } from "../chain/chain.ts";
import { readCheckpoint } from "../chain/checkpoint-note.ts";
import type { AcceptedCheckpoint } from "../chain/checkpoints.ts";
import { ALL_STEPS_BYTES, encodePolicySteps } from "../chain/follow-steps.ts";
import { POLICY_KEY } from "../chain/state.ts";
import { ChainError, InputError } from "../errors.ts";
import {
  borderTiles,
  parseTilePath,
  TILE_WIDTH,
  tilePath,
  tileWidth,
  type TileId,
} from "../merkle/tile.ts";
import type { PublishTarget } from "../transport/publish-target.ts";
import { blockBundle, headerBundle, type BundleRange } from "./bundles.ts";
import type { LedgerSource } from "./source.ts";
import { makeStateAnswer } from "./state-answer.ts";

export interface PublishLedgerOptions {
  /**
   * Whether blocks are published. `false` leaves headers only, which show times and numbers of transactions.
   * Default `true`.
   */
  readonly blocks?: boolean;
  /**
   * Keys of the ledger's state whose values, or their absence, are published with their proofs beside `sys/policy`, such as
   * `sys/member/<did>`. Name them in each call: a file that a call does not write again grows old.
   */
  readonly state?: readonly string[];
  /** Ends before the next file is written. */
  readonly signal?: AbortSignal;
}

/** What was published. */
export interface PublishedLedger {
  /** Number of blocks under the published checkpoint. */
  readonly size: number;
  /** Files that were written. */
  readonly written: number;
}

const OPTIONS: OptionsOf<PublishLedgerOptions> = {
  ...{ blocks: true, state: true, signal: true },
};

/** Names the partial tiles that are there, so that they can be removed once they are full. */
const PARTIALS = "partials";
/** Says of how many blocks all bundles are there. */
const BUNDLES = "bundles";
const MAX_PARTIALS_BYTES: number = 1024 * 1024;
const MAX_NOTE_BYTES = 1_000_000;
/** Keys of the state that are names of files everywhere. */
const STATE_KEY = /^sys(\/[A-Za-z0-9][A-Za-z0-9:-]*)+$/;

/**
 * Writes a ledger as files that a static host serves and `httpPeer` reads: what is new since the last call,
 * tiles before the checkpoint that needs them. Interrupted, it is called again.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` for an unknown option, or a key that is none
 * @throws {ChainError} `ERR_CHAIN_INVALID` when another history, or a newer checkpoint, is published there;
 *   `ERR_CHAIN_CHECKPOINT` when the ledger has no checkpoint yet
 * @example
 * const { size } = await publishLedger(source, folderTarget("/var/www/ledger"));
 */
export async function publishLedger(
  source: LedgerSource,
  target: PublishTarget,
  options: PublishLedgerOptions = {},
): Promise<PublishedLedger> {
  assertOptions(options, OPTIONS, "publishLedger");
  const { signal, blocks = true, state = [] } = options;
  if (!state.every((key) => STATE_KEY.test(key))) {
    throw new InputError("ERR_INPUT_INVALID", "`state` names what is no key of the ledger's state");
  }
  const { chain, newest } = source;
  if (newest === undefined) {
    throw new ChainError("ERR_CHAIN_CHECKPOINT", "the ledger has no checkpoint to publish");
  }
  const { size } = newest;
  if (!equalBytes(await chain.rootAt(size), newest.root)) throw otherHistory();
  const before = await publishedSize(chain, newest, target);
  let written = 0;

  async function put(path: string, bytes: AsyncIterable<Uint8Array> | Uint8Array): Promise<void> {
    signal?.throwIfAborted();
    await target.put(path, bytes instanceof Uint8Array ? only(bytes) : bytes);
    written++;
  }

  async function putTile(tile: TileId): Promise<void> {
    const hashes = await chain.readTile(tile);
    await put(tilePath(tile), joined(hashes.slice(0, tile.width)));
    if (tile.level > 0) return;
    await put(tilePath(tile, "entries"), headerBundle(chain, rangeOf(tile)));
  }

  await put("genesis", chain.genesisBytes);
  const partials = await readPartials(target);
  const border = borderTiles(size);
  for (const tile of border) partials.add(tilePath(tile));
  await put(PARTIALS, utf8ToBytes([...partials, ""].join("\n")));
  for (const tile of newTiles(before, size)) await putTile(tile);
  if (blocks) {
    const known = await readBundles(target);
    // Blocks may have been left out before, and more may be there than under the checkpoint.
    for (const tile of newTiles(Math.min(known, before), size)) {
      if (tile.level === 0) await put(tilePath(tile, "blocks"), blockBundle(chain, rangeOf(tile)));
    }
    if (known !== size) await put(BUNDLES, utf8ToBytes(`${size}\n`));
  }
  await put("policy", encodePolicySteps(chain.ledger, await source.policy(), ALL_STEPS_BYTES));
  if (size > 0) {
    for (const key of new Set([POLICY_KEY, ...state])) {
      await put(`state/${key}`, await makeStateAnswer(chain, newest, key));
    }
  }
  await put("checkpoint", newest.note);

  const kept = new Set([...border, ...borderTiles(before)].map((tile) => tilePath(tile)));
  let removed = 0;
  for (const path of partials) {
    const tile = parseTilePath(path)!;
    if (kept.has(path) || tileWidth(tile, size) < TILE_WIDTH) continue;
    signal?.throwIfAborted();
    const kinds = tile.level === 0 ? ([undefined, "entries", "blocks"] as const) : [undefined];
    for (const kind of kinds) await target.delete(tilePath(tile, kind));
    partials.delete(path);
    removed++;
  }
  if (removed > 0) await put(PARTIALS, utf8ToBytes([...partials, ""].join("\n")));
  return { size, written };
}

/**
 * The tiles that a tree has and a smaller one has not, each before the tile above it.
 */
function* newTiles(before: number, size: number): Iterable<TileId> {
  for (let level = 0; tileWidth({ level, index: 0 }, size) > 0; level++) {
    const span = TILE_WIDTH ** (level + 1);
    for (let index = Math.floor(before / span); ; index++) {
      const width = tileWidth({ level, index }, size);
      if (width === 0) break;
      if (width > tileWidth({ level, index }, before)) yield { level, index, width };
    }
  }
}

/** The number of blocks that are published already. */
async function publishedSize(
  chain: Chain,
  newest: AcceptedCheckpoint,
  target: PublishTarget,
): Promise<number> {
  const note = await target.get("checkpoint", MAX_NOTE_BYTES);
  if (note === undefined) return 0;
  const old = readCheckpoint(note);
  const isOurs =
    old !== undefined &&
    old.origin === chain.genesis.origin &&
    old.size <= newest.size &&
    equalBytes(await chain.rootAt(old.size), old.root);
  if (!isOurs) throw otherHistory();
  return old.size;
}

const rangeOf = ({ index, width }: TileId): BundleRange => ({
  from: index * TILE_WIDTH,
  limit: width,
});

/** The number of blocks of which an earlier call wrote all bundles; 0 for what is no number. */
async function readBundles(target: PublishTarget): Promise<number> {
  const bytes = await target.get(BUNDLES, MAX_PARTIALS_BYTES);
  const text = bytes === undefined ? "" : bytesToUtf8(bytes);
  return /^[1-9]\d{0,14}\n$/.test(text) ? Number(text) : 0;
}

/** The partial tiles that an earlier call wrote; a line that is none of theirs is left out. */
async function readPartials(target: PublishTarget): Promise<Set<string>> {
  const bytes = await target.get(PARTIALS, MAX_PARTIALS_BYTES);
  const lines = bytes === undefined ? [] : bytesToUtf8(bytes).split("\n");
  return new Set(
    lines.filter((line) => {
      const tile = parseTilePath(line);
      return tile !== undefined && tile.kind === "hashes" && tile.width < TILE_WIDTH;
    }),
  );
}

async function* only(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

function joined(hashes: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(32 * hashes.length);
  for (const [i, hash] of hashes.entries()) bytes.set(hash, 32 * i);
  return bytes;
}

function otherHistory(): ChainError {
  return new ChainError(
    "ERR_CHAIN_INVALID",
    "another history, or a newer checkpoint, is published there",
  );
}
