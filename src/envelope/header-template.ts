import { CID, cidFromDigest, isOwnForm, RAW } from "../codec/cid.ts";
import { type Output, writeItem } from "../codec/cbor-encode.ts";
import { encode } from "../codec/dag-cbor.ts";
import { keyCache, type KeyCache } from "../crypto/key-cache.ts";
import { type ContextMemory, contextMemory, type SharedFields } from "./context-memory.ts";
import { blockCount, type EnvelopePart, PART_ID } from "./header-form.ts";
import { isPaddedSize } from "./padding.ts";
import { SEGMENT_BYTES } from "./suite.ts";

/**
 * The bytes of a header around its salt and its parts. Almost all headers of one author differ only
 * there, and their parts only in sizes, commitments and a block each. So they are written between
 * bytes that the codec wrote; the tests compare the results with the codec's.
 */
interface HeaderFrame {
  readonly beforeSalt: Uint8Array;
  readonly beforeParts: Uint8Array;
  readonly afterParts: Uint8Array;
}

/** The bytes of a part with one id and one block. */
interface PartFrame {
  readonly beforeDigest: Uint8Array;
  readonly beforeSize: Uint8Array;
  readonly beforeCommit: Uint8Array;
}

const headerFrames: ContextMemory<HeaderFrame> = /* @__PURE__ */ contextMemory();
const partFrames: KeyCache<PartFrame> = /* @__PURE__ */ keyCache(64);
/** Most parts of a header that is written this way. CBOR writes a count below 24 as one byte. */
const FEW = 8;
/** Bytes of a salt, a digest and a commitment. */
const WIDTH = 32;
/** Longer than any header of so few parts. */
const SCRATCH = 8192;
let scratch: Uint8Array | undefined;

/** Prepares for headers with these fields, which {@link writeFewParts} then trusts. */
export function rememberFrame(shared: SharedFields): void {
  if (headerFrames.get(shared) === undefined) headerFrames.set(shared, headerFrame(shared));
}

/**
 * Writes a header that has no optional fields, if {@link rememberFrame} knows the shared ones.
 *
 * @returns the bytes that the codec writes, which the decoder accepts; `undefined` for whatever is
 *   wrong or not usual
 */
export function writeFewParts(
  shared: SharedFields,
  salt: Uint8Array,
  parts: readonly EnvelopePart[],
): Uint8Array | undefined {
  const frame = headerFrames.get(shared);
  if (frame === undefined || !isWide(salt) || !Array.isArray(parts)) return undefined;
  const { length } = parts;
  if (length === 0 || length > FEW) return undefined;
  const bytes = (scratch ??= new Uint8Array(SCRATCH));
  const out: Output = { bytes, at: 0, floats: false, maxDepth: 0 };
  write(out, frame.beforeSalt);
  write(out, salt);
  write(out, frame.beforeParts);
  bytes[out.at++] = 0x80 | length;
  const ids: string[] = [];
  for (let i = 0; i < length; i++) {
    const { id, size, commit, data } = parts[i] as EnvelopePart;
    const part = partFrames.get(id) ?? partFrame(id);
    if (part === undefined || ids.includes(id)) return undefined;
    ids.push(id);
    const block = onlyBlock(size, data);
    if (block === undefined || !isWide(commit)) return undefined;
    write(out, part.beforeDigest);
    write(out, block.subarray(4));
    write(out, part.beforeSize);
    writeItem(out, size, 0);
    write(out, part.beforeCommit);
    write(out, commit);
  }
  write(out, frame.afterParts);
  return bytes.slice(0, out.at);
}

function isWide(value: unknown): boolean {
  return value instanceof Uint8Array && value.length === WIDTH;
}

/** The bytes of a part's block, if its size is that of one block. */
function onlyBlock(size: number, data: readonly CID[]): Uint8Array | undefined {
  if (!isPaddedSize(size) || blockCount(size) !== 1) return undefined;
  if (!Array.isArray(data) || data.length !== 1) return undefined;
  const cid: unknown = data[0];
  const bytes = cid instanceof CID ? cid.bytes : undefined;
  return bytes !== undefined && isOwnForm(bytes, RAW) ? bytes : undefined;
}

function write(out: Output, bytes: Uint8Array): void {
  out.bytes.set(bytes, out.at);
  out.at += bytes.length;
}

const ZEROS = /* @__PURE__ */ new Uint8Array(WIDTH);
const ONES = /* @__PURE__ */ new Uint8Array(WIDTH).fill(0xff);

function headerFrame({ suite, context: { ledger, author, kind } }: SharedFields): HeaderFrame {
  const written = (salt: Uint8Array, parts: readonly null[]) =>
    encode({ v: 1, suite, ctx: { ledger, author, kind }, salt, segment: SEGMENT_BYTES, parts });
  const bytes = written(ZEROS, []);
  const salt = firstDifference(bytes, written(ONES, []));
  const parts = firstDifference(bytes, written(ZEROS, [null]));
  return {
    beforeSalt: bytes.subarray(0, salt),
    beforeParts: bytes.subarray(salt + WIDTH, parts),
    afterParts: bytes.subarray(parts + 1),
  };
}

function partFrame(id: unknown): PartFrame | undefined {
  if (typeof id !== "string" || !PART_ID.test(id)) return undefined;
  const written = (digest: Uint8Array, size: number, commit: Uint8Array) =>
    encode({ id, size, commit, data: [cidFromDigest(digest, RAW)] });
  const bytes = written(ZEROS, 0, ZEROS);
  const digest = firstDifference(bytes, written(ONES, 0, ZEROS));
  const size = firstDifference(bytes, written(ZEROS, 1, ZEROS));
  const commit = firstDifference(bytes, written(ZEROS, 0, ONES));
  const frame = {
    beforeDigest: bytes.subarray(0, digest),
    beforeSize: bytes.subarray(digest + WIDTH, size),
    beforeCommit: bytes.subarray(size + 1, commit),
  };
  partFrames.set(id, frame);
  return frame;
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  let at = 0;
  while (a[at] === b[at]) at++;
  return at;
}
