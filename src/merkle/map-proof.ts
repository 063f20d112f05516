import { sha256 } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { expectArray, expectBytes, expectMap } from "../codec/shape.ts";
import { areHashes, HASH_LENGTH, isHash, nodeHash } from "./hash.ts";
import { EMPTY_MAP, MAP_DEPTH, mapLeaf, mapPath, turnsRight } from "./map-node.ts";

/** Proof of one key's value in a map, or of its absence. */
export interface MapProof {
  /**
   * 32-byte hashes of the sibling subtrees along the key's path, from its end up to the root's
   * child.
   */
  readonly siblings: readonly Uint8Array[];
  /**
   * In a proof of absence, the leaf of another key at the end of the path; without it the path
   * ends in an empty subtree. Never given in a proof of a value.
   */
  readonly leaf?: { readonly path: Uint8Array; readonly valueHash: Uint8Array };
}

/** Why a proof about a key was refused. */
export type MapReason =
  "malformed" | "proof-length" | "unexpected-leaf" | "same-key" | "other-subtree" | "root-mismatch";

/** Outcome of {@link verifyMap}. */
export type MapResult = { readonly ok: true } | { readonly ok: false; readonly reason: MapReason };

/**
 * Checks a proof of a key's value in a map, or of its absence. Never throws.
 *
 * @param root - 32-byte trusted root
 * @param value - the claimed value, or `null` to check that the key has no value
 * @example
 * const isThere = verifyMap(root, key, value, mapProof).ok;
 */
export function verifyMap(
  root: Uint8Array,
  key: Uint8Array,
  value: Uint8Array | null,
  proof: MapProof,
): MapResult {
  if (!isHash(root) || !isBytes(key) || (value !== null && !isBytes(value))) {
    return refused("malformed");
  }
  const { siblings, leaf } = proof;
  if (!Array.isArray(siblings)) return refused("malformed");
  if (siblings.length > MAP_DEPTH) return refused("proof-length");
  if (!areHashes(siblings)) return refused("malformed");
  const path = mapPath(key);

  let hash: Uint8Array;
  if (value !== null) {
    if (leaf !== undefined) return refused("unexpected-leaf");
    hash = sha256(mapLeaf(path, sha256(value)));
  } else if (leaf === undefined) {
    hash = EMPTY_MAP;
  } else {
    if (!isHash(leaf?.path) || !isHash(leaf.valueHash)) return refused("malformed");
    if (equalBytes(leaf.path, path)) return refused("same-key");
    for (let depth = 0; depth < siblings.length; depth++) {
      if (turnsRight(leaf.path, depth) !== turnsRight(path, depth)) return refused("other-subtree");
    }
    hash = sha256(mapLeaf(leaf.path, leaf.valueHash));
  }
  for (const [i, sibling] of siblings.entries()) {
    const right = turnsRight(path, siblings.length - 1 - i);
    hash = right ? nodeHash(sibling, hash) : nodeHash(hash, sibling);
  }
  return equalBytes(hash, root) ? { ok: true } : refused("root-mismatch");
}

/**
 * Writes a proof as a plain value, for structures that embed it.
 *
 * @returns `{siblings: [bytes(32)], leaf?: {path: bytes(32), valueHash: bytes(32)}}`; borrowed
 * @example
 * const value = encodeMapProof(mapProof); // to be embedded in a structure of DAG-CBOR
 */
export function encodeMapProof(proof: MapProof): Record<string, unknown> {
  const { siblings, leaf } = proof;
  return {
    siblings: [...siblings],
    ...(leaf === undefined ? {} : { leaf: { path: leaf.path, valueHash: leaf.valueHash } }),
  };
}

/**
 * Reads a proof from a decoded value.
 *
 * @throws {EncodingError} `ERR_ENCODING_SHAPE`
 * @example
 * const proof = decodeMapProof(encodeMapProof(mapProof)); // equal to mapProof
 */
export function decodeMapProof(value: unknown): MapProof {
  const fields = expectMap(value, "proof", ["siblings"], ["leaf"]);
  const siblings = expectArray(fields["siblings"], "proof.siblings", MAP_DEPTH).map((sibling) =>
    expectBytes(sibling, "proof.siblings", HASH_LENGTH),
  );
  if (!Object.hasOwn(fields, "leaf")) return { siblings };
  const leaf = expectMap(fields["leaf"], "proof.leaf", ["path", "valueHash"]);
  return {
    siblings,
    leaf: {
      path: expectBytes(leaf["path"], "proof.leaf.path", HASH_LENGTH),
      valueHash: expectBytes(leaf["valueHash"], "proof.leaf.valueHash", HASH_LENGTH),
    },
  };
}

function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array;
}

function refused(reason: MapReason): MapResult {
  return { ok: false, reason };
}
