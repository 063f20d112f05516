import { blobStoreCases } from "./storage-blobs.ts";
import { chainStoreCases } from "./storage-chains.ts";
import { commitCases } from "./storage-commit.ts";
import { stateStoreCases } from "./storage-state.ts";
import type { StorageCase } from "./storage-subject.ts";

export { blobStoreCases } from "./storage-blobs.ts";
export { chainStoreCases } from "./storage-chains.ts";
export { commitCases } from "./storage-commit.ts";
export { stateStoreCases } from "./storage-state.ts";
export type {
  MakeStorage,
  SmallStore,
  StorageCase,
  StorageFeature,
  StorageLimits,
  StorageProcess,
  StorageSubject,
  TracedProcess,
} from "./storage-subject.ts";

/** The conformance kit for storage adapters: the cases of all interfaces. */
export const storageCases: readonly StorageCase[] = [
  ...chainStoreCases,
  ...blobStoreCases,
  ...stateStoreCases,
  ...commitCases,
];
