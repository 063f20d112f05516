import { closedError } from "./guards.ts";

/** The calls of an open store. */
export interface Calls {
  readonly isClosed: boolean;
  /** @throws {StorageError} `ERR_STORAGE_CLOSED` */
  assertOpen(): void;
  /** Lets `close` wait for a call. */
  track<T>(call: Promise<T>): Promise<T>;
  /** Calls back once, when `close` is first called; the returned function cancels this. */
  onClose(listener: () => void): () => void;
  /** Refuses further calls; resolves when those in progress have ended. */
  close(): Promise<void>;
}

/**
 * Starts counting calls.
 *
 * @param finish - awaited by `close` once the calls in progress have ended
 */
export function openCalls(finish: () => Promise<void> = async () => {}): Calls {
  const pending = new Set<Promise<unknown>>();
  const listeners = new Set<() => void>();
  let closing: Promise<void> | undefined;

  return {
    get isClosed() {
      return closing !== undefined;
    },
    assertOpen() {
      if (closing) throw closedError();
    },
    track(call) {
      pending.add(call);
      const done = (): void => void pending.delete(call);
      call.then(done, done);
      return call;
    },
    onClose(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close() {
      if (closing === undefined) {
        closing = Promise.allSettled([...pending]).then(finish);
        for (const call of [...listeners]) call();
      }
      return closing;
    },
  };
}
