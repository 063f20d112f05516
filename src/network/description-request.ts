import { assertBytes } from "../bytes/guards.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import type { CID } from "../codec/cid.ts";
import { expectBytes, expectCid, expectMap, expectVersion } from "../codec/shape.ts";

/** Longest request for a description. */
export const MAX_DESCRIBE_BYTES = 128;
/** Longest description. */
export const MAX_DESCRIPTION_BYTES = 65_536;

/** Writes what an organisation is to describe itself for: a founder's nonce, or a ledger's id. */
export function encodeDescribe(context: CID | Uint8Array): Uint8Array {
  if (context instanceof Uint8Array) assertBytes(context, "for", 32);
  return encode({ v: 1, for: context });
}

/** @throws {EncodingError} when the bytes are not its canonical form */
export function decodeDescribe(bytes: Uint8Array): CID | Uint8Array {
  const limits = { maxBytes: MAX_DESCRIBE_BYTES, maxDepth: 1, maxItems: 8 };
  const map = expectMap(decode(bytes, limits), "describe", ["v", "for"]);
  expectVersion(map["v"], "describe");
  const context = map["for"];
  return context instanceof Uint8Array
    ? expectBytes(context, "describe.for", 32)
    : expectCid(context, "describe.for");
}
