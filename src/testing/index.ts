export {
  runKit,
  KitFailure,
  type KitCase,
  type KitOptions,
  type KitResult,
  type KitRun,
} from "./kit.ts";
export { ALL_FEATURES, memorySubjects } from "./memory-subject.ts";
export { storageControls, type StorageControl } from "./storage-controls.ts";
export { faultyStorage, losingResponses, type Fault } from "./storage-faults.ts";
export {
  blobStoreCases,
  chainStoreCases,
  commitCases,
  ledgerCases,
  stateStoreCases,
  storageCases,
  type MakeStorage,
  type StorageCase,
  type StorageFeature,
  type SmallStore,
  type StorageLimits,
  type StorageProcess,
  type StorageSubject,
  type TracedProcess,
} from "./storage-kit.ts";
export { serveStorage, type LineChannel } from "./storage-child.ts";
export { processCases, type ProcessCaseOptions } from "./storage-processes.ts";
export {
  SYNC_CALLS,
  syncsOfTrace,
  type Acknowledgement,
  type SyncMarks,
  type SyncTrace,
} from "./sync-probe.ts";
export {
  simulateNetwork,
  type SimulatedMachine,
  type SimulatedNetwork,
  type SimulatedNode,
  type SimulationOptions,
} from "./simulate-network.ts";
export type { NetworkFaults } from "./simulation-faults.ts";
export type { SimulatedRandom } from "./simulation-random.ts";
export {
  directTransport,
  transportCases,
  type MakeTransport,
  type TransportCase,
  type TransportFeature,
  type TransportSetting,
  type TransportSubject,
} from "./transport-kit.ts";
export { transportControls, type TransportControl } from "./transport-controls.ts";
