import { createHash, createPublicKey, verify } from "node:crypto";
import { decode, encode } from "@ipld/dag-cbor";
import { beforeAll, describe, expect, it } from "vitest";
import { MAX_BLOCK_BYTES, MAX_GENESIS_BYTES, MAX_HEADER_BYTES } from "../../src/block/limits.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { CID } from "multiformats/cid";
import { sha256 } from "multiformats/hashes/sha2";
import { decodePolicySteps } from "../../src/chain/follow-steps.ts";
import { decodeGenesis } from "../../src/block/genesis.ts";
import { noteKey, NOTE_COSIGNATURE, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { polledCosigners } from "../../src/chain/polled-cosigners.ts";
import { createWitness } from "../../src/chain/witness.ts";
import { memorySigner, type Signer } from "../../src/identity/signer.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { httpPeer } from "../../src/transport/http.ts";
import {
  MAX_COSIGNATURE_BYTES,
  MAX_PENDING_BLOCKS,
  MAX_PENDING_BYTES,
} from "../../src/transport/pending.ts";
import { signSessionRequest } from "../../src/transport/session-request.ts";
import { submitBatches } from "../../src/transport/submission.ts";
import { verifyDescription } from "../../src/chain/description.ts";
import { descriptionHandler } from "../../src/network/description-handler.ts";
import { encodeDescribe } from "../../src/network/description-request.ts";
import { verifyStateAnswer } from "../../src/network/state-answer.ts";
import { verifyMap } from "../../src/merkle/map-proof.ts";
import { specHex } from "../support/spec-blocks.ts";
import { specPage } from "./spec-page.ts";
import { specSource } from "./network-source.ts";

const hex = specHex("network.md");
const { text } = specPage("network.md");
let source: Awaited<ReturnType<typeof specSource>>;
beforeAll(async () => (source = await specSource()));

const bodyOf = async (path: string): Promise<Uint8Array> =>
  new Uint8Array(await (await source.ask(path)).arrayBuffer());
const joined = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

describe("docs/spec/network.md", () => {
  it("has the bytes of the example, by node:crypto and by the other pages", async () => {
    const { page, genesis, note } = source;
    const leaf = createHash("sha256")
      .update(joined(Uint8Array.of(0), page("header")))
      .digest();
    expect(hex("tile")).toEqual(new Uint8Array(leaf));
    expect(await bodyOf("tile/0/000.p/1")).toEqual(hex("tile"));
    const entries = joined(hex("length of the header"), page("header"));
    expect(await bodyOf("tile/entries/000.p/1")).toEqual(entries);
    expect(Buffer.from(hex("length of the header")).readUInt16BE()).toBe(page("header").length);
    const blocks = joined(hex("length of the block"), page("block"));
    expect(await bodyOf("tile/blocks/000.p/1")).toEqual(blocks);
    expect(Buffer.from(hex("length of the block")).readUInt32BE()).toBe(page("block").length);
    expect(await bodyOf("genesis")).toEqual(genesis);
    expect(await bodyOf("checkpoint")).toEqual(note);
  });

  it("has the list of no steps", async () => {
    const ledger = CID.createV1(0x71, await sha256.digest(source.genesis));
    expect(hex("policy")).toEqual(encode({ v: 1, ledger, steps: [] }));
    expect(await bodyOf("policy")).toEqual(hex("policy"));
    expect(decodePolicySteps(hex("policy")).steps).toEqual([]);
  });

  it("has a proof that there is nothing, with the fields of its table", async () => {
    const { genesis, note, page } = source;
    const answer = decode<Record<string, unknown>>(hex("absent"));
    const rows = [
      ...text
        .split("## State")[1]!
        .split("\n## ")[0]!
        .matchAll(/^\| `(\w+)`/gm),
    ].map(([, name]) => name);
    expect(Object.keys(answer).sort()).toEqual(rows.sort());
    expect(answer).toMatchObject({
      v: 1,
      checkpoint: note,
      header: page("header"),
      path: [],
      value: null,
    });
    const { state } = decode<{ state: Uint8Array }>(page("header"));
    const key = new TextEncoder().encode("sys/nothing");
    expect(verifyMap(state, key, null, answer["proof"] as never).ok).toBe(true);
    expect(await bodyOf("state/sys/nothing")).toEqual(hex("absent"));
    const verified = verifyStateAnswer(hex("absent"), "sys/nothing", trustFromGenesis(genesis));
    expect(verified).toMatchObject({ ok: true, value: null, height: 0 });
    const other = verifyStateAnswer(hex("absent"), "sys/policy", trustFromGenesis(genesis));
    expect(other).toEqual({ ok: false, reason: "value-not-proved" });
  });

  it("has the limits of the code", () => {
    const limits = text.split("## Limits")[1]!;
    for (const most of [MAX_GENESIS_BYTES, MAX_HEADER_BYTES, MAX_BLOCK_BYTES, 1_000_000, 2 ** 22]) {
      expect(limits).toContain(most.toLocaleString("en-US"));
    }
  });

  it("has every status that a handler answers with", async () => {
    const rows = [...text.matchAll(/^\| (\d{3}) +\|/gm)].map(([, status]) => Number(status));
    for (const path of ["genesis", "nothing", "checkpoint?after=x", "x".repeat(2100)]) {
      expect(rows).toContain((await source.ask(path)).status);
    }
  });
});

describe("docs/spec/network.md, sessions and submitting", () => {
  const seeded = (byte: number): Signer =>
    memorySigner({ alg: "Ed25519", secret: new Uint8Array(32).fill(byte) });
  const field = (bytes: Uint8Array, name: string) => decode<Record<string, unknown>>(bytes)[name];

  it("has a request that node:crypto verifies and a server takes, with the fields of the tables", async () => {
    const { session, sig } = decode<Record<string, Uint8Array>>(hex("session request"));
    expect(session).toEqual(hex("session"));
    const spki = joined(Buffer.from("302a300506032b6570032100", "hex"), seeded(1).publicKey);
    const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
    const input = joined(Buffer.from("healthledger/session/1\0"), session!);
    expect(verify(null, input, key, sig!)).toBe(true);
    const part = text.split("## Sessions")[1]!.split("\n## ")[0]!;
    const tables = part
      .split(/\n\n/)
      .filter((block) => block.startsWith("| field"))
      .map((block) => [...block.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name).sort());
    const bodies = [hex("session request"), hex("session"), hex("token")];
    expect(tables).toEqual(bodies.map((bytes) => Object.keys(decode<object>(bytes)).sort()));
    const made = await signSessionRequest(seeded(1), {
      ...{ ledger: field(session!, "ledger") as never, to: seeded(2).actor },
      ...{ id: field(session!, "id") as never, time: field(session!, "time") as number },
      expires: field(session!, "expires") as number,
    });
    expect(made).toEqual(hex("session request"));
    const post = (path: string, body: Uint8Array, authorization = "") =>
      source.serve({
        sessions: {
          did: seeded(2).actor,
          now: () => field(session!, "time") as number,
          random: (length) => new Uint8Array(length).fill(0x77),
        },
        sequencer: settled,
      })(
        new Request(`http://ledger.example/${path}`, {
          ...{ method: "POST", body: new Uint8Array(body), headers: { authorization } },
        }),
      );
    const answer = await post("session", hex("session request"));
    expect(new Uint8Array(await answer.arrayBuffer())).toEqual(hex("token"));
    expect((await post("submit", new Uint8Array())).status).toBe(401);
  });

  it("has what an organisation is asked to describe itself for", async () => {
    const nonce = field(source.genesis, "nonce") as Uint8Array;
    expect(encode({ v: 1, for: nonce })).toEqual(hex("describe"));
    expect(encodeDescribe(nonce)).toEqual(hex("describe"));
    const keys = { sign: [seeded(1)] };
    const options = { keys, name: "Clinic", roles: ["custodian"] as const, authorize: () => true };
    const body = new Uint8Array(hex("describe"));
    const asked = new Request("http://a.example/describe", { method: "POST", body });
    const answer = await descriptionHandler(options)(asked);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    expect(verifyDescription(bytes, nonce).name).toBe("Clinic");
  });

  /** A sequencer that has the example's transaction already. */
  const settled = {
    submit: () => ({ durable: Promise.resolve({ height: 0, transaction: 0 }) }) as never,
    ready: async () => undefined,
  };

  it("has what is submitted and what comes back", async () => {
    const { page } = source;
    const body = decode<Record<string, unknown>>(hex("submitted"));
    expect(body).toEqual({
      ...{ v: 1, tx: page("transaction"), alg: "Ed25519", sig: page("transaction signature") },
      entries: [page("record entry"), page("erase entry")],
    });
    const framed = joined(hex("length of the transaction"), hex("submitted"));
    expect(Buffer.from(framed).readUInt32BE()).toBe(hex("submitted").length);
    const handler = source.serve({ authorize: () => true, sequencer: settled });
    const request = { method: "POST", body: new Uint8Array(framed) };
    const answer = await handler(new Request("http://ledger.example/submit", request));
    expect(new Uint8Array(await answer.arrayBuffer())).toEqual(hex("outcomes"));
    const tx = createHash("sha256").update(page("transaction")).digest();
    expect(decode(hex("outcomes"))).toEqual({
      ...{ v: 1, outcomes: [{ tx: new Uint8Array(tx), height: 0, transaction: 0 }] },
    });
    const [batch] = submitBatches([body as never]);
    expect(batch!.body).toEqual(framed);
  });
});

describe("docs/spec/network.md, cosigning what waits", () => {
  const [pending, cosignature] = [
    ...text.split("## Cosigning what waits")[1]!.matchAll(/```text\n([^`]*)```/g),
  ].map(([, block]) => block!);
  const signer = memorySigner({ alg: "Ed25519", secret: new Uint8Array(32).fill(3) });

  it("shows what a cosigner gets, and what it hands in", async () => {
    const { note, serve } = source;
    const key = noteKey("validator.example/1", NOTE_COSIGNATURE, signer.publicKey);
    const polled = polledCosigners();
    const lines: string[] = [];
    const validators = [signer.publicKey];
    const waiting = { note, size: 1, keys: [key], validators, lacks: () => lines.length === 0 };
    const ending = new AbortController();
    polled.offer({ ...waiting, add: (line) => lines.push(line) }, ending.signal);
    const server = memorySigner({ alg: "Ed25519", secret: new Uint8Array(32).fill(2) });
    const handler = serve({ polled, sessions: { did: server.actor } });
    const ledger = CID.createV1(0x71, await sha256.digest(source.genesis));
    const home = httpPeer({
      ...{ url: "http://ledger.example", did: server.actor, session: { ledger, signer } },
      fetch: (url, init) => handler(new Request(url, init)),
    });
    expect(Buffer.from(await home.pending({ old: 0 })).toString()).toBe(pending);
    const [block] = await listOf(home.pendingBlocks({ from: 0, count: 1 }));
    expect(block).toEqual(source.page("block"));

    const [origin, keys] = ["ledger.example/hospital-a", [await logKey()]];
    const witness = createWitness({
      ...{ chains: memoryStorage().chains, signer, name: key.name, origin, keys },
      now: () => 1_767_225_600_000,
    });
    const answer = await witness.cosign(note, 0, []);
    const shown = Buffer.from(note).toString().split("\n\n")[0];
    expect(`${shown}\n\n${answer.ok ? answer.line : ""}`).toBe(cosignature);
    await home.cosign(Buffer.from(cosignature!));
    expect(lines).toEqual([cosignature!.split("\n\n")[1]]);
    await expect(home.cosign(Buffer.from(cosignature!))).rejects.toMatchObject({
      code: "ERR_TRANSPORT_NOT_FOUND",
    });
  });

  async function logKey() {
    const { origin, checkpointKeys } = decodeGenesis(source.genesis);
    return noteKey(origin, NOTE_ED25519, checkpointKeys[0]!);
  }

  it("has the limits of the code", () => {
    const part = text.split("## Cosigning what waits")[1]!.split("\n## ")[0]!;
    expect(part).toContain(MAX_COSIGNATURE_BYTES.toLocaleString("en-US"));
    expect(part).toContain(`1 to ${MAX_PENDING_BLOCKS}`);
    expect(text.split("## Limits")[1]).toContain(MAX_PENDING_BYTES.toLocaleString("en-US"));
  });
});

async function listOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
