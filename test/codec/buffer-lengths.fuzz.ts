import { Buffer } from "node:buffer";
import { createHash, createHmac } from "node:crypto";
import * as reference from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import { encodeEntry } from "../../src/block/entry.ts";
import { encodeSubjectEntry } from "../../src/block/subject-entry.ts";
import { fromBase64, fromBase64Url, toBase64, toBase64Url } from "../../src/bytes/base64.ts";
import { concatBytes } from "../../src/bytes/concat.ts";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { decodeVarint, encodeVarint } from "../../src/bytes/varint.ts";
import { readCar, writeCar } from "../../src/codec/car.ts";
import { cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import * as noble from "../../src/crypto/noble.ts";
import * as native from "../../src/crypto/node-hash.ts";
import { scanJson } from "../../src/fhir/json-text.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { readUint64, uint64 } from "../../src/storage/lmdb/keys.ts";
import { decodeRunList, encodeRunList } from "../../src/storage/lmdb/run-list.ts";
import { packBlobs, unpack } from "../../src/storage/lmdb/packs.ts";
import { bytesOf } from "../../src/storage/postgres/wire.ts";
import {
  decodeName,
  decodeSegment,
  encodeName,
  encodeSegment,
} from "../../src/storage/s3/segment.ts";
import { FORMS, POWERS, referenceBytes, writesAlike } from "../support/buffer-edges.ts";

/** Lengths around every power of two up to a largest one. */
const lengthsTo = (most: number): readonly number[] => [
  ...new Set(
    POWERS.filter((power) => power <= most).flatMap((power) =>
      [-65, -64, -48, -33, -24, -9, -8, -3, -2, -1, 0, 1, 2, 3, 9, 64].map((d) =>
        Math.max(0, power + d),
      ),
    ),
  ),
];
const some = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 255);
const sha256 = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(createHash("sha256").update(bytes).digest());

const areSame = (a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean =>
  a.length === b.length && a.every((bytes, i) => Buffer.compare(bytes, b[i]!) === 0);

describe("encode at the end of its buffer", () => {
  it.each(Object.keys(FORMS))("writes %s whole wherever it begins", (form) => {
    const wrong: string[] = [];
    for (let length = 0; length <= 100; length = length === 64 ? 92 : length + 1) {
      const value = FORMS[form]!(length);
      const expected = referenceBytes(value);
      for (const power of POWERS) {
        // What ends near the end of a buffer, before or behind it; all of it where that is cheap.
        const spread = power <= 2 ** 15 ? 3 : 1;
        for (let over = -spread; over <= 9; over++) {
          const at = power + over - expected.length;
          if (writesAlike(at, expected, value) === false) wrong.push(`${length} at ${at}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it("writes text whole at every byte of its first buffers", () => {
    const wrong: string[] = [];
    const lengths = [0, 1, 15, 22, 23, 24, 30, 47, 48, 49, 64, 95, 96, 97, 112];
    const texts = lengths.map((length) => "t".repeat(length));
    for (let at = 2; at <= 2 ** 14 + 80; at++) {
      // All lengths near the end, and elsewhere one of them.
      for (const text of at > 2 ** 14 - 128 ? texts : [texts[at % texts.length]!]) {
        if (writesAlike(at, referenceBytes(text), text) === false)
          wrong.push(`${text.length} at ${at}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("writes whole what stays where it was written", () => {
    for (let more = -80; more <= 16; more++) {
      const sizeHint = 2 ** 15;
      const value = [new Uint8Array(sizeHint + more), "x".repeat(30), "é".repeat(9), 2 ** 40];
      expect(Buffer.compare(encode(value, { sizeHint }), reference.encode(value)), `${more}`).toBe(
        0,
      );
    }
  });

  it("counts an array once, also when a getter in it makes it longer", () => {
    const list: unknown[] = [];
    list.push({
      get grown() {
        list.push(1);
        return true;
      },
    });
    expect(decode(encode(list))).toEqual([{ grown: true }]);
  });
});

describe("writers with a buffer of their own", () => {
  it("join, hash and name bytes of every length near a power of two", () => {
    for (const length of lengthsTo(2 ** 15)) {
      const parts = [some(length % 65), some(length), some(64 - (length % 65))];
      const whole = new Uint8Array(Buffer.concat(parts));
      const mac = new Uint8Array(createHmac("sha256", some(32)).update(whole).digest());
      expect(concatBytes(...parts), `${length}`).toEqual(whole);
      for (const backend of length > 2 ** 12 ? [native] : [native, noble]) {
        expect(backend.sha256(...parts), `${length}`).toEqual(sha256(whole));
        expect(backend.hmacSha256(some(32), ...parts), `${length}`).toEqual(mac);
      }
      expect(leafHash(whole), `${length}`).toEqual(sha256(Buffer.concat([Buffer.of(0), whole])));
    }
  });

  it("keep every name and entry that shares a buffer with others", () => {
    const made = Array.from({ length: 600 }, (_, i) => {
      const body = cidOf(encode(i), DAG_CBOR);
      return { i, body, entry: encodeSubjectEntry("record", some(16, i), some(32, i), body) };
    });
    for (const { i, body, entry } of made) {
      expect(body.multihash.digest).toEqual(sha256(encode(i)));
      const fields = {
        v: 1,
        kind: "record",
        salt: some(16, i),
        subject: some(32, i),
        body,
      } as const;
      expect(entry).toEqual(new Uint8Array(reference.encode(fields)));
      expect(entry).toEqual(encodeEntry(fields));
    }
  });

  it("write text forms of bytes as Node does", () => {
    for (const length of lengthsTo(2 ** 15)) {
      const bytes = some(length);
      const buffer = Buffer.from(bytes);
      expect(toHex(bytes) === buffer.toString("hex"), `${length}`).toBe(true);
      expect(toBase64(bytes) === buffer.toString("base64"), `${length}`).toBe(true);
      expect(toBase64Url(bytes) === buffer.toString("base64url"), `${length}`).toBe(true);
      for (const read of [fromHex(toHex(bytes)), fromBase64(toBase64(bytes))]) {
        expect(buffer.compare(read), `${length}`).toBe(0);
      }
      expect(buffer.compare(fromBase64Url(toBase64Url(bytes))), `${length}`).toBe(0);
      expect(buffer.compare(bytesOf(`\\x${buffer.toString("hex")}`)), `${length}`).toBe(0);
    }
  });

  it("write numbers at every power of two", () => {
    for (let bit = 0; bit <= 53; bit++) {
      for (const value of [2 ** bit - 1, 2 ** bit, 2 ** bit + 1]) {
        if (!Number.isSafeInteger(value)) continue;
        const expected = Buffer.alloc(8);
        expected.writeBigUInt64BE(BigInt(value));
        expect(uint64(value)).toEqual(new Uint8Array(expected));
        expect(readUint64(uint64(value))).toBe(value);
        const varint = encodeVarint(value);
        const sum = varint.reduce(
          (total, byte, i) => total + BigInt(byte & 127) * 128n ** BigInt(i),
          0n,
        );
        expect(sum).toBe(BigInt(value));
        expect(decodeVarint(varint)).toEqual({ value, length: varint.length });
      }
    }
  });

  it("write packs, manifests and segments that give back what was put in", () => {
    for (const length of [...lengthsTo(2 ** 16), 31_990, 32_000, 32_010]) {
      const records = [some(length, 1), some(length % 65, 2), some(1, 3), some(64, 4)];
      const blobs = records.map((bytes) => ({ codec: RAW, digest: sha256(bytes), bytes }));
      const back = packBlobs(blobs).flatMap(unpack);
      expect(
        areSame(
          back.map((blob) => blob!.bytes),
          records,
        ),
        `${length}`,
      ).toBe(true);
      const segment = encodeSegment({ size: length, hash: sha256(some(3)) }, records);
      const read = decodeSegment(segment.bytes, length);
      expect(areSame(read.records, records), `${length}`).toBe(true);
      expect(decodeName(encodeName(some(length % 255, 5)))?.length ?? 0).toBe(length % 255);
    }
    for (let count = 0; count <= 64; count++) {
      const runs = Array.from({ length: count }, (_, i) => ({
        id: i,
        level: 3,
        bits: 9,
        entries: 2 ** 31 + i,
      }));
      const manifest = { indexed: 2 ** 40 + count, nextRun: count, runs };
      expect(decodeRunList(encodeRunList(manifest))).toEqual(manifest);
    }
  });

  it("write CAR streams that are the parts one after another, however they are cut", async () => {
    for (const length of lengthsTo(2 ** 16)) {
      const blocks = [some(length), some(length % 65, 2)].map((bytes) => ({
        cid: cidOf(bytes, RAW),
        bytes,
      }));
      const roots = [blocks[0]!.cid];
      const written: Uint8Array[] = [];
      for await (const piece of writeCar(roots, blocks)) written.push(piece);
      const header = reference.encode({ version: 1, roots });
      const sections = blocks.map(({ cid, bytes }) =>
        Buffer.concat([encodeVarint(36 + bytes.length), cid.bytes, bytes]),
      );
      const whole = Buffer.concat([Buffer.of(header.length), header, ...sections]);
      expect(Buffer.concat(written).compare(whole), `${length}`).toBe(0);
      for (const cut of [length + 33, 61, 4096]) {
        if (length > 2 ** 13 && cut < 4096) continue;
        const pieces: Uint8Array[] = [];
        for (let at = 0; at < whole.length; at += cut)
          pieces.push(new Uint8Array(whole.subarray(at, at + cut)));
        const read: Uint8Array[] = [];
        for await (const { bytes } of (await readCar(pieces)).blocks) read.push(bytes);
        expect(
          areSame(
            read,
            blocks.map(({ bytes }) => bytes),
          ),
          `${length} by ${cut}`,
        ).toBe(true);
      }
    }
  });

  it("find strings of JSON whole wherever they begin", () => {
    const wrong: string[] = [];
    for (const power of POWERS) {
      const lengths =
        power <= 2 ** 12 ? Array.from({ length: 65 }, (_, i) => i) : [0, 23, 24, 48, 64];
      for (const length of lengths) {
        for (let over = -2; over <= 2; over++) {
          const at = power + over - length;
          if (at < 6) continue;
          const value = "s".repeat(Math.max(0, length - 2)) + (length > 1 ? "é\\n" : "");
          const text = `["${"f".repeat(at - 4)}","${value}"]`;
          const { items } = scanJson(text, { name: "x", maxDepth: 4, keepDepth: 4 });
          const told = items!.map(({ start, end }) => JSON.parse(text.slice(start, end)) as string);
          const known = JSON.parse(text) as string[];
          if (told[0] !== known[0] || told[1] !== known[1]) wrong.push(`${length} at ${at}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });
});
