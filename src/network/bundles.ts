import { decodeBlock } from "../block/block.ts";
import { concatBytes } from "../bytes/concat.ts";
import type { Chain } from "../chain/chain.ts";

/** The heights of a tile of level 0. */
export interface BundleRange {
  readonly from: number;
  readonly limit: number;
}

/** The bytes of a bundle of headers: each after its length in two bytes. */
export async function* headerBundle(
  chain: Pick<Chain, "readBlocks">,
  range: BundleRange,
): AsyncIterable<Uint8Array> {
  for await (const bytes of chain.readBlocks(range)) {
    const { header } = decodeBlock(bytes);
    yield concatBytes(Uint8Array.of(header.length >> 8, header.length & 255), header);
  }
}

/** The bytes of a bundle of blocks: each after its length in four bytes. */
export async function* blockBundle(
  chain: Pick<Chain, "readBlocks">,
  range: BundleRange,
): AsyncIterable<Uint8Array> {
  for await (const bytes of chain.readBlocks(range)) {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, bytes.length);
    yield length;
    yield bytes;
  }
}
