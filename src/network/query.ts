import { MAX_WAIT } from "../transport/http.ts";
import { Status } from "./status.ts";

/**
 * A number of a query in its one form; `undefined` if it is not given.
 *
 * @throws {Status} 400 for anything else
 */
export function numberOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const value = /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value)) throw new Status(400);
  return value;
}

/** Whole seconds for which a caller lets us wait. */
export function waitOf(query: URLSearchParams): number {
  const seconds = numberOf(query, "wait") ?? 0;
  if (seconds > MAX_WAIT) throw new Status(400);
  return seconds;
}

/** Resolves once what is waited for is there, the wait is over, or the caller is gone. */
export async function inTime(
  seconds: number,
  signal: AbortSignal,
  sleep: (ms: number, signal: AbortSignal) => Promise<void>,
  until: (ending: AbortSignal) => Promise<void>,
): Promise<void> {
  if (signal.aborted) return;
  const ending = new AbortController();
  const end = (): void => ending.abort();
  signal.addEventListener("abort", end);
  try {
    await Promise.race([sleep(seconds * 1000, ending.signal), until(ending.signal)]);
  } finally {
    end();
    signal.removeEventListener("abort", end);
  }
}
