/** Reads a stream of chunks as one byte string, holding in memory only the bytes asked for. */
export interface ByteReader {
  /** Number of bytes taken so far. */
  readonly position: number;
  /**
   * Waits until `length` bytes are available, and returns the available bytes without taking them.
   *
   * @returns at least `length` bytes, or fewer if the stream has ended; borrowed
   */
  peek(length: number): Promise<Uint8Array>;
  /**
   * Takes bytes.
   *
   * @returns `length` newly allocated bytes, or `undefined` if the stream ends before them
   */
  take(length: number): Promise<Uint8Array | undefined>;
  /** Releases the stream. */
  close(): Promise<void>;
}

/** Makes a {@link ByteReader} of chunks of any size; they are borrowed until read. */
export function byteReader(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): ByteReader {
  const chunks =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  let waiting: Uint8Array[] = [];
  let available = 0;
  let position = 0;
  let ended = false;

  async function fill(length: number): Promise<void> {
    while (available < length && !ended) {
      const next = await chunks.next();
      if (next.done === true) {
        ended = true;
      } else {
        if (!(next.value instanceof Uint8Array)) throw new TypeError("chunks must be Uint8Array");
        if (next.value.length === 0) continue;
        waiting.push(next.value);
        available += next.value.length;
      }
    }
  }

  function join(length: number): Uint8Array {
    const joined = new Uint8Array(length);
    let at = 0;
    for (const chunk of waiting) {
      if (at === length) break;
      const part = chunk.length > length - at ? chunk.subarray(0, length - at) : chunk;
      joined.set(part, at);
      at += part.length;
    }
    return joined;
  }

  function drop(length: number): void {
    let rest = length;
    let whole = 0;
    while (whole < waiting.length && rest >= waiting[whole]!.length) {
      rest -= waiting[whole]!.length;
      whole++;
    }
    waiting = waiting.slice(whole);
    if (rest > 0) waiting[0] = waiting[0]!.subarray(rest);
    available -= length;
    position += length;
  }

  return {
    get position() {
      return position;
    },
    async peek(length) {
      await fill(length);
      const first = waiting[0];
      if (first !== undefined && first.length >= length) return first;
      return join(Math.min(length, available));
    },
    async take(length) {
      await fill(length);
      if (available < length) return undefined;
      const taken = join(length);
      drop(length);
      return taken;
    },
    async close() {
      ended = true;
      waiting = [];
      available = 0;
      await chunks.return?.();
    },
  };
}
