import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { openSegmentAt, segmentCount, wipeWhenOpened } from "./blocks.ts";
import { toReadableStream } from "./byte-source.ts";
import type { EnvelopeHeader } from "./header.ts";
import { verifyHeader } from "./header.ts";
import { unlockParts } from "./keys.ts";
import { assertPaddingOf, lengthOfPart } from "./padding.ts";
import type { OpenOptions } from "./open.ts";
import { readBlock } from "./read-block.ts";
import { createPartCipher } from "./part-cipher.ts";
import { SEGMENT_BYTES, SEGMENTS_PER_BLOCK, usableSuite } from "./suite.ts";
import { EnvelopeError } from "../errors.ts";

/** Options of {@link openPart}. */
export interface OpenPartOptions extends Omit<OpenOptions, "parts" | "maxBytes"> {
  /** Id of the part to open. */
  readonly part: string;
}

/** A range of a part: the bytes from `from` up to but not including `to`. */
export interface ByteRange {
  /** Default 0. */
  readonly from?: number;
  /** Default: the part's length. */
  readonly to?: number;
}

/** Random access to a part of an envelope whose header and key have been verified. */
export interface PartReader {
  readonly header: EnvelopeHeader;
  /**
   * Length of the part in bytes, without padding. The last segment states it, so the last block is
   * read.
   *
   * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT`, `ERR_ENVELOPE_MISSING`, `ERR_ENVELOPE_INVALID`
   */
  size(): Promise<number>;
  /**
   * Reads the last block, then yields plaintext one segment at a time, at most 64 KiB, and verifies each segment
   * before yielding it. Reads at most one block ahead of its consumer; if WebCrypto opens the
   * segments, up to eight are in flight. Truncation, reordering and altered bytes throw in place of
   * the segment: the bytes before it are as the author sealed them, but are not the whole part. A
   * stream without `to` also verifies the padding behind the part before it ends.
   *
   * @throws {RangeError} when the range is not within the part
   */
  stream(range?: ByteRange): AsyncGenerator<Uint8Array, void>;
  /** Reads a range into memory, fetching only the blocks that it needs. */
  range(from: number, to: number): Promise<Uint8Array>;
  /** Wipes the key; the reader cannot be used afterwards. */
  close(): void;
}

const OPEN_PART_OPTIONS: OptionsOf<OpenPartOptions & ByteRange> = {
  ...{ part: true, envelope: true, header: true, keys: true, context: true, author: true },
  ...{ read: true, signal: true, from: true, to: true },
};

/**
 * Verifies an envelope's header and a part's commitment, then opens the part for reading.
 *
 * @throws {EnvelopeError} as {@link openEnvelope} does
 * @example
 * const reader = openPart({ part: "scan", envelope, header, keys, context, author, read });
 * const start = await reader.range(0, Math.min(1024, await reader.size()));
 * reader.close();
 */
export function openPart(options: OpenPartOptions): PartReader {
  assertOptions(options, OPEN_PART_OPTIONS, "openPart");
  const verified = verifyHeader(options.header, options);
  if (!verified.ok) {
    throw new EnvelopeError("ERR_ENVELOPE_INVALID", `the header was refused: ${verified.reason}`);
  }
  const { header } = verified;
  const suite = usableSuite(header.suite);
  const part = header.parts.find(({ id }) => id === options.part);
  if (part === undefined) {
    throw new EnvelopeError("ERR_ENVELOPE_INVALID", "the envelope has no such part");
  }
  const [key] = unlockParts(header, options.keys, [part]) as [Uint8Array];
  const cipher = createPartCipher(suite, key);
  const { read, signal } = options;
  const { size, data } = part;
  const finalSegment = segmentCount(size) - 1;
  let closed = false;
  let ending: Promise<Ending> | undefined;

  /** Reads the last block, at most once unless that fails. */
  function end(): Promise<Ending> {
    ending ??= readEnd().catch((error: unknown) => {
      ending = undefined;
      throw error;
    });
    return ending;
  }

  async function readEnd(): Promise<Ending> {
    const block = await fetch(data.length - 1);
    assertWanted();
    const segment = await openSegmentAt(cipher, part!, finalSegment, block);
    try {
      return { block, length: lengthOfPart(segment, size) };
    } finally {
      segment.fill(0);
    }
  }

  function fetch(block: number): Promise<Uint8Array> {
    const bytes = readBlock(read, data[block]!);
    // The consumer may never await this promise, so handle its rejection here.
    bytes.catch(() => undefined);
    return bytes;
  }

  async function* stream(range: ByteRange = {}): AsyncGenerator<Uint8Array, void> {
    const { block: ending, length } = await end();
    const { from = 0, to = length } = range;
    assertRange(from, to, length);
    if (from === to && range.to !== undefined) return;
    const first = Math.floor(from / SEGMENT_BYTES);
    const last = range.to === undefined ? finalSegment : Math.ceil(to / SEGMENT_BYTES) - 1;
    const lastBlock = blockOf(last);
    const blockAt = (block: number): Promise<Uint8Array> =>
      block === data.length - 1 ? Promise.resolve(ending) : fetch(block);
    const blocks = new Map<number, Promise<Uint8Array>>();
    // Segments in flight, in order: the first is yielded next.
    const opening: Promise<Uint8Array>[] = [];
    let next = first;

    async function openAt(counter: number): Promise<Uint8Array> {
      const sealed = await blocks.get(blockOf(counter))!;
      assertWanted();
      return openSegmentAt(cipher, part!, counter, sealed);
    }

    try {
      for (let counter = first; counter <= last; counter++) {
        const block = blockOf(counter);
        if (counter === first) blocks.set(block, blockAt(block));
        if (counter === first || counter % SEGMENTS_PER_BLOCK === 0) {
          await blocks.get(block);
          blocks.delete(block - 1);
          if (block < lastBlock) blocks.set(block + 1, blockAt(block + 1));
        }
        while (next <= last && next < counter + cipher.window) {
          const one = openAt(next++);
          // Only the first error is reported, and only the segment in front is awaited.
          one.catch(() => undefined);
          opening.push(one);
        }
        const segment = await opening[0]!;
        const start = counter * SEGMENT_BYTES;
        assertWanted();
        assertPaddingOf(segment, start, length, size);
        opening.shift();
        const wanted = segment.subarray(Math.max(0, from - start), Math.max(0, to - start));
        if (wanted.length > 0) yield wanted;
      }
    } finally {
      for (const left of opening) wipeWhenOpened(left);
    }
  }

  function assertWanted(): void {
    signal?.throwIfAborted();
    if (closed) throw new TypeError("the part was closed");
  }

  return {
    header,
    size: async () => (await end()).length,
    stream,
    async range(from, to) {
      const pieces: Uint8Array[] = [];
      for await (const piece of stream({ from, to })) pieces.push(piece);
      if (pieces.length === 1) return pieces[0]!.slice();
      // Allocated only once every piece is present, because the length is the author's claim.
      const bytes = new Uint8Array(to - from);
      let at = 0;
      for (const piece of pieces) {
        bytes.set(piece, at);
        at += piece.length;
        piece.fill(0);
      }
      return bytes;
    },
    close() {
      closed = true;
      cipher.close();
    },
  };
}

/**
 * Opens a part as a stream of segments, each verified before it is yielded; see
 * {@link PartReader.stream}. Nothing is verified before the first segment is requested.
 *
 * @param options.keys - borrowed until the first segment has been requested
 * @throws {EnvelopeError} as {@link openEnvelope} does
 * @example
 * const part = { part: "scan", envelope, header, keys, context, author, read };
 * for await (const segment of openStream(part)) await file.write(segment);
 */
export async function* openStream(
  options: OpenPartOptions & ByteRange,
): AsyncGenerator<Uint8Array, void> {
  const part = openPart(options);
  try {
    yield* part.stream(options);
  } finally {
    part.close();
  }
}

/**
 * Like {@link openStream}, but returns a web stream.
 *
 * @example
 * const scan = openReadable({ part: "scan", envelope, header, keys, context, author, read });
 * const response = new Response(scan);
 */
export function openReadable(options: OpenPartOptions & ByteRange): ReadableStream<Uint8Array> {
  assertOptions(options, OPEN_PART_OPTIONS, "openReadable");
  return toReadableStream(openStream(options));
}

/**
 * Reads a range of a part: fetches only the blocks that hold it, and decrypts only its segments.
 *
 * @returns `to - from` bytes, newly allocated
 * @throws {EnvelopeError} as {@link openEnvelope} does
 * @throws {RangeError} when the range is not within the part
 * @example
 * const part = { part: "scan", envelope, header, keys, context, author, read };
 * const start = await openRange({ ...part, from: 0, to: 1024 });
 */
export async function openRange(
  options: OpenPartOptions & { readonly from: number; readonly to: number },
): Promise<Uint8Array> {
  const part = openPart(options);
  try {
    return await part.range(options.from, options.to);
  } finally {
    part.close();
  }
}

/** The end of a part. */
interface Ending {
  /** The last block, sealed; kept because a stream ends with it. */
  readonly block: Uint8Array;
  /** The part's length without padding. */
  readonly length: number;
}

/** Number of the block, within the part, that holds a segment. */
const blockOf = (counter: number): number => Math.floor(counter / SEGMENTS_PER_BLOCK);

function assertRange(from: number, to: number, size: number): void {
  const whole = Number.isSafeInteger(from) && Number.isSafeInteger(to);
  if (!whole || from < 0 || to < from || to > size) {
    throw new RangeError("the range is not within the part");
  }
}
