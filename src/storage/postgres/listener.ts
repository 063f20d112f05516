import type { PostgresClient, PostgresNotification } from "./client.ts";

/** Wakes callers that wait for records of a chain. */
export interface Listener {
  /**
   * Calls back when a topic is notified, and whenever a notification may have been missed.
   *
   * @returns a function that ends the subscription
   */
  subscribe(topic: string, wake: () => void): () => void;
  close(): void;
}

const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5000;

/**
 * Listens on a connection of its own while anybody is subscribed. If the connection is lost,
 * another one is opened. Notifications sent while nobody listened are lost, so all subscribers are
 * woken once listening has begun: they read the current records and miss nothing, whatever the
 * order.
 */
export function openListener(borrow: () => Promise<PostgresClient>, channel: string): Listener {
  const subscribers = new Map<() => void, string>();
  let running = false;
  let stop: (() => void) | undefined;

  function wake(topic?: string): void {
    for (const [call, wanted] of [...subscribers]) {
      if (topic === undefined || topic === wanted) call();
    }
  }

  /** Resolves when the connection is lost or no longer needed. */
  async function listenOnce(): Promise<void> {
    const client = await borrow();
    const notified = ({ payload }: PostgresNotification): void => wake(payload);
    let lost: () => void = () => {};
    const end = new Promise<void>((resolve) => (lost = resolve));
    client.on("notification", notified);
    client.on("error", lost);
    client.on("end", lost);
    stop = lost;
    try {
      if (subscribers.size === 0) return;
      const types = { getTypeParser: () => (text: string) => text };
      await client.query({ text: `LISTEN ${channel}`, rowMode: "array", types });
      wake();
      await end;
    } finally {
      stop = undefined;
      client.removeListener("notification", notified);
      client.removeListener("end", lost);
      // Keep listening for "error": closing may still raise one, which would end the process.
      client.release(true);
    }
  }

  async function run(): Promise<void> {
    for (let pause = FIRST_PAUSE; subscribers.size > 0;) {
      const began = Date.now();
      await listenOnce().catch(() => {});
      if (subscribers.size === 0) break;
      if (Date.now() - began > LONGEST_PAUSE) pause = FIRST_PAUSE;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pause);
        stop = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
    running = false;
  }

  return {
    subscribe(topic, call) {
      // A separate function, so that two subscriptions of one caller stay distinct.
      const subscriber = (): void => call();
      subscribers.set(subscriber, topic);
      if (!running) {
        running = true;
        void run();
      }
      return () => {
        subscribers.delete(subscriber);
        if (subscribers.size === 0) stop?.();
      };
    },
    close() {
      subscribers.clear();
      stop?.();
    },
  };
}
