import { describe, expect, it } from "vitest";
import { custodianHandler } from "../../src/network/custodian-handler.ts";
import { inTime } from "../../src/network/query.ts";

/** Waits until it is told to end. */
const forEver = (_: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve());
  });

/** A ledger that refuses everybody, and tells how many asks it was given. */
function refusing() {
  const ledger = {
    asked: 0,
    async answerAsk(): Promise<AsyncIterable<Uint8Array>> {
      ledger.asked++;
      return (async function* () {})();
    },
  };
  return ledger;
}

/** An ask of which a byte arrives, and then nothing; tells how much of it was taken. */
function trickling(caller = "") {
  const body = { taken: 0, cancelled: false };
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (body.taken++ === 0) controller.enqueue(Uint8Array.of(1));
        return body.taken === 1 ? undefined : new Promise<never>(() => undefined);
      },
      cancel: () => void (body.cancelled = true),
    },
    { highWaterMark: 0 },
  );
  return { body, request: post(stream, caller) };
}

const post = (body: BodyInit, caller = ""): Request =>
  new Request("http://a.invalid/ask", {
    ...{ method: "POST", body, duplex: "half", headers: { caller } },
  } as RequestInit);

const callerOf = ({ headers }: Request): string => headers.get("caller")!;
const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe("many strangers who begin asks and do not end them", () => {
  it("have a few places together; of what comes beyond nothing is read", async () => {
    const ledger = refusing();
    const handler = custodianHandler({ ledger, maxDeciding: 4, sleep: forEver, now: () => 0 });
    const held = Array.from({ length: 4 }, () => trickling());
    const answers = held.map(({ request }) => handler(request));
    await turns();
    expect(held.map(({ body }) => body.taken)).toEqual([2, 2, 2, 2]);
    for (let i = 0; i < 50; i++) {
      const { body, request } = trickling();
      const answer = await handler(request);
      expect([answer.status, answer.headers.get("retry-after")]).toEqual([429, "1"]);
      expect(body).toEqual({ taken: 0, cancelled: true });
    }
    expect(ledger.asked).toBe(0);
    expect(await Promise.race([...answers, "none"])).toBe("none");
  });

  it("leave the places of others free, if they are told apart", async () => {
    const ledger = refusing();
    const options = { maxDeciding: 8, callerOf, sleep: forEver, now: () => 0 };
    const handler = custodianHandler({ ledger, ...options });
    const all = Array.from({ length: 20 }, () => trickling("stranger"));
    const statuses: number[] = [];
    for (const { request } of all) {
      void handler(request).then(({ status }) => statuses.push(status));
    }
    await turns();
    // A quarter of eight is read.
    expect(statuses).toEqual(Array.from({ length: 18 }, () => 429));
    expect((await handler(post("x", "member"))).status).toBe(200);
    expect(ledger.asked).toBe(1);
  });

  it("lose their places after 25 seconds, however steadily they send", async () => {
    const ledger = refusing();
    const timers: (() => void)[] = [];
    const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
      ms === 25_000 && timers.length === 0
        ? new Promise((resolve) => timers.push(resolve))
        : forEver(ms, signal);
    const handler = custodianHandler({ ledger, maxDeciding: 1, sleep, now: () => 0 });
    const { body, request } = trickling();
    const answer = handler(request);
    await turns();
    expect((await handler(post("x"))).status).toBe(429);
    timers[0]!();
    expect((await answer).status).toBe(408);
    expect(body.cancelled).toBe(true);
    expect((await handler(post("x"))).status).toBe(200);
  });
});

describe("inTime", () => {
  it("waits for nothing for a caller who is gone already", async () => {
    let begun = 0;
    const never = (): Promise<void> => {
      begun++;
      return new Promise(() => undefined);
    };
    await inTime(25, AbortSignal.abort(), never, never);
    expect(begun).toBe(0);
  });
});
