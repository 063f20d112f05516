import type { AppendableChain, Chain } from "../chain/chain.ts";
import type { SigningKey } from "../envelope/header.ts";
import type { Padding } from "../envelope/padding.ts";
import type { SuiteName } from "../envelope/suite.ts";
import { EnvelopeError } from "../errors.ts";
import type { KeyStore } from "../identity/key-store.ts";
import type { LedgerMemory } from "../identity/signed-heads.ts";
import type { Signer } from "../identity/signer.ts";
import type { LedgerStorage } from "./storage.ts";
import { isInForce, keyStateKey, type KeyState } from "../chain/state.ts";
import type { Vault } from "./vault/vault.ts";
import type { WorkerThreads } from "./workers.ts";

/** The dependencies that all parts of an opened ledger share. */
export interface LedgerContext {
  readonly chain: AppendableChain;
  readonly storage: LedgerStorage;
  readonly vault: Vault;
  readonly keys: KeyStore;
  readonly signer: Signer;
  /** Remembers, apart from the storage, what this member's keys have signed and its index's counter. */
  readonly memory: LedgerMemory;
  /** Clock, in ms since 1970. */
  readonly now: () => number;
  readonly random: (length: number) => Uint8Array;
  /** Suite that new envelopes are sealed with. */
  readonly suite: SuiteName;
  /** How the lengths of new envelopes' parts are hidden. */
  readonly padding: Padding;
  /** did:keys of those who may open what is filed about accesses and erasures, in ascending order. */
  readonly auditors: readonly string[];
  /** Other threads that describe, label and seal. */
  readonly workers?: WorkerThreads | undefined;
}

/**
 * The signing key that an actor used at a height, by its id.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when the actor had no such key in force
 */
export async function signingKeyAt(
  chain: Chain,
  actor: string,
  key: Uint8Array,
  height: number,
): Promise<SigningKey> {
  await chain.state.load([keyStateKey(key)]);
  const state = chain.state.key(key);
  if (
    state === undefined ||
    state.actor !== actor ||
    state.use !== "sign" ||
    !isInForce(state, height) ||
    (state.alg !== "Ed25519" && state.alg !== "ES256")
  ) {
    throw new EnvelopeError("ERR_ENVELOPE_INVALID", "signed by a key that was not in force");
  }
  return { alg: state.alg, publicKey: state.publicKey };
}

/** A signing key that an actor has or had on the ledger. */
export async function ownSigningKey(
  { state }: Pick<Chain, "state">,
  actor: string,
  key: Uint8Array,
): Promise<KeyState | undefined> {
  await state.load([keyStateKey(key)]);
  const known = state.key(key);
  return known?.actor === actor && known.use === "sign" ? known : undefined;
}
