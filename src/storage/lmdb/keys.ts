/** Writes an unsigned integer of up to 53 bits as 8 big-endian bytes, which order like numbers. */
export function uint64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  putUint(bytes, 0, 8, value);
  return bytes;
}

/** Reads what {@link uint64} wrote. */
export function readUint64(bytes: Uint8Array, offset = 0): number {
  return readUint(bytes, offset, 8);
}

/** Writes an unsigned integer big-endian into `length` bytes. */
export function putUint(bytes: Uint8Array, offset: number, length: number, value: number): void {
  for (let i = offset + length - 1; i >= offset; i--) {
    bytes[i] = value % 256;
    value = Math.floor(value / 256);
  }
}

/** Reads an unsigned big-endian integer of `length` bytes. */
export function readUint(bytes: Uint8Array, offset: number, length: number): number {
  let value = 0;
  for (let i = offset; i < offset + length; i++) value = value * 256 + bytes[i]!;
  return value;
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
