import { afterEach, describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import type { AnswerRelayedOptions } from "../../src/network/answer-relayed.ts";
import { sleep } from "../../src/storage/sleep.ts";
import { codeOf } from "../support/elsewhere.ts";
import { fast, isPoll, posted, relayed } from "../support/relaying.ts";
import { collect } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** Takes one ask and loses it. */
function takesOne(): NonNullable<AnswerRelayedOptions["fetch"]> {
  let isTaken = false;
  return async (url, init) => {
    if (!isPoll(url)) return fetch(url, init);
    if (isTaken) {
      return new Promise((_, reject) => init.signal!.addEventListener("abort", () => reject()));
    }
    const response = await fetch(url, init);
    const body = new Uint8Array(await response.arrayBuffer());
    isTaken = body.length > 0;
    return new Response(null);
  };
}

/** Waits until it is told to end. */
const forEver = (_: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve()));

const oneOf = { ofCaller: 1, ofMember: 1, ofAll: 1 };

describe("a relay's limits", () => {
  it("holds few asks for a member that is slow, and none for one that is absent", async () => {
    let callers = 0;
    const callerOf = () => `${callers++}`;
    const two = await relayed(closing, { sleep: forEver, callerOf }, "nobody");
    const absent = Array.from({ length: 1000 }, async () => (await two.asks()).status);
    expect(new Set(await Promise.all(absent))).toEqual(new Set([503]));
    two.begin({ fetch: takesOne() });
    await two.there();
    const settled: number[] = [];
    const ending = new AbortController();
    const asks = Array.from({ length: 1000 }, async () => {
      settled.push((await two.asks("x", ending.signal)).status);
    });
    while (settled.length < 984) await sleep(5);
    expect(settled).toEqual(Array.from({ length: 984 }, () => 503));
    ending.abort();
    await Promise.all(asks);
  });

  it("holds few asks of one caller, and few in all", async () => {
    let caller = "a";
    const maxWaiting = { ofCaller: 2, ofMember: 16, ofAll: 3 };
    const two = await relayed(closing, { callerOf: () => caller, maxWaiting }, "nobody");
    two.begin({ fetch: takesOne() });
    await two.there();
    const ending = new AbortController();
    const held = [two.asks("x", ending.signal), two.asks("x", ending.signal)];
    expect((await two.asks()).status).toBe(503);
    caller = "b";
    held.push(two.asks("x", ending.signal));
    expect((await two.asks()).status).toBe(503);
    ending.abort();
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([503, 503, 503]);
  });

  it("answers no more asks in a minute than it says", async () => {
    const two = await relayed(closing, { requestsPerMinute: 3 }, "nobody");
    const statuses = [];
    for (let i = 0; i < 4; i++) statuses.push((await two.asks()).status);
    expect(statuses).toEqual([503, 503, 503, 429]);
  });

  it("frees the place of an ask whose member is gone, and of one that does not arrive", async () => {
    const two = await relayed(closing, { sleep: fast, maxWaiting: oneOf }, "nobody");
    two.begin({ fetch: takesOne() });
    await two.there();
    expect(await codeOf(collect(two.peer.ask(Uint8Array.of(1))))).toBe("ERR_TRANSPORT_BUSY");
    expect((await two.asks(new Uint8Array(512 * 1024 + 1))).status).toBe(413);
    const never = two.asks(new ReadableStream<Uint8Array>());
    expect((await two.asks()).status).toBe(503);
    expect((await never).status).toBe(408);
    two.begin();
    while ((await two.asks()).status !== 403) await sleep(5);
  });

  it("lets a member wait in few polls at a time", async () => {
    const two = await relayed(closing, { maxWaiting: { ...oneOf, ofMember: 2 } }, "nobody");
    const headers = await two.tokenOf(two.awayKeys.signer());
    const ending = new AbortController();
    const { signal } = ending;
    const poll = () => two.handler(new Request(`${two.theirs}?wait=25`, { headers, signal }));
    const waiting = [poll(), poll(), poll()];
    expect((await Promise.race(waiting)).status).toBe(429);
    ending.abort();
    await Promise.all(waiting);
    const asked = two.asks();
    await sleep(20);
    // Nothing is given to a connection that is gone.
    expect((await (await poll()).arrayBuffer()).byteLength).toBe(0);
    const polled = await two.handler(new Request(`${two.theirs}?wait=25`, { headers }));
    const taken = new Uint8Array(await polled.arrayBuffer());
    expect(new TextDecoder().decode(taken.subarray(16))).toBe("x");
    const to = `${two.theirs}/reply/${toHex(taken.subarray(0, 16))}`;
    expect((await two.handler(posted(`${to}?status=302`, "", headers))).status).toBe(400);
    expect((await two.handler(posted(`${to}?status=429&retry=7`, "", headers))).status).toBe(200);
    const { status, headers: told } = await asked;
    expect([status, told.get("retry-after")]).toEqual([429, "7"]);
  });
});

/** A custodian that answers with pages without end, and tells what became of them. */
function endless() {
  const made = { pages: 0, isEnded: false };
  async function* pages(): AsyncIterable<Uint8Array> {
    try {
      for (;;) {
        await sleep(0);
        made.pages++;
        yield new Uint8Array(64 * 1024);
      }
    } finally {
      made.isEnded = true;
    }
  }
  return { ledger: { answerAsk: async () => pages() }, made };
}

describe("a relayed reply", () => {
  it("is held no further than the asker takes it, and ends with the asker", async () => {
    const { ledger, made } = endless();
    const two = await relayed(closing, { maxWaiting: oneOf }, { ledger });
    await two.there();
    const asked = await two.asks();
    const reader = asked.body!.getReader();
    await reader.read();
    for (let quiet = 0, last = 0; quiet < 10; quiet = made.pages === last ? quiet + 1 : 0) {
      last = made.pages;
      await sleep(20);
      // What both ends' sockets take, and no more.
      expect(made.pages).toBeLessThan(400);
    }
    expect(made.isEnded).toBe(false);
    expect((await two.asks()).status).toBe(503);
    await reader.cancel();
    while (!made.isEnded) await sleep(5);
    expect((await two.asks()).status).toBe(200);
  });

  it.each(["is gone", "never reads"])("ends when its asker %s", async (how) => {
    const { ledger, made } = endless();
    const options = how === "is gone" ? {} : { sleep: fast };
    const two = await relayed(closing, { ...options, maxWaiting: oneOf }, { ledger });
    await two.there();
    const ending = new AbortController();
    expect((await two.asks("x", ending.signal)).status).toBe(200);
    if (how === "is gone") ending.abort();
    while (!made.isEnded) await sleep(5);
    expect((await two.asks()).status).toBe(200);
  });
});
