import type { IndexeddbObjectStore } from "./client.ts";

/** Adds blobs that are absent and leaves the others alone; resolves when all were tried. */
export function addMissing(
  store: IndexeddbObjectStore,
  blobs: readonly { readonly key: Uint8Array; readonly bytes: Uint8Array }[],
): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = blobs.length;
    const tried = (): void => {
      if (--left === 0) resolve();
    };
    for (const { key, bytes } of blobs) {
      const request = store.add(bytes, key);
      request.addEventListener("success", tried);
      request.addEventListener("error", (event) => {
        if (request.error?.name !== "ConstraintError") return reject(request.error);
        // The blob is present already. Without these two lines the transaction would abort.
        event.preventDefault();
        event.stopPropagation();
        tried();
      });
    }
  });
}
