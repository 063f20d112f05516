import { describe, expect, it } from "vitest";
import { indexeddbStorage, type IndexeddbFactory } from "../../src/storage/indexeddb.ts";

type Listener = (event: { preventDefault(): void; stopPropagation(): void }) => void;

/** A database that answers an attempt to open it in one way. */
function factory(event: string, error: { name: string; message: string } | null = null) {
  return {
    open() {
      const listeners = new Map<string, Listener[]>();
      const request = {
        error,
        result: undefined,
        addEventListener: (type: string, listener: Listener) =>
          void listeners.set(type, [...(listeners.get(type) ?? []), listener]),
      };
      queueMicrotask(() => {
        for (const listener of listeners.get(event) ?? []) {
          listener({ preventDefault() {}, stopPropagation() {} });
        }
      });
      return request;
    },
  } satisfies IndexeddbFactory;
}

const IDBKeyRange = { bound: () => ({}), lowerBound: () => ({}) };
const open = (indexedDB: IndexeddbFactory, signal?: AbortSignal) =>
  indexeddbStorage({ name: "x", indexedDB, IDBKeyRange, ...(signal && { signal }) });

describe("a browser's database that may not be opened", () => {
  it.each([
    ["another tab holds it", factory("blocked"), "ERR_STORAGE_FAILED", "another tab"],
    [
      "it is of a later version",
      factory("error", { name: "VersionError", message: "" }),
      "ERR_INPUT_UNSUPPORTED",
      "later version",
    ],
    [
      "a private window takes no changes",
      factory("error", { name: "InvalidStateError", message: "mutations" }),
      "ERR_STORAGE_FAILED",
      "refused to open",
    ],
    ["it fails without a reason", factory("error"), "ERR_STORAGE_FAILED", "refused to open"],
    [
      "a frame of another site is denied it",
      {
        open(): never {
          throw Object.assign(new Error("denied"), { name: "SecurityError" });
        },
      },
      "ERR_STORAGE_FAILED",
      "refused to open",
    ],
  ])("says so where %s", async (_, indexedDB, code, words) => {
    await expect(open(indexedDB)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(words) as string,
    });
  });

  it("stops waiting for one that never answers", async () => {
    await expect(open(factory("nothing"), AbortSignal.timeout(20))).rejects.toMatchObject({
      name: "TimeoutError",
    });
  });

  it("says so if there is no IndexedDB, or access to it is denied", async () => {
    const globals = globalThis as { indexedDB?: unknown; IDBKeyRange?: unknown };
    globals.IDBKeyRange = IDBKeyRange;
    try {
      for (const value of [null, undefined]) {
        Object.defineProperty(globals, "indexedDB", { value, configurable: true });
        await expect(indexeddbStorage({ name: "x" })).rejects.toMatchObject({
          code: "ERR_INPUT_UNSUPPORTED",
        });
      }
      const get = (): never => {
        throw new Error("denied");
      };
      Object.defineProperty(globals, "indexedDB", { get, configurable: true });
      await expect(indexeddbStorage({ name: "x" })).rejects.toMatchObject({
        code: "ERR_STORAGE_FAILED",
        cause: { message: "denied" },
      });
    } finally {
      delete globals.indexedDB;
      delete globals.IDBKeyRange;
    }
  });
});
