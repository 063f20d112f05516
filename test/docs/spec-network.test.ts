import { createHash } from "node:crypto";
import { decode, encode } from "@ipld/dag-cbor";
import { beforeAll, describe, expect, it } from "vitest";
import { MAX_BLOCK_BYTES, MAX_GENESIS_BYTES, MAX_HEADER_BYTES } from "../../src/block/limits.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { CID } from "multiformats/cid";
import { sha256 } from "multiformats/hashes/sha2";
import { decodePolicySteps } from "../../src/chain/follow-steps.ts";
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
