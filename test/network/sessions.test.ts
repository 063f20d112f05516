import { decode, encode } from "@ipld/dag-cbor";
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ledgerId } from "../../src/block/genesis.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { NOTE_COSIGNATURE } from "../../src/chain/note-key.ts";
import { signWith, type Signer } from "../../src/identity/signer.ts";
import { ledgerHandler, type LedgerHandlerOptions } from "../../src/network/ledger-handler.ts";
import { publishHeads } from "../../src/network/publish-heads.ts";
import { witnessHandler } from "../../src/network/witness-handler.ts";
import { witnessPeer } from "../../src/network/witness-peer.ts";
import { httpPeer, type HttpPeerOptions } from "../../src/transport/http.ts";
import type { LedgerPeer } from "../../src/transport/types.ts";
import { keyEntry, memberEntry } from "../support/forge.ts";
import { foundLedger, recordEntries, signerFor, START } from "../support/ledger.ts";
import { handClock, startHome, type Home } from "../support/network.ts";

const SERVER = signerFor("server").actor;

/** A server with sessions, with clocks of its own, that notes what it is sent. */
async function serve(more: Partial<LedgerHandlerOptions> = {}, given?: Home) {
  const home = given ?? (await startHome());
  if (home.chain.size === 0) await home.grow(1);
  await home.source.look();
  const clock = handClock();
  const wall = { now: START };
  const make = (own: Partial<LedgerHandlerOptions> = {}) =>
    ledgerHandler({
      ...{ source: home.source, path: "/ledger", sequencer: home.sequencer, ...clock.time },
      sessions: { did: SERVER, now: () => wall.now },
      ...more,
      ...own,
    });
  const sent: { path: string; body: Uint8Array; token: string | null }[] = [];
  const server = { handler: make() };
  const fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const request = new Request(url, init);
    const body = init.body === undefined ? new Uint8Array() : (init.body as Uint8Array);
    const token = request.headers.get("authorization");
    sent.push({ path: url.replace("http://home.invalid/ledger/", ""), body, token });
    return server.handler(request);
  };
  const peerOf = (signer: Signer, own: Partial<HttpPeerOptions> = {}): LedgerPeer =>
    httpPeer({
      ...{ url: "http://home.invalid/ledger", did: SERVER, fetch, ...clock.time },
      session: { ledger: home.chain.ledger, signer, now: () => wall.now },
      ...own,
    });
  return {
    ...{ home, clock, wall, make, server, sent, peerOf },
    /** Both clocks. */
    async pass(ms: number): Promise<void> {
      wall.now += ms;
      await clock.advance(ms);
    },
    post: (body: Uint8Array, handler = server.handler): Promise<Response> =>
      handler(
        new Request("http://home.invalid/ledger/session", {
          ...{ method: "POST", body: new Uint8Array(body) },
        }),
      ),
    get: (token: string, path = "checkpoint"): Promise<Response> =>
      server.handler(
        new Request(`http://home.invalid/ledger/${path}`, {
          headers: { authorization: `Bearer ${token}` },
        }),
      ),
  };
}

interface Asked {
  readonly ledger: unknown;
  readonly from: string;
  readonly to: string;
  readonly id: Uint8Array;
  readonly time: number;
  readonly expires: number;
}

/** A request in the form of the page, written without the library's encoder. */
async function request(
  { chain }: Home,
  signer: Signer,
  { key = signer.key, what = "session", ...fields }: Partial<Asked> & Record<string, unknown> = {},
): Promise<Uint8Array> {
  const id = crypto.getRandomValues(new Uint8Array(16));
  const session = encode({
    ...{ v: 1, ledger: chain.ledger, from: signer.actor, to: SERVER, id },
    ...{ time: START, expires: START + 30_000, ...fields },
  });
  const sig = await signWith(signer, what as "session", session);
  return encode({ session, key, alg: signer.alg, sig });
}

async function tokenOf(response: Response): Promise<string> {
  expect(response.status).toBe(200);
  const { token } = decode<{ token: Uint8Array }>(new Uint8Array(await response.arrayBuffer()));
  expect(token).toHaveLength(32);
  return Buffer.from(token).toString("base64url");
}

describe("a session", () => {
  it("lets a member read and submit, and nobody else", async () => {
    const { home, peerOf, sent } = await serve();
    const peer = peerOf(home.signers["b"]!);
    const notes = await Promise.all([peer.checkpoint(), peer.checkpoint(), peer.checkpoint()]);
    expect(new Set(notes.map((note) => Buffer.from(note).toString())).size).toBe(1);
    const transaction = await signTransaction(home.signers["c"]!, {
      ...{ ledger: home.chain.ledger, lane: 0, seq: 0, time: START, entries: recordEntries(1) },
    });
    // Whoever's: the ledger's rules judge it, and an auditor files no records.
    expect(await peer.submit([transaction])).toEqual([
      { ok: false, reason: "not-entitled", entry: 0 },
    ]);
    expect(await peer.genesis()).toEqual(home.genesis);
    // One request for all who asked at once; a token with each of the others but the genesis record's.
    expect(sent.map(({ path }) => path)).toEqual([
      ...["session", "checkpoint", "checkpoint", "checkpoint", "submit", "genesis"],
    ]);
    expect(sent.map(({ token }) => token === null)).toEqual([
      ...[true, false, false, false, false, true],
    ]);
    expect(new Set(sent.slice(1, 5).map(({ token }) => token)).size).toBe(1);
    for (const options of [{ session: undefined as never }, {}]) {
      const stranger = peerOf(signerFor("nobody"), options);
      const refused = { code: "ERR_TRANSPORT_REFUSED" };
      await expect(stranger.checkpoint()).rejects.toMatchObject(refused);
      await expect(stranger.submit([transaction])).rejects.toMatchObject(refused);
      expect(await stranger.genesis()).toEqual(home.genesis);
    }
  });

  it("is needed to submit where everybody may read", async () => {
    const { home, peerOf } = await serve({ reads: "public" });
    const transaction = await signTransaction(home.signers["b"]!, {
      ...{ ledger: home.chain.ledger, lane: 0, seq: 0, time: START, entries: recordEntries(1) },
    });
    const anybody = peerOf(signerFor("nobody"), { session: undefined as never });
    await anybody.checkpoint();
    await expect(anybody.submit([transaction])).rejects.toMatchObject({
      code: "ERR_TRANSPORT_REFUSED",
    });
    expect(await peerOf(home.signers["a"]!).submit([transaction])).toMatchObject([{ ok: true }]);
  });

  it("is not given for a request to another server, which relays it", async () => {
    const { home, post, make } = await serve();
    const elsewhere = signerFor("another server").actor;
    const other = make({ sessions: { did: elsewhere, now: () => START } });
    const body = await request(home, home.signers["b"]!, { to: elsewhere });
    expect((await post(body)).status).toBe(401);
    expect((await post(body, other)).status).toBe(200);
  });

  it("is given once for a request, also of two that come at once", async () => {
    const { home, post } = await serve();
    const body = await request(home, home.signers["b"]!);
    const both = await Promise.all([post(body), post(body), post(body)]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 401, 401]);
    expect((await post(body)).status).toBe(401);
    // The id is the member's own: another may have the same.
    const { session } = decode<{ session: Uint8Array }>(body);
    const { id } = decode<{ id: Uint8Array }>(session);
    expect((await post(await request(home, home.signers["a"]!, { id }))).status).toBe(200);
  });

  it("is given for a request within its time only, by the server's clock", async () => {
    const { home, post, wall } = await serve();
    const b = home.signers["b"]!;
    const at = async (time: number, expires: number) =>
      (await post(await request(home, b, { time: START + time, expires: START + expires }))).status;
    wall.now = START + 100_000;
    for (const [time, expires, wanted] of [
      [100_000, 130_000, 200],
      [100_000, 160_000, 200],
      [70_001, 100_001, 200],
      [130_000, 160_000, 200],
      [100_000, 160_001, 401], // too long
      [40_000, 100_001, 401], // too long
      [70_000, 100_000, 401], // over
      [130_001, 160_000, 401], // from the future
      [200_000, 230_000, 401],
      [100_000, 100_000, 401],
      [110_000, 105_000, 401],
      [0, 2 ** 45, 401],
      [120_000, 165_000, 401], // ends too late
    ] as const) {
      expect([time, expires, await at(time, expires)]).toEqual([time, expires, wanted]);
    }
  });

  it("is remembered as long as it could come again, also when the clock goes back", async () => {
    const { home, post, wall, server, make } = await serve();
    const b = home.signers["b"]!;
    const body = await request(home, b, { time: START, expires: START + 60_000 });
    expect((await post(body)).status).toBe(200);
    wall.now = START + 59_999;
    expect((await post(body)).status).toBe(401);
    wall.now = START + 70_000;
    const now = { time: START + 70_000, expires: START + 100_000 };
    expect((await post(await request(home, b, now))).status).toBe(200);
    wall.now = START + 1000;
    expect((await post(body)).status).toBe(401);
    // A process that begins knows of no request before it.
    wall.now = START + 2000;
    server.handler = make();
    const again = await post(body);
    expect(again.status).toBe(503);
    expect(again.headers.get("retry-after")).toBe("2");
  });

  it("is not given for one that was used, and forgotten, while another copy was judged", async () => {
    const home = await startHome();
    let release = (): void => undefined;
    let gate: Promise<void> | undefined;
    const { state } = home.chain;
    const load = async (keys: readonly string[]): Promise<void> => {
      await gate;
      await state.load(keys);
    };
    const chain = Object.create(home.chain, {
      state: { value: Object.create(state, { load: { value: load } }) },
    }) as Home["chain"];
    const source = Object.create(home.source, { chain: { value: chain } }) as Home["source"];
    const { post, wall } = await serve({ source }, home);
    const b = home.signers["b"]!;
    const body = await request(home, b);
    gate = new Promise((resolve) => (release = resolve));
    const slow = post(body);
    await new Promise((resolve) => setImmediate(resolve));
    gate = undefined;
    expect((await post(body)).status).toBe(200);
    wall.now = START + 40_000;
    const later = { time: START + 40_000, expires: START + 70_000 };
    expect((await post(await request(home, b, later))).status).toBe(200);
    release();
    expect((await slow).status).toBe(401);
  });

  it("is not given to others in a member's name, nor for another ledger", async () => {
    const { home, post } = await serve();
    const { a, b } = home.signers as Record<"a" | "b", Signer>;
    const other = await foundLedger({ a: ["sequencer"] }, { threshold: 1 });
    const as = (signer: Signer, actor: string): Signer => ({ ...signer, actor });
    const cases: Record<string, Uint8Array> = {
      "another ledger": await request(home, b, { ledger: ledgerId(other.genesis) }),
      "a key of another member": await request(home, as(a, b.actor)),
      "a key of nobody": await request(home, as(signerFor("nobody"), b.actor)),
      "a recovery key": await request(home, signerFor("b recovery", b.actor)),
      "another member's key id": await request(home, as(a, b.actor), { key: b.key }),
      "a signature of another kind": await request(home, b, { what: "request" }),
    };
    for (const [name, body] of Object.entries(cases)) {
      expect((await post(body)).status, name).toBe(401);
    }
    const good = await request(home, b);
    for (let at = 0; at < good.length; at += 5) {
      const flipped = good.slice();
      flipped[at]! ^= 4;
      expect([400, 401], `byte ${at}`).toContain((await post(flipped)).status);
    }
    expect((await post(good.slice(1))).status).toBe(400);
    expect((await post(new Uint8Array(1025))).status).toBe(413);
    expect((await post(good)).status).toBe(200);
  });
});

describe("a token", () => {
  it("is void as soon as its key is retired", async () => {
    const { home, post, get } = await serve();
    const { chain, sequencer, signers } = home;
    const b = signers["b"]!;
    const second = signerFor("b second", b.actor);
    const own = async (seq: number, op: "add" | "retire", signer: Signer) =>
      sequencer.submit(
        await signTransaction(b, {
          ...{ ledger: chain.ledger, lane: 0, seq, time: START },
          entries: [await keyEntry(chain.ledger, b.actor, op, "sign", signer)],
        }),
      ).durable;
    await own(0, "add", second);
    const first = await tokenOf(await post(await request(home, b)));
    const other = await tokenOf(await post(await request(home, second)));
    expect((await get(first)).status).toBe(200);
    await own(1, "retire", b);
    expect((await get(first)).status).toBe(401);
    expect((await get(first, "tile/0/000.p/1")).status).toBe(401);
    expect((await get(other)).status).toBe(200);
    expect((await post(await request(home, b))).status).toBe(401);
  });

  it("is void as soon as its member is removed", async () => {
    const { home, post, get } = await serve();
    const { chain, sequencer, signers } = home;
    const { a, b, c } = signers as Record<"a" | "b" | "c", Signer>;
    const ofB = await tokenOf(await post(await request(home, b)));
    const ofC = await tokenOf(await post(await request(home, c)));
    await sequencer.submit(
      await signTransaction(a, {
        ...{ ledger: chain.ledger, lane: 5, seq: 0, time: START },
        entries: [await memberEntry(chain.ledger, [{ op: "remove", actor: c.actor }], [a, b])],
      }),
    ).durable;
    expect((await get(ofC)).status).toBe(401);
    expect((await get(ofB)).status).toBe(200);
  });

  it("ends after ten minutes, and with its process", async () => {
    const { home, post, get, pass, server, make } = await serve();
    const token = await tokenOf(await post(await request(home, home.signers["b"]!)));
    await pass(599_999);
    expect((await get(token)).status).toBe(200);
    await pass(1);
    expect((await get(token)).status).toBe(401);
    const at = { time: START + 600_000, expires: START + 630_000 };
    const next = await tokenOf(await post(await request(home, home.signers["b"]!, at)));
    expect((await get(next)).status).toBe(200);
    server.handler = make();
    expect((await get(next)).status).toBe(401);
  });

  it("is not found by guessing, nor in another form", async () => {
    const { home, post, get, server } = await serve({ requestsPerMinute: 1e6 });
    const token = await tokenOf(await post(await request(home, home.signers["b"]!)));
    const hash = createHash("sha256").update(token).digest("base64url");
    const last = token.slice(0, -1);
    for (const guess of [
      ...["", "A".repeat(43), hash, token.toUpperCase(), `${token}=`, ` ${token}`, last],
      ...[...token].map(
        (_, i) => token.slice(0, i) + (token[i] === "A" ? "B" : "A") + token.slice(i + 1),
      ),
      // The bits that no byte has.
      ..."BCDFGH"
        .split("")
        .map((end) => last + end)
        .filter((text) => text !== token),
      ...Array.from({ length: 200 }, () =>
        Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url"),
      ),
    ]) {
      expect((await get(guess)).status, guess).toBe(401);
    }
    for (const value of [token, `Basic ${token}`, `Bearer ${token}, Bearer ${token}`]) {
      const headers = { authorization: value };
      const answer = await server.handler(
        new Request("http://home.invalid/ledger/checkpoint", { headers }),
      );
      expect(answer.status).toBe(401);
      expect(answer.headers.get("www-authenticate")).toBe("Bearer");
    }
    expect((await get(token)).status).toBe(200);
  });

  it("ends when its member has sixteen others", async () => {
    const { home, post, get } = await serve();
    const ofA = await tokenOf(await post(await request(home, home.signers["a"]!)));
    const tokens: string[] = [];
    for (let i = 0; i < 17; i++) {
      tokens.push(await tokenOf(await post(await request(home, home.signers["b"]!))));
    }
    const statuses = await Promise.all(tokens.map(async (token) => (await get(token)).status));
    expect(statuses).toEqual([401, ...Array(16).fill(200)]);
    expect((await get(ofA)).status).toBe(200);
  });
});

describe("budgets of members and strangers", () => {
  it("are apart: a flood of strangers keeps no member out", async () => {
    const { home, peerOf, post, pass, sent, get } = await serve({ requestsPerMinute: 30 });
    const b = home.signers["b"]!;
    const peer = peerOf(b);
    await peer.checkpoint();
    const junk = new Uint8Array(100);
    const statuses: number[] = [];
    for (let i = 0; i < 100; i++) statuses.push((await post(junk)).status);
    expect(statuses.filter((status) => status === 429).length).toBe(71);
    expect((await post(await request(home, b))).headers.get("retry-after")).toBe("2");
    // A member asks for the next token with the one that it has, and so by its own budget.
    await pass(570_000);
    for (let i = 0; i < 100; i++) await post(junk);
    await peer.checkpoint();
    expect(
      sent.filter(({ path }) => path === "session").map(({ token }) => token === null),
    ).toEqual([true, false]);
    // What a member uses up is its own.
    await pass(60_000);
    const token = sent.at(-1)!.token!.slice(7);
    const own: number[] = [];
    for (let i = 0; i < 40; i++) own.push((await get(token)).status);
    expect(own.filter((status) => status === 429).length).toBe(10);
    await peerOf(home.signers["a"]!).checkpoint();
  });

  it("count what a member asks tokens for", async () => {
    const { home, post } = await serve({ requestsPerMinute: 60 });
    const statuses: number[] = [];
    for (let i = 0; i < 8; i++)
      statuses.push((await post(await request(home, home.signers["b"]!))).status);
    expect(statuses).toEqual([200, 200, 200, 200, 200, 200, 429, 429]);
    expect((await post(await request(home, home.signers["a"]!))).status).toBe(200);
  });

  it("leave a member a place to wait when 5,000 strangers do", async () => {
    const { home, peerOf, clock, server } = await serve({
      ...{ reads: "public", requestsPerMinute: 1e6 },
      callerOf: (asked) => asked.headers.get("x-caller") ?? "",
    });
    const peer = peerOf(home.signers["b"]!);
    await peer.genesis();
    const polls = Array.from({ length: 5000 }, (_, i) =>
      server.handler(
        new Request("http://home.invalid/ledger/checkpoint?after=1&wait=25", {
          headers: { "x-caller": String(i) },
        }),
      ),
    );
    const soon = await Promise.all(polls.slice(1024));
    expect(new Set(soon.map(({ status }) => status))).toEqual(new Set([429]));
    const waiting = peer.checkpoint({ after: 1, wait: 25 });
    await clock.advance(0);
    await home.grow(1);
    await home.source.look();
    expect(new TextDecoder().decode(await waiting).split("\n")[1]).toBe("2");
    await Promise.all(polls);
    await clock.advance(0);
    expect(clock.sleeping).toBe(0);
  });
});

describe("a peer with a session", () => {
  const sessionsOf = (sent: readonly { path: string }[]): number =>
    sent.filter(({ path }) => path === "session").length;

  it("asks for another token before one ends, and once when it is refused", async () => {
    const { home, peerOf, sent, pass, server, make, wall } = await serve();
    const peer = peerOf(home.signers["b"]!);
    await peer.checkpoint();
    await pass(539_999);
    await peer.checkpoint();
    expect(sessionsOf(sent)).toBe(1);
    await pass(1);
    await Promise.all([
      peer.checkpoint(),
      peer.policy(),
      peer.tile({ level: 0, index: 0, width: 1 }),
    ]);
    expect(sessionsOf(sent)).toBe(2);
    server.handler = make();
    wall.now++;
    await Promise.all([peer.checkpoint(), peer.policy(), peer.checkpoint()]);
    expect(sessionsOf(sent)).toBe(3);
    // A server that refuses each token is asked once more, and not for ever.
    const { length } = sent;
    const given = server.handler;
    server.handler = async (asked) =>
      asked.url.endsWith("/session") ? given(asked) : new Response(null, { status: 401 });
    await expect(peer.checkpoint()).rejects.toMatchObject({ code: "ERR_TRANSPORT_REFUSED" });
    expect(sent.slice(length).map(({ path }) => path)).toEqual([
      ...["checkpoint", "session", "checkpoint"],
    ]);
  });

  it("goes on with a token that is good while no other is to be had", async () => {
    const { home, peerOf, pass, server } = await serve();
    const peer = peerOf(home.signers["b"]!);
    await peer.checkpoint();
    await pass(550_000);
    const given = server.handler;
    server.handler = async (asked) =>
      asked.url.endsWith("/session") ? new Response(null, { status: 503 }) : given(asked);
    await peer.checkpoint();
    await pass(50_000);
    await expect(peer.checkpoint()).rejects.toMatchObject({ code: "ERR_TRANSPORT_BUSY" });
  });

  it("never takes a server without sessions for one that lacks what was asked for", async () => {
    const { home, peerOf } = await serve({
      ...{ sessions: undefined as never, authorize: () => true },
    });
    const peer = peerOf(home.signers["b"]!);
    await expect(peer.tile({ level: 0, index: 0, width: 1 })).rejects.toMatchObject({
      code: "ERR_TRANSPORT_REFUSED",
    });
  });

  it("takes no token that is not given for its own request", async () => {
    const { home, peerOf, server } = await serve();
    const given = server.handler;
    let first: Uint8Array<ArrayBuffer> | undefined;
    server.handler = async (asked) => {
      const answer = await given(asked);
      if (!asked.url.endsWith("/session")) return answer;
      first ??= new Uint8Array(await answer.arrayBuffer());
      return new Response(first);
    };
    const right = peerOf(home.signers["a"]!);
    await right.checkpoint();
    const other = peerOf(home.signers["b"]!);
    await expect(other.checkpoint()).rejects.toMatchObject({ code: "ERR_TRANSPORT_MALFORMED" });
    for (const body of ["", "x", first!.slice(1), new Uint8Array(2000)]) {
      server.handler = async () => new Response(body);
      const code = /^ERR_TRANSPORT_(MALFORMED|TOO_LARGE)$/;
      const error = (await peerOf(home.signers["b"]!)
        .checkpoint()
        .catch((e: unknown) => e)) as {
        code: string;
      };
      expect(error.code).toMatch(code);
    }
  });

  it("asks nothing outside of its address", async () => {
    const { home, peerOf, sent } = await serve();
    const peer = peerOf(home.signers["b"]!);
    for (const key of ["../../elsewhere", "sys/../../../x", "./x"]) {
      await expect(peer.state(key), key).rejects.toThrow(RangeError);
    }
    expect(sent.filter(({ path }) => path !== "session")).toEqual([]);
  });

  it("ends each caller's wait by that caller's signal alone", async () => {
    const { home, peerOf, server } = await serve();
    const given = server.handler;
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    server.handler = async (asked) => {
      if (asked.url.endsWith("/session")) await gate;
      return given(asked);
    };
    const peer = peerOf(home.signers["b"]!);
    const leaving = new AbortController();
    const left = peer.checkpoint({ signal: leaving.signal });
    const stays = peer.checkpoint();
    leaving.abort(new Error("enough"));
    await expect(left).rejects.toThrow("enough");
    open();
    expect((await stays).length).toBeGreaterThan(0);
  });
});

describe("limits of a handler", () => {
  it.each([
    ["requestsPerMinute", NaN],
    ["requestsPerMinute", 0],
    ["requestsPerMinute", -1],
    ["requestsPerMinute", Infinity],
    ["requestsPerMinute", "60"],
    ["leastRate", NaN],
    ["leastRate", 0],
    ["leastRate", Infinity],
    ["maxWaiting", { ofCaller: NaN, ofAll: 1 }],
    ["maxWaiting", { ofCaller: 1, ofAll: Infinity }],
    ["maxWaiting", { ofCaller: 1 }],
    ["maxWaiting", { ofCaller: 1, ofAll: 1, ofNobody: 1 }],
    ["sessions", {}],
    ["sessions", { did: "hospital-b" }],
    ["sessions", { did: SERVER, lifetime: 1e9 }],
    ["reads", "Public"],
  ])("refuse %s %o", async (name, value) => {
    const { source } = await startHome();
    const given = { source, sessions: { did: SERVER }, [name]: value };
    expect(() => ledgerHandler(given as never)).toThrow();
  });

  it("are refused to a peer too", () => {
    const base = { url: "http://a.example", did: SERVER };
    for (const [name, value] of [
      ["deadline", NaN],
      ["deadline", 0],
      ["deadline", 2 ** 31],
      ["leastRate", NaN],
      ["leastRate", 0],
    ] as const) {
      expect(() => httpPeer({ ...base, [name]: value })).toThrow(RangeError);
    }
    const witness = { url: "http://a.example", key: { type: NOTE_COSIGNATURE } } as never;
    for (const deadline of [NaN, 0, Infinity]) {
      expect(() => witnessPeer({ ...(witness as object), deadline } as never)).toThrow(/deadline/);
      expect(() => witnessHandler({ witnesses: [], deadline })).toThrow(/deadline/);
      expect(() => publishHeads({ every: deadline } as never)).toThrow(/every/);
    }
    const signer = signerFor("a");
    expect(() => httpPeer({ ...base, session: { signer, token: "x" } as never })).toThrow(
      /session/,
    );
  });
});
