import { createHash } from "node:crypto";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { describe, expect, it } from "vitest";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { cidOf, DAG_CBOR, RAW, type CID } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import type { ByteSource } from "../../src/envelope/byte-source.ts";
import { decodeSignedHeader, type EnvelopePart, signHeader } from "../../src/envelope/header.ts";
import { derivePartKeys, deriveSegmentKey } from "../../src/envelope/keys.ts";
import {
  openPart,
  openRange,
  openReadable,
  openStream,
  type OpenPartOptions,
} from "../../src/envelope/open-stream.ts";
import { createPartCipher } from "../../src/envelope/part-cipher.ts";
import { sealEnvelope } from "../../src/envelope/seal.ts";
import type { SuiteName } from "../../src/envelope/suite.ts";
import { sealStream, type SealStreamOptions } from "../../src/envelope/seal-stream.ts";
import { padByHand, sizeByHand } from "./padding-by-hand.ts";
import { context, hospital, keyOf, laboratory, reader, seeded, openingOf } from "./parties.ts";

const SEGMENT = 65536;
const SEALED = SEGMENT + 16;
const BLOCK = 15 * SEGMENT;
const DECRYPT = expect.objectContaining({ name: "EnvelopeError", code: "ERR_ENVELOPE_DECRYPT" });
const INVALID = expect.objectContaining({ name: "EnvelopeError", code: "ERR_ENVELOPE_INVALID" });

const bytesOf = (length: number): Uint8Array =>
  new Uint8Array(length).map((_, i) => (i * 31 + (i >> 8)) % 251);

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces);
}

function* cut(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

async function* slowly(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (const piece of cut(bytes, size)) {
    await Promise.resolve();
    yield piece;
  }
}

/**
 * What streams are tried with, on whichever backend the test's `#crypto` is.
 *
 * @param flat - whether to look at memory too
 */
export function describeStreams(suite: SuiteName, { flat }: { readonly flat: boolean }): void {
  async function stream(
    parts: readonly { id: string; source: ByteSource }[],
    change: Partial<SealStreamOptions> = {},
  ) {
    const blocks: { cid: CID; bytes: Uint8Array }[] = [];
    const sealed = await sealStream({
      context,
      parts,
      signer: hospital,
      random: seeded("seal"),
      suite,
      put: (cid, bytes) => void blocks.push({ cid, bytes }),
      ...change,
    });
    return { ...sealed, blocks };
  }

  function opening(
    sealed: Awaited<ReturnType<typeof stream>>,
    change: Partial<OpenPartOptions> = {},
  ): OpenPartOptions {
    return { ...openingOf(sealed), part: "content", ...change };
  }

  describe(`sealStream with ${suite}`, () => {
    it.each([
      0,
      1,
      3064,
      3065,
      16_376,
      16_377,
      SEGMENT - 1,
      SEGMENT,
      SEGMENT + 1,
      BLOCK - 1,
      BLOCK,
      BLOCK + 1,
      2 * BLOCK + 77,
    ])(
      "makes the same %d bytes into the same envelope as sealEnvelope, however they come",
      async (length) => {
        const bytes = bytesOf(length);
        const whole = await sealEnvelope({
          context,
          parts: [
            { id: "manifest", bytes: utf8ToBytes("{}") },
            { id: "content", bytes },
          ],
          signer: hospital,
          random: seeded("seal"),
          suite,
        });
        const sources: ByteSource[] = [
          bytes,
          cut(bytes, 100_003),
          slowly(bytes, SEGMENT),
          slowly(bytes, SEGMENT + 1),
          new Blob([bytes as Uint8Array<ArrayBuffer>]).stream() as ReadableStream<Uint8Array>,
          slowly(bytes, 5 * SEGMENT + 7),
        ];
        for (const source of sources) {
          const { cid, header, cek, blocks } = await stream([
            { id: "manifest", source: utf8ToBytes("{}") },
            { id: "content", source },
          ]);
          expect([cid.toString(), header, cek]).toEqual([
            whole.cid.toString(),
            whole.header,
            whole.cek,
          ]);
          expect(blocks.map(({ cid }) => cid.toString())).toEqual(
            whole.blocks.map(({ cid }) => cid.toString()),
          );
          for (const { cid, bytes } of blocks) expect(cidOf(bytes, RAW).equals(cid)).toBe(true);
        }
      },
    );

    it("reads no faster than its blocks are taken", async () => {
      let read = 0;
      let taken = 0;
      let most = 0;
      async function* source(): AsyncGenerator<Uint8Array> {
        for (; read < 12; read++) yield new Uint8Array(BLOCK);
      }
      await stream([{ id: "content", source: source() }], {
        put: async () => {
          await new Promise((resolve) => setTimeout(resolve, 5));
          taken++;
          most = Math.max(most, read - taken);
        },
      });
      // 12 blocks, and a thirteenth of padding.
      expect(taken).toBe(13);
      expect(most).toBeLessThanOrEqual(4);
    });

    it("checks signer and part ids before it reads anything", async () => {
      let touched = false;
      function* source(): Generator<Uint8Array> {
        touched = true;
        yield new Uint8Array(1);
      }
      const one = { id: "content", source: source() };
      await expect(stream([one], { signer: laboratory })).rejects.toMatchObject({
        code: "ERR_INPUT_INVALID",
      });
      for (const ids of [["content", "content"], ["Content"], [], ["../x"]]) {
        const parts = ids.map((id) => ({ id, source: source() }));
        await expect(stream(parts)).rejects.toThrow(INVALID);
      }
      expect(touched).toBe(false);
    });

    it("passes on what fails, stops its source, and wipes the content key", async () => {
      const full = new Error("disk full");
      let ended = false;
      async function* source(): AsyncGenerator<Uint8Array> {
        try {
          for (;;) yield new Uint8Array(BLOCK);
        } finally {
          ended = true;
        }
      }
      const drawn: Uint8Array[] = [];
      const random = (length: number): Uint8Array => {
        drawn.push(new Uint8Array(length).fill(7));
        return drawn.at(-1)!;
      };
      const put = () => Promise.reject(full);
      await expect(stream([{ id: "content", source: source() }], { random, put })).rejects.toBe(
        full,
      );
      expect(ended).toBe(true);
      expect(drawn[0]).toEqual(new Uint8Array(32));

      const signal = AbortSignal.abort(new Error("enough"));
      await expect(stream([{ id: "content", source: source() }], { signal })).rejects.toThrow(
        "enough",
      );
      const bad = { id: "content", source: ["text"] as unknown as Iterable<Uint8Array> };
      await expect(stream([bad])).rejects.toThrow(TypeError);
    });
  });

  describe(`openStream with ${suite}`, async () => {
    const bytes = bytesOf(2 * BLOCK + SEGMENT + 5);
    const sealed = await stream([
      { id: "content", source: bytes },
      { id: "notes", source: bytes },
      { id: "empty", source: new Uint8Array(0) },
    ]);

    it("yields what was sealed, as an iterable and as a web stream", async () => {
      expect((await collect(openStream(opening(sealed)))).equals(bytes)).toBe(true);
      const web = openReadable(opening(sealed));
      const pieces: Uint8Array[] = [];
      for (const from = web.getReader(); ;) {
        const { done, value } = await from.read();
        if (done) break;
        pieces.push(value);
      }
      expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
      expect(await collect(openStream(opening(sealed, { part: "empty" })))).toHaveLength(0);
    });

    it("reads the last block, then one block ahead and no more, and stops reading when its reader stops", async () => {
      let reads = 0;
      const from = reader(sealed.blocks);
      const web = openReadable(opening(sealed, { read: (cid) => (reads++, from(cid)) }));
      const take = web.getReader();
      expect(reads).toBe(0);
      await take.read();
      expect(reads).toBe(3);
      await take.cancel();
      expect(reads).toBe(3);
    });

    it.each<[number, number, number]>([
      // The last block is always among them: it says how long the part is.
      [0, 0, 1],
      [0, 1, 2],
      [SEGMENT - 1, SEGMENT + 1, 2],
      [BLOCK - 1, BLOCK + 1, 3],
      [BLOCK, 2 * BLOCK, 2],
      [2 * BLOCK + SEGMENT, bytes.length, 1],
      [bytes.length - 1, bytes.length, 1],
      [bytes.length, bytes.length, 1],
      [0, bytes.length, 3],
    ])("reads the range from %d to %d out of %d blocks", async (from, to, blocks) => {
      let reads = 0;
      const fetch = reader(sealed.blocks);
      const read = (cid: CID) => (reads++, fetch(cid));
      const range = await openRange({ ...opening(sealed, { read }), from, to });
      expect(Buffer.from(range).equals(bytes.subarray(from, to))).toBe(true);
      expect(reads).toBe(blocks);
    });

    it("reads many ranges after verifying once", async () => {
      const part = openPart(opening(sealed));
      for (let at = 0; at < bytes.length; at += 300_007) {
        const to = Math.min(bytes.length, at + 5);
        expect(await part.range(at, to)).toEqual(bytes.slice(at, to));
      }
      part.close();
      await expect(part.range(0, 1)).rejects.toThrow(TypeError);
    });

    it("refuses an invalid range", async () => {
      for (const [from, to] of [
        [-1, 0],
        [2, 1],
        [0, bytes.length + 1],
        [0.5, 1],
        [0, Infinity],
        [NaN, 1],
      ] as const) {
        await expect(openRange({ ...opening(sealed), from, to })).rejects.toThrow(RangeError);
      }
    });

    it("refuses header, key and part before it reads anything", async () => {
      const read = () => Promise.reject(new Error("read"));
      const refused = (change: Partial<OpenPartOptions>) =>
        expect(collect(openStream(opening(sealed, { read, ...change })))).rejects;
      await refused({ keys: { cek: new Uint8Array(32) } }).toThrow(DECRYPT);
      await refused({ author: keyOf(laboratory) }).toThrow(INVALID);
      await refused({ part: "other" }).toThrow(INVALID);
      await refused({ context: { ...context, kind: "consent" } }).toThrow(INVALID);
    });

    it("tells blocks that were erased, pruned and missing apart, and stops when told to", async () => {
      const code = (read: OpenPartOptions["read"]) =>
        collect(openStream(opening(sealed, { read }))).catch((error) => error.code);
      expect(await code(async () => "erased")).toBe("ERR_STORAGE_ERASED");
      expect(await code(async () => "pruned")).toBe("ERR_STORAGE_PRUNED");
      expect(await code(async () => undefined)).toBe("ERR_ENVELOPE_MISSING");
      expect(await code(async () => new Uint8Array(5))).toBe("ERR_ENVELOPE_INVALID");
      const stop = new AbortController();
      const reading = openStream(opening(sealed, { signal: stop.signal }));
      await reading.next();
      stop.abort(new Error("enough"));
      await expect(reading.next()).rejects.toThrow("enough");
    });

    describe("under a header of the author's own that lists altered blocks", () => {
      const { header } = decodeSignedHeader(sealed.header);
      const part = header.parts[0]!;
      const blockOf = (i: number): Uint8Array => sealed.blocks[i]!.bytes;
      const segments = (block: Uint8Array): Uint8Array[] => [...cut(block, SEALED)];

      /** What is yielded before the error. */
      async function attack(
        blocks: readonly Uint8Array[],
        size: number = part.size,
      ): Promise<{ yielded: number; error: unknown }> {
        const added = blocks.map((bytes) => ({ cid: cidOf(bytes, RAW), bytes }));
        const parts = [{ ...part, size, data: added.map(({ cid }) => cid) }];
        const signed = await signHeader({ ...header, parts }, hospital);
        const forged = { ...sealed, cid: cidOf(signed, DAG_CBOR), header: signed, blocks: added };
        let yielded = 0;
        try {
          for await (const piece of openStream(opening(forged))) {
            expect(Buffer.from(piece).equals(bytes.subarray(yielded, yielded + piece.length))).toBe(
              true,
            );
            yielded += piece.length;
          }
        } catch (error) {
          return { yielded, error };
        }
        return { yielded, error: undefined };
      }

      const all = [blockOf(0), blockOf(1), blockOf(2)];
      const joined = (pieces: readonly Uint8Array[]): Uint8Array =>
        new Uint8Array(Buffer.concat(pieces));

      it("opens what was not altered", async () => {
        expect(await attack(all)).toEqual({ yielded: bytes.length, error: undefined });
      });

      it("catches segments exchanged, repeated and flipped, yielding only what stood before", async () => {
        const own = segments(blockOf(1));
        const exchanged = own.with(3, own[4]!).with(4, own[3]!);
        const at = BLOCK + 3 * SEGMENT;
        expect(await attack([all[0]!, joined(exchanged), all[2]!])).toEqual({
          yielded: at,
          error: DECRYPT,
        });
        expect(await attack([all[0]!, joined(own.with(3, own[2]!)), all[2]!])).toEqual({
          yielded: at,
          error: DECRYPT,
        });
        const flipped = blockOf(1).slice();
        flipped[3 * SEALED + 11]! ^= 1;
        expect(await attack([all[0]!, flipped, all[2]!])).toEqual({ yielded: at, error: DECRYPT });
        expect(await attack([all[1]!, all[0]!, all[2]!])).toEqual({ yielded: 0, error: DECRYPT });
      });

      it("catches a part cut off at a segment's border, and one whose end is not marked", async () => {
        expect(await attack(all.slice(0, 2), 2 * BLOCK)).toEqual({
          yielded: 0,
          error: DECRYPT,
        });
        const shorter = joined(segments(blockOf(1)).slice(0, 14));
        expect(await attack([all[0]!, shorter], 2 * BLOCK - SEGMENT)).toEqual({
          yielded: 0,
          error: DECRYPT,
        });
        // The last segment in the place of one that is not the last.
        const last = segments(blockOf(2))[1]!;
        const longer = joined([segments(blockOf(2))[0]!, last, last]).subarray(0, 2 * SEALED);
        const size = 2 * BLOCK + 2 * SEGMENT;
        expect((await attack([all[0]!, all[1]!, longer], size)).error).toEqual(DECRYPT);
      });

      it("catches an end that is not marked, and a mark before the end", async () => {
        const key = deriveSegmentKey(
          derivePartKeys(header, sealed.cek, ["content"]).parts["content"]!,
        );
        const cipher = createPartCipher(suite, key);
        const sealSegment = async (counter: number, final: boolean, plaintext: Uint8Array) => {
          const into = new Uint8Array(plaintext.length + 16);
          await cipher.seal(counter, final, plaintext, into);
          return into;
        };
        const from = 2 * BLOCK;
        const padded = padByHand(bytes);
        const one = padded.subarray(from, from + SEGMENT);
        const two = padded.subarray(from + SEGMENT);
        const unmarked = [await sealSegment(30, false, one), await sealSegment(31, false, two)];
        expect(await attack([all[0]!, all[1]!, joined(unmarked)])).toEqual({
          yielded: 0,
          error: DECRYPT,
        });
        const early = [await sealSegment(30, true, one), await sealSegment(31, true, two)];
        expect(await attack([all[0]!, all[1]!, joined(early)])).toEqual({
          yielded: from,
          error: DECRYPT,
        });
      });

      it("refuses parts whose ids changed places, headers without signature, absurd sizes", async () => {
        const [content, notes, empty] = header.parts as [EnvelopePart, EnvelopePart, EnvelopePart];
        const refusal = async (bytes: Uint8Array): Promise<unknown> => {
          const forged = { ...sealed, cid: cidOf(bytes, DAG_CBOR), header: bytes };
          return openStream(opening(forged))
            .next()
            .catch((error: unknown) => error);
        };
        const swapped = [{ ...content, id: "notes" }, { ...notes, id: "content" }, empty];
        expect(await refusal(await signHeader({ ...header, parts: swapped }, hospital))).toEqual(
          DECRYPT,
        );
        const signed = decode(sealed.header) as Record<string, Uint8Array>;
        const { sig: _, ...unsigned } = signed;
        expect(await refusal(signed["header"]!)).toEqual(INVALID);
        expect(await refusal(encode(unsigned))).toEqual(INVALID);
        expect(await refusal(encode({ ...signed, sig: new Uint8Array(64) }))).toEqual(INVALID);
        const fields = decode(signed["header"]!) as { parts: Record<string, unknown>[] };
        for (const size of [Number.MAX_SAFE_INTEGER, 2 ** 40, 0, -1, "5"]) {
          const parts = [{ ...fields.parts[0], size }];
          const bytes = encode({ ...signed, header: encode({ ...fields, parts } as never) });
          expect(await refusal(bytes)).toEqual(INVALID);
        }
        expect(await refusal(new Uint8Array(5 * 1024 * 1024))).toEqual(INVALID);
      });

      it("catches blocks of another part of the same content", async () => {
        const notes = sealed.blocks.slice(3, 6).map(({ bytes }) => bytes);
        expect(await attack(notes)).toEqual({ yielded: 0, error: DECRYPT });
        expect(await attack([all[0]!, notes[1]!, all[2]!])).toEqual({
          yielded: BLOCK,
          error: DECRYPT,
        });
      });
    });

    it("leaves no run of plaintext in any stored byte", async () => {
      const text = "patient-name-and-diagnosis ".repeat(40_000);
      const { header, blocks } = await stream([{ id: "content", source: utf8ToBytes(text) }]);
      const stored = Buffer.concat([header, ...blocks.map(({ bytes }) => bytes)]);
      for (const needle of ["patient", "diagnosis", "and-dia"]) {
        for (const encoding of ["utf8", "hex", "base64"] as const) {
          const wanted = Buffer.from(needle).toString(encoding);
          expect(stored.includes(wanted)).toBe(false);
        }
      }
    });
  });

  if (flat)
    describe(`a stream of a great many bytes with ${suite}`, () => {
      // `HEALTHLEDGER_STREAM_MB`: 1024 to see a whole study through.
      const mega = Number(process.env["HEALTHLEDGER_STREAM_MB"] ?? 48);

      it(`keeps memory flat over ${mega} MB, both ways`, { timeout: 600_000 }, async () => {
        const piece = bytesOf(1 << 20);
        const total = mega << 20;
        const digest = createHash("sha256");
        async function* source(): AsyncGenerator<Uint8Array> {
          for (let i = 0; i < mega; i++) {
            piece[0] = i;
            digest.update(piece);
            yield piece;
          }
        }
        const folder = await mkdtemp(joinPath(tmpdir(), "healthledger-stream-"));
        const file = await open(joinPath(folder, "blocks"), "w+");
        let most = 0;
        let blocks = 0;
        let before = 0;
        const look = (): void => {
          const { rss } = process.memoryUsage();
          // The first blocks bring the code and the buffers that every stream takes.
          if (++blocks === 16) before = rss;
          if (blocks % 16 === 0) most = Math.max(most, rss - before);
        };
        try {
          const places = new Map<string, number>();
          const sealed = await stream([{ id: "content", source: source() }], {
            put: async (cid, bytes) => {
              const at = places.size * (15 * SEALED);
              places.set(cid.toString(), at);
              await file.write(bytes, 0, bytes.length, at);
              look();
            },
          });
          expect(places.size).toBe(Math.ceil(sizeByHand(total) / BLOCK));
          const read = async (cid: CID): Promise<Uint8Array> => {
            look();
            const { bytesRead, buffer } = await file.read({
              buffer: new Uint8Array(15 * SEALED),
              position: places.get(cid.toString())!,
            });
            return buffer.subarray(0, bytesRead);
          };
          const opened = createHash("sha256");
          for await (const plaintext of openStream(opening(sealed, { read })))
            opened.update(plaintext);
          expect(opened.digest("hex")).toBe(digest.digest("hex"));
          const end = await openRange({
            ...opening(sealed, { read }),
            from: total - 100,
            to: total,
          });
          expect(end).toEqual(piece.slice(-100));
        } finally {
          await file.close();
          await rm(folder, { recursive: true });
        }
        if (process.env["HEALTHLEDGER_STREAM_MB"] !== undefined) {
          console.log(`resident memory rose by at most ${Math.round(most / 1e6)} MB`);
        }
        expect(most).toBeLessThan(64 * 1024 * 1024);
      });
    });
}
