import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { bytesToUtf8, utf8ToBytes } from "../../src/bytes/utf8.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import {
  type Field,
  prepareFields,
  proveFields,
  readFields,
  verifyFields,
} from "../../src/envelope/disclosed.ts";
import { decodeSignedHeader, signHeader } from "../../src/envelope/header.ts";
import { derivePartKeys } from "../../src/envelope/keys.ts";
import { openEnvelope } from "../../src/envelope/open.ts";
import { sealEnvelope } from "../../src/envelope/seal.ts";
import { splitFields } from "../../src/fhir/fields.ts";
import { context, hospital, keyOf, laboratory, ledger, reader, seal, seeded } from "./parties.ts";

const PATIENT = `{"resourceType":"Patient","gender":"female","birthDate":"1974-12-25",
  "deceasedBoolean":false,"name":[{"family":"Chalmers","given":["Peter","James"]}],"multipleBirthInteger":2}`;
const random = seeded("fields");
const prepared = prepareFields(splitFields(PATIENT), random);
const sealed = await sealEnvelope({
  context,
  parts: [{ id: "content", bytes: utf8ToBytes(PATIENT) }, prepared.part],
  disclosed: prepared.disclosed,
  signer: hospital,
  random,
});
const expected = { envelope: sealed.cid, context, author: keyOf(hospital) };
const prove = (...paths: string[]): Uint8Array =>
  proveFields({ header: sealed.header, part: prepared.part.bytes, paths });
const shown = (fields: readonly Field[]): [string, string][] =>
  fields.map(({ path, value }) => [path, bytesToUtf8(value)]);

type Shown = [Uint8Array, string, Uint8Array, number, Uint8Array[]];
interface Proof {
  v: number;
  header: Uint8Array;
  size: number;
  fields: Shown[];
}
const change = (proof: Uint8Array, how: (proof: Proof) => void): Uint8Array => {
  const value = decode(proof) as Proof;
  how(value);
  return encode(value);
};

/** RFC 6962 hashes by node:crypto alone. */
const sha256 = (...parts: Uint8Array[]): Uint8Array =>
  new Uint8Array(createHash("sha256").update(Buffer.concat(parts)).digest());
const leaf = (salt: Uint8Array, path: string, value: string): Uint8Array =>
  sha256(Uint8Array.of(0), encode([salt, path, utf8ToBytes(value)]));

describe("proveFields", () => {
  it("shows the fields that it is asked for, to someone without key or envelope", () => {
    const result = verifyFields(prove("/birthDate", "/name/0/given/1"), expected);
    expect(result.ok && shown(result.fields)).toEqual([
      ["/birthDate", '"1974-12-25"'],
      ["/name/0/given/1", '"James"'],
    ]);
    const all = splitFields(PATIENT);
    const whole = verifyFields(prove(...all.map(({ path }) => path)), expected);
    expect(whole.ok && whole.fields).toEqual(all);
  });

  it("makes proofs whose hashes another implementation computes", () => {
    const { size, fields } = decode(prove("/gender")) as Proof;
    const [salt, path, value, index, siblings] = fields[0]!;
    let hash = leaf(salt, path, bytesToUtf8(value));
    for (const [level, sibling] of siblings.entries()) {
      const right = ((index >> level) & 1) === 1;
      hash = sha256(Uint8Array.of(1), ...(right ? [sibling, hash] : [hash, sibling]));
    }
    expect(hash).toEqual(decodeSignedHeader(sealed.header).header.disclosed);
    // Eight values fill a tree of eight leaves.
    expect([size, siblings.length]).toEqual([8, 3]);
  });

  it("can be made by who was granted the fields alone, and gives him nothing else", async () => {
    const { header } = decodeSignedHeader(sealed.header);
    const keys = derivePartKeys(header, sealed.cek, ["fields"]);
    const opened = await openEnvelope({
      ...expected,
      header: sealed.header,
      keys,
      read: reader(sealed.blocks),
    });
    expect([...opened.parts.keys()]).toEqual(["fields"]);
    const part = opened.parts.get("fields")!;
    expect(readFields(part, header.disclosed!)).toEqual(splitFields(PATIENT));
    const proof = proveFields({ header: sealed.header, part, paths: ["/gender"] });
    expect(verifyFields(proof, expected)).toMatchObject({ ok: true });
  });

  it("refuses what is not there", async () => {
    const invalid = expect.objectContaining({ code: "ERR_INPUT_INVALID" });
    expect(() => prove("/address")).toThrow(invalid);
    expect(() => prove()).toThrow(invalid);
    const plain = await seal([{ id: "content", bytes: new Uint8Array(1) }]);
    const part = prepared.part.bytes;
    const broken = expect.objectContaining({ code: "ERR_ENVELOPE_INVALID" });
    expect(() => proveFields({ header: plain.header, part, paths: ["/gender"] })).toThrow(broken);
    const other = prepareFields(splitFields(PATIENT), random).part.bytes;
    for (const wrong of [other, new Uint8Array(3), part.slice(1)]) {
      expect(() => readFields(wrong, prepared.disclosed)).toThrow(broken);
    }
  });
});

describe("prepareFields", () => {
  it("refuses no fields, and a path that occurs twice", () => {
    const invalid = expect.objectContaining({ code: "ERR_INPUT_INVALID" });
    const one = { path: "/a", value: new Uint8Array(1) };
    expect(() => prepareFields([], random)).toThrow(invalid);
    expect(() => prepareFields([one, one], random)).toThrow(invalid);
    expect(() => prepareFields([{ ...one, path: "/".repeat(5000) }], random)).toThrow(invalid);
  });

  it.each([1, 2, 3, 5, 64, 65, 1000])("commits to %d fields, one proof each", async (count) => {
    const fields = Array.from({ length: count }, (_, i) => ({
      path: `/item/${i}`,
      value: utf8ToBytes(String(i)),
    }));
    const { part, disclosed } = prepareFields(fields, random);
    const { header, cid } = await sealEnvelope({
      ...{ context, signer: hospital, random, disclosed },
      parts: [part],
    });
    for (const i of new Set([0, count >> 1, count - 1])) {
      const proof = proveFields({ header, part: part.bytes, paths: [`/item/${i}`] });
      const result = verifyFields(proof, { ...expected, envelope: cid });
      expect(result.ok && result.fields).toEqual([fields[i]]);
      const { size } = decode(proof) as Proof;
      expect(size).toBe(2 ** Math.ceil(Math.log2(count)));
    }
  });

  it("tells nothing of the others: guessing low-entropy values finds none", () => {
    const proof = decode(prove("/multipleBirthInteger")) as Proof;
    const given = proof.fields[0]!;
    const seen = new Set(given[4].map(toHex));
    const salts = [given[0], new Uint8Array(16), prepared.disclosed.slice(0, 16)];
    const guesses: [string, string[]][] = [
      ["/gender", ['"male"', '"female"', '"other"', '"unknown"']],
      ["/deceasedBoolean", ["true", "false"]],
      ["/resourceType", ['"Patient"']],
    ];
    for (const [path, values] of guesses) {
      for (const value of values) {
        for (const salt of salts) expect(seen.has(toHex(leaf(salt, path, value)))).toBe(false);
        const unsalted = sha256(Uint8Array.of(0), encode([path, utf8ToBytes(value)]));
        expect(seen.has(toHex(unsalted))).toBe(false);
      }
    }
    // With the salt the guess would hold: so it is the salt that keeps it from doing so.
    const { fields } = decode(prepared.part.bytes) as { fields: Shown[] };
    const salt = fields.find(([, path]) => path === "/gender")![0];
    const root = decode(prove("/gender")) as Proof;
    expect(toHex(root.fields[0]![0])).toBe(toHex(salt));
    expect(new Set(fields.map(([one]) => toHex(one))).size).toBe(fields.length);
    expect(fields.every(([one]) => one.length === 16)).toBe(true);
    // Nor does the proof hold a byte of any other field or salt.
    const bytes = Buffer.from(prove("/multipleBirthInteger"));
    for (const [other, path, value] of fields) {
      if (path === "/multipleBirthInteger") continue;
      expect(bytes.includes(Buffer.from(other))).toBe(false);
      expect(bytes.includes(path)).toBe(false);
      if (value.length >= 6) expect(bytes.includes(Buffer.from(value))).toBe(false);
    }
  });

  it("puts fields where their salts put them, not in the order of the resource", () => {
    const places = new Set<number>();
    for (let i = 0; i < 40; i++) {
      const { part, disclosed } = prepareFields(splitFields(PATIENT), seeded(`order ${i}`));
      expect(readFields(part.bytes, disclosed)).toHaveLength(8);
      const { fields, padding } = decode(part.bytes) as { fields: Shown[]; padding: Uint8Array[] };
      const hashes = [
        ...fields.map(([salt, path, value]) => leaf(salt, path, bytesToUtf8(value))),
        ...padding,
      ].map(toHex);
      const sorted = [...hashes].sort();
      places.add(sorted.indexOf(hashes[0]!));
      // The tree over them in that order, their number being a power of two, by node:crypto alone.
      let level: Uint8Array[] = sorted.map((hash) => Buffer.from(hash, "hex"));
      while (level.length > 1) {
        level = Array.from({ length: level.length / 2 }, (_, at) =>
          sha256(Uint8Array.of(1), level[2 * at]!, level[2 * at + 1]!),
        );
      }
      expect(toHex(disclosed)).toBe(toHex(level[0]!));
    }
    expect(places.size).toBeGreaterThan(4);
  });
});

describe("verifyFields", () => {
  const proof = prove("/gender", "/birthDate");
  const reasonOf = (bytes: Uint8Array, change: object = {}): string => {
    const result = verifyFields(bytes, { ...expected, ...change });
    return result.ok ? "ok" : result.reason;
  };

  it("refuses another value, path, salt, place or tree", () => {
    const reasons = [
      change(proof, ({ fields }) => void (fields[0]![2] = utf8ToBytes('"male"'))),
      change(proof, ({ fields }) => void (fields[0]![1] = "/sex")),
      change(proof, ({ fields }) => void (fields[0]![0] = new Uint8Array(16))),
      change(proof, ({ fields }) => void (fields[0]![3] ^= 1)),
      change(proof, ({ fields }) => void (fields[1]![4] = fields[0]![4])),
      change(proof, ({ fields }) => void fields[0]![4].pop()),
      change(proof, (value) => void (value.size = 4)),
      change(proof, ({ fields }) => void fields[0]![4].push(new Uint8Array(32))),
    ].map((bytes) => reasonOf(bytes));
    expect(new Set(reasons)).toEqual(new Set(["field"]));
    expect(reasonOf(proof)).toBe("ok");
  });

  it("refuses a header that is not the author's for the entry", async () => {
    const { header } = decodeSignedHeader(sealed.header);
    const other = await signHeader({ ...header, disclosed: new Uint8Array(32) }, hospital);
    const swapped = change(proof, (value) => void (value.header = other));
    expect(reasonOf(swapped)).toBe("name");
    expect(reasonOf(swapped, { envelope: cidOf(other, DAG_CBOR) })).toBe("field");
    const foreign = await signHeader(header, laboratory);
    const resigned = change(proof, (value) => void (value.header = foreign));
    expect(reasonOf(resigned, { envelope: cidOf(foreign, DAG_CBOR) })).toBe("signing-key");
    expect(reasonOf(proof, { author: keyOf(laboratory) })).toBe("signing-key");
    expect(reasonOf(proof, { context: { ...context, kind: "consent" } })).toBe("kind");
    expect(reasonOf(proof, { envelope: ledger })).toBe("name");
    const { disclosed: _, ...rest } = header;
    const silent = await signHeader(rest, hospital);
    const without = change(proof, (value) => void (value.header = silent));
    expect(reasonOf(without, { envelope: cidOf(silent, DAG_CBOR) })).toBe("undisclosed");
  });

  it("refuses malformed and absurd proofs without throwing", () => {
    const bad = [
      new Uint8Array(0),
      encode({}),
      encode([]),
      proof.slice(0, -1),
      change(proof, (value) => void (value.v = 2)),
      change(proof, (value) => void (value.fields = [])),
      change(proof, (value) => void value.fields.push(value.fields[0]!)),
      change(proof, (value) => void (value.size = 2 ** 40)),
      change(proof, ({ fields }) => void (fields[0]![3] = -1)),
      change(proof, ({ fields }) => void (fields[0]![4] = Array(64).fill(new Uint8Array(32)))),
      change(proof, ({ fields }) => void (fields[0]![0] = new Uint8Array(15))),
      change(proof, (value) => void (value.header = new Uint8Array(5_000_000))),
    ];
    for (const bytes of bad) expect(["malformed", "name"]).toContain(reasonOf(bytes));
    const odd = change(proof, ({ fields }) => void (fields[0]![4][0] = 7 as never));
    expect(reasonOf(odd)).toBe("field");
    for (let i = 0; i < proof.length * 8; i += 41) {
      const flipped = proof.slice();
      flipped[i >> 3]! ^= 1 << (i & 7);
      expect(reasonOf(flipped)).not.toBe("ok");
    }
  });
});
