import { TransportError } from "../errors.ts";

/** What a transport takes from its surroundings, so that tests decide them. */
export interface Surroundings {
  /** Clock in ms since any moment; must not run backwards. */
  readonly now: () => number;
  /** Resolves after so many ms, or as soon as the signal aborts, and leaves no timer then. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Pieces up to so many bytes are copied into rooms of so many. */
const SMALL = 4096;
const ROOM: number = 64 * 1024;

/** How long an answer may take. */
export interface Pace {
  /** Milliseconds for an answer to begin, and for each pause in it. */
  readonly deadline: number;
  /** Bytes per second that a body must have on the average, after the deadline has passed. */
  readonly leastRate: number;
}

/**
 * Runs work that must end within some ms, and aborts it otherwise.
 *
 * @throws {TransportError} `ERR_TRANSPORT_TIMEOUT`
 */
export async function withDeadline<T>(
  work: (signal: AbortSignal) => Promise<T>,
  ms: number,
  { sleep }: Surroundings,
  outer: AbortSignal | undefined,
): Promise<T> {
  outer?.throwIfAborted();
  const ending = new AbortController();
  const abort = (): void => ending.abort(outer!.reason);
  outer?.addEventListener("abort", abort);
  const timer = new AbortController();
  const late = sleep(ms, timer.signal).then(() => {
    if (timer.signal.aborted) return new Promise<never>(() => undefined);
    const error = new TransportError("ERR_TRANSPORT_TIMEOUT", "the peer did not answer in time");
    ending.abort(error);
    throw error;
  });
  const cancelled = new Promise<never>((_, reject) => {
    ending.signal.addEventListener("abort", () => reject(ending.signal.reason));
  });
  // Whichever ends first counts; work that ignores its signal is left behind.
  late.catch(() => undefined);
  cancelled.catch(() => undefined);
  try {
    return await Promise.race([work(ending.signal), late, cancelled]);
  } finally {
    timer.abort();
    outer?.removeEventListener("abort", abort);
  }
}

/** The bytes of a body, of which at most `most` are accepted; keeps to the pace, and cancels what it leaves. */
export interface BodyReader {
  /** Exactly `length` bytes; fewer only if the body ends before the first of them, and then none. */
  take(length: number): Promise<Uint8Array | undefined>;
  /** All that is left. */
  rest(): Promise<Uint8Array>;
  /** Stops reading. */
  cancel(): void;
}

/**
 * Reads a body piece by piece.
 *
 * @param most - bytes, counted as they arrive: after decompression
 */
export function bodyReader(
  body: ReadableStream<Uint8Array> | null,
  most: number,
  pace: Pace,
  surroundings: Surroundings,
  signal: AbortSignal | undefined,
): BodyReader {
  const reader = body?.getReader();
  const chunks: Uint8Array[] = [];
  let held = 0;
  let room = new Uint8Array(0);
  let used = 0;
  let received = 0;
  let waited = 0;
  let ended = reader === undefined;

  /** Reads one more chunk; resolves to `false` at the end. */
  async function more(): Promise<boolean> {
    if (ended) return false;
    // Only the time spent waiting counts: a reader that is slow itself must not blame the peer.
    const from = surroundings.now();
    const allowed = pace.deadline + (received / pace.leastRate) * 1000 - waited;
    const { done, value } = await withDeadline(
      () => reader!.read(),
      Math.max(1, Math.min(pace.deadline, allowed)),
      surroundings,
      signal,
    );
    waited += surroundings.now() - from;
    if (done) {
      ended = true;
      return false;
    }
    received += value.length;
    if (received > most) {
      throw new TransportError(
        "ERR_TRANSPORT_TOO_LARGE",
        "the answer is larger than what was asked for",
      );
    }
    // Waited for in time each, but too few bytes in all.
    if (waited > pace.deadline + (received / pace.leastRate) * 1000) {
      throw new TransportError("ERR_TRANSPORT_TIMEOUT", "the peer answers too slowly");
    }
    hold(value);
    return true;
  }

  /** Small pieces are put together, since each costs far more than its bytes. */
  function hold(chunk: Uint8Array): void {
    held += chunk.length;
    if (chunk.length > SMALL) {
      chunks.push(chunk);
      return;
    }
    const last = chunks.at(-1);
    if (room.length - used < chunk.length) {
      room = new Uint8Array(ROOM);
      used = 0;
    }
    room.set(chunk, used);
    const isNext =
      last?.buffer === room.buffer && last.byteOffset + last.length === room.byteOffset + used;
    if (isNext) chunks.pop();
    const from = isNext ? last.byteOffset - room.byteOffset : used;
    used += chunk.length;
    chunks.push(room.subarray(from, used));
  }

  function shift(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const [first] = chunks as [Uint8Array];
      const part = first.subarray(0, length - at);
      bytes.set(part, at);
      at += part.length;
      if (part.length === first.length) chunks.shift();
      else chunks[0] = first.subarray(part.length);
    }
    held -= length;
    return bytes;
  }

  async function guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      cancel();
      signal?.throwIfAborted();
      if (error instanceof TransportError) throw error;
      throw new TransportError("ERR_TRANSPORT_MALFORMED", "the answer broke off", { cause: error });
    }
  }

  function cancel(): void {
    if (ended) return;
    ended = true;
    reader!.cancel().catch(() => undefined);
  }

  return {
    take: (length) =>
      guarded(async () => {
        while (held < length) {
          if (await more()) continue;
          if (held === 0) return undefined;
          throw new TransportError("ERR_TRANSPORT_MALFORMED", "the answer is cut short");
        }
        return shift(length);
      }),
    rest: () =>
      guarded(async () => {
        while (await more());
        return shift(held);
      }),
    cancel,
  };
}
