import { hkdfExpand, hkdfExtract } from "#crypto";
import { equalBytes } from "../../bytes/compare.ts";
import { utf8ToBytes } from "../../bytes/utf8.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectMap,
  expectUint,
  expectVersion,
} from "../../codec/shape.ts";
import { EncodingError, StorageError } from "../../errors.ts";
import type { ShardKeys } from "../../identity/shard-keys.ts";

/** Shards of a vault: erasing a value destroys the keys of only a few of them. */
export const SHARDS = 4096;

/** The shard that a name belongs to: its first twelve bits, so that a shard is a range of names. */
export const shardOf = (name: Uint8Array): number => (name[0]! << 4) | (name[1]! >> 4);

/** First and last names of a shard, two bytes each. */
export function namesOf(shard: number): { readonly first: Uint8Array; readonly last: Uint8Array } {
  const high = shard >> 4;
  const low = (shard & 15) << 4;
  return { first: Uint8Array.of(high, low), last: Uint8Array.of(high, low | 15) };
}

/** The sealing keys of a vault's shards. */
export interface Shards {
  /** Names this set of keys; also recorded in the store. */
  readonly id: Uint8Array;
  /** The key that values of a shard are sealed under. The same object until it is replaced. */
  current(shard: number): Uint8Array;
  /** The previous key of a shard, while its values are being resealed. */
  former(shard: number): Uint8Array | undefined;
  /** Shards whose resealing has started but not finished. */
  renewing(): readonly number[];
  /** Makes new keys, and keeps the old ones until {@link Shards.drop}. */
  replaceKeys(shards: readonly number[]): Promise<void>;
  /** Destroys the old keys. */
  drop(): Promise<void>;
}

interface Secret {
  readonly id: Uint8Array;
  readonly keys: Uint8Array[];
  readonly former: Map<number, Uint8Array>;
}

const INFO = /* @__PURE__ */ utf8ToBytes("healthledger/vault/1 shard");

/**
 * Opens the keys of a vault's shards.
 *
 * @param options.root - goes into each key together with the shard's, so that neither opens
 *   anything alone
 * @param options.owner - 16 bytes that name the vault
 * @param options.id - the id of the keys that the store was sealed with; `undefined` if there were
 *   none
 * @throws {StorageError} `ERR_STORAGE_MISSING` if the keys are gone or belong to another vault
 */
export async function openShards(options: {
  readonly keys: ShardKeys;
  readonly root: Uint8Array;
  readonly owner: Uint8Array;
  readonly id: Uint8Array | undefined;
  readonly random: (length: number) => Uint8Array;
}): Promise<Shards> {
  const { keys, owner, random } = options;
  const root = options.root.slice();
  const derived = new Map<Uint8Array, Uint8Array>();
  const loaded = await keys.load();
  let secret: Secret;
  if (loaded !== undefined) {
    secret = decodeSecret(loaded, owner);
    loaded.fill(0);
  } else if (options.id !== undefined) {
    throw new StorageError("ERR_STORAGE_MISSING", "the vault's shard keys are gone");
  } else {
    secret = {
      id: random(16),
      keys: Array.from({ length: SHARDS }, () => random(32)),
      former: new Map(),
    };
    await save(secret);
  }
  if (options.id !== undefined && !equalBytes(options.id, secret.id)) {
    throw new StorageError("ERR_STORAGE_MISSING", "these shard keys are not those of this vault");
  }

  async function save(what: Secret): Promise<void> {
    const bytes = encodeSecret(what, owner);
    try {
      await keys.replace(bytes);
    } finally {
      bytes.fill(0);
    }
  }

  function derive(key: Uint8Array): Uint8Array {
    let sealing = derived.get(key);
    if (sealing === undefined) {
      sealing = hkdfExpand(hkdfExtract(key, root), INFO, 32);
      derived.set(key, sealing);
    }
    return sealing;
  }

  return {
    id: secret.id,
    current: (shard) => derive(secret.keys[shard]!),
    former(shard) {
      const key = secret.former.get(shard);
      return key === undefined ? undefined : derive(key);
    },
    renewing: () => [...secret.former.keys()],
    async replaceKeys(shards) {
      const next: Secret = { ...secret, keys: [...secret.keys], former: new Map(secret.former) };
      for (const shard of shards) {
        // A shard that is already being replaced keeps its key pair: values sealed under its
        // current key must still open.
        if (next.former.has(shard)) continue;
        next.former.set(shard, secret.keys[shard]!);
        next.keys[shard] = random(32);
      }
      await save(next);
      secret = next;
    },
    async drop() {
      const old = secret;
      const next: Secret = { ...old, former: new Map() };
      await save(next);
      secret = next;
      for (const key of old.former.values()) {
        // The sealing key stays with the uncommitted changes that were made under it.
        derived.delete(key);
        key.fill(0);
      }
    },
  };
}

function encodeSecret({ id, keys, former }: Secret, owner: Uint8Array): Uint8Array {
  const all = new Uint8Array(32 * SHARDS);
  for (const [shard, key] of keys.entries()) all.set(key, 32 * shard);
  const bytes = encode({ v: 1, owner, id, keys: all, former: [...former].sort(byShard) });
  all.fill(0);
  return bytes;
}

const byShard = ([a]: [number, Uint8Array], [b]: [number, Uint8Array]): number => a - b;

function decodeSecret(bytes: Uint8Array, owner: Uint8Array): Secret {
  try {
    const map = expectMap(decode(bytes), "shards", ["v", "owner", "id", "keys", "former"]);
    expectVersion(map["v"], "shards");
    if (!equalBytes(expectBytes(map["owner"], "shards.owner", 16), owner)) {
      throw new StorageError("ERR_STORAGE_MISSING", "these shard keys are not those of this vault");
    }
    const all = expectBytes(map["keys"], "shards.keys", 32 * SHARDS);
    const former = expectArray(map["former"], "shards.former", SHARDS).map(
      (item): [number, Uint8Array] => {
        const [shard, key] = expectArray(item, "shards.former", 2);
        return [
          expectUint(shard, "shards.former", SHARDS - 1),
          expectBytes(key, "shards.former", 32).slice(),
        ];
      },
    );
    return {
      id: expectBytes(map["id"], "shards.id", 16).slice(),
      keys: Array.from({ length: SHARDS }, (_, i) => all.slice(32 * i, 32 * (i + 1))),
      former: new Map(former),
    };
  } catch (cause) {
    if (!(cause instanceof EncodingError)) throw cause;
    throw new StorageError("ERR_STORAGE_CORRUPT", "the shard keys are damaged", { cause });
  }
}
