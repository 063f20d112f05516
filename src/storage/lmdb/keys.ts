import { corrupt } from "./errors.ts";

/** Encodes an unsigned integer of up to 53 bits as 8 big-endian bytes, which sort like numbers. */
export function uint64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  putUint32(bytes, 0, Math.floor(value / 0x1_0000_0000));
  putUint32(bytes, 4, value);
  return bytes;
}

/** Decodes what {@link uint64} encoded. */
export function readUint64(bytes: Uint8Array, offset = 0): number {
  return readUint32(bytes, offset) * 0x1_0000_0000 + readUint32(bytes, offset + 4);
}

/** Writes the lowest 32 bits of an integer big-endian. */
export function putUint32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}

/** Reads an unsigned big-endian 32-bit integer. */
export function readUint32(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset]! << 24) |
      (bytes[offset + 1]! << 16) |
      (bytes[offset + 2]! << 8) |
      bytes[offset + 3]!) >>>
    0
  );
}

/**
 * Decodes the key of a pack, which must be greater than the previous one.
 *
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when it is not: continuing after it would loop
 *   forever, or give its number to another pack
 */
export function packNumber(key: Uint8Array, after: number): number {
  const number = key.length === 8 ? readUint64(key) : 0;
  if (!(number > after && number < 2 ** 47))
    throw corrupt("the packs of the store are out of order");
  return number;
}
