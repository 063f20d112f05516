import { greatest } from "../bytes/lists.ts";
import type { CID } from "multiformats/cid";
import { decodeGenesis, ledgerId } from "../block/genesis.ts";
import { decodeHeader, type Header } from "../block/header.ts";
import type { CosignaturePolicy, LedgerPolicy, Quorum } from "../block/policy.ts";
import { equalBytes } from "../bytes/compare.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { EncodingError } from "../errors.ts";
import { leafHash } from "../merkle/hash.ts";
import { verifyMap, type MapProof } from "../merkle/map-proof.ts";
import { verifyConsistency, verifyInclusion } from "../merkle/verify.ts";
import { openCheckpoint, type Checkpoint } from "./checkpoint-note.ts";
import { noteKey, NOTE_COSIGNATURE, NOTE_ED25519, type NoteKey } from "./note-key.ts";
import { decodePolicyState, POLICY_KEY } from "./state.ts";

/** What someone who keeps no ledger believes about one, to begin with from its genesis record. */
export interface Trust {
  readonly ledger: CID;
  readonly origin: string;
  /** Ed25519 public keys of the ledger's checkpoints. */
  readonly checkpointKeys: readonly Uint8Array[];
  readonly cosignaturePolicy: CosignaturePolicy;
  /** Size up to which the policy is known to hold. */
  readonly size: number;
  /** Height whose state the policy was proved by; steps never lead back behind it. Default 0. */
  readonly policyHeight?: number;
  /** Root at that size where a checkpoint was seen; later checkpoints must extend it. */
  readonly root?: Uint8Array;
}

/** Why a checkpoint or what rests on it is not believed. */
export type TrustReason =
  | "bad-checkpoint"
  | "other-origin"
  | "bad-checkpoint-signature"
  | "no-checkpoint-signature"
  | "validators-missing"
  | "witnesses-missing"
  | "malformed"
  | "other-ledger"
  | "header-not-included"
  | "policy-not-proved"
  | "older-policy"
  | "not-an-extension"
  | "older-than-trusted";

/** A checkpoint that a policy accepts. */
export interface JudgedCheckpoint {
  readonly checkpoint: Checkpoint;
  /** Names of the validators and witnesses whose cosignatures are on it. */
  readonly validators: readonly string[];
  readonly witnesses: readonly string[];
  /** When the last of the cosigners signed, in seconds since 1970; absent without any. */
  readonly cosignedAt?: number;
}

export type JudgeResult =
  ({ readonly ok: true } & JudgedCheckpoint) | { readonly ok: false; readonly reason: TrustReason };

/** One step from one policy to the next: a header under a checkpoint, and the policy in its state. */
export interface PolicyStep {
  readonly checkpoint: Uint8Array;
  readonly header: Uint8Array;
  readonly path: readonly Uint8Array[];
  readonly policy: Uint8Array;
  readonly proof: MapProof;
}

export type TrustResult =
  | { readonly ok: true; readonly trust: Trust }
  | { readonly ok: false; readonly reason: TrustReason };

/**
 * Trusts what a genesis record says, which must have come from somewhere trusted.
 *
 * @throws {EncodingError} or {ChainError} when it is not a genesis record
 */
export function trustFromGenesis(genesis: Uint8Array): Trust {
  const { origin, checkpointKeys, cosignaturePolicy } = decodeGenesis(genesis);
  return { ledger: ledgerId(genesis), origin, checkpointKeys, cosignaturePolicy, size: 0 };
}

/** Judges a signed checkpoint by the keys and the cosignature policy that are trusted. */
export function judgeCheckpoint(note: Uint8Array, trust: Trust): JudgeResult {
  const { origin, checkpointKeys, cosignaturePolicy } = trust;
  const cosigner = ({ keys }: Quorum) =>
    keys.map(({ name, pub }) => noteKey(name, NOTE_COSIGNATURE, pub));
  const validators = cosigner(cosignaturePolicy.validators);
  const witnesses = cosigner(cosignaturePolicy.witnesses);
  const opened = openCheckpoint(note, {
    origin,
    keys: checkpointKeys.map((pub) => noteKey(origin, NOTE_ED25519, pub)),
    // A key may be listed in both quorums; it is one known key all the same.
    cosigners: [
      ...validators,
      ...witnesses.filter((key) => !validators.some((other) => isSameKey(key, other))),
    ],
  });
  if (!opened.ok) {
    switch (opened.reason) {
      case "other-origin":
        return { ok: false, reason: "other-origin" };
      case "bad-signature":
        return { ok: false, reason: "bad-checkpoint-signature" };
      case "no-known-signature":
      case "no-log-signature":
        return { ok: false, reason: "no-checkpoint-signature" };
      default:
        return { ok: false, reason: "bad-checkpoint" };
    }
  }
  const signedBy = (keys: readonly NoteKey[]) =>
    keys.filter((key) => opened.cosignatures.some((signature) => isSameKey(signature.key, key)));
  const byValidators = signedBy(validators);
  if (byValidators.length < cosignaturePolicy.validators.required) {
    return { ok: false, reason: "validators-missing" };
  }
  const byWitnesses = signedBy(witnesses);
  if (byWitnesses.length < cosignaturePolicy.witnesses.required) {
    return { ok: false, reason: "witnesses-missing" };
  }
  const { size, root } = opened.checkpoint;
  if (trust.root !== undefined && size === trust.size && !equalBytes(root, trust.root)) {
    return { ok: false, reason: "not-an-extension" };
  }
  const times = opened.cosignatures.flatMap(({ time }) => (time === undefined ? [] : [time]));
  return {
    ok: true,
    checkpoint: opened.checkpoint,
    validators: byValidators.map(({ name }) => name),
    witnesses: byWitnesses.map(({ name }) => name),
    ...(times.length === 0 ? {} : { cosignedAt: greatest(times) }),
  };
}

function isSameKey(a: NoteKey, b: NoteKey): boolean {
  return a.name === b.name && equalBytes(a.publicKey, b.publicKey);
}

/** The trust that a policy gives from a size on. */
export function withPolicy(
  trust: Trust,
  policy: Pick<LedgerPolicy, "checkpointKeys" | "cosignaturePolicy">,
  size: number,
): Trust {
  const { checkpointKeys, cosignaturePolicy } = policy;
  return { ...trust, checkpointKeys, cosignaturePolicy, size };
}

/** Follows a change of policy: the checkpoint must satisfy the old policy and the new one. */
export function followPolicy(trust: Trust, step: PolicyStep): TrustResult {
  const judged = judgeCheckpoint(step.checkpoint, trust);
  if (!judged.ok) return judged;
  const header = includedHeader(step.header, step.path, judged.checkpoint, trust);
  if (!header.ok) return header;
  // Else keys that an older policy trusted, long stolen, could be brought back.
  const { height } = header.header;
  if (height < (trust.policyHeight ?? 0)) return { ok: false, reason: "older-policy" };
  if (!verifyMap(header.header.state, utf8ToBytes(POLICY_KEY), step.policy, step.proof).ok) {
    return { ok: false, reason: "policy-not-proved" };
  }
  try {
    const policy = decodePolicyState(step.policy);
    // A root that was seen stays that of its own size.
    const size = trust.root === undefined ? Math.max(trust.size, height) : trust.size;
    const next = { ...withPolicy(trust, policy, size), policyHeight: height };
    const again = judgeCheckpoint(step.checkpoint, next);
    return again.ok ? { ok: true, trust: next } : again;
  } catch (error) {
    if (error instanceof EncodingError) return { ok: false, reason: "malformed" };
    throw error;
  }
}

/**
 * Moves trust on to a newer checkpoint that provably extends the one seen before.
 *
 * @param proof - RFC 9162 consistency proof from the trusted size and root; empty when there is none
 */
export function followCheckpoint(
  trust: Trust,
  note: Uint8Array,
  proof: readonly Uint8Array[],
): TrustResult {
  const judged = judgeCheckpoint(note, trust);
  if (!judged.ok) return judged;
  const { size, root } = judged.checkpoint;
  if (size < trust.size) return { ok: false, reason: "older-than-trusted" };
  if (trust.root !== undefined && trust.size > 0) {
    const claim = { oldSize: trust.size, oldRoot: trust.root, newSize: size, newRoot: root, proof };
    if (!verifyConsistency(claim).ok) return { ok: false, reason: "not-an-extension" };
  }
  return { ok: true, trust: { ...trust, size, root } };
}

/** Reads a header and checks that it is under a checkpoint of the trusted ledger. */
export function includedHeader(
  bytes: Uint8Array,
  path: readonly Uint8Array[],
  checkpoint: Checkpoint,
  trust: Trust,
):
  | { readonly ok: true; readonly header: Header }
  | { readonly ok: false; readonly reason: TrustReason } {
  let header: Header;
  try {
    header = decodeHeader(bytes);
  } catch (error) {
    if (error instanceof EncodingError) return { ok: false, reason: "malformed" };
    throw error;
  }
  if (!header.ledger.equals(trust.ledger)) return { ok: false, reason: "other-ledger" };
  const included = verifyInclusion({
    index: header.height,
    size: checkpoint.size,
    leafHash: leafHash(bytes),
    proof: path,
    root: checkpoint.root,
  });
  return included.ok ? { ok: true, header } : { ok: false, reason: "header-not-included" };
}
