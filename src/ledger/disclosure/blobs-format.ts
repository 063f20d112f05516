import type { CID } from "../../codec/cid.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectVersion,
} from "../../codec/shape.ts";

/** The content of a message of kind `blobs`: ciphertext of one entry, which another one released. */
export interface BlobsAsk {
  /** Id of the access entry that released the entry, or of the pulled entry itself; 32 bytes. */
  readonly basis: Uint8Array;
  /** Id of the entry whose envelope has the blocks; 32 bytes. */
  readonly entry: Uint8Array;
  /** Names of the blocks, once each. */
  readonly cids: readonly CID[];
}

/**
 * What became of one block that was asked for. `unknown`: the basis did not release it to who asks, or there is no
 * such block; nobody is told which. `ended`: the basis did, but does not any more.
 */
export type BlobState = "sent" | "erased" | "pruned" | "missing" | "ended" | "unknown";

const STATES: readonly BlobState[] = ["sent", "erased", "pruned", "missing", "ended", "unknown"];

/** One page of the reply. */
export interface BlobsPage {
  /** For each block that was asked for, in that order. */
  readonly states: readonly BlobState[];
  /** A CAR without roots, of the blocks that are sent, in the order in which they were asked for. */
  readonly car: Uint8Array;
}

/** Most blocks of one message: what fits into one page. */
export const BLOBS_TOGETHER = 4;

/** Writes the content of a message of kind `blobs`. */
export const encodeBlobs = ({ basis, entry, cids }: BlobsAsk): Uint8Array =>
  encode({ v: 1, basis, entry, cids });

/** @throws {EncodingError} when the bytes are no such content */
export function decodeBlobs(bytes: Uint8Array): BlobsAsk {
  const limits = { maxBytes: 1024, maxDepth: 2, maxItems: 32 };
  const map = expectMap(decode(bytes, limits), "blobs", ["v", "basis", "entry", "cids"]);
  expectVersion(map["v"], "blobs");
  return {
    basis: expectBytes(map["basis"], "blobs.basis", 32),
    entry: expectBytes(map["entry"], "blobs.entry", 32),
    cids: expectArray(map["cids"], "blobs.cids", BLOBS_TOGETHER).map((cid) =>
      expectCid(cid, "blobs.cids"),
    ),
  };
}

/** Writes the content of the reply's page. */
export const encodeBlobsPage = ({ states, car }: BlobsPage): Uint8Array =>
  encode({ v: 1, states, car });

/** @throws {EncodingError} when the bytes are no such page */
export function decodeBlobsPage(bytes: Uint8Array): BlobsPage {
  const limits = { maxBytes: bytes.length, maxDepth: 2, maxItems: 32, borrow: true };
  const map = expectMap(decode(bytes, limits), "blobs page", ["v", "states", "car"]);
  expectVersion(map["v"], "blobs page");
  return {
    states: expectArray(map["states"], "blobs page.states", BLOBS_TOGETHER).map((state) =>
      expectOneOf(state, "blobs page.states", STATES),
    ),
    car: expectBytes(map["car"], "blobs page.car"),
  };
}
