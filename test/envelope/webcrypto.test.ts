import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync } from "node:crypto";
import * as dagCbor from "@ipld/dag-cbor";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { CID } from "../../src/codec/cid.ts";
import type * as module from "../../src/envelope/index.ts";
import { padByHand } from "./padding-by-hand.ts";
import { context, hospital, reader, seeded, openingOf } from "./parties.ts";

type Envelope = typeof module;

/** The library as a build without node:crypto has it, or as Node.js has it. */
async function load(backend: "noble" | "node"): Promise<Envelope> {
  vi.resetModules();
  if (backend === "node") vi.doUnmock("#crypto");
  else vi.doMock("#crypto", () => import("../../src/crypto/noble.ts"));
  return import("../../src/envelope/index.ts");
}

const portable = await load("noble");
const native = await load("node");

const SEGMENT = 65_536;
const SEALED = SEGMENT + 16;
const BLOCK = 15 * SEGMENT;
const { subtle } = globalThis.crypto;
const bytesOf = (length: number): Uint8Array =>
  new Uint8Array(length).map((_, i) => (i * 37 + (i >> 9)) % 253);
const pause = (ms = 5): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Stream {
  readonly cid: CID;
  readonly header: Uint8Array;
  readonly cek: Uint8Array;
  readonly blocks: { readonly cid: CID; readonly bytes: Uint8Array }[];
}

async function sealed(
  env: Envelope,
  source: module.ByteSource,
  change: Partial<module.SealStreamOptions> = {},
): Promise<Stream> {
  const blocks: { cid: CID; bytes: Uint8Array }[] = [];
  const made = await env.sealStream({
    context,
    parts: [{ id: "content", source }],
    signer: hospital,
    random: seeded("webcrypto"),
    suite: "aes-gcm",
    put: (cid, bytes) => void blocks.push({ cid, bytes }),
    ...change,
  });
  return { ...made, blocks };
}

function opening(
  from: Stream,
  change: Partial<module.OpenPartOptions> = {},
): module.OpenPartOptions {
  return { ...openingOf(from), part: "content", ...change };
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces);
}

const namesOf = ({ cid, header, cek, blocks }: Stream): unknown => [
  cid.toString(),
  Buffer.from(header).toString("hex"),
  Buffer.from(cek).toString("hex"),
  blocks.map(({ cid: name, bytes }) => [
    name.toString(),
    createHash("sha256").update(bytes).digest("hex"),
  ]),
];

/** Counts the calls of one method that are under way, and lets a test hold them up. */
function watch(method: "encrypt" | "decrypt", hold?: (call: number) => Promise<void> | undefined) {
  const seen = { calls: 0, most: 0, results: [] as ArrayBuffer[] };
  let underway = 0;
  const run = subtle[method].bind(subtle);
  vi.spyOn(subtle, method).mockImplementation(async (...args) => {
    const call = seen.calls++;
    seen.most = Math.max(seen.most, ++underway);
    try {
      const result = (await run(...args)) as ArrayBuffer;
      seen.results[call] = result;
      await hold?.(call);
      return result;
    } finally {
      underway--;
    }
  });
  return seen;
}

afterEach(() => void vi.restoreAllMocks());

describe("aes-gcm by WebCrypto", () => {
  it.each([0, 1, SEGMENT, SEGMENT + 1, BLOCK, 2 * BLOCK + 3 * SEGMENT + 9])(
    "makes the same envelope of %d bytes as node:crypto, and each opens the other's",
    async (length) => {
      const bytes = bytesOf(length);
      const ours = await sealed(portable, bytes);
      const theirs = await sealed(native, bytes);
      expect(namesOf(ours)).toEqual(namesOf(theirs));
      for (const [env, other] of [
        [portable, theirs],
        [native, ours],
      ] as const) {
        expect((await collect(env.openStream(opening(other)))).equals(bytes)).toBe(true);
        const whole = await env.openEnvelope(openingOf(other));
        expect(Buffer.compare(whole.parts.get("content")!, bytes)).toBe(0);
        const from = Math.max(0, length - 7);
        const end = await env.openRange({ ...opening(other), from, to: length });
        expect(end).toEqual(bytes.slice(from));
      }
      const common = { context, signer: hospital, suite: "aes-gcm" } as const;
      const parts = [{ id: "content", bytes }];
      const random = seeded("webcrypto");
      const whole = await portable.sealEnvelope({ ...common, parts, random });
      expect(namesOf({ ...whole, blocks: [...whole.blocks] })).toEqual(namesOf(theirs));
    },
  );

  it("makes what node:crypto alone opens, by the specification", async () => {
    const bytes = bytesOf(BLOCK + 2 * SEGMENT + 5);
    const { header, cek, blocks } = await sealed(portable, bytes);
    const { header: read } = native.decodeSignedHeader(header);
    const { ledger, author, kind } = context;
    const terms = { suite: "aes-gcm", segment: SEGMENT, ctx: { ledger, author, kind } };
    const bound = createHash("sha256").update(dagCbor.encode(terms)).digest();
    const info = Buffer.concat([Buffer.from("healthledger/part/1 content\0"), bound]);
    const partKey = Buffer.from(hkdfSync("sha256", cek, read.salt, info, 32));
    const key = createHmac("sha256", partKey).update("key\x01").digest();
    const plain = blocks.flatMap(({ bytes: block }, i) =>
      [...cut(block)].map((segment, j) => {
        const nonce = Buffer.alloc(12);
        nonce.writeUInt32BE(i * 15 + j, 7);
        nonce[11] = i * 15 + j === 17 ? 1 : 0;
        const decipher = createDecipheriv("aes-256-gcm", key, nonce);
        decipher.setAuthTag(segment.subarray(-16));
        return Buffer.concat([decipher.update(segment.subarray(0, -16)), decipher.final()]);
      }),
    );
    expect(Buffer.concat(plain).equals(padByHand(bytes))).toBe(true);
    // And the reverse: segments that node:crypto sealed stand where ours stood.
    const again = Buffer.concat(
      plain.map((segment, i) => {
        const nonce = Buffer.alloc(12);
        nonce.writeUInt32BE(i, 7);
        nonce[11] = i === 17 ? 1 : 0;
        const cipher = createCipheriv("aes-256-gcm", key, nonce);
        return Buffer.concat([cipher.update(segment), cipher.final(), cipher.getAuthTag()]);
      }),
    );
    expect(again.equals(Buffer.concat(blocks.map(({ bytes: block }) => block)))).toBe(true);
  });

  it("has several segments under way, and no more than it may", async () => {
    const bytes = bytesOf(6 * BLOCK);
    const encrypted = watch("encrypt");
    const made = await sealed(portable, bytes);
    // 90 segments, and two of padding: 6 × 983,040 bytes are padded to 46 × 131,072.
    expect(encrypted.calls).toBe(92);
    expect(encrypted.most).toBeGreaterThan(1);
    expect(encrypted.most).toBeLessThanOrEqual(30);
    const decrypted = watch("decrypt");
    expect((await collect(portable.openStream(opening(made)))).equals(bytes)).toBe(true);
    // The last is opened first, too.
    expect(decrypted.calls).toBe(93);
    expect(decrypted.most).toBe(8);
  });

  it("runs ahead of a slow reader by its window and one block, and no further", async () => {
    const made = await sealed(portable, bytesOf(6 * BLOCK));
    const decrypted = watch("decrypt");
    let reads = 0;
    const from = reader(made.blocks);
    const stream = portable.openStream(opening(made, { read: (cid) => (reads++, from(cid)) }));
    for (let yielded = 1; yielded <= 20; yielded++) {
      await stream.next();
      await pause(2);
      expect(decrypted.calls).toBe(1 + yielded + 7);
      expect(reads).toBe(1 + (yielded <= 15 ? 2 : 3));
    }
    await stream.return();
    await pause();
    expect(decrypted.calls).toBe(28);
  });

  it("keeps the order, whichever segment is opened first", async () => {
    const bytes = bytesOf(BLOCK + 4 * SEGMENT + 3);
    const made = await sealed(portable, bytes);
    watch("decrypt", (call) => pause((call * 7) % 11));
    expect((await collect(portable.openStream(opening(made)))).equals(bytes)).toBe(true);
    watch("encrypt", (call) => pause((call * 7) % 11));
    expect(namesOf(await sealed(portable, bytes))).toEqual(namesOf(made));
  });

  it("hands out nothing before what stands before it is verified", async () => {
    const bytes = bytesOf(5 * SEGMENT);
    const made = await sealed(portable, bytes);
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    const decrypted = watch("decrypt", (call) => (call === 2 ? held : undefined));
    const stream = portable.openStream(opening(made));
    expect((await stream.next()).value).toEqual(bytes.slice(0, SEGMENT));
    let second: unknown;
    const asked = stream.next().then((got) => (second = got));
    // The last segment, for the length, and then all six.
    await vi.waitFor(() => expect(decrypted.results.filter(Boolean)).toHaveLength(7), 10_000);
    expect(second).toBeUndefined();
    release();
    await asked;
    expect((await collect(stream)).equals(bytes.subarray(2 * SEGMENT))).toBe(true);
  });

  it("fails with the error that stands first, though a later one is there sooner", async () => {
    const made = await sealed(portable, bytesOf(2 * BLOCK));
    const broken = new Error("the disk is gone");
    const other = new Error("the engine is broken");
    let reads = 0;
    const from = reader(made.blocks);
    const read: module.BlockReader = (cid) => (++reads === 3 ? Promise.reject(broken) : from(cid));
    const yields = async (): Promise<[number, unknown]> => {
      let yielded = 0;
      reads = 0;
      try {
        for await (const _ of portable.openStream(opening(made, { read }))) yielded++;
      } catch (error) {
        return [yielded, error];
      }
      return [yielded, undefined];
    };
    expect(await yields()).toEqual([15, broken]);
    watch("decrypt", (call) => {
      if (call === 6) return Promise.reject(other);
      return call === 4 ? pause(20).then(() => Promise.reject(broken)) : undefined;
    });
    expect(await yields()).toEqual([3, broken]);
    await pause(30);
  });

  it("overwrites what it had opened for a reader that stops, or that an error stops", async () => {
    const made = await sealed(portable, bytesOf(BLOCK));
    const isZero = (buffer: ArrayBuffer): boolean => new Uint8Array(buffer).every((b) => b === 0);
    const stopped = watch("decrypt", () => pause(3));
    const stream = portable.openStream(opening(made));
    await stream.next();
    await stream.return();
    await pause(20);
    expect(stopped.results.map(isZero)).toEqual([true, false, ...Array(7).fill(true)]);
    vi.restoreAllMocks();

    const failed = watch("decrypt", (call) =>
      call === 2 ? Promise.reject(new DOMException("", "OperationError")) : undefined,
    );
    await expect(collect(portable.openStream(opening(made)))).rejects.toMatchObject({
      code: "ERR_ENVELOPE_DECRYPT",
    });
    await pause(20);
    expect(failed.results.slice(3).map(isZero)).toEqual(failed.results.slice(3).map(() => true));
    expect(failed.results.length).toBeGreaterThan(5);
    vi.restoreAllMocks();

    const whole = watch("decrypt", (call) =>
      call === 2 ? Promise.reject(new DOMException("", "OperationError")) : undefined,
    );
    await expect(portable.openEnvelope(openingOf(made))).rejects.toMatchObject({
      code: "ERR_ENVELOPE_DECRYPT",
    });
    await pause(20);
    expect(whole.results.map(isZero)).toEqual(whole.results.map((_, call) => call !== 2));
  });

  it("wipes the raw key when WebCrypto has taken it", async () => {
    const taken: Uint8Array[] = [];
    const run = subtle.importKey.bind(subtle) as (...args: unknown[]) => Promise<CryptoKey>;
    vi.spyOn(subtle, "importKey").mockImplementation(((...args: unknown[]) => {
      taken.push(args[1] as Uint8Array);
      expect((args[1] as Uint8Array).some((byte) => byte !== 0)).toBe(true);
      return run(...args);
    }) as typeof subtle.importKey);
    const made = await sealed(portable, bytesOf(10));
    await collect(portable.openStream(opening(made)));
    expect(taken).toEqual([new Uint8Array(32), new Uint8Array(32)]);
  });

  it("takes a source that uses one buffer again and again", async () => {
    const bytes = bytesOf(2 * BLOCK + 11);
    async function* reusing(size: number): AsyncGenerator<Uint8Array> {
      const piece = new Uint8Array(size);
      for (let at = 0; at < bytes.length; at += size) {
        const part = bytes.subarray(at, at + size);
        piece.set(part);
        yield piece.subarray(0, part.length);
        piece.fill(0);
      }
    }
    const expected = namesOf(await sealed(native, bytes));
    for (const size of [SEGMENT, SEGMENT + 1, 3 * SEGMENT + 5, 1000]) {
      expect(namesOf(await sealed(portable, reusing(size)))).toEqual(expected);
    }
  });

  it("stops when told to, midway, and when a source or a store fails", async () => {
    const bytes = bytesOf(4 * BLOCK);
    const made = await sealed(portable, bytes);
    const stop = new AbortController();
    const stream = portable.openStream(opening(made, { signal: stop.signal }));
    for (let i = 0; i < 5; i++) await stream.next();
    stop.abort(new Error("enough"));
    await expect(stream.next()).rejects.toThrow("enough");

    const part = portable.openPart(opening(made));
    const pieces = part.stream();
    await pieces.next();
    part.close();
    await expect(pieces.next()).rejects.toThrow(TypeError);

    const failing = async (
      source: module.ByteSource,
      change: Partial<module.SealStreamOptions>,
    ): Promise<{ puts: number; error: unknown; cek: Uint8Array }> => {
      const drawn: Uint8Array[] = [];
      let puts = 0;
      const random = (length: number): Uint8Array => {
        drawn.push(new Uint8Array(length).fill(7));
        return drawn.at(-1)!;
      };
      const put = (): void => void puts++;
      const error = await sealed(portable, source, { random, put, ...change }).then(
        () => undefined,
        (cause: unknown) => cause,
      );
      const before = puts;
      await pause(20);
      expect(puts).toBe(before);
      return { puts, error, cek: drawn[0]! };
    };
    const lost = new Error("the scanner was unplugged");
    async function* unplugged(): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 2 * BLOCK + 5 * SEGMENT);
      throw lost;
    }
    // The second block was sealed, and the segment behind it too; they are let go.
    expect(await failing(unplugged(), {})).toEqual({
      puts: 1,
      error: lost,
      cek: new Uint8Array(32),
    });
    const broken = new Error("the engine is broken");
    watch("encrypt", (call) => (call === 1 ? Promise.reject(broken) : undefined));
    async function* unpluggedEarly(): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 4 * SEGMENT);
      await pause(20);
      throw lost;
    }
    expect(await failing(unpluggedEarly(), {})).toMatchObject({ puts: 0, error: lost });
    vi.restoreAllMocks();
    const full = new Error("disk full");
    expect(await failing(bytes, { put: () => Promise.reject(full) })).toMatchObject({
      error: full,
      cek: new Uint8Array(32),
    });
    const halt = new AbortController();
    const halted = await failing(bytes, {
      signal: halt.signal,
      onProgress: () => halt.abort(new Error("enough")),
    });
    expect(halted).toMatchObject({
      puts: 1,
      error: expect.objectContaining({ message: "enough" }),
    });
    watch("encrypt", (call) => (call === 20 ? Promise.reject(broken) : undefined));
    expect(await failing(bytes, {})).toMatchObject({ puts: 1, error: broken });
  });

  it("opens to nobody under a wrong key, and yields nothing of an altered block", async () => {
    const made = await sealed(portable, bytesOf(3 * SEGMENT));
    const wrong = portable.openStream(opening(made, { keys: { cek: new Uint8Array(32) } }));
    await expect(wrong.next()).rejects.toMatchObject({ code: "ERR_ENVELOPE_DECRYPT" });
    const altered = made.blocks[0]!.bytes.slice();
    altered[2 * SEALED + 5]! ^= 1;
    const stream = portable.openStream(opening(made, { read: async () => altered }));
    await expect(stream.next()).rejects.toMatchObject({ code: "ERR_ENVELOPE_INVALID" });
  });
});

describe("without WebCrypto", () => {
  it("says what aes-gcm needs, and seals and opens chacha", async () => {
    const made = await sealed(native, bytesOf(100));
    vi.stubGlobal("crypto", { getRandomValues: () => undefined });
    try {
      const unsupported = {
        code: "ERR_ENVELOPE_UNSUPPORTED",
        message: "the suite aes-gcm needs node:crypto or WebCrypto, and neither is available",
      };
      await expect(sealed(portable, bytesOf(1))).rejects.toMatchObject(unsupported);
      await expect(portable.openStream(opening(made)).next()).rejects.toMatchObject(unsupported);
      await expect(portable.openEnvelope(openingOf(made))).rejects.toMatchObject(unsupported);
      const bytes = bytesOf(BLOCK + 5);
      const chacha = await sealed(portable, bytes, { suite: "chacha" });
      expect((await collect(portable.openStream(opening(chacha)))).equals(bytes)).toBe(true);
    } finally {
      vi.unstubAllGlobals();
    }
  });
});

function* cut(block: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < block.length; at += SEALED) yield block.subarray(at, at + SEALED);
}
