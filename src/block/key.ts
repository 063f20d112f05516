import { parseActor } from "../identity/actor.ts";
import { expectBytes, expectMap, expectOneOf, expectString, type Fields } from "../codec/shape.ts";
import { isUsableKey } from "../crypto/usable-key.ts";
import { EncodingError } from "../errors.ts";

/** Uses of a key on the ledger. */
export type KeyUse = "sign" | "agree" | "checkpoint" | "recovery";
/** Signing algorithms first, then those of key agreement. */
export type KeyAlg = "Ed25519" | "ES256" | "X25519" | "P-256" | "X-Wing";

/** A public key as ledger structures carry it. */
export interface KeyDescription {
  readonly use: KeyUse;
  readonly alg: KeyAlg;
  readonly publicKey: Uint8Array;
  /** Signature by the key itself over {@link possessionInput}; absent for `agree` keys. */
  readonly proof?: Uint8Array;
}

export const KEY_USES: readonly KeyUse[] = ["sign", "agree", "checkpoint", "recovery"];

/** Length of a public key and the allowed uses, by algorithm. */
const ALGS: Readonly<
  Record<KeyAlg, { readonly length: number; readonly uses: readonly KeyUse[] }>
> = {
  Ed25519: { length: 32, uses: ["sign", "checkpoint", "recovery"] },
  ES256: { length: 33, uses: ["sign", "recovery"] },
  X25519: { length: 32, uses: ["agree"] },
  "P-256": { length: 33, uses: ["agree"] },
  "X-Wing": { length: 1216, uses: ["agree"] },
};

export const KEY_ALGS: readonly KeyAlg[] = Object.keys(ALGS) as KeyAlg[];

/** Reads a key from `use`, `alg` and `pub` of a decoded map, checking that they fit together. */
export function expectKeyFields(
  fields: Fields,
  what: string,
): { readonly use: KeyUse; readonly alg: KeyAlg; readonly publicKey: Uint8Array } {
  const use = expectOneOf(fields["use"], `${what}.use`, KEY_USES);
  const alg = expectOneOf(fields["alg"], `${what}.alg`, KEY_ALGS);
  if (!ALGS[alg].uses.includes(use)) {
    throw new EncodingError("ERR_ENCODING_SHAPE", `${what}: ${alg} keys cannot be used to ${use}`);
  }
  return { use, alg, publicKey: expectBytes(fields["pub"], `${what}.pub`, ALGS[alg].length) };
}

/** Like {@link expectKeyFields}, for a key that is new to the ledger, which must be usable. */
export function expectNewKey(
  fields: Fields,
  what: string,
): { readonly use: KeyUse; readonly alg: KeyAlg; readonly publicKey: Uint8Array } {
  const key = expectKeyFields(fields, what);
  assertUsable(key.alg, key.publicKey, what);
  return key;
}

/** The encoded fields of a structure with a public key, whose field is named `pub` in the bytes. */
export function withPub({ publicKey, ...rest }: { readonly publicKey: Uint8Array }): Fields {
  return { ...rest, pub: publicKey };
}

/** Reads an Ed25519 public key that checkpoints are signed with. */
export function expectCheckpointKey(value: unknown, what: string): Uint8Array {
  const publicKey = expectBytes(value, what, 32);
  assertUsable("Ed25519", publicKey, what);
  return publicKey;
}

function assertUsable(alg: KeyAlg, publicKey: Uint8Array, what: string): void {
  if (isUsableKey(alg, publicKey)) return;
  throw new EncodingError("ERR_ENCODING_SHAPE", `${what}.pub is not a usable ${alg} public key`);
}

/** Reads a key description of a genesis record or member change. */
export function expectKeyDescription(value: unknown, what: string): KeyDescription {
  const fields = expectMap(value, what, ["use", "alg", "pub"], ["proof"]);
  const key = expectNewKey(fields, what);
  return fields["proof"] === undefined
    ? key
    : { ...key, proof: expectBytes(fields["proof"], `${what}.proof`, 64) };
}

/** Reads an actor's did, which must be the did:key of a signing key. */
export function expectActor(value: unknown, what: string): string {
  const actor = expectString(value, what, 128);
  try {
    parseActor(actor);
  } catch (cause) {
    throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must be a did:key`, { cause });
  }
  return actor;
}
