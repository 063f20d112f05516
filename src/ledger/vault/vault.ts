import type { CID } from "multiformats/cid";
import { chachaOpen, chachaSeal, hkdfExpand, hmacSha256, sha256 } from "#crypto";
import { equalBytes } from "../../bytes/compare.ts";
import { concatBytes } from "../../bytes/concat.ts";
import { toHex } from "../../bytes/hex.ts";
import { utf8ToBytes } from "../../bytes/utf8.ts";
import type { KeyState } from "../../chain/state.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import { expectBytes, expectMap } from "../../codec/shape.ts";
import { sealCoseFresh } from "../../crypto/cose-hpke.ts";
import { verifySignature, type SignatureAlg } from "../../crypto/sign.ts";
import { SignatureError, StorageError } from "../../errors.ts";
import type { KeyStore } from "../../identity/key-store.ts";
import { signWith } from "../../identity/signer.ts";
import type { ShardKeys } from "../../identity/shard-keys.ts";
import { AppendConflict } from "../../storage/errors.ts";
import { createPatience } from "../../storage/settle.ts";
import type { FullStorage, StateChange } from "../../storage/types.ts";
import type { CommitGate } from "./commit-gate.ts";
import { GENERATION_BYTES, generationOf } from "../index/names.ts";
import { shardVault, type ShardedVault } from "./sharded-vault.ts";
import type { Sealer } from "./sealer.ts";

/**
 * A custodian's own sealed, deletable map: keys of envelopes and subjects, identifiers, the index.
 * The store contains only keyed hashes as names and ciphertext as values.
 *
 * The change objects it makes go into a commit or a batch of the same state store.
 */
export interface Vault {
  /** The secret name of a value; 32 bytes that reveal nothing without the vault's key. */
  name(label: string, ...parts: readonly (string | Uint8Array)[]): Uint8Array;
  /**
   * @throws {StorageError} `ERR_STORAGE_CORRUPT` if the value fails to decrypt; with shard keys
   *   `ERR_STORAGE_ERASED`, since a key that erasure destroyed cannot be told from damage
   */
  get(name: Uint8Array): Promise<Uint8Array | undefined>;
  getMany(names: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  put(name: Uint8Array, value: Uint8Array): StateChange;
  remove(name: Uint8Array): StateChange;
  /**
   * Durably makes changes that depend on values read: if another process made changes meanwhile,
   * the work is repeated. If it returns no changes, nothing is written.
   */
  exclusively<T>(
    work: () => Promise<{ readonly result: T; readonly changes: readonly StateChange[] }>,
  ): Promise<T>;
  /**
   * Yields the values under names that begin with a prefix, in the order of the names.
   *
   * @param accept - selects the names wanted; other values are not decrypted. Default all
   */
  scan(
    prefix: Uint8Array,
    accept?: (name: Uint8Array) => boolean,
  ): AsyncIterable<{ readonly name: Uint8Array; readonly value: Uint8Array }>;
  /**
   * Changes to add to the batch that erases values, so that {@link Vault.rotateKeys} replaces the keys
   * of the removed values. Empty if the vault has no shard keys.
   */
  markForRotation(changes: readonly StateChange[]): StateChange[];
  /**
   * Replaces the keys that erased values were sealed under, and destroys the old ones. Completes a
   * replacement that a crash interrupted.
   */
  rotateKeys(): Promise<void>;
  /**
   * Removes values that scans would meet but that no key opens any more, as in a store restored
   * from before an erasure; used when the index is rebuilt.
   */
  discardErased(): Promise<void>;
  /** HMAC-SHA256 under the key of the index, which proves that this member wrote a row. */
  mac(label: string, ...parts: readonly (string | Uint8Array)[]): Uint8Array;
  /** The tag of this member's decoy with a salt, or the digest of its body, 32 bytes. */
  decoy(what: "tag" | "body", salt: Uint8Array): Uint8Array;
  /** Key of the index's record in the state store; see `index/record.ts`. */
  readonly indexRecordKey: Uint8Array;
  /** Keys of the nodes of the index's directory, with one prefix per generation. */
  indexNodeKey(generation: Uint8Array, place: Uint8Array): Uint8Array;
  /** Removes the rows and nodes of every generation of the index but one. */
  discardOtherIndexes(generation: Uint8Array): Promise<void>;
}

/**
 * Opens a member's vault, making its key the first time. The key is sealed to the member's own
 * agreement key.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` if the key store is not the one that made it
 */
export async function openVault(options: VaultOptions): Promise<Vault> {
  const { storage, ledger, actor, random } = options;
  const { state } = storage;
  const owner = sha256(ledger.bytes, utf8ToBytes(actor)).subarray(0, 16);
  const prefix = concatBytes(utf8ToBytes("vault/"), owner);
  const lock = `${ledger.toString()}/vault/${toHex(owner)}`;

  async function exclusively<T>(
    work: () => Promise<{ readonly result: T; readonly changes: readonly StateChange[] }>,
  ): Promise<T> {
    const patience = createPatience({ longest: 50 });
    if (options.readOnly === true) {
      const { result, changes } = await work();
      // The state of such a storage is kept in memory.
      if (changes.length > 0) await state.batch(changes);
      return result;
    }
    for (;;) {
      const expected = await storage.chains.head(lock);
      const { result, changes } = await work();
      if (changes.length === 0) return result;
      try {
        // The bytes say nothing; that there is one more record says that something changed.
        const append = { chain: lock, expected, records: [random(16)] };
        await storage.commit({ append, state: changes });
        return result;
      } catch (error) {
        if (!(error instanceof AppendConflict) || !(await patience.pause())) throw error;
      }
    }
  }

  const makeRoot = () => openRoot(concatBytes(prefix, Uint8Array.of(0)), options);
  // If nothing may be written, a vault that does not exist yet counts as empty.
  const root = await (options.readOnly === true
    ? makeRoot().then(({ result }) => result)
    : exclusively(makeRoot));
  const indexKey = hkdfExpand(root, utf8ToBytes("healthledger/vault/1 index"), 32);
  const decoyKey = hkdfExpand(root, utf8ToBytes("healthledger/vault/1 decoy"), 32);
  const nameKey = hkdfExpand(root, utf8ToBytes("healthledger/vault/1 names"), 32);
  const sealKey = hkdfExpand(root, utf8ToBytes("healthledger/vault/1 values"), 32);
  const keyOf = (name: Uint8Array): Uint8Array => concatBytes(prefix, Uint8Array.of(1), name);
  const valueName = (key: Uint8Array): Uint8Array => key.slice(prefix.length + 1);
  const name: Vault["name"] = (label, ...parts) => hmacSha256(nameKey, encode([label, ...parts]));
  const sealer: Sealer = {
    seal(key, of, value) {
      const nonce = random(12);
      return concatBytes(nonce, chachaSeal(key, nonce, value, of));
    },
    open: (key, of, sealed) =>
      sealed.length < 28
        ? undefined
        : chachaOpen(key, sealed.subarray(0, 12), sealed.subarray(12), of),
  };
  const sharded: ShardedVault | undefined = await shardVault({
    ...options,
    ...{ sealer, root, owner, keyOf, valueName, unsharded: sealKey },
    marker: concatBytes(prefix, Uint8Array.of(2)),
    markPrefix: name("outdated shards").subarray(0, 16),
  });
  root.fill(0);

  function unseal(of: Uint8Array, sealed: Uint8Array): Uint8Array {
    if (sharded !== undefined) return sharded.unseal(of, sealed);
    const value = sealer.open(sealKey, of, sealed);
    if (value === undefined) {
      throw new StorageError("ERR_STORAGE_CORRUPT", "a vault value failed to decrypt");
    }
    return value;
  }

  /** Reads a value again if it failed to decrypt: it may have been resealed since it was read. */
  function unsealOrReread(
    of: Uint8Array,
    sealed: Uint8Array | undefined,
  ): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    if (sealed === undefined) return undefined;
    try {
      return unseal(of, sealed);
    } catch (error) {
      return reread(of, sealed, error);
    }
  }

  async function reread(
    of: Uint8Array,
    sealed: Uint8Array,
    error: unknown,
  ): Promise<Uint8Array | undefined> {
    const now = await state.get(keyOf(of));
    if (now !== undefined && equalBytes(now, sealed)) throw error;
    return now === undefined ? undefined : unseal(of, now);
  }

  return {
    name,
    get: async (of) => unsealOrReread(of, await state.get(keyOf(of))),
    async getMany(names) {
      if (names.length === 0) return [];
      const sealed = await state.getMany(names.map(keyOf));
      return Promise.all(sealed.map((value, i) => unsealOrReread(names[i]!, value)));
    },
    put: (of, value) =>
      sharded === undefined
        ? { key: keyOf(of), value: sealer.seal(sealKey, of, value) }
        : sharded.put(of, value),
    remove: (of) => ({ key: keyOf(of), value: null }),
    exclusively,
    async *scan(namePrefix, accept = () => true) {
      const gte = keyOf(namePrefix);
      const lt = concatBytes(gte, new Uint8Array(64).fill(0xff));
      for await (const { key, value } of state.scan({ gte, lt })) {
        const found = valueName(key);
        if (!accept(found)) continue;
        const opened = await unsealOrReread(found, value);
        if (opened !== undefined) yield { name: found, value: opened };
      }
    },
    markForRotation: (changes) => sharded?.markForRotation(changes) ?? [],
    rotateKeys: async () => sharded?.rotateKeys(),
    discardErased: async () => sharded?.discardErased(),
    mac: (label, ...parts) => hmacSha256(indexKey, encode([label, ...parts])),
    decoy: (what, salt) =>
      hmacSha256(decoyKey, encode(["healthledger/decoy/1", what, ledger, actor, salt])),
    indexRecordKey: concatBytes(prefix, Uint8Array.of(3)),
    indexNodeKey: (generation, place) => concatBytes(prefix, Uint8Array.of(4), generation, place),
    async discardOtherIndexes(generation) {
      const isOther = (bytes: Uint8Array): boolean => !equalBytes(bytes, generation);
      await removeKeys(state, keyOf(Uint8Array.of()), (key) => {
        const found = generationOf(valueName(key));
        return found !== undefined && isOther(found);
      });
      const nodes = concatBytes(prefix, Uint8Array.of(4));
      await removeKeys(state, nodes, (key) =>
        isOther(key.subarray(nodes.length, nodes.length + GENERATION_BYTES)),
      );
    },
  };
}

/** Removes the selected keys below a prefix. */
async function removeKeys(
  state: FullStorage["state"],
  gte: Uint8Array,
  isGone: (key: Uint8Array) => boolean,
): Promise<void> {
  const lt = concatBytes(gte, new Uint8Array(64).fill(0xff));
  const gone: StateChange[] = [];
  for await (const { key } of state.scan({ gte, lt })) {
    if (isGone(key)) gone.push({ key: key.slice(), value: null });
    if (gone.length >= 1000) await state.batch(gone.splice(0));
  }
  if (gone.length > 0) await state.batch(gone);
}

/** Options of opening a vault. */
export interface VaultOptions {
  readonly storage: Pick<FullStorage, "chains" | "state" | "commit">;
  readonly keys: KeyStore;
  readonly ledger: CID;
  readonly actor: string;
  readonly random: (length: number) => Uint8Array;
  /** Does not found a vault: one that does not exist counts as empty, and is not stored. */
  readonly readOnly?: boolean;
  /** Keys kept apart from the store, and the gate in front of `storage`. */
  readonly shards?: { readonly keys: ShardKeys; readonly gate: CommitGate };
  /**
   * Whether the member has sealed anything on the ledger; asked before a vault is founded. A lost
   * vault must not be mistaken for one that never existed.
   */
  readonly hasFiled: () => Promise<boolean>;
  /** A signing key that the member has or had on the ledger, since the key store may have lost it. */
  readonly signingKey?: (key: Uint8Array) => Promise<KeyState | undefined>;
}

/**
 * Version of vaults whose persons are all on the ledger, so that their index can be rebuilt, and
 * whose keys are of envelopes with padded parts: any other would seem to be lost.
 */
const VAULT_VERSION = 3;

/** Reads the vault's root, or makes it. */
async function openRoot(
  at: Uint8Array,
  { storage, keys, ledger, actor, random, hasFiled, signingKey }: VaultOptions,
): Promise<{ readonly result: Uint8Array; readonly changes: readonly StateChange[] }> {
  const aad = encode(["healthledger/vault/1", ledger, actor]);
  const stored = await storage.state.get(at);
  if (stored !== undefined) {
    const map = expectMap(decode(stored), "vault", ["key", "message", "signer", "sig"], ["v"]);
    if (map["v"] !== VAULT_VERSION) {
      throw new StorageError(
        "ERR_STORAGE_CORRUPT",
        "this vault was made by another version, whose envelopes cannot be read: found a new ledger",
      );
    }
    const key = expectBytes(map["key"], "vault.key", 32);
    const message = expectBytes(map["message"], "vault.message");
    const signedWith = expectBytes(map["signer"], "vault.signer", 32);
    const signature = expectBytes(map["sig"], "vault.sig", 64);
    const held = keys
      .list()
      .find(({ use, key: id }) => use === "sign" && equalBytes(id, signedWith));
    const known = held?.actor === actor ? held : await signingKey?.(signedWith);
    if (known === undefined) {
      throw new SignatureError(
        "ERR_SIGNATURE_KEYSTORE",
        "neither the key store nor the ledger knows the key that signed the vault's root as this member's",
      );
    }
    const signed = verifySignature({
      alg: known.alg as SignatureAlg,
      publicKey: known.publicKey,
      signature,
      what: "vault",
      bytes: encode([aad, key, message]),
    });
    // Anybody can seal a root of their own to a public key, and then read what is filed under it.
    if (!signed) {
      throw new StorageError("ERR_STORAGE_CORRUPT", "the vault's root is not signed by its member");
    }
    return { result: await keys.agreement(key).unwrap(message, aad), changes: [] };
  }
  if (await hasFiled()) {
    throw new StorageError(
      "ERR_STORAGE_CORRUPT",
      "the vault's root is lost: this member has sealed entries on the ledger, which nothing else can decrypt; restore the state store",
    );
  }
  const root = random(32);
  const agreement = keys.agreement();
  const signer = keys.signer("sign", actor);
  const { key } = agreement;
  const message = sealCoseFresh(agreement, root, aad, random);
  const sig = await signWith(signer, "vault", encode([aad, key, message]));
  const value = encode({ v: VAULT_VERSION, key, message, signer: signer.key, sig });
  return { result: root, changes: [{ key: at, value }] };
}
