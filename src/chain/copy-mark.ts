import { utf8ToBytes } from "../bytes/utf8.ts";
import { StorageError } from "../errors.ts";
import type { StateStore } from "../storage/types.ts";

/** Key in a state store that says that a copy into the store is not finished. */
export const COPY_KEY: Uint8Array = /* @__PURE__ */ utf8ToBytes("copy");

/**
 * Refuses a store that lacks a part of what it should hold: who appended to it would fork.
 *
 * @throws {StorageError} `ERR_STORAGE_INCOMPLETE`
 */
export async function assertCopied(state: StateStore): Promise<void> {
  if ((await state.get(COPY_KEY)) !== undefined) {
    throw new StorageError(
      "ERR_STORAGE_INCOMPLETE",
      "copying into this store was not finished; call copyLedger again",
    );
  }
}
