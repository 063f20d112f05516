import type { BlobStore, ChainStore, FullStorage, StateStore } from "../storage/types.ts";

/** A storage with changed chains. */
export function withChains(
  storage: FullStorage,
  change: (chains: ChainStore) => Partial<ChainStore>,
): FullStorage {
  return { ...storage, chains: { ...storage.chains, ...change(storage.chains) } };
}

/** A storage with changed blobs. */
export function withBlobs(
  storage: FullStorage,
  change: (blobs: BlobStore) => Partial<BlobStore>,
): FullStorage {
  return { ...storage, blobs: { ...storage.blobs, ...change(storage.blobs) } };
}

/** A storage with changed state. */
export function withState(
  storage: FullStorage,
  change: (state: StateStore) => Partial<StateStore>,
): FullStorage {
  return { ...storage, state: { ...storage.state, ...change(storage.state) } };
}
