import { createHash, hkdfSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { CID, cidFromDigest, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { decodeHeader, encodeHeader, type EnvelopeHeader } from "../../src/envelope/header.ts";
import { derivePartKeys } from "../../src/envelope/keys.ts";
import { LedgerError } from "../../src/errors.ts";

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const cid = (codec: typeof RAW | typeof DAG_CBOR) =>
  bytes(32).map((digest) => cidFromDigest(digest, codec));

/** A part whose size and blocks agree: 15 segments of 65536 bytes make a block. */
const part = fc
  .tuple(fc.integer({ min: 0, max: 3_000_000 }), bytes(32), cid(RAW))
  .map(([size, commit, block]) => ({
    size,
    commit,
    data: Array.from({ length: Math.max(1, Math.ceil(size / (15 * 65_536))) }, () => block),
  }));
const header = fc.record(
  {
    suite: fc.string({ maxLength: 64 }),
    context: fc.record({
      ledger: cid(DAG_CBOR),
      author: fc.string({ maxLength: 256 }),
      kind: fc.string({ maxLength: 64, unit: "binary" }),
    }),
    salt: bytes(32),
    parts: fc
      .array(part, { minLength: 1, maxLength: 4 })
      .map((parts) => parts.map((one, i) => ({ id: `part-${i}`, ...one }))),
    disclosed: bytes(32),
    supersedes: cid(DAG_CBOR),
  },
  { requiredKeys: ["suite", "context", "salt", "parts"] },
);

/** What a value of a header may be by mistake. */
const wrong = fc.oneof(
  fc.constantFrom<unknown>(undefined, null, "", "x".repeat(300), -1, 1.5, {}, [], "\ud800"),
  bytes(31),
  cid(RAW),
  cid(DAG_CBOR),
  bytes(32).map((digest) => CID.createV1(0x70, cidFromDigest(digest, RAW).multihash)),
);
const paths: readonly (readonly (string | number)[])[] = [
  ...[["suite"], ["salt"], ["disclosed"], ["supersedes"], ["parts"]],
  ...[
    ["context", "ledger"],
    ["context", "author"],
    ["context", "kind"],
  ],
  ...["id", "size", "commit", "data"].map((name) => ["parts", 0, name]),
  ["parts", 0, "data", 0],
];
const spoilt = fc
  .tuple(header, fc.constantFrom(...paths), wrong)
  .map(([value, path, other]) => replaced(value, path, other));

function replaced(value: unknown, path: readonly (string | number)[], by: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return by;
  const at = (value as Record<string | number, unknown>)[first];
  if (Array.isArray(value)) {
    return value.map((one: unknown, i) => (i === first ? replaced(one, rest, by) : one));
  }
  return { ...(value as object), [first]: rest.length === 0 ? by : replaced(at, rest, by) };
}

/** As the format says: encoded, and then judged by what reads it. */
function slowly({ suite, context, salt, parts, disclosed, supersedes }: EnvelopeHeader) {
  const { ledger, author, kind } = context;
  const written = encode({
    ...{ v: 1, suite, ctx: { ledger, author, kind }, salt, segment: 65_536 },
    parts: parts.map(({ id, size, commit, data }) => ({ id, size, commit, data })),
    ...(disclosed === undefined ? {} : { disclosed }),
    ...(supersedes === undefined ? {} : { supersedes }),
  });
  decodeHeader(written);
  return written;
}

function outcome(work: () => Uint8Array): string {
  try {
    return Buffer.from(work()).toString("hex");
  } catch (error) {
    if (error instanceof LedgerError) return `${error.code as string} ${error.message}`;
    if (error instanceof TypeError) return "TypeError";
    throw error;
  }
}

describe("encodeHeader", () => {
  it("writes what reading it back accepts, and that is what it was given", () => {
    fc.assert(
      fc.property(header, (value) => {
        const written = encodeHeader(value as EnvelopeHeader);
        expect(Buffer.compare(written, slowly(value as EnvelopeHeader))).toBe(0);
        expect(decodeHeader(written)).toEqual(value);
      }),
    );
  });

  it("refuses what reading it back refuses, in the same words", () => {
    let refused = 0;
    fc.assert(
      fc.property(spoilt, (value) => {
        const expected = outcome(() => slowly(value as EnvelopeHeader));
        if (expected.startsWith("ERR")) refused++;
        expect(outcome(() => encodeHeader(value as EnvelopeHeader))).toBe(expected);
      }),
      { numRuns: 1000 },
    );
    expect(refused).toBeGreaterThan(500);
  });

  it("takes a CID of another copy of its class, as reading it back does", () => {
    const [value] = fc.sample(header, { numRuns: 1, seed: 1 });
    const { ledger } = value!.context;
    const foreign = { ...ledger, "/": ledger.bytes, asCID: null as unknown } as { asCID: unknown };
    foreign.asCID = foreign;
    const given = { ...value!, context: { ...value!.context, ledger: foreign as unknown as CID } };
    expect(outcome(() => encodeHeader(given as EnvelopeHeader))).toBe(
      outcome(() => slowly(given as EnvelopeHeader)),
    );
  });

  it("judges a long one by its bytes", () => {
    const [value] = fc.sample(header, { numRuns: 1, seed: 1 });
    const block = cidFromDigest(new Uint8Array(32), RAW);
    const long = (blocks: number) => ({
      ...value!,
      parts: [
        {
          ...{ id: "a", size: 4000 * 15 * 65_536, commit: new Uint8Array(32) },
          data: Array.from({ length: blocks }, () => block),
        },
      ],
    });
    expect(decodeHeader(encodeHeader(long(4000) as EnvelopeHeader)).parts).toEqual(
      long(4000).parts,
    );
    expect(() => encodeHeader(long(3999) as EnvelopeHeader)).toThrow("number of blocks");
  });
});

/** By RFC 5869 and docs/spec: `P(id)` = Expand(Extract(salt, cek), info ‖ id ‖ 0 ‖ hash of the context). */
function partKey(value: Pick<EnvelopeHeader, "suite" | "context" | "salt">, cek: Uint8Array) {
  const { suite, context, salt } = value;
  const bound = createHash("sha256")
    .update(encode({ suite, segment: 65_536, ctx: { ...context } }))
    .digest();
  const info = concatBytes(utf8ToBytes("healthledger/part/1 a\0"), bound);
  return new Uint8Array(hkdfSync("sha256", cek, salt, info, 32));
}

describe("derivePartKeys", () => {
  it("binds keys to their own context, whichever went before", () => {
    const ledgers = Array.from({ length: 3 }, (_, i) =>
      cidFromDigest(new Uint8Array(32).fill(i), DAG_CBOR),
    );
    const context = fc.record({
      ledger: fc.constantFrom(...ledgers, cidFromDigest(new Uint8Array(32), DAG_CBOR)),
      author: fc.constantFrom("a", "b"),
      kind: fc.constantFrom("record", "access"),
    });
    const suite = fc.constantFrom("chacha", "aes-gcm");
    const key = fc.record({ suite, context, salt: bytes(32), cek: bytes(32) });
    fc.assert(
      fc.property(fc.array(key, { minLength: 20, maxLength: 60 }), (all) => {
        for (const { cek, ...value } of all) {
          expect(derivePartKeys(value, cek, ["a"]).parts["a"]).toEqual(partKey(value, cek));
        }
      }),
      { numRuns: 20 },
    );
  });
});
