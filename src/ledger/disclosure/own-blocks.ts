import { matchesCid, type CID } from "../../codec/cid.ts";
import { StorageError } from "../../errors.ts";
import type { LedgerContext } from "../context.ts";

/**
 * Reads a block of this custodian's ciphertext.
 *
 * @returns `undefined` if it is not in the store
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when it does not match its CID
 */
export async function ownBlock(
  { storage }: Pick<LedgerContext, "storage">,
  cid: CID,
): Promise<Uint8Array | undefined> {
  const bytes = await storage.blobs.get(cid);
  if (bytes === undefined || matchesCid(cid, bytes)) return bytes;
  throw new StorageError("ERR_STORAGE_CORRUPT", `ciphertext is damaged: ${cid.toString()}`);
}
