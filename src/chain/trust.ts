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
import { verifyInclusion } from "../merkle/verify.ts";
import { openCheckpoint, type Checkpoint } from "./checkpoint-note.ts";
import { connectHeads, largerHead, type TreeHead } from "./connection.ts";
import { noteKey, NOTE_COSIGNATURE, NOTE_ED25519, type NoteKey } from "./note-key.ts";
import { decodePolicyState, POLICY_KEY } from "./state.ts";

/**
 * The trust of a party without a copy of a ledger; it starts from the ledger's genesis record.
 *
 * Without `root`, no checkpoint was seen yet: any checkpoint that the policy accepts is trusted,
 * and two histories cannot be told apart. With `root`, everything must be proved to be of that
 * root's history. {@link followCheckpoint} gives trust a root and advances it.
 */
export interface Trust {
  readonly ledger: CID;
  readonly origin: string;
  /** Ed25519 public keys of the ledger's checkpoints. */
  readonly checkpointKeys: readonly Uint8Array[];
  readonly cosignaturePolicy: CosignaturePolicy;
  /**
   * Size of the checkpoint that was seen; without `root`, the size up to which the policy is known
   * to apply.
   */
  readonly size: number;
  /** Height whose state proved the policy; steps never lead back before it. Default 0. */
  readonly policyHeight?: number;
  /** RFC 6962 root of the first `size` blocks, 32 bytes; present if a checkpoint was seen. */
  readonly root?: Uint8Array;
  /**
   * Public keys of cosigners that are proved to have signed two histories: their cosignatures do not
   * count, whatever the policy says. Default: none.
   */
  readonly distrusted?: readonly Uint8Array[];
}

/** Why a checkpoint, or a statement that depends on it, is not trusted. */
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
  | "not-connected"
  | "older-than-trusted";

/** A checkpoint that a policy accepts. */
export interface JudgedCheckpoint {
  readonly checkpoint: Checkpoint;
  /** Names of the validators and witnesses whose cosignatures are on it. */
  readonly validators: readonly string[];
  readonly witnesses: readonly string[];
  /**
   * Time, in ms since 1970, at or after which as many have cosigned as the policy demands, by their clocks: fewer
   * than that cannot make it later. Where it demands none, the time of the last cosignature; absent without any.
   */
  readonly cosignedAt?: number;
  /**
   * Size of the trusted root with whose history the checkpoint was proved consistent; absent if
   * trust has no root.
   */
  readonly connectedTo?: number;
}

export type JudgeResult =
  ({ readonly ok: true } & JudgedCheckpoint) | { readonly ok: false; readonly reason: TrustReason };

/** A step from one policy to the next: a header under a checkpoint, and the policy in its state. */
export interface PolicyStep {
  readonly checkpoint: Uint8Array;
  readonly header: Uint8Array;
  readonly path: readonly Uint8Array[];
  readonly policy: Uint8Array;
  readonly proof: MapProof;
  /**
   * RFC 9162 consistency proof between the step's checkpoint and the largest one seen before it,
   * which is that of the trust or of an earlier step. Absent if their sizes are equal or no
   * checkpoint was seen.
   */
  readonly consistency?: readonly Uint8Array[];
}

export type TrustResult =
  | { readonly ok: true; readonly trust: Trust }
  | { readonly ok: false; readonly reason: TrustReason };

/**
 * Makes trust from a genesis record, which must come from a trusted source.
 *
 * @throws {EncodingError} or {ChainError} when the bytes are not a genesis record
 * @example
 * const result = verifyReceipt(receipt, trustFromGenesis(genesis));
 */
export function trustFromGenesis(genesis: Uint8Array): Trust {
  const { origin, checkpointKeys, cosignaturePolicy } = decodeGenesis(genesis);
  return { ledger: ledgerId(genesis), origin, checkpointKeys, cosignaturePolicy, size: 0 };
}

/**
 * Verifies a signed checkpoint by the trusted keys, the trusted cosignature policy and the root
 * that was seen.
 *
 * @param consistency - RFC 9162 consistency proof between the checkpoint and the trusted root, from
 *   the smaller of the two sizes to the larger; without it, a checkpoint of another size than the
 *   trusted root's is `not-connected`. Ignored if trust has no root
 * @example
 * const judged = judgeCheckpoint(note, trust);
 * if (!judged.ok) console.warn(`not accepted: ${judged.reason}`);
 */
export function judgeCheckpoint(
  note: Uint8Array,
  trust: Trust,
  consistency?: readonly Uint8Array[],
): JudgeResult {
  const judged = judgeSignatures(note, trust);
  if (!judged.ok) return judged;
  const seen = seenHead(trust);
  if (seen === undefined) return judged;
  const held = connectHeads(seen, judged.checkpoint, consistency);
  switch (held) {
    case "connected":
      return { ...judged, connectedTo: seen.size };
    case "contradiction":
      return { ok: false, reason: "not-an-extension" };
    case "not-connected":
      return { ok: false, reason: "not-connected" };
  }
}

/** The head of the checkpoint that was seen, if one was. */
export function seenHead({ size, root }: Trust): TreeHead | undefined {
  return root === undefined ? undefined : { size, root };
}

/**
 * Verifies only signatures: the caller must check separately which history the checkpoint is of.
 */
function judgeSignatures(note: Uint8Array, trust: Trust): JudgeResult {
  const { origin, checkpointKeys, cosignaturePolicy, distrusted = [] } = trust;
  const isTrusted = ({ publicKey }: { readonly publicKey: Uint8Array }) =>
    !distrusted.some((key) => equalBytes(key, publicKey));
  const cosigner = ({ keys }: Quorum) =>
    keys.filter(isTrusted).map(({ name, publicKey }) => noteKey(name, NOTE_COSIGNATURE, publicKey));
  const validators = cosigner(cosignaturePolicy.validators);
  const witnesses = cosigner(cosignaturePolicy.witnesses);
  const opened = openCheckpoint(note, {
    origin,
    keys: checkpointKeys.map((pub) => noteKey(origin, NOTE_ED25519, pub)),
    // A trust made by hand may list a key in both quorums; it is still one known key.
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
  const timesBy = (keys: readonly NoteKey[]): readonly number[] =>
    opened.cosignatures
      .filter(({ key }) => keys.some((one) => isSameKey(one, key)))
      .flatMap(({ time }) => (time === undefined ? [] : [time]))
      .sort((a, b) => b - a);
  const demanded = [
    timesBy(validators)[cosignaturePolicy.validators.required - 1],
    timesBy(witnesses)[cosignaturePolicy.witnesses.required - 1],
  ].filter((time) => time !== undefined);
  const times = demanded.length > 0 ? demanded : timesBy([...validators, ...witnesses]);
  return {
    ok: true,
    checkpoint: opened.checkpoint,
    validators: byValidators.map(({ name }) => name),
    witnesses: byWitnesses.map(({ name }) => name),
    ...(times.length === 0 ? {} : { cosignedAt: greatest(times) * 1000 }),
  };
}

function isSameKey(a: NoteKey, b: NoteKey): boolean {
  return a.name === b.name && equalBytes(a.publicKey, b.publicKey);
}

/** Makes trust from a policy that applies from a size on. */
export function withPolicy(
  trust: Trust,
  policy: Pick<LedgerPolicy, "checkpointKeys" | "cosignaturePolicy">,
  size: number,
): Trust {
  const { checkpointKeys, cosignaturePolicy } = policy;
  return { ...trust, checkpointKeys, cosignaturePolicy, size };
}

/**
 * Follows a change of policy: the checkpoint must satisfy both the old policy and the new one, and
 * must be of the history of the root that was seen.
 *
 * Trust with a root advances to the step's checkpoint if that is larger. Trust without a root stays
 * without one: two successive steps are then not checked for consistency with each other, unlike
 * those of a receipt.
 *
 * @example
 * let known = trustFromGenesis(genesis);
 * for (const step of steps) {
 *   const followed = followPolicy(known, step);
 *   if (!followed.ok) throw new Error(`the policy's path breaks: ${followed.reason}`);
 *   known = followed.trust;
 * }
 */
export function followPolicy(trust: Trust, step: PolicyStep): TrustResult {
  const followed = followStep(trust, step);
  if (!followed.ok || trust.root !== undefined) return followed;
  const { root: _seen, ...rootless } = followed.trust;
  const size = Math.max(trust.size, followed.trust.policyHeight ?? 0);
  return { ok: true, trust: { ...rootless, size } };
}

/**
 * Like {@link followPolicy}, but the step's checkpoint counts as seen: later checkpoints must
 * connect to it.
 */
export function followStep(trust: Trust, step: PolicyStep): TrustResult {
  const judged = judgeCheckpoint(step.checkpoint, trust, step.consistency);
  if (!judged.ok) return judged;
  const header = includedHeader(step.header, step.path, judged.checkpoint, trust);
  if (!header.ok) return header;
  // Otherwise stolen keys of an older policy could become trusted again.
  const { height } = header.header;
  if (height < (trust.policyHeight ?? 0)) return { ok: false, reason: "older-policy" };
  if (!verifyMap(header.header.state, utf8ToBytes(POLICY_KEY), step.policy, step.proof).ok) {
    return { ok: false, reason: "policy-not-proved" };
  }
  try {
    const policy = decodePolicyState(step.policy);
    const { size, root } = largerHead(seenHead(trust), judged.checkpoint);
    const next = { ...withPolicy(trust, policy, size), root, policyHeight: height };
    const again = judgeSignatures(step.checkpoint, next);
    return again.ok ? { ok: true, trust: next } : again;
  } catch (error) {
    if (error instanceof EncodingError) return { ok: false, reason: "malformed" };
    throw error;
  }
}

/**
 * Advances trust to a newer checkpoint that provably extends the one seen before.
 *
 * @param proof - RFC 9162 consistency proof from the trusted size and root; empty if trust has no
 *   root
 * @example
 * const followed = followCheckpoint(trust, note, consistency);
 * if (!followed.ok) throw new Error(`not of the history that was seen: ${followed.reason}`);
 * const result = verifyReceipt(receipt, followed.trust);
 */
export function followCheckpoint(
  trust: Trust,
  note: Uint8Array,
  proof: readonly Uint8Array[],
): TrustResult {
  const judged = judgeSignatures(note, trust);
  if (!judged.ok) return judged;
  const { size, root } = judged.checkpoint;
  if (size < trust.size) return { ok: false, reason: "older-than-trusted" };
  const seen = seenHead(trust);
  if (seen !== undefined && connectHeads(seen, { size, root }, proof) !== "connected") {
    return { ok: false, reason: "not-an-extension" };
  }
  return { ok: true, trust: { ...trust, size, root } };
}

/** Decodes a header and checks that it is under a checkpoint of the trusted ledger. */
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
