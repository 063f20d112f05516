import { concatBytes } from "../../bytes/concat.ts";
import { StorageError } from "../../errors.ts";
import type { ShardKeys } from "../../identity/shard-keys.ts";
import type { FullStorage, StateChange, StateEntry } from "../../storage/types.ts";
import type { CommitGate } from "./commit-gate.ts";
import { namesOf, openShards, shardOf } from "./shards.ts";
import type { Sealer } from "./sealer.ts";

/** A vault's values, sealed under keys that are replaced when some of them are erased. */
export interface ShardedVault {
  put(name: Uint8Array, value: Uint8Array): StateChange;
  unseal(name: Uint8Array, sealed: Uint8Array): Uint8Array;
  markForRotation(changes: readonly StateChange[]): StateChange[];
  rotateKeys(): Promise<void>;
  discardErased(): Promise<void>;
}

/** Values resealed at a time, while commits wait. */
const PAGE = 512;
/** Longer names start with a prefix that is scanned. */
const NAME_BYTES = 32;
const MARKER = /* @__PURE__ */ new Uint8Array(0);

/**
 * Opens the shards of a vault, and moves the values of a vault without shards under them.
 *
 * Replacing keys is safe at every step: first both keys are made durable, then the remaining values
 * are resealed under the new key, then the old key is destroyed. An interrupted replacement is
 * recognised by the old key that is still there, and by the marks that were written with the
 * erasure.
 *
 * @returns `undefined` if there are no shard keys and never were any
 * @throws {StorageError} `ERR_STORAGE_MISSING` if the vault's shard keys are not these
 */
export async function shardVault(options: {
  readonly storage: Pick<FullStorage, "state">;
  readonly shards?: { readonly keys: ShardKeys; readonly gate: CommitGate };
  readonly readOnly?: boolean;
  readonly sealer: Sealer;
  readonly root: Uint8Array;
  readonly owner: Uint8Array;
  readonly random: (length: number) => Uint8Array;
  readonly keyOf: (name: Uint8Array) => Uint8Array;
  readonly valueName: (key: Uint8Array) => Uint8Array;
  /** The key that a vault without shards seals everything under. */
  readonly unsharded: Uint8Array;
  /** Where the store records that the vault has shards, and which. */
  readonly marker: Uint8Array;
  readonly markPrefix: Uint8Array;
}): Promise<ShardedVault | undefined> {
  const { sealer, unsharded, random, keyOf, valueName, marker, markPrefix } = options;
  const marked = await options.storage.state.get(marker);
  // Making shards requires writing.
  if (options.shards === undefined || (marked === undefined && options.readOnly === true)) {
    if (marked === undefined) return undefined;
    throw new StorageError("ERR_STORAGE_MISSING", "this vault needs its shard keys");
  }
  const { keys, gate } = options.shards;
  const { state } = gate.beneath;
  const id = marked === undefined ? undefined : sealer.open(unsharded, MARKER, marked);
  if (marked !== undefined && id === undefined) {
    throw new StorageError("ERR_STORAGE_CORRUPT", "a vault value failed to decrypt");
  }
  const shards = await openShards({ ...options, keys, id });
  let migrating = marked === undefined;
  /** The key that a change, which may still wait to be committed, was sealed under. */
  const sealedUnder = new WeakMap<StateChange, Uint8Array>();

  function put(name: Uint8Array, value: Uint8Array): StateChange {
    const key = shards.current(shardOf(name));
    const change = { key: keyOf(name), value: sealer.seal(key, name, value) };
    sealedUnder.set(change, key);
    return change;
  }

  function open(name: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    const shard = shardOf(name);
    const value = sealer.open(shards.current(shard), name, sealed);
    const former = value === undefined ? shards.former(shard) : undefined;
    if (former !== undefined) return sealer.open(former, name, sealed);
    return value ?? (migrating ? sealer.open(unsharded, name, sealed) : undefined);
  }

  gate.onCommit((change) => {
    const key = sealedUnder.get(change);
    if (key === undefined || change.value === null) return change;
    const name = valueName(change.key);
    const current = shards.current(shardOf(name));
    if (key === current) return change;
    const value = sealer.open(key, name, change.value)!;
    const fresh = { key: change.key, value: sealer.seal(current, name, value) };
    value.fill(0);
    return fresh;
  });

  /** Reseals values of a page that are not under their current key; returns the next page's start. */
  async function resealPage(gte: Uint8Array, lt: Uint8Array): Promise<Uint8Array | undefined> {
    const entries: StateEntry[] = [];
    for await (const entry of state.scan({ gte, lt, limit: PAGE })) entries.push(entry);
    const changes = entries.flatMap(({ key, value: sealed }): StateChange[] => {
      const name = valueName(key);
      const current = shards.current(shardOf(name));
      if (sealer.open(current, name, sealed) !== undefined) return [];
      const value = open(name, sealed);
      // Damaged values are left as they are, for readers to meet.
      if (value === undefined) return [];
      const fresh = { key, value: sealer.seal(current, name, value) };
      value.fill(0);
      return [fresh];
    });
    if (changes.length > 0) await state.batch(changes);
    const last = entries.length < PAGE ? undefined : entries.at(-1)!.key;
    return last === undefined ? undefined : concatBytes(last, Uint8Array.of(0));
  }

  async function reseal(first: Uint8Array, last: Uint8Array): Promise<void> {
    const lt = concatBytes(keyOf(last), new Uint8Array(64).fill(0xff));
    for (let gte: Uint8Array | undefined = keyOf(first); gte !== undefined;) {
      const from: Uint8Array = gte;
      gte = await gate.exclusively(() => resealPage(from, lt));
    }
  }

  /** Completes a started replacement: after this the old keys are gone. */
  async function finish(): Promise<void> {
    const begun = shards.renewing();
    if (begun.length === 0) return;
    for (const shard of begun) {
      const { first, last } = namesOf(shard);
      await reseal(first, last);
    }
    await gate.exclusively(() => shards.drop());
  }

  async function rotateKeys(): Promise<void> {
    await finish();
    const marks: Uint8Array[] = [];
    const lt = concatBytes(keyOf(markPrefix), new Uint8Array(64).fill(0xff));
    for await (const { key } of state.scan({ gte: keyOf(markPrefix), lt })) marks.push(key);
    if (marks.length === 0) return;
    const marked = new Set(
      marks.map((key) => {
        const [high, low] = valueName(key).subarray(markPrefix.length);
        return (high! << 8) | low!;
      }),
    );
    await gate.exclusively(() => shards.replaceKeys([...marked]));
    await finish();
    await state.batch(marks.map((key) => ({ key, value: null })));
  }

  if (migrating) {
    await reseal(Uint8Array.of(0), Uint8Array.of(0xff));
    await state.batch([{ key: marker, value: sealer.seal(unsharded, MARKER, shards.id) }]);
    migrating = false;
  }
  return {
    put,
    unseal(name, sealed) {
      const value = open(name, sealed);
      if (value === undefined) {
        throw new StorageError(
          "ERR_STORAGE_ERASED",
          "a vault value is damaged, or the key that it is sealed under was destroyed",
        );
      }
      return value;
    },
    markForRotation(changes) {
      const touched = new Set(changes.map(({ key }) => shardOf(valueName(key))));
      return [...touched].map((shard) => {
        // Every erasure has marks of its own, so that completing one removes no marks of another.
        const rest = concatBytes(Uint8Array.of(shard >> 8, shard & 255), random(8));
        return put(concatBytes(markPrefix, rest), MARKER);
      });
    },
    rotateKeys,
    async discardErased() {
      const lt = concatBytes(keyOf(Uint8Array.of(0xff)), new Uint8Array(64).fill(0xff));
      const gone: StateChange[] = [];
      for await (const { key, value } of state.scan({ gte: keyOf(Uint8Array.of(0)), lt })) {
        const name = valueName(key);
        if (name.length > NAME_BYTES && open(name, value) === undefined) {
          gone.push({ key: key.slice(), value: null });
        }
      }
      if (gone.length > 0) await state.batch(gone);
    },
  };
}
