import { equalBytes } from "../bytes/compare.ts";
import type { Quorum } from "../block/policy.ts";
import { ChainError } from "../errors.ts";
import {
  noteKey,
  NOTE_COSIGNATURE,
  NOTE_ED25519,
  type NoteKey,
  type NoteKeyType,
} from "./note-key.ts";
import { parseNote } from "./note.ts";
import type { CheckpointPolicy } from "./policy-at.ts";

/** Keys whose signatures the policies require or count, each once. */
export function policyKeys(origin: string, policies: readonly CheckpointPolicy[]): NoteKey[] {
  const keys: NoteKey[] = [];
  const add = (key: NoteKey): void => {
    const known = keys.some(
      ({ name, type, publicKey }) =>
        name === key.name && type === key.type && equalBytes(publicKey, key.publicKey),
    );
    if (!known) keys.push(key);
  };
  for (const { checkpointKeys, cosignaturePolicy } of policies) {
    for (const pub of checkpointKeys) add(noteKey(origin, NOTE_ED25519, pub));
    for (const { keys: quorum } of [cosignaturePolicy.validators, cosignaturePolicy.witnesses]) {
      for (const { name, publicKey } of quorum) add(noteKey(name, NOTE_COSIGNATURE, publicKey));
    }
  }
  return keys;
}

/** Public keys of the validators that any of the policies lists. */
export const validatorsOf = (policies: readonly CheckpointPolicy[]): readonly Uint8Array[] =>
  policies.flatMap(({ cosignaturePolicy }) =>
    cosignaturePolicy.validators.keys.map(({ publicKey }) => publicKey),
  );

/**
 * The error for a checkpoint that the ledger's policy does not accept; states how many signatures
 * are missing.
 */
export function unacceptedError(
  note: Uint8Array | undefined,
  origin: string,
  policy: CheckpointPolicy,
): ChainError {
  const { checkpointKeys, cosignaturePolicy } = policy;
  const opened = note && parseNote(note, policyKeys(origin, [policy]));
  const verified = opened?.ok === true ? opened.verified : [];
  const signed = (type: NoteKeyType, name: string, pub: Uint8Array): boolean =>
    verified.some(
      ({ key }) => key.type === type && key.name === name && equalBytes(key.publicKey, pub),
    );
  const missing: string[] = [];
  if (!checkpointKeys.some((pub) => signed(NOTE_ED25519, origin, pub))) {
    missing.push(`a signature by one of its ${checkpointKeys.length} checkpoint keys`);
  }
  const count = ({ keys, required }: Quorum, who: string): void => {
    const got = keys.filter(({ name, publicKey }) =>
      signed(NOTE_COSIGNATURE, name, publicKey),
    ).length;
    if (got < required) missing.push(`${required - got} of ${required} ${who}`);
  };
  count(cosignaturePolicy.validators, "validators");
  count(cosignaturePolicy.witnesses, "witnesses");
  return new ChainError(
    "ERR_CHAIN_POLICY",
    `the ledger's policy does not accept this process's checkpoint; missing: ${missing.join(", ")}`,
  );
}
