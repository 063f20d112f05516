import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { assertBytes } from "../bytes/guards.ts";
import type { CID } from "../codec/cid.ts";
import { cidOf, DAG_CBOR } from "../codec/cid.ts";
import { EnvelopeError, InputError } from "../errors.ts";
import { type ByteSource, chunksOf } from "./byte-source.ts";
import type { EnvelopePart } from "./header.ts";
import { assertPartIds, MAX_HEADER_BYTES, signHeader } from "./header.ts";
import { deriveCommit, derivePartKeys, deriveSegmentKey, KEY_BYTES, wipeKeys } from "./keys.ts";
import { assertPadding, LENGTH_BYTES, type Padding, paddedSize, writeLength } from "./padding.ts";
import { createPartCipher, nameBlock, TAG_BYTES, worksElsewhere } from "./part-cipher.ts";
import type { SealOptions } from "./seal.ts";
import { SEGMENT_BYTES, SEGMENTS_PER_BLOCK, type SuiteName, usableSuite } from "./suite.ts";

/** A part to seal from a stream. */
export interface PartStream {
  /** 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit; not encrypted. */
  readonly id: string;
  /** Read once, in order, and no faster than `put` accepts blocks. */
  readonly source: ByteSource;
}

/** Options of {@link sealStream}. */
export interface SealStreamOptions extends Omit<SealOptions, "parts"> {
  /** 1 to 256 parts, sealed one after another. */
  readonly parts: readonly PartStream[];
  /**
   * Called with each ciphertext block as soon as it is full; owns the bytes. Two calls may be in
   * flight.
   */
  readonly put: (cid: CID, bytes: Uint8Array) => Promise<void> | void;
  /** Called after each block with the bytes of plaintext sealed so far, over all parts, without padding. */
  readonly onProgress?: (progress: { readonly sealed: number }) => void;
  readonly signal?: AbortSignal;
}

/** An envelope whose ciphertext was given to `put`, and its content key. */
export interface SealedStream {
  /** The envelope's CID, which is the CID of `header`. */
  readonly cid: CID;
  /** The signed header. */
  readonly header: Uint8Array;
  /** 32 bytes, fresh for each envelope; the caller grants them and must wipe them. */
  readonly cek: Uint8Array;
}

/** Calls of `put` that may be pending while the next block is sealed. */
const PUTS_UNDER_WAY = 2;
const BLOCK_BYTES: number = SEGMENTS_PER_BLOCK * (SEGMENT_BYTES + TAG_BYTES);
/** Most CIDs that a header can hold, at 41 bytes each. */
const MAX_BLOCKS: number = Math.floor(MAX_HEADER_BYTES / 41);

const SEAL_STREAM_OPTIONS: OptionsOf<SealStreamOptions> = {
  ...{ context: true, parts: true, signer: true, random: true, disclosed: true, supersedes: true },
  ...{ suite: true, padding: true, put: true, onProgress: true, signal: true },
};

/**
 * Seals parts of any length in constant memory. The envelope is, byte for byte, the one that
 * {@link sealEnvelope} makes of the same parts; the header is made last, when sizes are known.
 *
 * On failure, the blocks that `put` has accepted remain stored. Their key is lost, so nobody can
 * open them; the caller should delete them.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when the signer is not the author
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` on part ids that are malformed or occur twice,
 *   before any source is read; `ERR_ENVELOPE_UNSUPPORTED` when there are more blocks than one
 *   header can list
 * @example
 * const source = createReadStream("scan.dcm");
 * const parts = [{ id: "scan", source }];
 * const { cid, header } = await sealStream({ context, parts, signer, random, put });
 * await put(cid, header);
 */
export async function sealStream(options: SealStreamOptions): Promise<SealedStream> {
  assertOptions(options, SEAL_STREAM_OPTIONS, "sealStream");
  const { context, parts, signer, random, disclosed, supersedes, padding = "stepped" } = options;
  if (signer.actor !== context.author) {
    throw new InputError("ERR_INPUT_INVALID", "the signer must be the envelope's author");
  }
  const ids = parts.map(({ id }) => id);
  assertPartIds(ids);
  const suite = usableSuite(options.suite ?? "chacha");
  assertPadding(padding);
  const cek = random(KEY_BYTES);
  const salt = random(32);
  const unsealed = { suite, context, salt };
  const keys = derivePartKeys(unsealed, cek, ids);
  const sink = createSink(options);
  try {
    const sealed: EnvelopePart[] = [];
    for (const part of parts) {
      sealed.push(await sealPart({ suite, padding }, keys.parts[part.id]!, part, sink));
    }
    await sink.drained();
    const header = await signHeader(
      {
        ...unsealed,
        parts: sealed,
        ...(disclosed === undefined ? {} : { disclosed }),
        ...(supersedes === undefined ? {} : { supersedes }),
      },
      signer,
    );
    return { cid: cidOf(header, DAG_CBOR), header, cek };
  } catch (error) {
    cek.fill(0);
    // Let pending calls of `put` finish, so that no block arrives after this function has rejected.
    await sink.drained().catch(() => undefined);
    throw error;
  } finally {
    wipeKeys(keys);
  }
}

async function sealPart(
  { suite, padding }: { readonly suite: SuiteName; readonly padding: Padding },
  partKey: Uint8Array,
  { id, source }: PartStream,
  sink: Sink,
): Promise<EnvelopePart> {
  const commit = deriveCommit(partKey);
  const cipher = createPartCipher(suite, deriveSegmentKey(partKey));
  // While WebCrypto works on one block, the next one is started.
  const ahead = worksElsewhere() ? 1 : 0;
  const data: CID[] = [];
  // A full segment waits here until more data arrive: only then is it known not to be the last.
  const held = new Uint8Array(SEGMENT_BYTES);
  let filled = 0;
  let counter = 0;
  /** Without padding. */
  let length = 0;
  let block: Uint8Array | undefined;
  let inBlock = 0;
  let plaintextBytes = 0;
  let sealing: Promise<void>[] = [];
  const named: { readonly block: Promise<NamedBlock>; readonly plaintextBytes: number }[] = [];

  function seal(plaintext: Uint8Array, final: boolean): Promise<void> | undefined {
    const sealedBytes = plaintext.length + TAG_BYTES;
    // A block that ends with its first segment, as that of a small part, is only as long as that
    // segment.
    block ??= new Uint8Array(final ? sealedBytes : BLOCK_BYTES);
    const into = block.subarray(inBlock, (inBlock += sealedBytes));
    plaintextBytes += Math.max(0, Math.min(plaintext.length, length - counter * SEGMENT_BYTES));
    const underway = cipher.seal(counter++, final, plaintext, into);
    if (underway !== undefined) sealing.push(underway);
    if (!final && counter % SEGMENTS_PER_BLOCK !== 0) return undefined;
    const naming = whenSealed(block, inBlock, sealing);
    naming.catch(() => undefined);
    named.push({ block: naming, plaintextBytes });
    block = undefined;
    sealing = [];
    inBlock = plaintextBytes = 0;
    return putAllBut(final ? 0 : ahead);
  }

  async function take(chunk: Uint8Array): Promise<void> {
    for (let from = 0; from < chunk.length;) {
      if (filled === SEGMENT_BYTES) {
        filled = 0;
        await seal(held, false);
      }
      if (filled === 0 && chunk.length - from > SEGMENT_BYTES) {
        const whole = chunk.subarray(from, (from += SEGMENT_BYTES));
        const written = seal(whole, false);
        if (written !== undefined) await written;
        continue;
      }
      const taken = chunk.subarray(from, from + SEGMENT_BYTES - filled);
      held.set(taken, filled);
      filled += taken.length;
      from += taken.length;
    }
  }

  async function putAllBut(most: number): Promise<void> {
    while (named.length > most) {
      const oldest = named.shift()!;
      const { cid, bytes } = await oldest.block;
      data.push(cid);
      await sink.put(cid, bytes, oldest.plaintextBytes);
    }
  }

  try {
    for await (const chunk of chunksOf(source)) {
      assertBytes(chunk, "chunk");
      length += chunk.length;
      await take(chunk);
    }
    const size = paddedSize(length, padding);
    const zeros = new Uint8Array(Math.min(SEGMENT_BYTES, size));
    for (let left = size - LENGTH_BYTES - length; left > 0; left -= SEGMENT_BYTES) {
      await take(zeros.subarray(0, left));
    }
    const end = new Uint8Array(LENGTH_BYTES);
    writeLength(end, length);
    await take(end);
    await seal(held.subarray(0, filled), true);
    return { id, size, commit, data };
  } finally {
    cipher.close();
    held.fill(0);
  }
}

interface NamedBlock {
  readonly cid: CID;
  readonly bytes: Uint8Array;
}

/** Waits for the segments of a block, and computes its CID. */
async function whenSealed(
  block: Uint8Array,
  length: number,
  sealing: readonly Promise<void>[],
): Promise<NamedBlock> {
  await Promise.all(sealing);
  // Copied, so that the kept bytes do not hold the memory of a whole block.
  const bytes = length < block.length ? block.slice(0, length) : block;
  return { cid: await nameBlock(bytes), bytes };
}

interface Sink {
  put(cid: CID, bytes: Uint8Array, plaintextBytes: number): Promise<void>;
  drained(): Promise<void>;
}

function createSink({ put, onProgress, signal }: SealStreamOptions): Sink {
  const underway: Promise<void>[] = [];
  let blocks = 0;
  let sealed = 0;
  return {
    async put(cid, bytes, plaintextBytes) {
      signal?.throwIfAborted();
      if (++blocks > MAX_BLOCKS) {
        throw new EnvelopeError(
          "ERR_ENVELOPE_UNSUPPORTED",
          "the parts are too large for one envelope",
        );
      }
      if (underway.length >= PUTS_UNDER_WAY) await underway.shift();
      const done = Promise.resolve(put(cid, bytes));
      done.catch(() => undefined);
      underway.push(done);
      sealed += plaintextBytes;
      onProgress?.({ sealed });
    },
    async drained() {
      await Promise.all(underway.splice(0));
    },
  };
}
