import { noteKey, NOTE_COSIGNATURE, NOTE_ED25519, type NoteKey } from "./note-key.ts";
import { readForkClaim, verifyForkClaim, type ForkEvidence } from "./fork-evidence.ts";
import type { CheckpointPolicy } from "./policy-at.ts";

/** Whom fork evidence convicts among the keys of a policy. */
export interface Convicted {
  /** Whether the log's keys signed both checkpoints. */
  readonly log: boolean;
  /** The cosigners that signed both. */
  readonly cosigners: readonly NoteKey[];
}

/**
 * Judges fork evidence by the policy in force. A key that has left the policy convicts nobody any more:
 * otherwise whoever steals an old key could stop every copy.
 *
 * Never throws, whatever the evidence contains.
 *
 * @param origin - of the ledger; evidence about another log convicts nobody here
 * @param policy - in force, for example a `Trust` that was followed to the newest checkpoint
 * @example
 * const { log, cosigners } = judgeFork(decodeForkEvidence(received), trust.origin, trust);
 * if (log) console.warn("the ledger's log signed two histories");
 */
export function judgeFork(
  evidence: ForkEvidence,
  origin: string,
  { checkpointKeys, cosignaturePolicy }: CheckpointPolicy,
): Convicted {
  const claim = readForkClaim(evidence);
  if (!claim.ok || claim.first.origin !== origin) return { log: false, cosigners: [] };
  const isProved = (key: NoteKey | readonly NoteKey[]): boolean => verifyForkClaim(claim, key).ok;
  const { validators, witnesses } = cosignaturePolicy;
  const cosigners = [...validators.keys, ...witnesses.keys]
    .map(({ name, publicKey }) => noteKey(name, NOTE_COSIGNATURE, publicKey))
    .filter(isProved);
  return {
    log: isProved(checkpointKeys.map((key) => noteKey(origin, NOTE_ED25519, key))),
    cosigners,
  };
}
