import { gzipSync } from "node:zlib";
import { encode } from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import { ledgerId } from "../../src/block/genesis.ts";
import { signDescription } from "../../src/chain/description.ts";
import { createGenesis } from "../../src/ledger/create-genesis.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import {
  collectDescription,
  type CollectDescriptionOptions,
} from "../../src/network/collect-description.ts";
import {
  descriptionHandler,
  type DescriptionHandlerOptions,
} from "../../src/network/description-handler.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { found, organisation } from "../support/founders.ts";
import { LABELLER } from "../support/hospital.ts";
import { bytesFor, START } from "../support/ledger.ts";
import { handClock } from "../support/network.ts";

const NONCE = bytesFor("founder's nonce");
const INVITED = "Bearer the invitation";

const handlerOf = async (name: string, more: Partial<DescriptionHandlerOptions> = {}) =>
  descriptionHandler({
    ...{ keys: await organisation(name), name, roles: ["custodian", "sequencer"] },
    authorize: (request) => request.headers.get("authorization") === INVITED,
    ...more,
  });

/** Asks a handler in this process. */
const collect = (
  handler: (request: Request) => Promise<Response>,
  more: Partial<CollectDescriptionOptions> = {},
) =>
  collectDescription({
    ...{ url: "http://other.invalid/ledger", for: NONCE },
    fetch: (url, init) =>
      handler(new Request(url, { ...init, headers: { ...init.headers, authorization: INVITED } })),
    ...more,
  });

const post = (body: BodyInit, headers: HeadersInit = {}): Request =>
  new Request("http://other.invalid/ledger/describe", {
    ...{ method: "POST", body, headers: { authorization: INVITED, ...headers } },
    ...({ duplex: "half" } as object),
  });
const asked = new Uint8Array(encode({ v: 1, for: NONCE }));

describe("describing over HTTP", () => {
  it("founds a ledger of organisations that were only asked", async () => {
    const names = ["a", "b", "c"];
    const described = await Promise.all(names.map(async (name) => collect(await handlerOf(name))));
    expect(described.map(({ name }) => name)).toEqual(names);
    const genesis = await createGenesis({
      ...{ origin: "history.example/asked", nonce: NONCE },
      members: described.map(({ bytes }) => bytes),
    });
    const hl = await openLedger({
      ...{ storage: memoryStorage(), keys: await organisation("b"), genesis, now: () => START },
      policy: { labeller: LABELLER },
    });
    const members = await hl.governance.members();
    expect(members.map(({ actor }) => actor).sort()).toEqual(
      described.map(({ member }) => member.actor).sort(),
    );
    await hl.close();
  });

  it("lets an organisation join that has no key on the ledger", async () => {
    const w = await found(["a", "b"]);
    const a = await w.open("a");
    const handler = await handlerOf("c", { roles: ["custodian"] });
    const joining = await collect(handler, { for: ledgerId(w.genesis) });
    await w.change(a, { members: [{ add: joining.bytes }] }, ["a", "b"]);
    const members = await a.governance.members();
    expect(members.map(({ actor }) => actor)).toContain(joining.member.actor);
    await a.close();
  });

  it("is believed only if it is of this nonce, whole, and of the did that was expected", async () => {
    const keys = await organisation("b");
    const roles = ["custodian"] as const;
    const other = await signDescription(keys, { name: "b", roles, for: bytesFor("another") });
    const good = await signDescription(keys, { name: "b", roles, for: NONCE });
    const answering = (bytes: Uint8Array) => async () => new Response(new Uint8Array(bytes));
    await collect(answering(good), { did: keys.signer().actor });
    for (const [bytes, reason] of [
      [other, "other-nonce"],
      [good.slice(0, -1), "malformed"],
      [new Uint8Array(), "malformed"],
    ] as const) {
      await expect(collect(answering(bytes))).rejects.toMatchObject({ reason });
    }
    const expected = { did: (await organisation("c")).signer().actor };
    await expect(collect(answering(good), expected)).rejects.toMatchObject({
      reason: "other-actor",
    });
    await expect(collect(answering(new Uint8Array(65_537)))).rejects.toMatchObject({
      code: "ERR_TRANSPORT_TOO_LARGE",
    });
    const asks: string[] = [];
    const redirecting = async (request: Request): Promise<Response> => {
      asks.push(request.url);
      return Response.redirect("http://inward.invalid/", 307);
    };
    await expect(collect(redirecting)).rejects.toMatchObject({ code: "ERR_TRANSPORT_REDIRECT" });
    expect(asks).toEqual(["http://other.invalid/ledger/describe"]);
    await expect(collect(answering(good), { for: new Uint8Array(31) })).rejects.toThrow(RangeError);
    await expect(collect(answering(good), { nonce: NONCE } as never)).rejects.toThrow(/nonce/);
  });
});

describe("descriptionHandler", () => {
  it("answers only whom the application admits, and signs nothing for others", async () => {
    let signed = 0;
    const keys = await organisation("b");
    const handler = await handlerOf("b", {
      keys: {
        ...keys,
        signer: (...given) => {
          signed++;
          return keys.signer(...given);
        },
      },
    });
    for (const authorization of ["", "Bearer wrong"]) {
      expect((await handler(post(asked, { authorization }))).status).toBe(401);
    }
    expect(signed).toBe(0);
    expect((await handler(post(asked))).status).toBe(200);
    expect(signed).toBeGreaterThan(0);
    const { authorize: _, ...open } = {
      ...{ keys, name: "b", roles: ["custodian"] as const, authorize: () => true },
    };
    expect(() => descriptionHandler(open as never)).toThrow(/authorize/);
    expect(() => descriptionHandler({ ...open, authorise: () => true } as never)).toThrow();
    for (const requestsPerMinute of [NaN, 0, Infinity]) {
      expect(() =>
        descriptionHandler({ ...open, authorize: () => true, requestsPerMinute }),
      ).toThrow(RangeError);
    }
  });

  it("reads one small form, uncompressed and in time", async () => {
    const clock = handClock();
    const handler = await handlerOf("b", clock.time);
    for (const body of [
      new Uint8Array(),
      encode({ v: 2, for: NONCE }),
      encode({ v: 1, for: NONCE.slice(1) }),
      encode({ v: 1, for: "did:key:z" }),
      encode({ v: 1, for: NONCE, name: "x" }),
      new Uint8Array([...asked, 0]),
    ]) {
      expect((await handler(post(new Uint8Array(body)))).status).toBe(400);
    }
    expect((await handler(post(new Uint8Array(129)))).status).toBe(413);
    const bomb = new Uint8Array(gzipSync(new Uint8Array(1_000_000)));
    expect((await handler(post(bomb, { "content-encoding": "gzip" }))).status).toBe(415);
    const silent = handler(post(new ReadableStream()));
    await clock.advance(0);
    await clock.advance(10_001);
    expect((await silent).status).toBe(408);
    expect((await handler(new Request("http://other.invalid/ledger/describe"))).status).toBe(405);
    expect((await handler(new Request("http://other.invalid/ledger/genesis"))).status).toBe(404);
  });

  it("has budgets apart for those admitted and all others", async () => {
    const clock = handClock();
    const handler = await handlerOf("b", { ...clock.time, requestsPerMinute: 3 });
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) {
      statuses.push((await handler(post(asked, { authorization: "Bearer wrong" }))).status);
    }
    expect(statuses).toEqual([401, 401, 401, 429, 429]);
    for (let i = 0; i < 3; i++) expect((await handler(post(asked))).status).toBe(200);
    const full = await handler(post(asked));
    expect(full.status).toBe(429);
    expect(full.headers.get("retry-after")).toBe("20");
  });

  it("says nothing of why it failed", async () => {
    const errors: unknown[] = [];
    const handler = await handlerOf("b", {
      keys: { sign: [] },
      onError: (error) => void errors.push(error),
    });
    const response = await handler(post(asked));
    expect([response.status, await response.text()]).toEqual([500, ""]);
    expect(errors).toHaveLength(1);
  });
});
