/** Byte strings that go to another thread as one. */
export interface Packed {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly lengths: readonly number[];
}

/** Copies byte strings into one. */
export function pack(all: readonly Uint8Array[]): Packed {
  const lengths = all.map(({ length }) => length);
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const one of all) {
    bytes.set(one, at);
    at += one.length;
  }
  return { bytes, lengths };
}

/**
 * Takes packed byte strings apart, in their order; each is a view.
 *
 * @throws {RangeError} when the lengths are not those of the bytes, or more is taken than there is
 */
export function takeFrom({ bytes, lengths }: Packed): () => Uint8Array {
  if (lengths.reduce((sum, length) => sum + length, 0) !== bytes.length) {
    throw new RangeError("the lengths are not those of the bytes");
  }
  let at = 0;
  let next = 0;
  return () => {
    const length = lengths[next++];
    if (length === undefined) throw new RangeError("nothing is left");
    return bytes.subarray(at, (at += length));
  };
}
