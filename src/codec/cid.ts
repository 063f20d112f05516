import * as dagCbor from "@ipld/dag-cbor";
import { CID } from "multiformats/cid";
import * as raw from "multiformats/codecs/raw";
import { create as createDigest } from "multiformats/hashes/digest";
import { sha256 } from "#crypto";
import { EncodingError } from "../errors.ts";

export { CID };

/** Multicodec of canonical DAG-CBOR. */
export const DAG_CBOR: 0x71 = dagCbor.code;
/** Multicodec of raw bytes. */
export const RAW: 0x55 = raw.code;
/** Multihash code of SHA-256. */
export const SHA2_256 = 0x12;

/** The codecs that this library names things by. */
export type Codec = typeof DAG_CBOR | typeof RAW;

/** Names bytes by their SHA-256 hash as a CIDv1. */
export function cidOf(bytes: Uint8Array, codec: Codec): CID {
  return cidFromDigest(sha256(bytes), codec);
}

/** Makes a CIDv1 from a SHA-256 digest that was computed already. */
export function cidFromDigest(digest: Uint8Array, codec: Codec): CID {
  return CID.createV1(codec, createDigest(SHA2_256, digest));
}

/**
 * Reads the binary form of a CID that this library could have made: CIDv1, DAG-CBOR or raw,
 * SHA-256, nothing behind it.
 *
 * @throws {EncodingError} `ERR_ENCODING_MALFORMED` on anything else
 */
export function cidFromBytes(bytes: Uint8Array): CID {
  if (
    bytes.length !== 36 ||
    bytes[0] !== 1 ||
    (bytes[1] !== DAG_CBOR && bytes[1] !== RAW) ||
    bytes[2] !== SHA2_256 ||
    bytes[3] !== 32
  ) {
    throw new EncodingError("ERR_ENCODING_MALFORMED", "not a CIDv1 of SHA-256");
  }
  return cidFromDigest(bytes.subarray(4), bytes[1]);
}

/** Whether bytes are what a CID names; only CIDs of SHA-256 can match. */
export function matchesCid(cid: CID, bytes: Uint8Array): boolean {
  if (cid.multihash.code !== SHA2_256) return false;
  const digest = sha256(bytes);
  const wanted = cid.multihash.digest;
  return wanted.length === 32 && wanted.every((byte, i) => byte === digest[i]);
}
