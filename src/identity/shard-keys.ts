/**
 * Keeps the keys that seal the values of a custodian's vault, apart from the store that holds the
 * values. Each erasure replaces these keys, so that an earlier copy of the store holds no erased
 * value that the custodian's keys still open.
 *
 * They are one small secret, about 128 KiB, that changes with every erasure. An old version of it
 * still opens data erased since then; without the newest version the vault is lost.
 */
export interface ShardKeys {
  /** The secret as last written; the caller owns it. `undefined` if it was never written. */
  load(): Promise<Uint8Array | undefined>;
  /**
   * Replaces the secret atomically. Must not resolve before the new secret is durable and the old
   * one is no longer retrievable.
   *
   * @param secret - borrowed
   */
  replace(secret: Uint8Array): Promise<void>;
}

/**
 * Shard keys in memory, for tests: when they are lost, so is the content of the vault.
 *
 * @example
 * const hl = await openLedger({ storage, keys, genesis, shardKeys: memoryShardKeys() });
 */
export function memoryShardKeys(): ShardKeys {
  let held: Uint8Array | undefined;
  return {
    load: async () => held?.slice(),
    async replace(secret) {
      held?.fill(0);
      held = secret.slice();
    },
  };
}
