import type { CID } from "multiformats/cid";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectUint,
  expectVersion,
} from "../codec/shape.ts";
import { SIGNATURE_ALGS, type SignatureAlg } from "../crypto/signing-input.ts";
import { decodeMapProof, encodeMapProof, type MapProof } from "../merkle/map-proof.ts";
import type { PolicyStep } from "./trust.ts";

/** Proof of the signing key's value in the state at one header. */
export interface KeyProof {
  /** The value of `sys/key/<key id>`. */
  readonly value: Uint8Array;
  readonly proof: MapProof;
}

/** A {@link KeyProof} against a later header. */
export interface LaterKeyProof extends KeyProof {
  readonly header: Uint8Array;
  readonly path: readonly Uint8Array[];
}

/** Offline proof that an entry is under a checkpoint, and of its author. */
export interface Receipt {
  readonly v: 1;
  readonly ledger: CID;
  readonly entry: Uint8Array;
  /** Index of the entry in its transaction, and the path to the transaction's root. */
  readonly entryIndex: number;
  readonly entryPath: readonly Uint8Array[];
  readonly tx: Uint8Array;
  readonly alg: SignatureAlg;
  readonly sig: Uint8Array;
  /** Index of the transaction in its block, and the path to the block's root. */
  readonly txIndex: number;
  readonly txPath: readonly Uint8Array[];
  readonly header: Uint8Array;
  /** Path from the header to the checkpoint's root. */
  readonly ledgerPath: readonly Uint8Array[];
  /** The signed checkpoint, a C2SP note. */
  readonly checkpoint: Uint8Array;
  /** The key's value in the header's own state. */
  readonly key: KeyProof;
  /** Steps from the trusted policy to the one that the checkpoint is verified by. */
  readonly policyPath: readonly PolicyStep[];
  /**
   * RFC 9162 consistency proof between the checkpoint and the largest one seen before it, which is
   * that of the reader's trust or of a step of the policy path; from the smaller size to the
   * larger. Absent if their sizes are equal or no checkpoint was seen.
   */
  readonly consistency?: readonly Uint8Array[];
  /** The key's value in a later state, to show that it was not revoked meanwhile. */
  readonly later?: LaterKeyProof;
}

const MAX_PATH = 64;
/** A consistency proof has at most one more hash than a tree has levels. */
const MAX_CONSISTENCY = 65;
export const MAX_POLICY_STEPS = 256;

/**
 * Writes a receipt as canonical bytes.
 *
 * @example
 * const bytes = encodeReceipt(decodeReceipt(receipt)); // equal to receipt
 */
export function encodeReceipt(receipt: Receipt): Uint8Array {
  const { key, later, policyPath } = receipt;
  return encode({
    ...receipt,
    key: { value: key.value, proof: encodeMapProof(key.proof) },
    policyPath: policyPath.map(policyStepFields),
    ...(later === undefined ? {} : { later: laterFields(later) }),
  });
}

/** The encoded fields of the later value of a key. */
export function laterFields(later: LaterKeyProof): Record<string, unknown> {
  return { ...later, proof: encodeMapProof(later.proof) };
}

/**
 * Decodes a receipt without verifying it.
 *
 * @throws {EncodingError} when the bytes are not the canonical form of a receipt
 * @example
 * const { entry, checkpoint } = decodeReceipt(receipt); // as claimed: nothing is verified yet
 */
export function decodeReceipt(bytes: Uint8Array): Receipt {
  const map = expectMap(
    decode(bytes, { maxBytes: 4 * 1024 * 1024, maxDepth: 8, maxItems: 100_000 }),
    "receipt",
    [
      ...["v", "ledger", "entry", "entryIndex", "entryPath", "tx", "alg", "sig", "txIndex"],
      ...["txPath", "header", "ledgerPath", "checkpoint", "key", "policyPath"],
    ],
    ["consistency", "later"],
  );
  const later = map["later"];
  return {
    v: expectVersion(map["v"], "receipt"),
    ledger: expectCid(map["ledger"], "receipt.ledger"),
    entry: expectBytes(map["entry"], "receipt.entry"),
    entryIndex: expectUint(map["entryIndex"], "receipt.entryIndex"),
    entryPath: expectPath(map["entryPath"], "receipt.entryPath"),
    tx: expectBytes(map["tx"], "receipt.tx"),
    alg: expectOneOf(map["alg"], "receipt.alg", SIGNATURE_ALGS),
    sig: expectBytes(map["sig"], "receipt.sig", 64),
    txIndex: expectUint(map["txIndex"], "receipt.txIndex"),
    txPath: expectPath(map["txPath"], "receipt.txPath"),
    header: expectBytes(map["header"], "receipt.header"),
    ledgerPath: expectPath(map["ledgerPath"], "receipt.ledgerPath"),
    checkpoint: expectBytes(map["checkpoint"], "receipt.checkpoint"),
    key: expectKeyProof(expectMap(map["key"], "receipt.key", ["value", "proof"])),
    policyPath: expectArray(map["policyPath"], "receipt.policyPath", MAX_POLICY_STEPS).map(
      expectPolicyStep,
    ),
    ...expectConsistency(map, "receipt"),
    ...(later === undefined ? {} : { later: expectLater(later) }),
  };
}

/** The encoded fields of a step of policy. */
export function policyStepFields(step: PolicyStep): Record<string, unknown> {
  return { ...step, proof: encodeMapProof(step.proof) };
}

/** Reads a step of policy. */
export function expectPolicyStep(value: unknown): PolicyStep {
  const fields = ["checkpoint", "header", "path", "policy", "proof"];
  const step = expectMap(value, "receipt.policyPath", fields, ["consistency"]);
  return {
    checkpoint: expectBytes(step["checkpoint"], "policyPath.checkpoint"),
    header: expectBytes(step["header"], "policyPath.header"),
    path: expectPath(step["path"], "policyPath.path"),
    policy: expectBytes(step["policy"], "policyPath.policy"),
    proof: decodeMapProof(step["proof"]),
    ...expectConsistency(step, "policyPath"),
  };
}

/** Reads a consistency proof that may be absent. */
export function expectConsistency(
  map: Readonly<Record<string, unknown>>,
  of: string,
): { readonly consistency?: readonly Uint8Array[] } {
  const proof = map["consistency"];
  return proof === undefined
    ? {}
    : { consistency: expectPath(proof, `${of}.consistency`, MAX_CONSISTENCY) };
}

/** Reads the later value of a key. */
export function expectLater(value: unknown): LaterKeyProof {
  const map = expectMap(value, "receipt.later", ["value", "proof", "header", "path"]);
  return {
    ...expectKeyProof(map),
    header: expectBytes(map["header"], "later.header"),
    path: expectPath(map["path"], "later.path"),
  };
}

function expectKeyProof(map: Readonly<Record<string, unknown>>): KeyProof {
  return { value: expectBytes(map["value"], "key.value"), proof: decodeMapProof(map["proof"]) };
}

function expectPath(value: unknown, what: string, most = MAX_PATH): readonly Uint8Array[] {
  return expectArray(value, what, most).map((hash) => expectBytes(hash, what, 32));
}
