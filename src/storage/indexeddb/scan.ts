import type { StateEntry } from "../types.ts";
import type { IndexeddbCursor, IndexeddbObjectStore } from "./client.ts";
import { answer } from "./transact.ts";

/** Target size of a page of values, in bytes. */
const PAGE_BYTES = 1 << 20;
const FIRST_PAGE = 32;
const LONGEST_PAGE = 1024;

/** Chooses the number of values per request by the length of earlier ones. */
export function pageSizes(): { next(): number; saw(count: number, bytes: number): void } {
  let size = FIRST_PAGE;
  return {
    next: () => size,
    saw(count, bytes) {
      const fitting = Math.floor((PAGE_BYTES * count) / Math.max(1, bytes));
      size = Math.max(1, Math.min(fitting, 4 * size, LONGEST_PAGE));
    },
  };
}

/** Total bytes of the values. */
export function lengthOf(values: readonly Uint8Array[]): number {
  return values.reduce((sum, { length }) => sum + length, 0);
}

/** Reads at most `count` entries in a range of keys. */
export async function readEntries(
  store: IndexeddbObjectStore,
  range: unknown,
  count: number,
  reverse: boolean,
): Promise<StateEntry[]> {
  if (reverse) return readBackwards(store, range, count);
  const [keys, values] = await Promise.all([
    answer<ArrayBuffer[]>(store.getAllKeys(range, count)),
    answer<Uint8Array[]>(store.getAll(range, count)),
  ]);
  return keys.map((key, i) => ({ key: new Uint8Array(key), value: values[i]! }));
}

function readBackwards(
  store: IndexeddbObjectStore,
  range: unknown,
  count: number,
): Promise<StateEntry[]> {
  return new Promise((resolve, reject) => {
    const entries: StateEntry[] = [];
    const request = store.openCursor(range, "prev");
    request.addEventListener("error", () => reject(request.error));
    request.addEventListener("success", () => {
      const cursor = request.result as IndexeddbCursor | null;
      if (cursor !== null) {
        const key = new Uint8Array(cursor.key as ArrayBuffer);
        entries.push({ key, value: cursor.value as Uint8Array });
        if (entries.length < count) return cursor.continue();
      }
      resolve(entries);
    });
  });
}
