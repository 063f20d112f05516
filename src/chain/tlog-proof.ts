import { fromBase64, toBase64 } from "../bytes/base64.ts";
import { concatBytes } from "../bytes/concat.ts";
import { assertBytes, assertUint } from "../bytes/guards.ts";
import { bytesToUtf8, utf8ToBytes } from "../bytes/utf8.ts";
import { HASH_LENGTH } from "../merkle/hash.ts";
import { verifyInclusion } from "../merkle/verify.ts";
import type { InclusionReason } from "../merkle/verify.ts";
import { openCheckpoint, parseDecimal, parseHashLine } from "./checkpoint-note.ts";
import type { CheckpointTrust, OpenedCheckpoint } from "./checkpoint-note.ts";
import { MAX_NOTE_BYTES } from "./note.ts";

/** An offline proof that a leaf is in a log. */
export interface TlogProof {
  /** Index of the leaf, from 0. */
  readonly index: number;
  /** 32-byte siblings from the leaf up. */
  readonly proof: readonly Uint8Array[];
  /** The signed checkpoint, byte for byte. */
  readonly checkpoint: Uint8Array;
  /** Opaque data beside the proof, which are not authenticated. */
  readonly extra?: Uint8Array;
}

/** Why a tlog-proof could not be read. */
export type TlogProofReason =
  | "too-large"
  | "malformed"
  | "bad-header"
  | "bad-extra"
  | "bad-index"
  | "bad-hash"
  | "proof-length";

/** Outcome of {@link parseTlogProof}. */
export type ParsedTlogProof =
  | { readonly ok: true; readonly proof: TlogProof }
  | { readonly ok: false; readonly reason: TlogProofReason };

/** A proof's checkpoint whose signatures suffice. */
export type OpenedOk = Extract<OpenedCheckpoint, { ok: true }>;
/** Why a proof's checkpoint was not accepted. */
export type OpenedReason = Extract<OpenedCheckpoint, { ok: false }>["reason"];

/** Outcome of {@link verifyTlogProof}. */
export type TlogProofResult =
  | (OpenedOk & { readonly index: number; readonly extra?: Uint8Array })
  | { readonly ok: false; readonly reason: TlogProofReason | OpenedReason | InclusionReason };

const HEADER = "c2sp.org/tlog-proof@v1";
const MAX_PROOF = 64;
const MAX_EXTRA_BYTES = 1_000_000;
// The longest lines before the checkpoint: header, extra, index, hashes.
const MAX_BYTES = MAX_NOTE_BYTES + 1024 + Math.ceil(MAX_EXTRA_BYTES / 3) * 4 + MAX_PROOF * 45;

/**
 * Writes a proof as `c2sp.org/tlog-proof@v1`.
 *
 * @throws {RangeError} when a hash is not 32 bytes, there are more than 64, or `extra` is over 1 MB
 * @see c2sp.org/tlog-proof
 * @example
 * const proof = await proveInclusion(index, chain.size, readNodes);
 * const bytes = encodeTlogProof({ index, proof, checkpoint });
 */
export function encodeTlogProof(proof: TlogProof): Uint8Array {
  const { index, extra, checkpoint } = proof;
  assertUint(index, "index");
  assertBytes(checkpoint, "checkpoint");
  const lines = [HEADER];
  if (extra !== undefined) {
    assertBytes(extra, "extra");
    assertUint(extra.length, "extra.length", MAX_EXTRA_BYTES);
    lines.push(`extra ${toBase64(extra)}`);
  }
  lines.push(`index ${index}`);
  assertUint(proof.proof.length, "proof.length", MAX_PROOF);
  for (const hash of proof.proof) {
    assertBytes(hash, "proof", HASH_LENGTH);
    lines.push(toBase64(hash));
  }
  return concatBytes(utf8ToBytes(`${lines.join("\n")}\n\n`), checkpoint);
}

/**
 * Parses a proof without verifying anything. Never throws.
 *
 * @see c2sp.org/tlog-proof
 * @example
 * const parsed = parseTlogProof(received);
 * if (parsed.ok) console.log(parsed.proof.index); // as claimed: nothing is verified yet
 */
export function parseTlogProof(bytes: Uint8Array): ParsedTlogProof {
  if (bytes.length > MAX_BYTES) return refused("too-large");
  // No line before the checkpoint is empty, so the first blank line separates the two.
  const blank = bytes.findIndex((byte, i) => byte === 0x0a && bytes[i + 1] === 0x0a);
  if (blank < 0) return refused("malformed");
  let lines: string[];
  try {
    lines = bytesToUtf8(bytes.subarray(0, blank)).split("\n");
  } catch {
    return refused("malformed");
  }
  if (lines.shift() !== HEADER) return refused("bad-header");
  let extra: Uint8Array | undefined;
  if (lines[0]?.startsWith("extra ") === true) {
    try {
      extra = fromBase64(lines.shift()!.slice("extra ".length));
    } catch {
      return refused("bad-extra");
    }
    if (extra.length > MAX_EXTRA_BYTES) return refused("too-large");
  }
  const indexLine = lines.shift();
  const index =
    indexLine?.startsWith("index ") === true
      ? parseDecimal(indexLine.slice("index ".length))
      : undefined;
  if (index === undefined) return refused("bad-index");
  if (lines.length > MAX_PROOF) return refused("proof-length");
  const proof: Uint8Array[] = [];
  for (const line of lines) {
    const hash = parseHashLine(line);
    if (hash === undefined) return refused("bad-hash");
    proof.push(hash);
  }
  const checkpoint = bytes.slice(blank + 2);
  return {
    ok: true,
    proof: { index, proof, checkpoint, ...(extra === undefined ? {} : { extra }) },
  };
}

/**
 * Checks that a leaf is in the log of a proof's checkpoint. Never throws, whatever the proof
 * contains; the caller's policy must determine whether the cosignatures suffice.
 *
 * @param leafHash - 32-byte hash of the leaf in question, from `leafHash()`
 * @example
 * const trusted = { origin: "history.example", keys: [key] };
 * const result = verifyTlogProof(received, leafHash(leaf), trusted);
 * if (!result.ok) throw new Error(`not in the log: ${result.reason}`);
 */
export function verifyTlogProof(
  bytes: Uint8Array,
  leafHash: Uint8Array,
  trust: CheckpointTrust,
): TlogProofResult {
  const parsed = parseTlogProof(bytes);
  if (!parsed.ok) return parsed;
  const { index, proof, extra } = parsed.proof;
  const opened = openCheckpoint(parsed.proof.checkpoint, trust);
  if (!opened.ok) return opened;
  const { size, root } = opened.checkpoint;
  const included = verifyInclusion({ index, size, leafHash, proof, root });
  if (!included.ok) return included;
  return { ...opened, index, ...(extra === undefined ? {} : { extra }) };
}

function refused(reason: TlogProofReason): ParsedTlogProof & { ok: false } {
  return { ok: false, reason };
}
