import { decodeHeader, type Header } from "../block/header.ts";
import { equalBytes } from "../bytes/compare.ts";
import type { TreeHead } from "../chain/connection.ts";
import { ChainError, EncodingError } from "../errors.ts";
import { leafHash } from "../merkle/hash.ts";
import { TILE_WIDTH, tileWidth } from "../merkle/tile.ts";
import type { LedgerPeer } from "../transport/types.ts";
import { orFull, peerTree } from "./peer-tree.ts";

/**
 * Fetches a bundle of headers, and proves each to be under a checkpoint.
 *
 * @throws {LedgerError} the peer's fault
 */
export async function fetchHeaders(
  head: TreeHead,
  peer: LedgerPeer,
  index: number,
  signal: AbortSignal,
): Promise<readonly Header[]> {
  const width = tileWidth({ level: 0, index }, head.size);
  const ask = (width: number) => peer.headers({ index, width }, { signal });
  const given = await orFull(
    () => ask(width),
    width,
    () => ask(TILE_WIDTH),
  );
  const leaves = await peerTree(head, peer, signal).readTile({ level: 0, index });
  return leaves.map((leaf, i) => {
    if (equalBytes(leafHash(given[i]!), leaf)) return readHeader(given[i]!);
    throw new ChainError("ERR_CHAIN_INVALID", "a peer's header is not under the checkpoint");
  });
}

/** @throws {ChainError} `ERR_CHAIN_INVALID` when the bytes are no header */
export function readHeader(bytes: Uint8Array): Header {
  try {
    return decodeHeader(bytes);
  } catch (error) {
    if (!(error instanceof EncodingError)) throw error;
    throw new ChainError("ERR_CHAIN_INVALID", "a peer's header is malformed");
  }
}
