import type { FullStorage, StorageAdapter } from "../storage/types.ts";

/** All stores and `commit`; a browser's database has nothing to compact with. */
export type LedgerStorage = Omit<FullStorage, "compact"> & Pick<StorageAdapter, "compact">;

/** @throws {TypeError} when the storage lacks a part that a ledger needs */
export function ledgerStorage(storage: StorageAdapter): LedgerStorage {
  const { chains, blobs, state, commit } = storage;
  if (!chains || !blobs || !state || !commit) {
    throw new TypeError("a ledger needs a storage with chains, blobs, state and commit");
  }
  return storage as LedgerStorage;
}
