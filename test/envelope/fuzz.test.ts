import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { decodeGrant } from "../../src/envelope/grant-record.ts";
import { makeGrant } from "../../src/envelope/grant.ts";
import { decodeHeader, decodeSignedHeader, encodeHeader } from "../../src/envelope/header.ts";
import { EnvelopeError } from "../../src/errors.ts";
import { basis, hospital, nobody, seal, seeded } from "./parties.ts";
import { cases } from "../support/share.ts";

const sealed = await seal([
  { id: "manifest", bytes: utf8ToBytes("manifest") },
  { id: "content", bytes: new Uint8Array(70_000) },
]);
const signed = sealed.header;
const { headerBytes } = decodeSignedHeader(signed);
const grant = await makeGrant({
  envelope: sealed.cid,
  basis,
  keys: { cek: sealed.cek },
  recipient: nobody,
  signer: hospital,
  random: seeded("fuzz"),
});

/** Cuts, repeats, inserts and overwrites a few bytes. */
const mutations = (bytes: Uint8Array): fc.Arbitrary<Uint8Array> =>
  fc
    .array(
      fc.tuple(fc.nat({ max: bytes.length }), fc.nat({ max: 12 }), fc.uint8Array({ maxLength: 9 })),
      { minLength: 1, maxLength: 3 },
    )
    .map((changes) =>
      changes.reduce(
        (current, [at, gone, added]) =>
          Uint8Array.from([...current.subarray(0, at), ...added, ...current.subarray(at + gone)]),
        bytes,
      ),
    );

function survives(bytes: Uint8Array, read: (bytes: Uint8Array) => unknown): void {
  try {
    read(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(EnvelopeError);
    expect(error).toMatchObject({ code: "ERR_ENVELOPE_INVALID" });
  }
}

describe("decoders of hostile bytes", () => {
  it.each<[string, Uint8Array, (bytes: Uint8Array) => unknown]>([
    ["decodeHeader", headerBytes, decodeHeader],
    ["decodeSignedHeader", signed, decodeSignedHeader],
    ["decodeGrant", grant, decodeGrant],
  ])("%s throws one code only", (_, bytes, read) => {
    expect(() => read(bytes)).not.toThrow();
    fc.assert(
      fc.property(mutations(bytes), (changed) => survives(changed, read)),
      { numRuns: cases(2000, 4) },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => survives(noise, read)),
      { numRuns: cases(1000, 4) },
    );
  });

  it("accept only what they would write", () => {
    fc.assert(
      fc.property(mutations(headerBytes), (changed) => {
        let header: ReturnType<typeof decodeHeader>;
        try {
          header = decodeHeader(changed);
        } catch {
          return;
        }
        expect(encodeHeader(header)).toEqual(changed);
      }),
      { numRuns: cases(2000, 4) },
    );
  });

  it("are bounded where a header claims a great many blocks or parts", () => {
    const part = { id: "a", size: Number.MAX_SAFE_INTEGER, commit: new Uint8Array(32), data: [] };
    for (const parts of [
      [part],
      Array.from({ length: 257 }, (_, i) => ({ ...part, id: `p${i}` })),
    ]) {
      const bytes = encode({
        v: 1,
        suite: "chacha",
        ctx: {},
        salt: new Uint8Array(32),
        segment: 65536,
        parts,
      });
      expect(() => decodeHeader(bytes)).toThrow(EnvelopeError);
    }
  });
});
