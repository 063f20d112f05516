import type { CID } from "multiformats/cid";
import { cidOf, DAG_CBOR } from "../codec/cid.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectBytes, expectCid, expectMap, expectUint, expectVersion } from "../codec/shape.ts";
import { expectActor } from "./key.ts";
import { MAX_BLOCK_TRANSACTIONS, MAX_HEADER_BYTES, MAX_TIME } from "./limits.ts";

/** The head of a block; its bytes are a leaf of the ledger's tree. */
export interface Header {
  readonly v: 1;
  readonly ledger: CID;
  /** 0 for the first block. */
  readonly height: number;
  /** CID of the previous header; a convenience that must be right, but that no proof depends on. */
  readonly prev: CID | null;
  /** RFC 6962 root of the signed transactions. */
  readonly transactions: Uint8Array;
  readonly count: number;
  /** Root of the authenticated state before this block. */
  readonly state: Uint8Array;
  /** Proposer's clock, in ms since 1970; must not be before the previous header's time. */
  readonly time: number;
  /** did:key of the proposer. */
  readonly proposer: string;
  /** Id of the proposer's key. */
  readonly key: Uint8Array;
}

/** Writes a header as canonical bytes. */
export function encodeHeader(header: Header): Uint8Array {
  return encode(header);
}

/**
 * Reads a header.
 *
 * @throws {EncodingError} when the bytes are not the canonical form of a header
 */
export function decodeHeader(bytes: Uint8Array): Header {
  const map = expectMap(
    decode(bytes, { maxBytes: MAX_HEADER_BYTES, maxDepth: 2, maxItems: 32 }),
    "header",
    ["v", "ledger", "height", "prev", "transactions", "count", "state", "time", "proposer", "key"],
  );
  return {
    v: expectVersion(map["v"], "header"),
    ledger: expectCid(map["ledger"], "header.ledger"),
    height: expectUint(map["height"], "header.height"),
    prev: map["prev"] === null ? null : expectCid(map["prev"], "header.prev"),
    transactions: expectBytes(map["transactions"], "header.transactions", 32),
    count: expectUint(map["count"], "header.count", MAX_BLOCK_TRANSACTIONS),
    state: expectBytes(map["state"], "header.state", 32),
    time: expectUint(map["time"], "header.time", MAX_TIME),
    proposer: expectActor(map["proposer"], "header.proposer"),
    key: expectBytes(map["key"], "header.key", 32),
  };
}

/**
 * The CID that the next header gives as `prev`.
 *
 * @example
 * const prev = headerCid(decodeBlock(blockBytes).header);
 */
export function headerCid(header: Uint8Array): CID {
  return cidOf(header, DAG_CBOR);
}
