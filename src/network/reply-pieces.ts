import { withDeadline, type Surroundings } from "../transport/read-body.ts";

/** Milliseconds for each pause in a reply, and until somebody reads it. */
const PAUSE = 10_000;

/** A reply's bytes as they come. */
export interface ReplyPieces {
  readonly pieces: AsyncIterable<Uint8Array>;
  /** Resolves once nobody reads any more of them, or there are none left. */
  readonly ended: Promise<void>;
  /** Gives up what is left. */
  end(): void;
}

/**
 * Reads a reply no faster than its pieces are taken. It ends with its last piece, as soon as one side is gone, when it is
 * too slow, and when nobody begins to read it.
 *
 * @param sides - abort once a side is gone
 */
export function replyPieces(
  body: ReadableStream<Uint8Array> | null,
  sides: readonly AbortSignal[],
  pace: Surroundings & { readonly leastRate: number },
): ReplyPieces {
  const { leastRate, now, sleep } = pace;
  const reader = body?.getReader();
  const ending = new AbortController();
  const begun = new AbortController();
  let received = 0;
  /** Milliseconds spent in waiting for the sender. */
  let waited = 0;
  let finish!: () => void;
  const ended = new Promise<void>((resolve) => (finish = resolve));

  const end = (): void => {
    begun.abort();
    ending.abort();
    void reader?.cancel().catch(() => undefined);
    finish();
  };

  async function next(): Promise<IteratorResult<Uint8Array, undefined>> {
    begun.abort();
    try {
      const from = now();
      const allowed = PAUSE + (received / leastRate) * 1000 - waited;
      const read = () => reader?.read() ?? Promise.resolve({ done: true, value: undefined });
      const ms = Math.max(1, Math.min(PAUSE, allowed));
      const { value } = await withDeadline(read, ms, pace, ending.signal);
      waited += now() - from;
      if (value !== undefined) {
        received += value.length;
        return { done: false, value };
      }
    } catch (error) {
      end();
      throw error;
    }
    end();
    return { done: true, value: undefined };
  }

  for (const side of sides) {
    if (side.aborted) end();
    else side.addEventListener("abort", end, { once: true });
  }
  void sleep(PAUSE, begun.signal).then(() => {
    if (!begun.signal.aborted) end();
  });
  // No generator: one that was never read does not hear that nobody will.
  const iterator = {
    next,
    async return(): Promise<IteratorResult<Uint8Array, undefined>> {
      end();
      return { done: true, value: undefined };
    },
  };
  return { pieces: { [Symbol.asyncIterator]: () => iterator }, ended, end };
}
