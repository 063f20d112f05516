import type { AcceptedCheckpoint } from "../chain/checkpoints.ts";

/** The newest checkpoint, for those who wait for the next one. */
export interface NewestCheckpoint {
  readonly value: AcceptedCheckpoint | undefined;
  set(next: AcceptedCheckpoint): void;
  grown(after: number, signal: AbortSignal): Promise<void>;
}

/** Starts without a checkpoint, or with one that was kept. */
export function newestCheckpoint(first?: AcceptedCheckpoint): NewestCheckpoint {
  let value = first;
  const waiting = new Set<() => void>();
  return {
    get value() {
      return value;
    },
    set(next) {
      value = next;
      for (const look of [...waiting]) look();
    },
    grown: (after, signal) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!signal.aborted && !(value !== undefined && value.size > after)) return;
          waiting.delete(look);
          signal.removeEventListener("abort", look);
          resolve();
        };
        waiting.add(look);
        signal.addEventListener("abort", look);
        look();
      }),
  };
}
