import { openCalls, type Calls } from "../calls.ts";
import type { Session, Sessions } from "./session.ts";

/** The calls of an open store, each on a connection of its own. */
export interface SessionCalls extends Calls {
  /**
   * Borrows a connection for some work.
   *
   * @throws {StorageError} `ERR_STORAGE_CLOSED`
   */
  use: Sessions["use"];
}

/** Starts counting calls. */
export function openSessionCalls(sessions: Sessions): SessionCalls {
  const calls = openCalls();
  return Object.assign(calls, {
    use<T>(work: (session: Session) => Promise<T>, options?: { readonly last: boolean }) {
      calls.assertOpen();
      return calls.track(sessions.use(work, options));
    },
  });
}
