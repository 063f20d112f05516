import { memoryData, memoryStorage } from "../storage/memory.ts";
import type { FullStorage } from "../storage/types.ts";
import type { MakeStorage, StorageFeature } from "./storage-subject.ts";

/** All features that an adapter can offer. */
export const ALL_FEATURES: readonly StorageFeature[] = [
  "chains",
  "blobs",
  "state",
  "commit",
  "compact",
  "tail",
  "reopen",
];

/**
 * Makes memory stores for the kit.
 *
 * @param change - applied to every handle, to make faulty stores
 * @example
 * // every case passes: the memory store is what other adapters are compared with
 * await runKit(storageCases, memorySubjects(), { features: ALL_FEATURES });
 */
export function memorySubjects(change?: (storage: FullStorage) => FullStorage): MakeStorage {
  return async () => {
    const data = memoryData();
    const opened: FullStorage[] = [];
    return {
      async open(limits) {
        const storage = memoryStorage({ ...limits, data });
        opened.push(storage);
        return change ? change(storage) : storage;
      },
      async dispose() {
        for (const storage of opened) await storage.close();
      },
    };
  };
}
