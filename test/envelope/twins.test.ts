import { createHash, hkdfSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { CID, cidFromDigest, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { decodeHeader, encodeHeader, type EnvelopeHeader } from "../../src/envelope/header.ts";
import { writeFewParts } from "../../src/envelope/header-template.ts";
import { derivePartKeys } from "../../src/envelope/keys.ts";
import { createPartCipher, isShort, sealShort } from "../../src/envelope/part-cipher.ts";
import { sealEnvelope } from "../../src/envelope/seal.ts";
import { sealStream } from "../../src/envelope/seal-stream.ts";
import { LedgerError } from "../../src/errors.ts";
import { sizeByHand } from "./padding-by-hand.ts";
import { context as own, hospital, seeded } from "./parties.ts";
import { cases } from "../support/share.ts";

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const cid = (codec: typeof RAW | typeof DAG_CBOR) =>
  bytes(32).map((digest) => cidFromDigest(digest, codec));

/** A part whose size and blocks agree: 15 segments of 65536 bytes make a block. */
const part = fc
  .tuple(
    fc.integer({ min: 0, max: 3_000_000 }).map((length) => sizeByHand(length)),
    bytes(32),
    cid(RAW),
  )
  .map(([size, commit, block]) => ({
    size,
    commit,
    data: Array.from({ length: Math.ceil(size / (15 * 65_536)) }, () => block),
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
      { numRuns: cases(1000, 4) },
    );
    expect(refused).toBeGreaterThan(cases(1000, 4) / 2);
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
    // 59 × 2^26 bytes are 4027.7 blocks.
    const long = (blocks: number) => ({
      ...value!,
      parts: [
        {
          ...{ id: "a", size: 59 * 2 ** 26, commit: new Uint8Array(32) },
          data: Array.from({ length: blocks }, () => block),
        },
      ],
    });
    expect(decodeHeader(encodeHeader(long(4028) as EnvelopeHeader)).parts).toEqual(
      long(4028).parts,
    );
    expect(() => encodeHeader(long(4027) as EnvelopeHeader)).toThrow("number of blocks");
  });
});

/** Headers of few contexts and of few parts of one block each, as almost all are. */
const shared = fc.sample(
  header.map(({ suite, context }) => ({ suite, context })),
  { numRuns: 20, seed: 7 },
);
const sizes = [3072, 8192, 16_384, 17_408, 63_488, 65_536, 67_584, 966_656, 983_040];
const partOf = (id: fc.Arbitrary<string>) =>
  fc.record({
    id,
    size: fc.oneof(
      fc.constantFrom(...sizes),
      fc.nat({ max: 983_032 }).map((length) => sizeByHand(length)),
    ),
    commit: bytes(32).map((commit) => (commit[0]! < 128 ? commit : Buffer.from(commit))),
    data: cid(RAW).map((block) => [block]),
  });
const ids = fc.oneof(
  fc.constantFrom("manifest", "content", "attachment-0", "a".repeat(64)),
  fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,63}$/),
);
const usual = fc.record({ salt: bytes(32), parts: fc.array(partOf(ids), { minLength: 1 }) });
/** Neighbours of usual headers, and what else `wrong` has. */
const unusual = fc.oneof(
  fc.tuple(
    usual,
    fc.constantFrom(...paths.filter(([first]) => first !== "context" && first !== "suite")),
    wrong,
  ),
  fc.tuple(
    usual,
    fc.constant(["parts", 0, "size"]),
    fc.oneof(
      fc.constantFrom<unknown>(983_041, 999_424, 2 ** 53, -1, 0.5, NaN, "1", "3072", 3072n, null),
      fc.constantFrom(0, -0, 512, 3071, 3073, 3072.5, 16_385, 65_535, 65_537, Infinity),
    ),
  ),
  fc.tuple(
    usual,
    fc.constant(["parts", 0, "id"]),
    fc.constantFrom<unknown>("", "A", ".a", "a".repeat(65), "__proto__", "ä", 1, ["a"], null),
  ),
  fc.tuple(
    usual,
    fc.constant(["parts", 0, "data"]),
    fc.oneof(fc.constant([]), fc.tuple(cid(RAW), cid(RAW)), fc.tuple(cid(DAG_CBOR))),
  ),
  fc.tuple(usual, fc.constant(["parts", 0, "commit"]), fc.oneof(bytes(33), fc.constant([]))),
);

describe("writeFewParts", () => {
  const remembered = (index: number) => {
    const known = shared[index % shared.length]!;
    const data = [cidFromDigest(new Uint8Array(32), RAW)];
    const parts = [{ id: "a", size: 3072, commit: new Uint8Array(32), data }];
    encodeHeader({ ...known, salt: new Uint8Array(32), parts });
    return known;
  };

  it("writes the bytes of the codec, by which encodeHeader then goes", () => {
    let quick = 0;
    fc.assert(
      fc.property(fc.nat(), usual, (index, { salt, parts }) => {
        const known = remembered(index);
        const value = { ...known, salt, parts };
        const written = writeFewParts(known, salt, parts);
        if (written !== undefined) {
          quick++;
          expect(Buffer.compare(written, slowly(value))).toBe(0);
        }
        const few = parts.length <= 8 && new Set(parts.map(({ id }) => id)).size === parts.length;
        expect(written !== undefined).toBe(few);
        expect(outcome(() => encodeHeader(value))).toBe(outcome(() => slowly(value)));
      }),
      { numRuns: cases(500, 4) },
    );
    expect(quick).toBeGreaterThan(cases(500, 4) / 5);
  });

  it("leaves what is wrong to the judge, whatever was right before", () => {
    let refused = 0;
    fc.assert(
      fc.property(fc.nat(), unusual, (index, [value, path, other]) => {
        const known = remembered(index);
        const given = replaced({ ...known, ...value }, path, other) as EnvelopeHeader;
        const expected = outcome(() => slowly(given));
        if (!/^[0-9a-f]+$/.test(expected)) refused++;
        expect(outcome(() => encodeHeader(given))).toBe(expected);
      }),
      { numRuns: cases(1000, 4) },
    );
    expect(refused).toBeGreaterThan(cases(1000, 4) / 2);
  });

  it("writes nothing for a context that no header had, nor one of another ledger, author or kind", () => {
    const known = remembered(0);
    const { ledger } = known.context;
    const data = [cidFromDigest(new Uint8Array(32), RAW)];
    const parts = [{ id: "a", size: 3072, commit: new Uint8Array(32), data }];
    const tried = (suite: string, context: EnvelopeHeader["context"]) =>
      writeFewParts({ suite, context }, new Uint8Array(32), parts);
    expect(tried(known.suite, { ...known.context })).toBeDefined();
    expect(tried(`${known.suite}.`, known.context)).toBeUndefined();
    for (const change of [
      { author: `${known.context.author}.` },
      { kind: `${known.context.kind}.` },
      {
        ledger: cidFromDigest(
          ledger.multihash.digest.map((byte) => byte ^ 1),
          DAG_CBOR,
        ),
      },
    ]) {
      expect(tried(known.suite, { ...known.context, ...change })).toBeUndefined();
    }
  });

  it("gives bytes that the next header does not change", () => {
    const known = remembered(0);
    const data = [cidFromDigest(new Uint8Array(32), RAW)];
    const parts = [{ id: "a", size: 3072, commit: new Uint8Array(32), data }];
    const first = writeFewParts(known, new Uint8Array(32), parts)!;
    const kept = first.slice();
    writeFewParts(known, new Uint8Array(32).fill(1), parts);
    expect(first).toEqual(kept);
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
    const ledgers = Array.from({ length: 12 }, (_, i) =>
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

describe("sealShort", () => {
  const suites = ["chacha", "aes-gcm"] as const;

  it("seals what the cipher of a part seals as its first and last segment, and wipes the key", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...suites),
        bytes(32),
        fc.constantFrom(3072, 8192, 16_384),
        fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 3064 })),
        (suite, key, size, content) => {
          const padded = Buffer.alloc(size);
          padded.set(content);
          padded.writeBigUInt64BE(BigInt(content.length), size - 8);
          const expected = new Uint8Array(size + 16);
          void createPartCipher(suite, key.slice()).seal(0, true, padded, expected);
          const taken = key.slice();
          const sealed = new Uint8Array(size + 16);
          sealShort(suite, taken, content, sealed);
          // What was sealed before, longer or shorter, shows nowhere.
          expect(Buffer.compare(sealed, expected)).toBe(0);
          expect(taken).toEqual(new Uint8Array(32));
        },
      ),
      { numRuns: cases(300, 4) },
    );
  });

  it("wipes the key of a part that is too long for it, and seals the next as if nothing had been", () => {
    const key = new Uint8Array(32).fill(7);
    expect(isShort("chacha", 65_537)).toBe(false);
    const long = new Uint8Array(3073).fill(1);
    expect(() => sealShort("chacha", key, long, new Uint8Array(3072 + 16))).toThrow(RangeError);
    expect(key).toEqual(new Uint8Array(32));
    const [first, second] = [1, 2].map(() => new Uint8Array(3072 + 16));
    for (const into of [first!, second!]) {
      sealShort("chacha", new Uint8Array(32).fill(7), Uint8Array.of(1), into);
      expect(() =>
        sealShort("chacha", new Uint8Array(32), new Uint8Array(17_000).fill(1), new Uint8Array(16)),
      ).toThrow(RangeError);
    }
    expect(second).toEqual(first);
  });

  it("makes parts of an envelope the same as the stream does, whichever are short", async () => {
    const lengths = fc.oneof(
      fc.nat({ max: 3100 }),
      fc.integer({ min: 8180, max: 8190 }),
      fc.integer({ min: 16_300, max: 16_400 }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...suites),
        fc.constantFrom("stepped" as const, "uniform" as const),
        fc.array(lengths, { minLength: 1, maxLength: 5 }),
        fc.string(),
        async (suite, padding, all, seed) => {
          const contents = all.map((length) => seeded(seed)(length));
          const common = { context: own, signer: hospital, suite, padding };
          const whole = await sealEnvelope({
            ...common,
            parts: contents.map((content, i) => ({ id: `part-${i}`, bytes: content })),
            random: seeded(seed),
          });
          const blocks: Uint8Array[] = [];
          const streamed = await sealStream({
            ...common,
            parts: contents.map((content, i) => ({ id: `part-${i}`, source: [content] })),
            random: seeded(seed),
            put: (_, block) => void blocks.push(block),
          });
          expect(streamed.cid.equals(whole.cid)).toBe(true);
          expect(Buffer.compare(streamed.header, whole.header)).toBe(0);
          const expected = Buffer.concat(whole.blocks.map(({ bytes: block }) => block));
          expect(Buffer.concat(blocks).equals(expected)).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
  });
});
