import type { AcceptedCheckpoint } from "../chain/checkpoints.ts";
import { ChainError } from "../errors.ts";

/** The newest checkpoint, for those who wait for the next one. */
export interface NewestCheckpoint {
  readonly value: AcceptedCheckpoint | undefined;
  set(next: AcceptedCheckpoint): void;
  grown(after: number, signal: AbortSignal): Promise<void>;
  /** Lets all who wait know that none comes any more. */
  close(): void;
}

/** Starts without a checkpoint, or with one that was kept. */
export function newestCheckpoint(first?: AcceptedCheckpoint): NewestCheckpoint {
  let value = first;
  const waiting = new Set<() => void>();
  let isClosed = false;
  return {
    get value() {
      return value;
    },
    set(next) {
      value = next;
      for (const look of [...waiting]) look();
    },
    grown: (after, signal) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const isThere = signal.aborted || (value !== undefined && value.size > after);
          if (!isThere && !isClosed) return;
          waiting.delete(look);
          signal.removeEventListener("abort", look);
          if (isThere) resolve();
          else reject(new ChainError("ERR_CHAIN_CLOSED", "the ledger's source is closed"));
        };
        waiting.add(look);
        signal.addEventListener("abort", look);
        look();
      }),
    close() {
      isClosed = true;
      for (const look of [...waiting]) look();
    },
  };
}
