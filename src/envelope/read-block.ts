import type { CID } from "../codec/cid.ts";
import { EnvelopeError, StorageError } from "../errors.ts";
import { matchesBlock } from "./part-cipher.ts";

/** Why a block is absent: destroyed on purpose, or removed to save space. */
export type Absence = "erased" | "pruned";

/**
 * Fetches a ciphertext block; its caller checks the hash. A reader that knows why a block is absent
 * returns the reason; `undefined` means that the block is missing for no known reason.
 */
export type BlockReader = (cid: CID) => Promise<Uint8Array | Absence | undefined>;

/**
 * Reads a ciphertext block and checks it against its CID.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_MISSING`, `ERR_ENVELOPE_INVALID` when it was altered
 * @throws {StorageError} `ERR_STORAGE_ERASED`, `ERR_STORAGE_PRUNED`
 */
export async function readBlock(read: BlockReader, cid: CID): Promise<Uint8Array> {
  const bytes = await read(cid);
  if (bytes === undefined) {
    throw new EnvelopeError("ERR_ENVELOPE_MISSING", `ciphertext block ${cid} is missing`);
  }
  if (bytes === "erased") {
    throw new StorageError("ERR_STORAGE_ERASED", `ciphertext block ${cid} was erased`);
  }
  if (bytes === "pruned") {
    throw new StorageError("ERR_STORAGE_PRUNED", `ciphertext block ${cid} is not kept here`);
  }
  if (!(await matchesBlock(cid, bytes))) {
    throw new EnvelopeError("ERR_ENVELOPE_INVALID", `ciphertext block ${cid} was altered`);
  }
  return bytes;
}
