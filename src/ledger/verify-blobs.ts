import { decodeEntry, entryIdOf, isCustom } from "../block/entry.ts";
import { decodeTransaction } from "../block/transaction.ts";
import { matchesCid, type CID } from "../codec/cid.ts";
import { decodeSignedHeader } from "../envelope/header.ts";
import { LedgerError, StorageError } from "../errors.ts";
import { type Catalogue, isErasedNow } from "./entries/catalogue.ts";
import type { LedgerContext } from "./context.ts";

/** What the blobs of this member's own entries were found to be. */
export interface BlobReport {
  /** Blobs that should be there and were looked for. */
  readonly checked: number;
  /** Blobs whose bytes are not what their CID names, or that cannot be read. */
  readonly damaged: readonly CID[];
  /** Blobs that are not there. Of a header that is missing or damaged nobody can tell the rest. */
  readonly missing: readonly CID[];
}

/**
 * Reads what every entry of this member that was not erased should have in the blob store, header
 * and ciphertext, and compares it with its name. What the store itself lists is not asked.
 */
export async function verifyBlobs(
  { chain, storage, signer }: LedgerContext,
  catalogue: Catalogue,
  { signal }: { readonly signal?: AbortSignal },
): Promise<BlobReport> {
  const damaged: CID[] = [];
  const missing: CID[] = [];
  let checked = 0;

  /** What is wrong with a blob; its bytes when nothing is. */
  async function look(cid: CID): Promise<Uint8Array | "damaged" | "missing"> {
    signal?.throwIfAborted();
    try {
      const bytes = await storage.blobs.get(cid);
      if (bytes === undefined) return "missing";
      return matchesCid(cid, bytes) ? bytes : "damaged";
    } catch (error) {
      if (error instanceof StorageError && error.code === "ERR_STORAGE_CORRUPT") return "damaged";
      throw error;
    }
  }

  async function verifyEnvelope(envelope: CID, id: Uint8Array): Promise<void> {
    const wrong: (readonly [CID, "damaged" | "missing"])[] = [];
    const header = await look(envelope);
    let count = 1;
    if (typeof header === "string") {
      wrong.push([envelope, header]);
    } else {
      for (const cid of blocksOf(header)) {
        const found = await look(cid);
        count++;
        if (typeof found === "string") wrong.push([cid, found]);
      }
    }
    // Only now: what is gone may have been erased while it was looked for.
    if (wrong.length > 0 && (await isErasedNow(catalogue, id))) return;
    checked += count;
    for (const [cid, what] of wrong) (what === "missing" ? missing : damaged).push(cid);
  }

  await catalogue.catchUp();
  for (let height = 0; height < chain.size; height++) {
    const { block } = await chain.readBlock(height);
    for (const signed of block.transactions) {
      const { author, ledger } = decodeTransaction(signed.tx);
      if (author !== signer.actor) continue;
      const idOf = entryIdOf(ledger, author);
      for (const bytes of signed.entries) {
        const entry = decodeEntry(bytes);
        if (isCustom(entry) || !("body" in entry)) continue;
        const id = idOf(bytes);
        if ((await catalogue.find(id)).status === "erased") continue;
        await verifyEnvelope(entry.body, id);
      }
    }
  }
  return { checked, damaged, missing };
}

/** Names of the blocks that a header names; none of one that is no header. */
function blocksOf(header: Uint8Array): readonly CID[] {
  try {
    return decodeSignedHeader(header).header.parts.flatMap(({ data }) => data);
  } catch (error) {
    if (error instanceof LedgerError) return [];
    throw error;
  }
}
