import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap, expectVersion } from "../codec/shape.ts";
import { MAX_BLOCK_BYTES } from "../block/limits.ts";

/** The record of one block in a chain store. */
export interface BlockRecord {
  readonly block: Uint8Array;
  /** Peaks of the header tree with this block in it, so that opening reads one record. */
  readonly peaks: readonly Uint8Array[];
}

/** Writes a block's record. */
export function encodeBlockRecord({ block, peaks }: BlockRecord): Uint8Array {
  return encode({ v: 1, block, peaks }, { sizeHint: block.length + 40 * peaks.length + 64 });
}

/**
 * Reads a block's record.
 *
 * @param bytes - borrowed: the returned block is a view of it
 * @throws {EncodingError} when the bytes are not the canonical form of a block's record
 */
export function decodeBlockRecord(bytes: Uint8Array): BlockRecord {
  const map = expectMap(
    decode(bytes, {
      maxBytes: MAX_BLOCK_BYTES + 4096,
      maxDepth: 2,
      maxItems: 128,
      borrow: true,
    }),
    "block record",
    ["v", "block", "peaks"],
  );
  expectVersion(map["v"], "block record");
  return {
    block: expectBytes(map["block"], "block record.block"),
    peaks: expectArray(map["peaks"], "block record.peaks", 53).map((peak) =>
      expectBytes(peak, "block record.peaks", 32).slice(),
    ),
  };
}
