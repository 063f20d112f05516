import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ledgerId } from "../../src/block/genesis.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { cosignatureSigner, encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { signNote, splitNote } from "../../src/chain/note.ts";
import { polledCosigners, type WaitingCheckpoint } from "../../src/chain/polled-cosigners.ts";
import { ledgerHandler } from "../../src/network/ledger-handler.ts";
import { parseAddCheckpoint } from "../../src/network/add-checkpoint.ts";
import { httpPeer } from "../../src/transport/http.ts";
import type { Signer } from "../../src/identity/signer.ts";
import type { HomePeer } from "../../src/transport/types.ts";
import { bytesFor, signerFor } from "../support/ledger.ts";
import { cosignerKey, polledHome, until, type PolledHome } from "../support/polled.ts";
import { verifyConsistency } from "../../src/merkle/verify.ts";

/** A home of which one checkpoint waits for as long as the test, since only `v` and `w` may end it. */
let home: PolledHome;
let waiting: WaitingCheckpoint;
let handler: (request: Request) => Promise<Response>;
const ending = new AbortController();

beforeAll(async () => {
  home = await polledHome();
  for (let i = 0; i < 3; i++) await home.grow();
  await until(() => home.polled.waiting?.size === home.hl.chain.size);
  const { note, size } = home.polled.waiting!;
  const lines: string[] = [];
  const polled = polledCosigners();
  waiting = {
    ...{ size, keys: ["v", "w", "old-v", "old-w"].map(cosignerKey) },
    validators: ["v", "old-v"].map((name) => cosignerKey(name).publicKey),
    get note() {
      return Buffer.concat([note, Buffer.from(lines.join(""))]);
    },
    lacks: ({ name }) => !lines.some((line) => line.includes(` ${name} `)),
    add: (line) => lines.push(line),
  };
  polled.offer(waiting, ending.signal);
  handler = ledgerHandler({
    ...{ source: home.source, polled, sessions: { did: home.did }, reads: "public" },
  });
});
afterAll(async () => {
  ending.abort();
  await home.close();
});

const peer = (signer: Signer): HomePeer =>
  httpPeer({
    ...{ url: "http://home.invalid", did: home.did },
    session: { ledger: ledgerId(home.genesis), signer },
    fetch: (url, init) => handler(new Request(url, init)),
  });
const refused = { code: "ERR_TRANSPORT_REFUSED" };

/** A cosignature of that checkpoint, or of what is said instead. */
function cosign(
  name: string,
  {
    size = waiting.size,
    root,
    signer = signerFor(name),
  }: {
    readonly size?: number;
    readonly root?: Uint8Array;
    readonly signer?: Signer;
  } = {},
): Promise<Uint8Array> {
  const { origin } = home.hl.chain.genesis;
  const text = encodeCheckpoint({ origin, size, root: root ?? home.hl.chain.root });
  return signNote(text, [cosignatureSigner(signer, name, Date.now)]);
}

describe("what waits for cosignatures", () => {
  it("is for cosigners that the policy lists, and for nobody else where everybody may read", async () => {
    const paths = ["pending?old=0&wait=0", "pending/blocks?from=0&count=1"];
    for (const path of paths) {
      const response = await handler(new Request(`http://home.invalid/${path}`));
      expect(response.status, path).toBe(401);
    }
    const post = { method: "POST", body: new Uint8Array(await cosign("w")) };
    const stranger = await handler(new Request("http://home.invalid/cosignature", post));
    expect(stranger.status).toBe(401);
    // A member with a session, and a key that nothing lists, which gets none.
    for (const signer of [home.keys.signer("sign"), signerFor("nobody")]) {
      await expect(peer(signer).pending()).rejects.toMatchObject(refused);
      await expect(peer(signer).cosign(await cosign("w"))).rejects.toMatchObject(refused);
      const blocks = peer(signer).pendingBlocks({ from: 0, count: 1 });
      await expect(blocks[Symbol.asyncIterator]().next()).rejects.toMatchObject(refused);
    }
    expect(waiting.lacks(cosignerKey("w"))).toBe(true);
  });

  it("is the signed checkpoint, with the proof from the size that is asked for", async () => {
    const { size, root } = home.hl.chain;
    for (let old = 0; old <= size + 1; old++) {
      const asked = parseAddCheckpoint(await peer(signerFor("w")).pending({ old }))!;
      expect(asked.note).toEqual(new Uint8Array(waiting.note));
      expect(asked.oldSize).toBe(Math.min(old, size));
      if (old === 0 || old >= size) expect(asked.proof).toEqual([]);
      else {
        const oldRoot = await home.hl.chain.rootAt(old);
        const { proof } = asked;
        const claim = { oldSize: old, oldRoot, newSize: size, newRoot: root, proof };
        expect(verifyConsistency(claim).ok).toBe(true);
      }
    }
  });

  it("has the blocks for validators, up to the checkpoint", async () => {
    const { size } = waiting;
    const found: Uint8Array[] = [];
    const range = { from: 1, count: size - 1 };
    for await (const block of peer(signerFor("v")).pendingBlocks(range)) found.push(block);
    const own: Uint8Array[] = [];
    for await (const block of home.hl.chain.readBlocks({ from: 1, limit: size })) own.push(block);
    expect(found).toEqual(own);
    const next = (signer: Signer, from: number, count: number) =>
      peer(signer).pendingBlocks({ from, count })[Symbol.asyncIterator]().next();
    // A witness needs none.
    await expect(next(signerFor("w"), 0, 1)).rejects.toMatchObject(refused);
    const missing = { code: "ERR_TRANSPORT_NOT_FOUND" };
    await expect(next(signerFor("v"), 1, size)).rejects.toMatchObject(missing);
    await expect(next(signerFor("v"), size, 1)).rejects.toMatchObject(missing);
  });

  it("shows blocks to no witness that only the policy of before listed", async () => {
    const first = (name: string) =>
      peer(signerFor(name)).pendingBlocks({ from: 0, count: 1 })[Symbol.asyncIterator]().next();
    await expect(first("old-v")).resolves.toMatchObject({ done: false });
    await expect(first("old-w")).rejects.toMatchObject(refused);
    expect(await peer(signerFor("old-w")).pending()).not.toHaveLength(0);
  });

  it("takes one good cosignature by each key, and nothing else", async () => {
    const token = await tokenOf("w");
    const post = async (body: Uint8Array): Promise<number> => {
      const headers = { authorization: `Bearer ${token}` };
      const init = { method: "POST", body: new Uint8Array(body), headers };
      return (await handler(new Request("http://home.invalid/cosignature", init))).status;
    };
    const before = waiting.note;
    const good = await cosign("w");
    const split = splitNote(good);
    const other = await cosign("v");
    const twoLines = Buffer.concat([good, other.subarray(other.lastIndexOf(0xe2))]);
    const cut = good.slice();
    // Still base64, or it would be no note.
    cut[good.length - 10] = cut[good.length - 10] === 0x41 ? 0x42 : 0x41;
    const stranger = signerFor("nobody");
    expect(split.ok).toBe(true);
    const cases: readonly (readonly [string, Uint8Array, number])[] = [
      ["nothing", new Uint8Array(), 400],
      ["no note", utf8ToBytes("hello\n"), 400],
      ["the line alone", good.subarray(good.lastIndexOf(0xe2)), 400],
      ["two signatures", twoLines, 400],
      ["another cosigner's", other, 422],
      ["a stranger's under that name", await cosign("w", { signer: stranger }), 422],
      ["one that is not good", cut, 422],
      ["another root", await cosign("w", { root: bytesFor("root") }), 422],
      ["an older head", await cosign("w", { size: waiting.size - 1 }), 404],
      ["a larger head", await cosign("w", { size: waiting.size + 1 }), 404],
      ["too much", Buffer.concat([good, Buffer.alloc(5000, "x")]), 413],
    ];
    for (const [what, body, status] of cases) {
      expect(await post(body), what).toBe(status);
      expect(waiting.note, what).toEqual(before);
    }
    expect(await post(good)).toBe(200);
    const after = waiting.note;
    expect(Buffer.from(after).toString()).toContain("\u2014 w ");
    // Again: nothing waits for it any more.
    expect(await post(good)).toBe(404);
    expect(await post(await cosign("w"))).toBe(404);
    expect(waiting.note).toEqual(after);
    expect(await peer(signerFor("w")).pending()).toHaveLength(0);
    const get = await handler(new Request("http://home.invalid/cosignature"));
    expect(get.status).toBe(405);
  });

  it("lets a validator read the ledger, and a witness no more than the checkpoint", async () => {
    const { source, polled } = home;
    const server = await home.serve({ polled });
    await until(() => polled.waiting !== undefined);
    const tile = { level: 0, index: 0, width: 1 };
    const missing = { code: "ERR_TRANSPORT_NOT_FOUND" };
    expect(source.newest).toBeUndefined();
    for (const name of ["v", "w"]) {
      const one = home.peer(signerFor(name), server);
      await expect(one.checkpoint()).rejects.toMatchObject(missing);
      const read = one.tile(tile);
      await expect(read).rejects.toMatchObject(name === "v" ? missing : refused);
    }
  });

  it("is nowhere without `polled`", async () => {
    const { source, did } = home;
    const plain = ledgerHandler({ source, sessions: { did } });
    const post = new Request("http://home.invalid/cosignature", { method: "POST", body: "x" });
    expect((await plain(post)).status).toBe(404);
    const member = httpPeer({
      ...{ url: "http://home.invalid", did },
      session: { ledger: ledgerId(home.genesis), signer: home.keys.signer("sign") },
      fetch: (url, init) => plain(new Request(url, init)),
    });
    await expect(member.pending()).rejects.toMatchObject({ code: "ERR_TRANSPORT_NOT_FOUND" });
    expect(() => ledgerHandler({ source, polled: home.polled, reads: "public" })).toThrow(
      "cosigners that are `polled` ask with `sessions`",
    );
  });

  /** Gets a token as a cosigner does, and reads it from the request that uses it. */
  async function tokenOf(name: string): Promise<string> {
    let token = "";
    const asking = httpPeer({
      ...{ url: "http://home.invalid", did: home.did },
      session: { ledger: ledgerId(home.genesis), signer: signerFor(name) },
      fetch(url, init) {
        const request = new Request(url, init);
        token = request.headers.get("authorization")?.slice("Bearer ".length) ?? token;
        return handler(request);
      },
    });
    await asking.pending();
    return token;
  }
});
