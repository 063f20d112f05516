/** What an adapter needs of a `BroadcastChannel`. */
interface Channel {
  postMessage(message: unknown): void;
  addEventListener(type: "message", listener: () => void): void;
  close(): void;
}

/** Tells the handles on a store, in this tab and in others, that something was appended. */
export interface Notices {
  /** Grows with every notice. */
  readonly count: number;
  announce(): void;
  /** Resolves once `count` is above `seen`, after `ms` milliseconds, or when aborted or closed. */
  wait(seen: number, ms: number, signal: AbortSignal | undefined): Promise<void>;
  close(): void;
}

/** Listens for notices about the store of this name; without `BroadcastChannel`, to its own only. */
export function notices(name: string): Notices {
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
