import { equalBytes } from "../bytes/compare.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap, expectVersion } from "../codec/shape.ts";
import { HASH_LENGTH } from "../merkle/hash.ts";
import { verifyConsistency } from "../merkle/verify.ts";
import type { ConsistencyReason } from "../merkle/verify.ts";
import { parseCheckpoint } from "./checkpoint-note.ts";
import type { Checkpoint, CheckpointReason } from "./checkpoint-note.ts";
import { MAX_NOTE_BYTES, splitNote, verifyNote } from "./note.ts";
import type { NoteKey, NoteReason, SplitNote } from "./note.ts";

/**
 * Two checkpoints of one origin, signed by one key, that cannot both be true. Either they have one
 * size and two roots, or `continuation` shows that the second extends a tree that had another root
 * at the first's size.
 *
 * A proof that was not produced is never evidence, and neither is a block signed twice.
 */
export interface ForkEvidence {
  /** Signed note of the smaller size. */
  readonly first: Uint8Array;
  /** Signed note of the larger size, or of the same size. */
  readonly second: Uint8Array;
  /** Present if and only if the sizes differ. */
  readonly continuation?: {
    /** 32-byte root, at the first's size, of the tree that the second extends. */
    readonly root: Uint8Array;
    /** Consistency proof from that root to the second checkpoint. */
    readonly proof: readonly Uint8Array[];
  };
}

/** Why evidence was refused. */
export type ForkEvidenceReason =
  | NoteReason
  | CheckpointReason
  | ConsistencyReason
  | "other-origin"
  | "same-root"
  | "missing-continuation"
  | "unexpected-continuation";

/** Outcome of {@link verifyForkEvidence}. */
export type ForkEvidenceResult =
  | {
      readonly ok: true;
      readonly kind: "same-size" | "other-continuation";
      readonly first: Checkpoint;
      readonly second: Checkpoint;
    }
  | { readonly ok: false; readonly reason: ForkEvidenceReason };

/** A consistency proof has at most one more hash than a tree has levels. */
const MAX_PROOF = 65;

/**
 * Checks that a key signed two histories. Never throws, whatever the evidence contains.
 *
 * @param key - the accused key, a log's or a cosigner's; or all keys of one log, which answer for each
 *   other: then one may have signed the first checkpoint, and another the second
 * @example
 * const result = verifyForkEvidence({ first: note, second: otherNote }, key);
 * if (result.ok) console.warn(`${key.name} signed two histories`);
 */
export function verifyForkEvidence(
  evidence: ForkEvidence,
  key: NoteKey | readonly NoteKey[],
): ForkEvidenceResult {
  const claim = readForkClaim(evidence);
  return claim.ok ? verifyForkClaim(claim, key) : claim;
}

/** What evidence claims, while nobody knows who signed it. */
export interface ForkClaim {
  readonly ok: true;
  readonly kind: "same-size" | "other-continuation";
  readonly first: Checkpoint;
  readonly second: Checkpoint;
  readonly notes: readonly SplitNote[];
}

/**
 * Reads evidence and checks that its two checkpoints contradict each other: no signature is checked, which is what
 * costs time and is done for each key.
 */
export function readForkClaim(
  evidence: ForkEvidence,
): ForkClaim | { readonly ok: false; readonly reason: ForkEvidenceReason } {
  const first = readNote(evidence.first);
  if (!first.ok) return first;
  const second = readNote(evidence.second);
  if (!second.ok) return second;
  const a = first.checkpoint;
  const b = second.checkpoint;
  if (a.origin !== b.origin) return { ok: false, reason: "other-origin" };
  const { continuation } = evidence;
  const claim = { ok: true, first: a, second: b, notes: [first.note, second.note] } as const;

  if (a.size === b.size) {
    if (continuation !== undefined) return { ok: false, reason: "unexpected-continuation" };
    if (equalBytes(a.root, b.root)) return { ok: false, reason: "same-root" };
    return { ...claim, kind: "same-size" };
  }
  if (continuation === undefined) return { ok: false, reason: "missing-continuation" };
  const { root, proof } = continuation;
  const consistent = verifyConsistency({
    oldSize: a.size,
    oldRoot: root,
    newSize: b.size,
    newRoot: b.root,
    proof,
  });
  if (!consistent.ok) return consistent;
  if (equalBytes(root, a.root)) return { ok: false, reason: "same-root" };
  return { ...claim, kind: "other-continuation" };
}

/** Checks who signed both checkpoints of a claim. */
export function verifyForkClaim(
  { kind, first, second, notes }: ForkClaim,
  key: NoteKey | readonly NoteKey[],
): ForkEvidenceResult {
  const keys = "publicKey" in key ? [key] : key;
  for (const note of notes) {
    const verified = verifyNote(note, keys);
    if (!verified.ok) return verified;
  }
  return { ok: true, kind, first, second };
}

/**
 * Writes evidence as canonical DAG-CBOR.
 *
 * @returns `{v: 1, first, second, continuation?: {root, proof}}`, newly allocated
 * @example
 * const bytes = encodeForkEvidence({ first: note, second: otherNote });
 */
export function encodeForkEvidence(evidence: ForkEvidence): Uint8Array {
  const { first, second, continuation } = evidence;
  if (continuation === undefined) return encode({ v: 1, first, second });
  const { root, proof } = continuation;
  return encode({ v: 1, first, second, continuation: { root, proof: [...proof] } });
}

/**
 * Decodes evidence without verifying it.
 *
 * @throws {EncodingError} when the bytes are not the canonical form of evidence
 * @example
 * const result = verifyForkEvidence(decodeForkEvidence(received), key);
 */
export function decodeForkEvidence(bytes: Uint8Array): ForkEvidence {
  const value = decode(bytes, { maxBytes: 2 * MAX_NOTE_BYTES + 4096, maxDepth: 4, maxItems: 128 });
  const fields = expectMap(value, "evidence", ["v", "first", "second"], ["continuation"]);
  expectVersion(fields["v"], "evidence");
  const notes = {
    first: expectBytes(fields["first"], "evidence.first"),
    second: expectBytes(fields["second"], "evidence.second"),
  };
  if (!Object.hasOwn(fields, "continuation")) return notes;
  const given = expectMap(fields["continuation"], "evidence.continuation", ["root", "proof"]);
  const proof = expectArray(given["proof"], "evidence.continuation.proof", MAX_PROOF);
  return {
    ...notes,
    continuation: {
      root: expectBytes(given["root"], "evidence.continuation.root", HASH_LENGTH),
      proof: proof.map((hash) => expectBytes(hash, "evidence.continuation.proof", HASH_LENGTH)),
    },
  };
}

function readNote(
  note: Uint8Array,
):
  | { readonly ok: true; readonly note: SplitNote; readonly checkpoint: Checkpoint }
  | { readonly ok: false; readonly reason: NoteReason | CheckpointReason } {
  const split = splitNote(note);
  if (!split.ok) return split;
  const parsed = parseCheckpoint(split.note.text);
  return parsed.ok ? { ok: true, note: split.note, checkpoint: parsed.checkpoint } : parsed;
}
