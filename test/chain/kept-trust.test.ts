import { readFileSync } from "node:fs";
import { decode, encode } from "@ipld/dag-cbor";
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { fromHex } from "../../src/bytes/hex.ts";
import { decodeTrust, encodeTrust, type KeptTrust } from "../../src/chain/kept-trust.ts";
import { EncodingError } from "../../src/errors.ts";
import { flipBit } from "../support/small-ledger.ts";

const fixture = JSON.parse(
  readFileSync(new URL("../fixtures/format/v1/trust.json", import.meta.url), "utf8"),
) as Readonly<Record<"fromGenesis" | "seen" | "all", string>>;
const bytes = { seen: fromHex(fixture.seen), all: fromHex(fixture.all) };
const seen = decodeTrust(bytes.seen);

/** Encoded with changed fields, by another encoder. */
const changed = (of: Uint8Array, fields: Record<string, unknown>): Uint8Array => {
  const all = { ...decode<Record<string, unknown>>(of), ...fields };
  return encode(Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)));
};

describe("decodeTrust", () => {
  const note = new TextDecoder().decode(seen.checkpoint);
  const empty = new Uint8Array(createHash("sha256").digest());
  const key = new Uint8Array(32).fill(9);
  it.each<[string, Uint8Array]>([
    ["another version", changed(bytes.seen, { v: 2 })],
    ["an unknown field", changed(bytes.seen, { nonce: 1 })],
    ["a field missing", changed(bytes.seen, { origin: undefined })],
    ["a short root", changed(bytes.seen, { root: new Uint8Array(31), checkpoint: undefined })],
    ["a root that the checkpoint has not", changed(bytes.seen, { root: key })],
    ["a checkpoint of another size", changed(bytes.seen, { size: 2 })],
    ["a checkpoint without a root", changed(bytes.seen, { root: undefined })],
    [
      "a checkpoint of another origin",
      changed(bytes.seen, {
        checkpoint: Buffer.from(note.replace("hospital-a\n", "hospital-b\n")),
      }),
    ],
    ["what is no checkpoint", changed(bytes.seen, { checkpoint: new Uint8Array(3) })],
    ["a policy from beyond its size", changed(bytes.seen, { policyHeight: 1 })],
    ["a root of nothing", changed(bytes.all, { size: 0, policyHeight: undefined })],
    ["a negative size", changed(bytes.seen, { size: -1 })],
    ["nobody distrusted", changed(bytes.all, { distrusted: [] })],
    ["somebody distrusted twice", changed(bytes.all, { distrusted: [key, key] })],
    ["a short key", changed(bytes.all, { distrusted: [new Uint8Array(31)] })],
    ["another kind of id", changed(bytes.seen, { ledger: "x" })],
    ["an origin with a space", changed(bytes.seen, { origin: "a b", checkpoint: undefined })],
    ["an empty file", new Uint8Array()],
    ["something after it", Uint8Array.of(...bytes.seen, 0)],
  ])("refuses %s", (_, wrong) => {
    expect(() => decodeTrust(wrong)).toThrow(EncodingError);
  });

  it("reads the head of an empty tree", () => {
    const none = { policyHeight: undefined, checkpoint: undefined };
    const trust = decodeTrust(changed(bytes.all, { ...none, size: 0, root: empty }));
    expect(trust).toMatchObject({ size: 0, root: empty });
  });

  it("refuses more than two MiB", () => {
    const long = changed(bytes.seen, { checkpoint: new Uint8Array(2 * 1024 * 1024) });
    expect(() => decodeTrust(long)).toThrow(
      expect.objectContaining({ code: "ERR_ENCODING_LIMIT" }),
    );
  });

  it("never reads two values from bytes that differ in one bit, and throws nothing else", () => {
    const values = new Set<string>();
    for (let bit = 0; bit < 8 * bytes.all.length; bit++) {
      const flipped = flipBit(bytes.all, bit);
      try {
        // Whatever it reads has exactly these bytes.
        expect(encodeTrust(decodeTrust(flipped))).toEqual(flipped);
        values.add(Buffer.from(flipped).toString("hex"));
      } catch (error) {
        expect(error).toBeInstanceOf(EncodingError);
      }
    }
    expect(values.size).toBeGreaterThan(100);
  });
});

describe("encodeTrust", () => {
  it("leaves out a checkpoint that trust has gone beyond", () => {
    const root = new Uint8Array(32).fill(7);
    const later: KeptTrust = { ...seen, size: 2, root };
    expect(decodeTrust(encodeTrust(later))).not.toHaveProperty("checkpoint");
    expect(decodeTrust(encodeTrust(later))).toMatchObject({ size: 2, root });
  });

  it("refuses trust made by hand that contradicts itself", () => {
    const { validators } = seen.cosignaturePolicy;
    const twice = { name: "w", publicKey: seen.checkpointKeys[0]! };
    const witnesses = { required: 2, keys: [twice, { ...twice, name: "x" }] };
    const cosignaturePolicy = { validators, witnesses };
    expect(() => encodeTrust({ ...seen, cosignaturePolicy })).toThrow(EncodingError);
    expect(() => encodeTrust({ ...seen, policyHeight: 5 })).toThrow(EncodingError);
  });
});
