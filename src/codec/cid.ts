import { CID } from "multiformats/cid";
import { Digest } from "multiformats/hashes/digest";
import { sha256 } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { assertBytes } from "../bytes/guards.ts";
import { EncodingError } from "../errors.ts";

export { CID };

/** Multicodec of canonical DAG-CBOR. */
export const DAG_CBOR: 0x71 = 0x71;
/** Multicodec of raw bytes. */
export const RAW: 0x55 = 0x55;
/** Multihash code of SHA-256. */
export const SHA2_256: 0x12 = 0x12;

/** The codecs of the CIDs that this library makes. */
export type Codec = typeof DAG_CBOR | typeof RAW;

const CID_BYTES = 36;
// CIDs are made by the thousand, and a buffer for each would cost three times as much as everything
// else.
const SLAB = /* @__PURE__ */ 64 * CID_BYTES;
let slab: Uint8Array = /* @__PURE__ */ new Uint8Array(0);
let slabAt: number = SLAB;

/**
 * Computes the CIDv1 of bytes, with SHA-256.
 *
 * @example
 * cidOf(blob, RAW).toString(); // "bafkrei…"
 */
export function cidOf(bytes: Uint8Array, codec: Codec): CID {
  return cidFromDigest(sha256(bytes), codec);
}

/**
 * Makes a CIDv1 from an already computed SHA-256 digest.
 *
 * @param digest - 32 bytes; copied
 */
export function cidFromDigest(digest: Uint8Array, codec: Codec): CID {
  assertBytes(digest, "digest", 32);
  if (slabAt === SLAB) {
    slab = new Uint8Array(SLAB);
    slabAt = 0;
  }
  const bytes = slab.subarray(slabAt, slabAt + CID_BYTES);
  slabAt += CID_BYTES;
  bytes[0] = 1;
  bytes[1] = codec;
  bytes[2] = SHA2_256;
  bytes[3] = 32;
  bytes.set(digest, 4);
  return ownCid(bytes);
}

/**
 * Reads the binary form of a CID that this library could have made: CIDv1, DAG-CBOR or raw,
 * SHA-256, with no trailing bytes.
 *
 * @throws {EncodingError} `ERR_ENCODING_MALFORMED` on anything else
 */
export function cidFromBytes(bytes: Uint8Array): CID {
  if (!isOwnForm(bytes)) throw malformed("the bytes are not a CIDv1 of SHA-256");
  return ownCid(new Uint8Array(bytes));
}

/**
 * Reads any CID, of any version, codec and hash, in its one binary form.
 *
 * @param bytes - borrowed for the lifetime of the CID
 * @throws {EncodingError} `ERR_ENCODING_MALFORMED` on anything else
 */
export function anyCidFromBytes(bytes: Uint8Array): CID {
  if (isOwnForm(bytes)) return ownCid(bytes);
  let cid: CID;
  try {
    cid = CID.decode(bytes);
  } catch (cause) {
    throw malformed("the bytes are not a CID", cause);
  }
  // Refuse every other spelling that the library accepts: the numbers in a CID are varints, which
  // may be padded.
  if (!equalBytes(cid.bytes, bytes))
    throw malformed("the bytes are not a CID in its canonical form");
  return cid;
}

/** Reads the byte string inside tag 42; borrowed. */
export function cidFromTag(bytes: Uint8Array): CID {
  if (bytes[0] !== 0) throw malformed("a CID lacks its 00 prefix");
  return anyCidFromBytes(bytes.subarray(1));
}

/** Checks a CID, possibly made by another copy of the CID class, and returns its binary form. */
export function cidToTag(cid: CID): Uint8Array {
  const { bytes } = cid;
  if (!(bytes instanceof Uint8Array)) throw malformed("the bytes are not a CID");
  if (!isOwnForm(bytes)) anyCidFromBytes(bytes);
  return bytes;
}

/** Whether bytes have the form of a CID that this library makes, of one codec if it is given. */
export function isOwnForm(bytes: Uint8Array, codec?: Codec): boolean {
  return (
    bytes.length === CID_BYTES &&
    bytes[0] === 1 &&
    (codec === undefined ? bytes[1] === DAG_CBOR || bytes[1] === RAW : bytes[1] === codec) &&
    bytes[2] === SHA2_256 &&
    bytes[3] === 32
  );
}

/** Whether bytes match a CID; only CIDs of SHA-256 can match. */
export function matchesCid(cid: CID, bytes: Uint8Array): boolean {
  return cid.multihash.code === SHA2_256 && equalBytes(cid.multihash.digest, sha256(bytes));
}

function ownCid(bytes: Uint8Array): CID {
  const digest = new Digest(SHA2_256, 32, bytes.subarray(4), bytes.subarray(2));
  return new CID(1, bytes[1]!, digest, bytes as Uint8Array<ArrayBuffer>);
}

function malformed(what: string, cause?: unknown): EncodingError {
  return new EncodingError("ERR_ENCODING_MALFORMED", what, { cause });
}
