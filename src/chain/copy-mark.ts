import { utf8ToBytes } from "../bytes/utf8.ts";
import { StorageError } from "../errors.ts";
import type { StateStore } from "../storage/types.ts";

/** Key in a state store that marks an unfinished copy into the store. */
export const COPY_KEY: Uint8Array = /* @__PURE__ */ utf8ToBytes("copy");

/**
 * Refuses a store that holds an unfinished copy: appending to it would fork the ledger.
 *
 * @throws {StorageError} `ERR_STORAGE_INCOMPLETE`
 */
export async function assertCopied(state: StateStore): Promise<void> {
  if ((await state.get(COPY_KEY)) !== undefined) {
    throw new StorageError(
      "ERR_STORAGE_INCOMPLETE",
      "a copy into this store is unfinished; call copyLedger, or importLedger, again",
    );
  }
}
