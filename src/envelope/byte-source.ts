/** Bytes in one piece, or in several. Each piece is borrowed until the next one is requested. */
export type ByteSource =
  Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>;

/** Reads a source piece by piece; cancels the rest of it if the reader stops early. */
export async function* chunksOf(source: ByteSource): AsyncGenerator<Uint8Array, void> {
  if (source instanceof Uint8Array) yield source;
  else if (Symbol.asyncIterator in source || Symbol.iterator in source) yield* source;
  else yield* readerOf(source);
}

/**
 * Reads a source piece by piece until a signal is aborted, even while the source is idle. A pending
 * source is then told to end, and no longer awaited.
 */
export async function* untilAborted(
  source: ByteSource,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  const pieces = chunksOf(source);
  let stopWaiting: (() => void) | undefined;
  const stop = (): void => stopWaiting?.();
  signal.addEventListener("abort", stop, { once: true });
  let isWaiting = false;
  // Not a race with one promise for all pieces: that would hold every piece until the end.
  const nextPiece = () =>
    new Promise<IteratorResult<Uint8Array, void>>((resolve, reject) => {
      stopWaiting = () => reject(signal.reason as Error);
      pieces.next().then(resolve, reject);
    });
  try {
    for (;;) {
      signal.throwIfAborted();
      isWaiting = true;
      const next = await nextPiece();
      isWaiting = false;
      stopWaiting = undefined;
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", stop);
    const ended = pieces.return();
    if (isWaiting) ended.catch(() => undefined);
    else await ended;
  }
}

/** Iterates over a `ReadableStream`, which not every browser can do natively. */
async function* readerOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const reader = stream.getReader();
  let done = false;
  try {
    for (;;) {
      const next = await reader.read();
      done = next.done;
      if (next.done) return;
      yield next.value;
    }
  } catch (error) {
    done = true;
    throw error;
  } finally {
    if (!done) await reader.cancel();
    reader.releaseLock();
  }
}

/**
 * Makes a web stream of pieces: it pulls a piece when its reader requests one, and ends the source
 * when it is cancelled.
 */
export function toReadableStream(source: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const pieces = source[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await pieces.next();
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        await pieces.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
