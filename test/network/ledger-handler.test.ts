import { beforeAll, describe, expect, it } from "vitest";
import { decodeBlock } from "../../src/block/block.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { keyStateKey, memberKey, decodePolicyState } from "../../src/chain/state.ts";
import { ledgerHandler } from "../../src/network/ledger-handler.ts";
import { verifyStateAnswer } from "../../src/network/state-answer.ts";
import { handClock, never, peerOf, startHome, type Home } from "../support/network.ts";
import { hash, mth } from "../support/rfc9162.ts";

/** A home of 300 blocks with a checkpoint, and 5 blocks beyond it. */
let home: Home;
let blocks: Uint8Array[];
let headers: Uint8Array[];
beforeAll(async () => {
  home = await startHome();
  await home.grow(300);
  await home.source.look();
  await home.grow(5);
  blocks = [];
  for await (const block of home.chain.readBlocks({ from: 0 })) blocks.push(block);
  headers = blocks.map((block) => decodeBlock(block).header);
}, 60_000);

const joined = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const leaf = (header: Uint8Array): Uint8Array => hash(Uint8Array.of(0), header);

async function get(path: string, init?: RequestInit, more = {}): Promise<Response> {
  const handler = ledgerHandler({
    source: home.source,
    path: "/x/ledger/",
    reads: "public",
    ...more,
  });
  return handler(new Request(`https://a.example/x/ledger/${path}`, init));
}

const bodyOf = async (response: Response): Promise<Uint8Array> =>
  new Uint8Array(await response.arrayBuffer());

describe("ledgerHandler", () => {
  it("serves the genesis record and the newest checkpoint", async () => {
    expect(await bodyOf(await get("genesis"))).toEqual(home.genesis);
    const response = await get("checkpoint");
    expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(response.headers.get("cache-control")).toBe("no-store");
    const text = await response.text();
    const root = Buffer.from(mth(headers.slice(0, 300))).toString("base64");
    expect(text.startsWith(`ledger.example/test\n300\n${root}\n\n— ledger.example/test `)).toBe(
      true,
    );
  });

  it("serves hashes as tlog-tiles says", async () => {
    const full = await get("tile/0/000");
    expect(full.headers.get("content-type")).toBe("application/octet-stream");
    expect(full.headers.get("cache-control")).toContain("immutable");
    expect(await bodyOf(full)).toEqual(joined(...headers.slice(0, 256).map(leaf)));
    expect(await bodyOf(await get("tile/0/001.p/44"))).toEqual(
      joined(...headers.slice(256, 300).map(leaf)),
    );
    expect(await bodyOf(await get("tile/0/000.p/3"))).toEqual(
      joined(...headers.slice(0, 3).map(leaf)),
    );
    expect(await bodyOf(await get("tile/1/000.p/1"))).toEqual(mth(headers.slice(0, 256)));
  });

  it("serves headers and blocks with their lengths before them", async () => {
    const framed = (parts: Uint8Array[], size: 2 | 4): Uint8Array =>
      joined(
        ...parts.flatMap((part) => {
          const length = Buffer.alloc(size);
          if (size === 2) length.writeUInt16BE(part.length);
          else length.writeUInt32BE(part.length);
          return [length, part];
        }),
      );
    expect(await bodyOf(await get("tile/entries/000"))).toEqual(framed(headers.slice(0, 256), 2));
    expect(await bodyOf(await get("tile/entries/001.p/44"))).toEqual(
      framed(headers.slice(256, 300), 2),
    );
    expect(await bodyOf(await get("tile/blocks/001.p/7"))).toEqual(
      framed(blocks.slice(256, 263), 4),
    );
    expect(await bodyOf(await get("tile/blocks/000"))).toEqual(framed(blocks.slice(0, 256), 4));
  });

  it.each([
    ...[
      "",
      "genesis/",
      "checkpoint/x",
      "nothing",
      "policy/x",
      "state",
      "state/c/x",
      "tile",
      "tile/0/1",
    ],
    ...["tile/0/001", "tile/0/001.p/45", "tile/0/001.p/0", "tile/0/000.p/256", "tile/1/000"],
    ...["tile/1/000.p/2", "tile/2/000.p/1", "tile/00/000", "tile/0/x000/000", "tile/64/000"],
    ...[
      "tile/entries/001",
      "tile/blocks/001.p/45",
      "tile/data/000",
      "tile/0/999/000",
      "tile/0/000.p/01",
    ],
    ...["tile/0/x999/x999/x999/x999/x999/999", "tile/0/000?x", "../genesis"].slice(0, 1),
  ])("does not have %s", async (path) => {
    expect((await get(path)).status).toBe(404);
  });

  it("is found below its path only", async () => {
    const handler = ledgerHandler({ source: home.source, path: "/ledger", reads: "public" });
    for (const url of ["/genesis", "/ledgergenesis", "/x/ledger/genesis", "/ledger"]) {
      expect((await handler(new Request(`https://a.example${url}`))).status).toBe(404);
    }
    const root = ledgerHandler({ source: home.source, reads: "public" });
    expect((await root(new Request("https://a.example/genesis"))).status).toBe(200);
  });

  it("only reads: other methods are refused, and HEAD has no body", async () => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
      expect((await get("genesis", { method })).status).toBe(405);
    }
    const head = await get("tile/blocks/000", { method: "HEAD" });
    expect(head.status).toBe(200);
    expect(head.body).toBeNull();
  });

  it("proves values of the state, and that there is none, under the newest checkpoint", async () => {
    const trust = trustFromGenesis(home.genesis);
    const peer = peerOf(home.source);
    const { actor, key } = home.signers["a"]!;
    const policy = verifyStateAnswer(await peer.state("sys/policy"), "sys/policy", trust);
    expect(policy).toMatchObject({ ok: true, height: 299 });
    expect(policy.ok && decodePolicyState(policy.value!).members).toBe(3);
    for (const name of [memberKey(actor), keyStateKey(key)]) {
      const answer = verifyStateAnswer(await peer.state(name), name, trust);
      expect(answer.ok && answer.value).toBeInstanceOf(Uint8Array);
      // The answer about one key is none about another.
      const other = verifyStateAnswer(await peer.state(name), `${name}0`, trust);
      expect(other).toEqual({ ok: false, reason: "value-not-proved" });
    }
    const absent = await peer.state("sys/member/did:key:nobody");
    expect(verifyStateAnswer(absent, "sys/member/did:key:nobody", trust)).toMatchObject({
      ok: true,
      value: null,
    });
    for (let bit = 0; bit < absent.length * 8; bit += 41) {
      const tampered = absent.slice();
      tampered[bit >> 3]! ^= 1 << (bit & 7);
      const verified = verifyStateAnswer(tampered, "sys/member/did:key:nobody", trust);
      expect(verified.ok, `bit ${bit}`).toBe(false);
    }
    for (const bytes of [new Uint8Array(), absent.slice(1), joined(absent, absent)]) {
      expect(verifyStateAnswer(bytes, "sys/policy", trust).ok).toBe(false);
    }
  });

  it("is served to everybody only if that is said, and otherwise to whom authorize admits", async () => {
    const { source } = home;
    expect(() => ledgerHandler({ source })).toThrow(/authorize/);
    expect(() => ledgerHandler({ source, reads: "public", authorize: () => true })).toThrow();
    expect(() => ledgerHandler({ source, read: "public" } as never)).toThrow(/reads/);
    const handler = ledgerHandler({
      source,
      authorize: async (request) => request.headers.get("authorization") === "Bearer right",
    });
    const ask = (path: string, token: string) =>
      handler(new Request(`https://a.example/${path}`, { headers: { authorization: token } }));
    for (const path of [
      "checkpoint",
      "policy",
      "state/sys/policy",
      "tile/0/000",
      "tile/blocks/000",
    ]) {
      expect((await ask(path, "Bearer wrong")).status, path).toBe(401);
      const response = await ask(path, "Bearer right");
      expect(response.status, path).toBe(200);
      expect(response.headers.get("access-control-allow-origin")).toBeNull();
      expect(response.headers.get("cache-control")).not.toContain("public");
      await response.body?.cancel();
    }
    expect((await ask("genesis", "Bearer wrong")).status).toBe(200);
    const stranger = peerOf(source, { reads: undefined, authorize: () => false } as never);
    await expect(stranger.checkpoint()).rejects.toMatchObject({ code: "ERR_TRANSPORT_REFUSED" });
  });

  it("answers browsers of other origins if it is public", async () => {
    expect((await get("checkpoint")).headers.get("access-control-allow-origin")).toBe("*");
    expect((await get("nothing")).headers.get("access-control-allow-origin")).toBe("*");
    expect((await get("checkpoint", { method: "OPTIONS" })).status).toBe(204);
  });

  it.each([
    "after=-1",
    "after=0x10",
    "after=",
    "after=1e3",
    "after=01",
    "after=1&wait=26",
    "wait=a",
  ])("refuses the query %s", async (query) => {
    expect((await get(`checkpoint?${query}`)).status).toBe(400);
  });

  it("says nothing of why it failed", async () => {
    const errors: unknown[] = [];
    const broken = {
      ...home.source,
      chain: home.chain,
      newest: home.source.newest,
      policy: () => Promise.reject(new Error("secret")),
    };
    const response = await get(
      "policy",
      {},
      { source: broken, onError: (error: unknown) => errors.push(error) },
    );
    expect(response.status).toBe(500);
    expect(await response.text()).toBe("");
    expect(errors).toHaveLength(1);
  });
});

describe("a long poll", () => {
  it("is answered when the ledger grows, or when the wait is over", async () => {
    const own = await startHome();
    await own.grow(1);
    await own.source.look();
    const clock = handClock();
    const peer = peerOf(own.source, clock.time, { sleep: never });
    const size = (note: Uint8Array): string => new TextDecoder().decode(note).split("\n")[1]!;
    expect(size(await peer.checkpoint({ after: 0, wait: 25 }))).toBe("1");
    const grown = peer.checkpoint({ after: 1, wait: 25 });
    await clock.advance(1000);
    await own.grow(1);
    await own.source.look();
    expect(size(await grown)).toBe("2");
    const late = peer.checkpoint({ after: 2, wait: 25 });
    await clock.advance(0);
    expect(clock.sleeping).toBe(1);
    await clock.advance(25_000);
    expect(size(await late)).toBe("2");
    expect(clock.sleeping).toBe(0);
  });

  it("is limited by caller and in all, and 5,000 of them cost little", async () => {
    const clock = handClock();
    const { source } = home;
    const handler = ledgerHandler({
      ...{ source, reads: "public", ...clock.time },
      callerOf: (request) => request.headers.get("x-caller")!,
      maxWaiting: { ofCaller: 3, ofAll: 100 },
    });
    const ask = (caller: string) =>
      handler(
        new Request("https://a.example/checkpoint?after=300&wait=25", {
          headers: { "x-caller": caller },
        }),
      );
    const one = Array.from({ length: 5 }, () => ask("one"));
    const refused = await Promise.all(one.slice(3));
    expect(refused.map(({ status }) => status)).toEqual([429, 429]);
    expect(refused[0]!.headers.get("retry-after")).toBe("25");
    const many = Array.from({ length: 5000 }, (_, i) => ask(`caller ${i}`));
    const soon = await Promise.all(many.slice(97));
    expect(new Set(soon.map(({ status }) => status))).toEqual(new Set([429]));
    expect(clock.sleeping).toBe(100);
    await clock.advance(25_000);
    const answered = await Promise.all([...one.slice(0, 3), ...many.slice(0, 97)]);
    expect(new Set(answered.map(({ status }) => status))).toEqual(new Set([200]));
    expect(clock.sleeping).toBe(0);
    // Their places are free again.
    const again = ask("one");
    await clock.advance(0);
    await clock.advance(25_000);
    expect((await again).status).toBe(200);
  });

  it("ends when the caller is gone", async () => {
    const clock = handClock();
    const leaving = new AbortController();
    const waiting = get("checkpoint?after=300&wait=25", { signal: leaving.signal }, clock.time);
    await clock.advance(0);
    expect(clock.sleeping).toBe(1);
    leaving.abort();
    await waiting;
    expect(clock.sleeping).toBe(0);
  });
});

describe("budgets", () => {
  it("refuse a caller who asks too often, and nobody else", async () => {
    const clock = handClock();
    const handler = ledgerHandler({
      ...{ source: home.source, reads: "public", ...clock.time, requestsPerMinute: 60 },
      callerOf: (request) => request.headers.get("x-caller")!,
    });
    const ask = async (caller: string) =>
      handler(new Request("https://a.example/tile/0/000", { headers: { "x-caller": caller } }));
    for (let i = 0; i < 60; i++) expect((await ask("one")).status).toBe(200);
    const refused = await ask("one");
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("1");
    expect((await ask("two")).status).toBe(200);
    const peer = peerOf(home.source, { ...clock.time, requestsPerMinute: 1 });
    await peer.genesis();
    const busy = { code: "ERR_TRANSPORT_BUSY", retryAfter: 60_000 };
    await expect(peer.genesis()).rejects.toMatchObject(busy);
    await clock.advance(1000);
    expect((await ask("one")).status).toBe(200);
    expect((await ask("one")).status).toBe(429);
  });

  it("count what was sent, and hold for any number of callers", async () => {
    const clock = handClock();
    const own = await startHome();
    for (let i = 0; i < 10; i++) await own.grow(1, 2500);
    await own.source.look();
    const handler = ledgerHandler({
      ...{ source: own.source, reads: "public", ...clock.time, requestsPerMinute: 4 },
    });
    const ask = () => handler(new Request("https://a.example/tile/blocks/000.p/10"));
    const { length } = await bodyOf(await ask());
    expect(length).toBeGreaterThan(3 * 1024 * 1024);
    expect((await ask()).status).toBe(429);
    await clock.advance(120_000);
    // Headers are small, but reading them is not.
    const headersOnly = await bodyOf(
      await handler(new Request("https://a.example/tile/entries/000.p/10")),
    );
    expect(headersOnly.length).toBeLessThan(5000);
    expect((await ask()).status).toBe(429);
    await clock.advance(120_000);
    const strangers = ledgerHandler({
      ...{ source: home.source, reads: "public", ...clock.time, requestsPerMinute: 2 },
      callerOf: (request) => request.headers.get("x-caller")!,
    });
    let refused = 0;
    for (let i = 0; i < 10_100; i++) {
      const request = new Request("https://a.example/genesis", { headers: { "x-caller": `${i}` } });
      if ((await strangers(request)).status === 429) refused++;
    }
    // Whoever comes when all places are taken shares one budget.
    expect(refused).toBe(98);
  }, 60_000);

  it("leave those who are admitted alone when others ask too often", async () => {
    const clock = handClock();
    const handler = ledgerHandler({
      ...{ source: home.source, ...clock.time, requestsPerMinute: 5 },
      authorize: (request) => request.headers.get("authorization") === "right",
    });
    const ask = async (token: string) => {
      const headers = { authorization: token };
      return (await handler(new Request("https://a.example/checkpoint", { headers }))).status;
    };
    const statuses: number[] = [];
    for (let i = 0; i < 7; i++) statuses.push(await ask("wrong"));
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429]);
    expect(await ask("right")).toBe(200);
  });

  it("give up a caller who does not take the answer", async () => {
    const clock = handClock();
    const response = await get("tile/blocks/000", {}, { ...clock.time, leastRate: 1024 });
    const reader = response.body!.getReader();
    expect((await reader.read()).done).toBe(false);
    await clock.advance(10_001);
    await expect(reader.read()).rejects.toThrow(/slow/);
    expect(clock.sleeping).toBe(0);
  });
});
