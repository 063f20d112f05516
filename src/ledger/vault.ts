import type { CID } from "multiformats/cid";
import { chachaOpen, chachaSeal, hkdfExpand, hmacSha256, sha256 } from "#crypto";
import { concatBytes } from "../bytes/concat.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectBytes, expectMap } from "../codec/shape.ts";
import { sealCose } from "../crypto/cose-hpke.ts";
import { StorageError } from "../errors.ts";
import type { KeyStore } from "../identity/key-store.ts";
import type { StateChange, StateStore } from "../storage/types.ts";

/**
 * A custodian's own sealed, deletable map: keys of envelopes and subjects, identifiers, the index.
 * In the store stand keyed hashes as names and ciphertext as values, nothing else.
 *
 * The change objects it makes go into a commit or a batch of the same state store.
 */
export interface Vault {
  /** The secret name of something; 32 bytes that say nothing without the vault's key. */
  name(label: string, ...parts: readonly (string | Uint8Array)[]): Uint8Array;
  get(name: Uint8Array): Promise<Uint8Array | undefined>;
  getMany(names: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  put(name: Uint8Array, value: Uint8Array): StateChange;
  remove(name: Uint8Array): StateChange;
  /** Yields what stands under names that begin with a prefix, in their order. */
  scan(
    prefix: Uint8Array,
  ): AsyncIterable<{ readonly name: Uint8Array; readonly value: Uint8Array }>;
}

/**
 * Opens a member's vault, making its key the first time. The key is sealed to the member's own
 * agreement key.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` when the key store is not the one that made it
 */
export async function openVault(options: {
  readonly state: StateStore;
  readonly keys: KeyStore;
  readonly ledger: CID;
  readonly actor: string;
  readonly random: (length: number) => Uint8Array;
}): Promise<Vault> {
  const { state, random } = options;
  const prefix = concatBytes(
    utf8ToBytes("vault/"),
    sha256(options.ledger.bytes, utf8ToBytes(options.actor)).subarray(0, 16),
  );
  const root = await openRoot(concatBytes(prefix, Uint8Array.of(0)), options);
  const nameKey = hkdfExpand(root, utf8ToBytes("healthledger/vault/1 names"), 32);
  const sealKey = hkdfExpand(root, utf8ToBytes("healthledger/vault/1 values"), 32);
  root.fill(0);
  const keyOf = (name: Uint8Array): Uint8Array => concatBytes(prefix, Uint8Array.of(1), name);

  function seal(name: Uint8Array, value: Uint8Array): Uint8Array {
    const nonce = random(12);
    return concatBytes(nonce, chachaSeal(sealKey, nonce, value, name));
  }

  function unseal(name: Uint8Array, sealed: Uint8Array): Uint8Array {
    const value = chachaOpen(sealKey, sealed.subarray(0, 12), sealed.subarray(12), name);
    if (value === undefined) {
      throw new StorageError("ERR_STORAGE_CORRUPT", "a value of the vault does not open");
    }
    return value;
  }

  return {
    name: (label, ...parts) => hmacSha256(nameKey, encode([label, ...parts])),
    async get(name) {
      const sealed = await state.get(keyOf(name));
      return sealed === undefined ? undefined : unseal(name, sealed);
    },
    async getMany(names) {
      const sealed = await state.getMany(names.map(keyOf));
      return sealed.map((value, i) => (value === undefined ? undefined : unseal(names[i]!, value)));
    },
    put: (name, value) => ({ key: keyOf(name), value: seal(name, value) }),
    remove: (name) => ({ key: keyOf(name), value: null }),
    async *scan(namePrefix) {
      const gte = keyOf(namePrefix);
      const lt = concatBytes(gte, new Uint8Array(64).fill(0xff));
      for await (const { key, value } of state.scan({ gte, lt })) {
        const name = key.slice(prefix.length + 1);
        yield { name, value: unseal(name, value) };
      }
    },
  };
}

async function openRoot(
  at: Uint8Array,
  options: {
    readonly state: StateStore;
    readonly keys: KeyStore;
    readonly ledger: CID;
    readonly actor: string;
    readonly random: (length: number) => Uint8Array;
  },
): Promise<Uint8Array> {
  const { state, keys, random } = options;
  const aad = encode(["healthledger/vault/1", options.ledger, options.actor]);
  const stored = await state.get(at);
  if (stored !== undefined) {
    const map = expectMap(decode(stored), "vault", ["key", "message"]);
    const agreement = keys.agreement(expectBytes(map["key"], "vault.key", 32));
    return agreement.unwrap(expectBytes(map["message"], "vault.message"), aad);
  }
  const root = random(32);
  const agreement = keys.agreement();
  const message = sealCose(agreement, root, aad, random(32));
  await state.batch([{ key: at, value: encode({ key: agreement.key, message }) }]);
  return root;
}
