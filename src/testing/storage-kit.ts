import { bufferCases } from "./storage-buffers.ts";
import { capsCases } from "./storage-caps.ts";
import { claimCases } from "./storage-claims.ts";
import { closingCases } from "./storage-closing.ts";
import { handleCases } from "./storage-handles.ts";
import { limitCases } from "./storage-limits.ts";
import { nameCases } from "./storage-names.ts";
import { pageCases } from "./storage-pages.ts";
import { signalCases } from "./storage-signals.ts";
import { blobStoreCases } from "./storage-blobs.ts";
import { chainStoreCases } from "./storage-chains.ts";
import { commitCases } from "./storage-commit.ts";
import { ledgerCases } from "./storage-ledger.ts";
import { stateStoreCases } from "./storage-state.ts";
import type { StorageCase } from "./storage-subject.ts";

export { blobStoreCases } from "./storage-blobs.ts";
export { chainStoreCases } from "./storage-chains.ts";
export { commitCases } from "./storage-commit.ts";
export { ledgerCases } from "./storage-ledger.ts";
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

/**
 * The conformance kit for storage adapters: the cases of all interfaces, and of a ledger on top of
 * them. `processCases` has those that need another process.
 */
export const storageCases: readonly StorageCase[] = [
  ...chainStoreCases,
  ...blobStoreCases,
  ...stateStoreCases,
  ...commitCases,
  ...bufferCases,
  ...capsCases,
  ...claimCases,
  ...closingCases,
  ...handleCases,
  ...limitCases,
  ...nameCases,
  ...pageCases,
  ...signalCases,
  ...ledgerCases,
];
