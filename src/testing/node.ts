export {
  canMount,
  canTrace,
  serveOnStdio,
  smallVolume,
  spawnStorage,
  spawnTraced,
  type SmallVolume,
  type SpawnOptions,
  type TraceOptions,
} from "./child-process.ts";
export { logStorage, type LogFlaws } from "./log-store.ts";
export { logSubjects, processControls, serveLogStore } from "./process-controls.ts";
export { fileCases } from "./storage-files.ts";
