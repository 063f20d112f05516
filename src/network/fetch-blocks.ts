import { equalBytes } from "../bytes/compare.ts";
import { decodeHeader } from "../block/header.ts";
import { readBlock } from "../chain/apply-block.ts";
import type { TreeHead } from "../chain/connection.ts";
import { holdsItsTransactions } from "../chain/stored-block.ts";
import { ChainError, LedgerError, TransportError } from "../errors.ts";
import { leafHash } from "../merkle/hash.ts";
import type { TileTree } from "../merkle/tile-tree.ts";
import { TILE_WIDTH, tileWidth } from "../merkle/tile.ts";
import type { LedgerPeer } from "../transport/types.ts";
import type { PeerList } from "./peer-list.ts";
import { peerTree } from "./peer-tree.ts";

/** A block whose header is the leaf at its height, with all its transactions, and who gave it. */
export interface FetchedBlock {
  readonly bytes: Uint8Array;
  readonly peer: LedgerPeer;
  /** The tree under the checkpoint, as that peer has it. */
  readonly tree: TileTree;
}

/** Bytes of a bundle that are fetched before its turn. */
const AHEAD_BYTES: number = 8 * 1024 * 1024;

interface Ahead {
  readonly blocks: Promise<readonly FetchedBlock[] | undefined>;
  stop(): void;
}

/**
 * Fetches the blocks under a checkpoint in order, each bundle from another peer. Where one fails, or
 * gives what is not under the checkpoint, the next one goes on.
 *
 * @throws {LedgerError} the last peer's fault, when none is left
 */
export async function* fetchBlocks(
  head: TreeHead,
  from: number,
  peers: PeerList,
  signal: AbortSignal,
): AsyncIterable<FetchedBlock> {
  const trees = new Map<LedgerPeer, TileTree>();
  const ahead = new Map<number, Ahead>();
  const left = new AbortController();
  const inner = AbortSignal.any([signal, left.signal]);

  function treeOf(peer: LedgerPeer): TileTree {
    let tree = trees.get(peer);
    if (tree === undefined) trees.set(peer, (tree = peerTree(head, peer, inner)));
    return tree;
  }

  /** A bundle's blocks from one peer, those from a height on. */
  async function* bundleOf(
    peer: LedgerPeer,
    index: number,
    first: number,
    ending: AbortSignal,
  ): AsyncIterable<FetchedBlock> {
    const tree = treeOf(peer);
    const hashes = await tree.readTile({ level: 0, index });
    const width = tileWidth({ level: 0, index }, head.size);
    let at = 0;
    for await (const bytes of blocksOf(peer, index, width, ending)) {
      const height = index * TILE_WIDTH + at;
      if (!isBlockOf(bytes, hashes[at]!)) {
        throw new ChainError(
          "ERR_CHAIN_INVALID",
          `a peer's block ${height} is not the one under the checkpoint`,
        );
      }
      at++;
      if (height >= first) yield { bytes, peer, tree };
      if (at === width) return;
    }
    throw new TransportError(
      "ERR_TRANSPORT_MALFORMED",
      "a bundle has fewer blocks than were asked for",
    );
  }

  /** Begins to fetch a bundle; gives up on one that is too large to wait in memory. */
  function fetchAhead(peer: LedgerPeer, index: number): void {
    const stopping = new AbortController();
    const ending = AbortSignal.any([inner, stopping.signal]);
    const blocks = (async () => {
      const found: FetchedBlock[] = [];
      let bytes = 0;
      for await (const block of bundleOf(peer, index, 0, ending)) {
        bytes += block.bytes.length;
        if (bytes > AHEAD_BYTES) return undefined;
        found.push(block);
      }
      return found;
    })().catch((error: unknown) => {
      if (!ending.aborted) blame(peer, error);
      return undefined;
    });
    ahead.set(index, { blocks, stop: () => stopping.abort() });
  }

  function blame(peer: LedgerPeer, error: unknown): LedgerError {
    if (!(error instanceof LedgerError)) throw error;
    trees.delete(peer);
    peers.fault(peer, error);
    return error;
  }

  let next = from;
  try {
    while (next < head.size) {
      const index = Math.floor(next / TILE_WIDTH);
      const waiting = ahead.get(index);
      ahead.delete(index);
      const [first, ...others] = peers.ready();
      const bundles = Math.ceil(head.size / TILE_WIDTH);
      for (const [i, peer] of others.entries()) {
        const later = index + 1 + i;
        if (later < bundles && !ahead.has(later)) fetchAhead(peer, later);
      }
      const fetched = await waiting?.blocks;
      if (fetched !== undefined && next === index * TILE_WIDTH) {
        for (const block of fetched) {
          next++;
          yield block;
        }
        continue;
      }
      if (first === undefined) throw noneLeft();
      try {
        for await (const block of bundleOf(first, index, next, inner)) {
          next++;
          yield block;
        }
        peers.good(first);
      } catch (error) {
        signal.throwIfAborted();
        const fault = blame(first, error);
        if (peers.ready().length === 0) throw fault;
      }
    }
  } finally {
    left.abort();
    for (const { stop } of ahead.values()) stop();
  }
}

async function* blocksOf(
  peer: LedgerPeer,
  index: number,
  width: number,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  let given = 0;
  try {
    for await (const bytes of peer.blocks({ index, width }, { signal })) {
      given++;
      yield bytes;
    }
  } catch (error) {
    const isGone = error instanceof TransportError && error.code === "ERR_TRANSPORT_NOT_FOUND";
    if (!isGone || given > 0 || width === TILE_WIDTH) throw error;
    yield* peer.blocks({ index, width: TILE_WIDTH }, { signal });
  }
}

function isBlockOf(bytes: Uint8Array, leaf: Uint8Array): boolean {
  const block = readBlock(bytes);
  if (block === undefined || !equalBytes(leafHash(block.header), leaf)) return false;
  try {
    return holdsItsTransactions(block, decodeHeader(block.header));
  } catch (error) {
    if (error instanceof LedgerError) return false;
    throw error;
  }
}

function noneLeft(): TransportError {
  return new TransportError("ERR_TRANSPORT_FAILED", "no peer can be asked at the moment");
}
