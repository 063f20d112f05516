import { closedError } from "../guards.ts";
import type { Session, Sessions } from "./session.ts";

/** The calls of an open store, each on a connection of its own. */
export interface Calls {
  readonly isClosed: boolean;
  /** @throws {StorageError} `ERR_STORAGE_CLOSED` */
  assertOpen(): void;
  /**
   * Borrows a connection for some work.
   *
   * @throws {StorageError} `ERR_STORAGE_CLOSED`
   */
  use: Sessions["use"];
  /** Lets `close` wait for a call. */
  track<T>(call: Promise<T>): Promise<T>;
  /** Calls back once, when `close` is first called; the returned function cancels this. */
  onClose(listener: () => void): () => void;
  /** Refuses further calls; resolves when those in progress have ended. */
  close(): Promise<void>;
}

/** Starts counting calls. */
export function openCalls(sessions: Sessions): Calls {
  const pending = new Set<Promise<unknown>>();
  const listeners = new Set<() => void>();
  let closing: Promise<void> | undefined;

  function assertOpen(): void {
    if (closing) throw closedError();
  }

  function track<T>(call: Promise<T>): Promise<T> {
    pending.add(call);
    const done = (): void => void pending.delete(call);
    call.then(done, done);
    return call;
  }

  return {
    get isClosed() {
      return closing !== undefined;
    },
    assertOpen,
    use<T>(work: (session: Session) => Promise<T>, options?: { readonly last: boolean }) {
      assertOpen();
      return track(sessions.use(work, options));
    },
    track,
    onClose(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close() {
      if (closing === undefined) {
        closing = Promise.allSettled([...pending]).then(() => {});
        for (const call of [...listeners]) call();
      }
      return closing;
    },
  };
}
