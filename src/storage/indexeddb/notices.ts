/** The part of a `BroadcastChannel` that the adapter uses. */
interface Channel {
  postMessage(message: unknown): void;
  addEventListener(type: "message", listener: () => void): void;
  close(): void;
}

/** Notifies the handles on a store, in this tab and in others, of appends. */
export interface Notices {
  /** Grows with every notice. */
  readonly count: number;
  announce(): void;
  /** Resolves once `count` is above `seen`, after `ms` milliseconds, or when aborted or closed. */
  wait(seen: number, ms: number, signal: AbortSignal | undefined): Promise<void>;
  close(): void;
}

/**
 * Listens for notices about the store of this name; without `BroadcastChannel`, only to its own.
 */
export function openNotices(name: string): Notices {
  const { BroadcastChannel } = globalThis as {
    BroadcastChannel?: new (name: string) => Channel;
  };
  let channel = BroadcastChannel && new BroadcastChannel(`healthledger-indexeddb ${name}`);
  const waiting = new Set<() => void>();
  let count = 0;

  function wake(): void {
    count++;
    for (const resolve of [...waiting]) resolve();
  }

  channel?.addEventListener("message", wake);
  return {
    get count() {
      return count;
    },
    announce() {
      wake();
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- it is no window
      channel?.postMessage(null);
    },
    async wait(seen, ms, signal) {
      if (count > seen || signal?.aborted) return;
      await new Promise<void>((resolve) => {
        const done = (): void => {
          waiting.delete(done);
          clearTimeout(timer);
          signal?.removeEventListener("abort", done);
          resolve();
        };
        const timer = setTimeout(done, ms);
        waiting.add(done);
        signal?.addEventListener("abort", done);
      });
    },
    close() {
      channel?.close();
      channel = undefined;
      wake();
    },
  };
}
