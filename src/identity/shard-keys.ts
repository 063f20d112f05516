/**
 * Where a custodian keeps the keys that its vault's values are sealed under, apart from the store
 * that holds the values. When data are erased these keys are replaced, so that a copy of the store
 * that was made before holds nothing that the custodian's keys still open.
 *
 * They are one small secret, about 128 KiB, that changes with every erasure. Whoever keeps an old
 * version of it keeps what was erased since; whoever loses the newest loses the vault.
 */
export interface ShardKeys {
  /** The secret as it was last replaced, to be owned by the caller; `undefined` before that. */
  load(): Promise<Uint8Array | undefined>;
  /**
   * Replaces the secret, at once or not at all. Resolves when the new one is durable and the old
   * one can be had no more.
   *
   * @param secret - borrowed
   */
  replace(secret: Uint8Array): Promise<void>;
}

/** Shard keys in memory, for tests: with them goes what the vault holds. */
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
