import { encodeEntry, possessionInput, type KeyEntry } from "../block/entry.ts";
import type { TransactionWithEntries } from "../block/transaction.ts";
import { equalBytes } from "../bytes/compare.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { InputError } from "../errors.ts";
import type { KeyInfo, KeyStore, SigningUse } from "../identity/key-store.ts";
import { provePossession, type Signer } from "../identity/signer.ts";
import type { Chain } from "./chain.ts";
import { encodeSignedChange, signChange } from "./signed-change.ts";
import { isInForce, keyStateKey } from "./state.ts";

/** A change of a member's own keys. */
export interface KeyChange {
  /**
   * `add` announces a key, `retire` ends one, and `recover` ends all keys of the new key's use and puts
   * it in their place, signed by the member's recovery key.
   */
  readonly op: "add" | "retire" | "recover";
  /** Id of the key, which the key store holds unless the key is retired. */
  readonly key: Uint8Array;
  /**
   * For `recover`: first height from which what the former keys signed is not believed any more.
   * Default: all that they signed stays valid.
   */
  readonly compromisedSince?: number;
}

/** Options of {@link signKeyChange}. */
export interface SignKeyChangeOptions {
  readonly keys: KeyStore;
  /** did:key of the member. Default: the key store's own actor. */
  readonly member?: string;
  /** Clock, in ms since 1970. */
  readonly now: () => number;
  /** Cryptographically strong random bytes. */
  readonly random: (length: number) => Uint8Array;
}

const OPTIONS: OptionsOf<SignKeyChangeOptions> = {
  ...{ keys: true, member: true, now: true, random: true },
};

/**
 * Signs a change of a member's own keys, for any member that writes to submit by
 * `hl.governance.submit`. It needs no store of the member's own: a member that lost everything but its
 * recovery key opens a chain over another member's export, and recovers by this.
 *
 * @returns bytes that the rules admit for as long as a transaction may wait (`maxTxAge`)
 * @throws {InputError} `ERR_INPUT_INVALID` when the change is not of its form, or the key store does not
 *   hold the key
 * @throws {SignatureError} `ERR_SIGNATURE_KEYSTORE` when it holds no key to sign with
 * @example
 * const { key } = await keys.generate({ use: "sign", actor: member });
 * const change = { op: "recover", key } as const;
 * const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
 * const bytes = await signKeyChange(chain, change, { keys, now: () => Date.now(), random });
 */
export async function signKeyChange(
  chain: Chain,
  change: KeyChange,
  options: SignKeyChangeOptions,
): Promise<Uint8Array> {
  assertOptions(options, OPTIONS, "signKeyChange");
  const { keys, now, random } = options;
  const { actor } = options.member === undefined ? keys.signer() : { actor: options.member };
  return encodeSignedChange(await signedKeyChange(chain, change, { keys, actor, now, random }));
}

/** A key of a store, if it is the actor's or nobody's in particular. */
export function heldKey(keys: KeyStore, actor: string, key: Uint8Array): KeyInfo | undefined {
  const info = keys.list().find((one) => equalBytes(one.key, key));
  return info?.actor === undefined || info.actor === actor ? info : undefined;
}

/** Signs a change of an actor's keys as a transaction. */
export async function signedKeyChange(
  chain: Chain,
  change: KeyChange,
  own: {
    readonly keys: KeyStore;
    readonly actor: string;
    readonly now: () => number;
    readonly random: (length: number) => Uint8Array;
  },
): Promise<TransactionWithEntries> {
  const { op, key, compromisedSince } = change;
  const { keys, actor, random } = own;
  if (op !== "add" && op !== "retire" && op !== "recover") {
    throw new InputError("ERR_INPUT_INVALID", "`op` must be add, retire or recover");
  }
  if (compromisedSince !== undefined && op !== "recover") {
    throw new InputError("ERR_INPUT_INVALID", "`compromisedSince` is for `recover` only");
  }
  await chain.refresh();
  await chain.state.load([keyStateKey(key)]);
  const held = heldKey(keys, actor, key);
  const known = op === "retire" ? (chain.state.key(key) ?? held) : held;
  if (known === undefined) {
    throw new InputError("ERR_INPUT_INVALID", "the key store does not hold this key");
  }
  const { use, alg, publicKey } = known;
  const input = possessionInput(chain.ledger, actor, { use, alg, publicKey });
  const isProved = op !== "retire" && use !== "agree";
  const entry: KeyEntry = {
    ...{ v: 1, salt: random(16), kind: "key", actor, op, use, alg, publicKey },
    ...(isProved ? { proof: await provePossession(keys.signer(key), input) } : {}),
    ...(compromisedSince === undefined ? {} : { compromisedSince }),
  };
  const by = await signerFor(chain, keys, actor, op === "recover" ? "recovery" : "sign");
  return signChange(chain, by, [encodeEntry(entry)], own);
}

/**
 * The signer of an actor's newest key of a use that is in force on the ledger; the newest of all if none
 * is, so that the rules say what is wrong with it.
 */
export async function signerFor(
  chain: Chain,
  keys: KeyStore,
  actor: string,
  use: SigningUse,
): Promise<Signer> {
  const newest = keys.signer(use, actor);
  const held = keys.list().filter((one) => one.use === use && !one.retired && one.actor === actor);
  const { state } = chain;
  await state.load([newest, ...held].map(({ key }) => keyStateKey(key)));
  const isUsable = (key: Uint8Array): boolean => {
    const known = state.key(key);
    return known?.actor === actor && known.use === use && isInForce(known, chain.size);
  };
  if (isUsable(newest.key)) return newest;
  const usable = held.findLast(({ key }) => isUsable(key));
  return usable === undefined ? newest : keys.signer(usable.key, actor);
}
