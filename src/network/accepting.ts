import type { AcceptedCheckpoint } from "../chain/checkpoints.ts";
import { connectHeads, type TreeHead } from "../chain/connection.ts";
import type { ForkEvidence } from "../chain/fork-evidence.ts";
import { decodePolicySteps } from "../chain/follow-steps.ts";
import {
  followPolicy,
  judgeCheckpoint,
  type PolicyStep,
  type Trust,
  type TrustReason,
} from "../chain/trust.ts";
import { ProofError } from "../errors.ts";
import { frontierFrom, frontierRoot } from "../merkle/frontier.ts";
import { peakIds, proveConsistency, type ReadNodes } from "../merkle/proof.ts";

/** A checkpoint that the trusted policy accepts, or one that trusted steps lead to. */
export type Judged =
  | {
      readonly ok: true;
      readonly checkpoint: AcceptedCheckpoint;
      /** The policy that accepts it. */
      readonly trust: Trust;
      /** The steps that lead to that policy; their checkpoints are not connected with it yet. */
      readonly steps: readonly PolicyStep[];
    }
  | { readonly ok: false; readonly reason: TrustReason };

/**
 * Judges a checkpoint by its signatures alone.
 *
 * @param steps - asked for if the trusted policy does not accept it
 * @throws whatever `steps` throws, and {@link EncodingError} when they are malformed
 */
export async function judgeBySteps(
  note: Uint8Array,
  trust: Trust,
  steps: () => Promise<Uint8Array>,
): Promise<Judged> {
  const { root: _seen, ...rootless } = trust;
  const judged = judgeCheckpoint(note, rootless);
  if (judged.ok) return accepted(note, judged.checkpoint, trust, []);
  if (judged.reason === "bad-checkpoint" || judged.reason === "other-origin") return judged;
  let followed: Trust = rootless;
  const taken: PolicyStep[] = [];
  const given = decodePolicySteps(await steps());
  if (!given.ledger.equals(trust.ledger)) return { ok: false, reason: "other-ledger" };
  for (const step of given.steps) {
    // Those that led to what is trusted already do not satisfy it any more.
    const result = followPolicy(followed, step);
    if (!result.ok) continue;
    followed = result.trust;
    taken.push(step);
    const again = judgeCheckpoint(note, followed);
    if (again.ok) return accepted(note, again.checkpoint, followed, taken);
  }
  return judged;
}

function accepted(
  note: Uint8Array,
  { size, root }: TreeHead,
  trust: Trust,
  steps: readonly PolicyStep[],
): Judged {
  return { ok: true, checkpoint: { note, size, root }, trust, steps };
}

/** Whether a checkpoint is of the history that was seen; if not, what proves that a key signed two. */
export type Connected =
  { readonly ok: true } | { readonly ok: false; readonly evidence: ForkEvidence | undefined };

/**
 * Compares two heads, the larger one's tree being readable.
 *
 * @param nodes - of the larger head's tree, each proved to be of it
 * @throws {ProofError} when they cannot be read
 */
export async function compareHeads(
  one: AcceptedCheckpoint | TreeHead,
  other: AcceptedCheckpoint | TreeHead,
  nodes: ReadNodes,
): Promise<Connected> {
  const [old, now] = one.size <= other.size ? [one, other] : [other, one];
  const isApart = old.size > 0 && old.size < now.size;
  const proof = isApart ? await proveConsistency(old.size, now.size, nodes) : [];
  if (connectHeads(old, now, proof) === "connected") return { ok: true };
  if (!("note" in old && "note" in now)) return { ok: false, evidence: undefined };
  const notes = { first: old.note, second: now.note };
  if (!isApart) return { ok: false, evidence: notes };
  const peaks = await nodes(peakIds(old.size));
  if (peaks.some((peak) => peak === undefined)) {
    throw new ProofError("ERR_PROOF_UNAVAILABLE", "a node of the tree is missing");
  }
  const root = frontierRoot(frontierFrom(old.size, peaks as Uint8Array[]));
  return { ok: false, evidence: { ...notes, continuation: { root, proof } } };
}
