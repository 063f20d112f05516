import { matchesCid, type CID } from "../../codec/cid.ts";
import { decodeSignedHeader, type EnvelopePart } from "../../envelope/header.ts";
import { LedgerError, StorageError } from "../../errors.ts";
import type { BlobStore } from "../../storage/types.ts";

/**
 * Most blocks of ciphertext, and most bytes, deleted in one step: a store may hold these at once.
 */
const DELETED_TOGETHER = 1000;
const BYTES_TOGETHER: number = 32 * 1024 * 1024;

/**
 * The parts of an envelope, with the CIDs of their blocks.
 *
 * @returns `undefined` if the header is gone or damaged. A replacement in its place is not read: a
 *   header put there could name the blocks of other records
 */
export async function ciphertextOf(
  { blobs }: { readonly blobs: Pick<BlobStore, "get"> },
  envelope: CID,
): Promise<readonly EnvelopePart[] | undefined> {
  try {
    const header = await blobs.get(envelope);
    if (header === undefined || !matchesCid(envelope, header)) return undefined;
    return decodeSignedHeader(header).header.parts;
  } catch (error) {
    const isDamaged =
      error instanceof LedgerError &&
      (!(error instanceof StorageError) || error.code === "ERR_STORAGE_CORRUPT");
    if (isDamaged) return undefined;
    throw error;
  }
}

/** Deletes blobs as soon as there are enough for one step. */
export function deleteInSteps(blobs: Pick<BlobStore, "delete">): {
  add(cid: CID, bytes: number): Promise<void>;
  flush(): Promise<void>;
} {
  const waiting: CID[] = [];
  let weight = 0;
  async function flush(): Promise<void> {
    weight = 0;
    if (waiting.length > 0) await blobs.delete(waiting.splice(0));
  }
  return {
    async add(cid, bytes) {
      waiting.push(cid);
      weight += bytes;
      if (waiting.length >= DELETED_TOGETHER || weight >= BYTES_TOGETHER) await flush();
    },
    flush,
  };
}
