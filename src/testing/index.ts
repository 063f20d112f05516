export { runKit, KitFailure, type KitCase, type KitOptions, type KitResult } from "./kit.ts";
export { ALL_FEATURES, memorySubjects } from "./memory-subject.ts";
export { storageControls, type StorageControl } from "./storage-controls.ts";
export { faultyStorage, losingResponses, type Fault } from "./storage-faults.ts";
export {
  blobStoreCases,
  chainStoreCases,
  commitCases,
  stateStoreCases,
  storageCases,
  type MakeStorage,
  type StorageCase,
  type StorageFeature,
  type StorageLimits,
  type StorageSubject,
} from "./storage-kit.ts";
export { syncsPerAcknowledgement } from "./sync-probe.ts";
