import { createHash, createPrivateKey, createPublicKey, sign, type KeyObject } from "node:crypto";
import { encode } from "@ipld/dag-cbor";
import { CID } from "multiformats/cid";
import * as Digest from "multiformats/hashes/digest";
import { describe, expect, it } from "vitest";
import { openChain } from "../../src/chain/open-chain.ts";
import { exportLedger, verifyExport } from "../../src/chain/export.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { specHex } from "../support/spec-blocks.ts";

const page = specHex("export.md");
const genesis = specHex("ledger.md")("genesis");
const ledger = CID.decode(specHex("ledger.md")("ledger id"));
const ORIGIN = "ledger.example/hospital-a";

// A second hand: notes and CAR files from their pages, with node:crypto and @ipld/dag-cbor.
const sha256 = (...parts: Uint8Array[]): Buffer =>
  createHash("sha256").update(Buffer.concat(parts)).digest();
const cidOf = (bytes: Uint8Array, codec: number): CID =>
  CID.createV1(codec, Digest.create(0x12, sha256(bytes)));

function noteOf(size: number, root: Uint8Array): Buffer {
  const pkcs8 = Buffer.concat([
    Buffer.from("302e020100300506032b657004220420", "hex"),
    Buffer.alloc(32, 3),
  ]);
  const key: KeyObject = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  const pub = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
  const text = `${ORIGIN}\n${size}\n${Buffer.from(root).toString("base64")}\n`;
  const id = sha256(Buffer.from(`${ORIGIN}\n`), Uint8Array.of(1), pub).subarray(0, 4);
  const signature = Buffer.concat([id, sign(null, Buffer.from(text), key)]).toString("base64");
  return Buffer.from(`${text}\n— ${ORIGIN} ${signature}\n`);
}

function car(root: CID, blocks: readonly (readonly [CID, Uint8Array])[]): Buffer {
  const varint = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >> 7)]);
  const framed = (...parts: Uint8Array[]): Buffer => {
    const all = Buffer.concat(parts);
    return Buffer.concat([Uint8Array.from(varint(all.length)), all]);
  };
  const header = framed(encode({ version: 1, roots: [root] }));
  return Buffer.concat([header, ...blocks.map(([cid, bytes]) => framed(cid.bytes, bytes))]);
}

function exportOf(note: Uint8Array, size: number, more: readonly Uint8Array[] = []): Buffer {
  const checkpoint = cidOf(note, 0x55);
  const header = encode({ v: 1, ledger, size, checkpoint });
  const root = cidOf(header, 0x71);
  return car(root, [
    [root, header],
    [cidOf(genesis, 0x71), genesis],
    [checkpoint, note],
    ...more.map((bytes) => [cidOf(bytes, 0x71), bytes] as const),
  ]);
}

describe("docs/spec/export.md, of a ledger without blocks", () => {
  const note = noteOf(0, sha256());
  const whole = exportOf(note, 0);

  it("has the bytes of a second hand, which the library writes and believes", async () => {
    expect(page("checkpoint of size 0")).toEqual(new Uint8Array(note));
    expect(page("export header of size 0")).toEqual(
      encode({ v: 1, ledger, size: 0, checkpoint: cidOf(note, 0x55) }),
    );
    const chain = await openChain({ storage: memoryStorage(), genesis });
    const chunks: Uint8Array[] = [];
    for await (const chunk of exportLedger(chain, new Uint8Array(note))) chunks.push(chunk);
    expect(Buffer.concat(chunks)).toEqual(whole);
    expect(await verifyExport([new Uint8Array(whole)], { ledger })).toMatchObject({
      ok: true,
      size: 0,
    });
    await chain.close();
  });

  it("takes no other root for that of nothing, and no block behind it", async () => {
    const judge = (bytes: Uint8Array) => verifyExport([new Uint8Array(bytes)], { ledger });
    const zeros = noteOf(0, new Uint8Array(32));
    expect(await judge(exportOf(zeros, 0))).toMatchObject({
      ok: false,
      reason: "checkpoint-root-mismatch",
    });
    const block = specHex("ledger.md")("block");
    expect(await judge(exportOf(note, 0, [block]))).toMatchObject({
      ok: false,
      reason: "too-many-blocks",
    });
    expect(await judge(exportOf(note, 1))).toEqual({ ok: false, reason: "not-an-export" });
  });
});
