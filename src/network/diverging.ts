import { decodeBlock } from "../block/block.ts";
import { decodeHeader } from "../block/header.ts";
import { equalBytes } from "../bytes/compare.ts";
import type { Chain } from "../chain/chain.ts";
import type { TreeHead } from "../chain/connection.ts";
import { MAX_DIVERGING, type DivergingHeaders, type KnownForks } from "../chain/known-forks.ts";
import { LedgerError, ProofError } from "../errors.ts";
import { frontierFrom, frontierRoot } from "../merkle/frontier.ts";
import { leafHash } from "../merkle/hash.ts";
import { peakIds } from "../merkle/proof.ts";
import type { TileTree } from "../merkle/tile-tree.ts";
import { TILE_WIDTH, tileWidth } from "../merkle/tile.ts";
import type { LedgerPeer } from "../transport/types.ts";
import { peerTree } from "./peer-tree.ts";

/** Milliseconds for which headers of another history are waited for. */
const WITHIN = 10_000;

/**
 * If a checkpoint froze the copy, keeps headers of both histories, as far as the peer gives them in time. The
 * evidence is kept already, and holds without them.
 */
export async function keepDivergingHeaders(
  copy: {
    readonly chain: Chain;
    readonly forks: KnownForks;
    readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  },
  other: TreeHead,
  peer: LedgerPeer,
  outer: AbortSignal,
): Promise<void> {
  const { chain, forks, sleep } = copy;
  if (forks.fork === undefined || forks.isDeciding) return;
  const ended = new AbortController();
  const signal = AbortSignal.any([outer, ended.signal]);
  const asked = divergingHeaders(chain, other, peer, signal);
  try {
    const found = await Promise.race([asked, sleep(WITHIN, signal)]);
    if (found !== undefined) await forks.keepDiverging(found);
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
  } finally {
    ended.abort();
    asked.catch(() => undefined);
  }
}

/**
 * Fetches headers under a checkpoint of another history, from the first height at which they differ
 * from a chain's, or that the chain does not have. Each is proved to be under the checkpoint.
 *
 * @returns at most 256 headers of each; `undefined` if the checkpoint is of the chain's history and no larger
 * @throws {LedgerError} when the peer does not give them
 */
async function divergingHeaders(
  chain: Chain,
  other: TreeHead,
  peer: LedgerPeer,
  signal: AbortSignal,
): Promise<DivergingHeaders | undefined> {
  const tree = peerTree(other, peer, signal);
  const from = await commonSize(chain, other, tree);
  const headers: Uint8Array[] = [];
  const end = Math.min(other.size, from + MAX_DIVERGING);
  if (from >= end) return undefined;
  for (let index = Math.floor(from / TILE_WIDTH); index * TILE_WIDTH < end; index++) {
    const width = tileWidth({ level: 0, index }, other.size);
    const leaves = await tree.readTile({ level: 0, index });
    const given = await peer.headers({ index, width }, { signal });
    for (const [i, header] of given.entries()) {
      const height = index * TILE_WIDTH + i;
      if (height < from || height >= end) continue;
      if (!equalBytes(leafHash(header), leaves[i]!)) {
        throw new ProofError(
          "ERR_PROOF_INVALID",
          "a peer's header is not the one under its checkpoint",
        );
      }
      decodeHeader(header);
      headers.push(header.slice());
    }
  }
  const own: Uint8Array[] = [];
  for await (const block of chain.readBlocks({ from, limit: MAX_DIVERGING })) {
    own.push(decodeBlock(block).header.slice());
  }
  return { from, headers, own };
}

/** How many blocks two histories have in common, as far as the chain goes. */
async function commonSize(chain: Chain, other: TreeHead, tree: TileTree): Promise<number> {
  let common = 0;
  let apart = Math.min(chain.size, other.size) + 1;
  while (apart - common > 1) {
    const size = Math.floor((common + apart) / 2);
    const peaks = await tree.readNodes(peakIds(size));
    if (peaks.some((peak) => peak === undefined)) {
      throw new ProofError("ERR_PROOF_UNAVAILABLE", "a node of the tree is missing");
    }
    const root = frontierRoot(frontierFrom(size, peaks as Uint8Array[]));
    if (equalBytes(root, await chain.rootAt(size))) common = size;
    else apart = size;
  }
  return common;
}
