import { createHash } from "node:crypto";
import { CID } from "multiformats/cid";
import { describe, expect, it } from "vitest";
import { fromHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import {
  cidFromBytes,
  cidFromDigest,
  cidOf,
  DAG_CBOR,
  matchesCid,
  RAW,
} from "../../src/codec/cid.ts";

// `echo -n "cccc" | ipfs add --raw-leaves`, as in ipld/ipld's carv1-basic fixture.
const known = "bafkreifw7plhl6mofk6sfvhnfh64qmkq73oeqwl6sloru6rehaoujituke";

describe("cidOf", () => {
  it("names bytes as other implementations do", () => {
    expect(cidOf(utf8ToBytes("cccc"), RAW).toString()).toBe(known);
    expect(cidOf(utf8ToBytes("cccc"), RAW).equals(CID.parse(known))).toBe(true);
  });
});

describe("cidFromDigest", () => {
  it("copies the digest", () => {
    const digest = new Uint8Array(createHash("sha256").update("cccc").digest());
    const cid = cidFromDigest(digest, RAW);
    digest.fill(0);
    expect(cid.toString()).toBe(known);
    expect(cid.multihash.size).toBe(32);
  });

  it("refuses a digest of another length", () => {
    expect(() => cidFromDigest(new Uint8Array(20), DAG_CBOR)).toThrow(RangeError);
  });
});

describe("cidFromBytes", () => {
  const bytes = CID.parse(known).bytes;

  it("reads what it would write", () => {
    expect(cidFromBytes(bytes).toString()).toBe(known);
  });

  it.each<[string, Uint8Array]>([
    ["nothing", new Uint8Array()],
    ["a CIDv0", CID.parse("QmNX6Tffavsya4xgBi2VJQnSuqy9GsxongxZZ9uZBqp16d").bytes],
    ["another codec", Uint8Array.from(bytes, (byte, i) => (i === 1 ? 0x70 : byte))],
    ["another hash", Uint8Array.from(bytes, (byte, i) => (i === 2 ? 0x13 : byte))],
    ["a byte behind it", Uint8Array.from([...bytes, 0])],
    ["a byte missing", bytes.subarray(0, 35)],
    ["an identity hash", fromHex("0155000161")],
  ])("refuses %s", (_, other) => {
    expect(() => cidFromBytes(other)).toThrow(
      expect.objectContaining({ code: "ERR_ENCODING_MALFORMED" }),
    );
  });
});

describe("matchesCid", () => {
  it("compares the hash and nothing else", () => {
    expect(matchesCid(CID.parse(known), utf8ToBytes("cccc"))).toBe(true);
    expect(matchesCid(CID.parse(known), utf8ToBytes("cccd"))).toBe(false);
  });

  it("never matches a hash that it does not compute", () => {
    const identity = CID.decode(fromHex("0155000161"));
    expect(matchesCid(identity, utf8ToBytes("a"))).toBe(false);
  });
});
