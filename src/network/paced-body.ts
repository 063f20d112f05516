import type { Surroundings } from "../transport/read-body.ts";

/** Milliseconds that a caller may take for any piece. */
const DEADLINE = 10_000;
/** Pieces are put together to about so many bytes. */
const PIECE: number = 64 * 1024;

/**
 * Streams parts to a caller, and gives up on one that takes them too slowly, so that nobody holds a
 * reader of the store open by not reading.
 *
 * @param parts - read only as far as the caller takes them
 */
export function pacedBody(
  parts: AsyncIterable<Uint8Array>,
  { leastRate, now, sleep }: Surroundings & { readonly leastRate: number },
): ReadableStream<Uint8Array> {
  const reading = parts[Symbol.asyncIterator]();
  let timer = new AbortController();
  let sent = 0;
  /** Milliseconds for which the caller let us wait. */
  let waited = 0;
  let since = now();

  function startTimer(controller: ReadableStreamDefaultController<Uint8Array>): void {
    timer = new AbortController();
    const { signal } = timer;
    since = now();
    const allowed = DEADLINE + (sent / leastRate) * 1000 - waited;
    void sleep(Math.max(1, Math.min(DEADLINE, allowed)), signal).then(() => {
      if (signal.aborted) return;
      controller.error(new Error("the caller takes the answer too slowly"));
      void reading.return?.().catch(() => undefined);
    });
  }

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        timer.abort();
        waited += now() - since;
        const piece: Uint8Array[] = [];
        let length = 0;
        let done = false;
        while (length < PIECE && !done) {
          const next = await reading.next();
          done = next.done === true;
          if (next.done === true) break;
          piece.push(next.value);
          length += next.value.length;
        }
        sent += length;
        if (length > 0) controller.enqueue(together(piece, length));
        if (done) controller.close();
        else startTimer(controller);
      },
      async cancel() {
        timer.abort();
        await reading.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}

function together(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
