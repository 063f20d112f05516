import { equalBytes } from "../bytes/compare.ts";
import { toHex } from "../bytes/hex.ts";
import { expectKeyName, expectPolicyChange, policyFields } from "../block/policy.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectCid,
  expectMap,
  expectUint,
  expectVersion,
} from "../codec/shape.ts";
import { DAG_CBOR } from "../codec/cid.ts";
import { EncodingError } from "../errors.ts";
import { EMPTY_ROOT, HASH_LENGTH } from "../merkle/hash.ts";
import { readCheckpoint } from "./checkpoint-note.ts";
import type { Trust } from "./trust.ts";

/** Trust as it is kept between two runs. */
export interface KeptTrust extends Trust {
  /**
   * The signed checkpoint that has the trusted root. With it, a later checkpoint of another history becomes
   * evidence for others.
   */
  readonly checkpoint?: Uint8Array;
}

const MAX_BYTES: number = 2 * 1024 * 1024;
const MAX_DISTRUSTED = 256;

/**
 * Writes trust as canonical bytes, for a reader that keeps nothing else. They hold no secret, but whoever can
 * change them decides what the reader believes.
 *
 * @param trust - a `checkpoint` of another size or root than the trusted ones is left out
 * @throws {EncodingError} `ERR_ENCODING_SHAPE` when the values contradict one another
 * @example
 * const bytes = encodeTrust(trustFromGenesis(genesis));
 * const trust = decodeTrust(bytes);
 */
export function encodeTrust(trust: KeptTrust): Uint8Array {
  const { ledger, origin, checkpointKeys, cosignaturePolicy, size, policyHeight, root } = trust;
  const { checkpoint, distrusted = [] } = trust;
  const isOfHead = checkpoint !== undefined && isOf(checkpoint, trust);
  const bytes = encode({
    ...{ v: 1, ledger, origin, size },
    ...policyFields({ checkpointKeys, cosignaturePolicy }),
    ...(policyHeight === undefined ? {} : { policyHeight }),
    ...(root === undefined ? {} : { root }),
    ...(isOfHead ? { checkpoint } : {}),
    ...(distrusted.length === 0 ? {} : { distrusted }),
  });
  decodeTrust(bytes);
  return bytes;
}

/**
 * Reads trust from its canonical bytes, which must come from where only the reader can write.
 *
 * @throws {EncodingError} when the bytes are not the canonical form of trust
 * @example
 * const trust = decodeTrust(await readFile("trust.cbor"));
 */
export function decodeTrust(bytes: Uint8Array): KeptTrust {
  const map = expectMap(
    decode(bytes, { maxBytes: MAX_BYTES, maxDepth: 6, maxItems: 10_000 }),
    "trust",
    ["v", "ledger", "origin", "checkpointKeys", "cosignaturePolicy", "size"],
    ["policyHeight", "root", "checkpoint", "distrusted"],
  );
  expectVersion(map["v"], "trust");
  const { checkpointKeys, cosignaturePolicy } = expectPolicyChange(map, "trust");
  const { policyHeight, root, checkpoint, distrusted } = map;
  const trust: KeptTrust = {
    ledger: expectCid(map["ledger"], "trust.ledger", DAG_CBOR),
    origin: expectKeyName(map["origin"], "trust.origin"),
    checkpointKeys: checkpointKeys!,
    cosignaturePolicy: cosignaturePolicy!,
    size: expectUint(map["size"], "trust.size"),
    ...(policyHeight === undefined
      ? {}
      : { policyHeight: expectUint(policyHeight, "trust.policyHeight") }),
    ...(root === undefined ? {} : { root: expectBytes(root, "trust.root", HASH_LENGTH) }),
    ...(checkpoint === undefined
      ? {}
      : { checkpoint: expectBytes(checkpoint, "trust.checkpoint") }),
    ...(distrusted === undefined ? {} : { distrusted: expectKeys(distrusted) }),
  };
  assertAgreeing(trust);
  return trust;
}

function assertAgreeing(trust: KeptTrust): void {
  const { size, policyHeight = 0, root, checkpoint } = trust;
  const refuse = (why: string): never => {
    throw new EncodingError("ERR_ENCODING_SHAPE", `trust ${why}`);
  };
  if (root !== undefined && policyHeight > 0 && policyHeight >= size) {
    refuse("has a policy from beyond its size");
  }
  if (size === 0 && root !== undefined && !equalBytes(root, EMPTY_ROOT)) {
    refuse("has a root of no block that is not the empty tree's");
  }
  if (checkpoint !== undefined && !isOf(checkpoint, trust)) {
    refuse("has a checkpoint of another head");
  }
}

function isOf(note: Uint8Array, { origin, size, root }: Trust): boolean {
  const head = readCheckpoint(note);
  return (
    head !== undefined &&
    root !== undefined &&
    head.origin === origin &&
    head.size === size &&
    equalBytes(head.root, root)
  );
}

function expectKeys(value: unknown): readonly Uint8Array[] {
  const keys = expectArray(value, "trust.distrusted", MAX_DISTRUSTED).map((key) =>
    expectBytes(key, "trust.distrusted", 32),
  );
  if (keys.length === 0 || new Set(keys.map(toHex)).size < keys.length) {
    throw new EncodingError("ERR_ENCODING_SHAPE", "trust.distrusted must be distinct, not empty");
  }
  return keys;
}
