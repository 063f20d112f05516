/**
 * A set of strings in code unit order, in chunks, so that inserting into a million takes
 * microseconds. Byte keys are stored with one character per byte, which keeps their order.
 */
export interface SortedKeys {
  add(key: string): void;
  remove(key: string): void;
  /** The first key at or after `key`. */
  from(key: string): string | undefined;
  /** The last key before `key`. */
  before(key: string): string | undefined;
  /** The first key after `key`. */
  after(key: string): string | undefined;
}

const CHUNK = 512;

/** Index of the first element that is not less than `key`. */
function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Makes an empty set. */
export function sortedKeys(): SortedKeys {
  const chunks: string[][] = [[]];

  /** Index of the chunk that contains `key`, or where it belongs. */
  function chunkOf(key: string): number {
    let low = 0;
    let high = chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (chunks[middle]![0]! <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  function from(key: string): string | undefined {
    const at = chunkOf(key);
    const chunk = chunks[at]!;
    return chunk[lowerBound(chunk, key)] ?? chunks[at + 1]?.[0];
  }

  return {
    add(key) {
      const at = chunkOf(key);
      const chunk = chunks[at]!;
      const index = lowerBound(chunk, key);
      if (chunk[index] === key) return;
      chunk.splice(index, 0, key);
      if (chunk.length > CHUNK) chunks.splice(at + 1, 0, chunk.splice(CHUNK / 2));
    },
    remove(key) {
      const at = chunkOf(key);
      const chunk = chunks[at]!;
      const index = lowerBound(chunk, key);
      if (chunk[index] !== key) return;
      chunk.splice(index, 1);
      if (chunk.length === 0 && chunks.length > 1) chunks.splice(at, 1);
    },
    from,
    before(key) {
      const at = chunkOf(key);
      const chunk = chunks[at]!;
      return chunk[lowerBound(chunk, key) - 1] ?? chunks[at - 1]?.at(-1);
    },
    after: (key) => from(key + "\0"),
  };
}
