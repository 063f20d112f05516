import { decodeEntry, entryIdOf, isCustom } from "../block/entry.ts";
import { decodeTransaction } from "../block/transaction.ts";
import { matchesCid, type CID } from "../codec/cid.ts";
import { decodeSignedHeader } from "../envelope/header.ts";
import { LedgerError, StorageError } from "../errors.ts";
import { type Catalogue, isErasedNow } from "./entries/catalogue.ts";
import { isDecoy } from "./entries/decoys.ts";
import type { LedgerContext } from "./context.ts";

/** Result of checking the blobs of this member's own entries. */
export interface BlobReport {
  /** Number of blobs that should be there and were checked. */
  readonly checked: number;
  /** Blobs whose bytes do not match their CID, or that cannot be read. */
  readonly damaged: readonly CID[];
  /** Blobs that are not there. If a header is missing or damaged, the blobs that it names are unknown. */
  readonly missing: readonly CID[];
}

/**
 * Reads the header and ciphertext that every unerased entry of this member should have in the blob store,
 * and compares each blob with its CID. It does not rely on the store's own listing.
 */
export async function verifyBlobs(
  context: LedgerContext,
  catalogue: Catalogue,
  { signal }: { readonly signal?: AbortSignal },
): Promise<BlobReport> {
  const { chain, storage, signer } = context;
  const damaged: CID[] = [];
  const missing: CID[] = [];
  let checked = 0;

  /** What is wrong with a blob, or its bytes if nothing is. */
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
    // Only now: a missing blob may have been erased while it was being looked for.
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
        if (isCustom(entry) || !("body" in entry) || isDecoy(context, entry)) continue;
        const id = idOf(bytes);
        if ((await catalogue.find(id)).status === "erased") continue;
        await verifyEnvelope(entry.body, id);
      }
    }
  }
  return { checked, damaged, missing };
}

/** CIDs of the blocks that a header names; empty if the bytes are not a header. */
function blocksOf(header: Uint8Array): readonly CID[] {
  try {
    return decodeSignedHeader(header).header.parts.flatMap(({ data }) => data);
  } catch (error) {
    if (error instanceof LedgerError) return [];
    throw error;
  }
}
