import { toHex } from "../bytes/hex.ts";
import type { CID } from "../codec/cid.ts";
import { matchesCid } from "../codec/cid.ts";
import { LedgerError } from "../errors.ts";
import { decodeSignedHeader } from "./header.ts";

/** What an envelope consists of where it is kept. */
export interface EnvelopeRecords {
  readonly header: CID;
  /** Ciphertext, part by part; `undefined` when the header cannot be had to tell. */
  readonly blocks: readonly CID[] | undefined;
}

/** Where headers and ciphertext are kept; a `BlobStore` is one. */
export interface ErasableBlobs {
  get(cid: CID): Promise<Uint8Array | undefined>;
  has(cid: CID): Promise<boolean>;
  delete(cids: readonly CID[]): Promise<void>;
}

/** Where grants and keys are kept, under names of the keeper's own. */
export interface ErasableShelf {
  /** Names of all that is kept of an envelope. */
  list(envelope: CID): Promise<readonly Uint8Array[]>;
  /** Resolves when they are deleted durably. */
  delete(names: readonly Uint8Array[]): Promise<void>;
}

/** What {@link eraseEnvelope} erases, and where. */
export interface EraseEnvelopeOptions {
  readonly envelope: CID;
  readonly blobs: ErasableBlobs;
  /** Grants that are kept here. Those that were handed over are nobody's to delete. */
  readonly grants?: ErasableShelf;
  /** The custodian's own keys to the envelope. */
  readonly keys?: ErasableShelf;
}

/** Something that was not deleted. */
export interface Unreached {
  readonly what: "header" | "blocks" | "grants" | "keys";
  /** CIDs, or names in hexadecimal; empty when not even a list could be had. */
  readonly names: readonly string[];
  readonly cause: unknown;
}

/**
 * A statement of what was deleted where this side keeps it. It is no proof: nobody can prove that
 * no copy is left, and who was granted a key and kept the ciphertext can read on.
 */
export interface EnvelopeErasure {
  readonly envelope: CID;
  /** How many of each were deleted. */
  readonly deleted: {
    readonly header: number;
    readonly blocks: number;
    readonly grants: number;
    readonly keys: number;
  };
  /** What was gone before. */
  readonly absent: readonly CID[];
  /** What could not be reached; repeat the call when it can. */
  readonly unreached: readonly Unreached[];
}

/**
 * Lists the records of an envelope.
 *
 * @param header - the signed header, as it was read
 */
export function listEnvelope(envelope: CID, header: Uint8Array | undefined): EnvelopeRecords {
  if (header === undefined || !matchesCid(envelope, header)) {
    return { header: envelope, blocks: undefined };
  }
  try {
    const { parts } = decodeSignedHeader(header).header;
    return { header: envelope, blocks: parts.flatMap(({ data }) => data) };
  } catch (error) {
    if (error instanceof LedgerError) return { header: envelope, blocks: undefined };
    throw error;
  }
}

/**
 * Deletes an envelope's keys and grants, its ciphertext, and last its header: while that stands,
 * the rest can be found, so that a call that was cut short can be repeated. Never throws for what
 * it cannot reach, but reports it; the header is kept as long as there is ciphertext.
 *
 * Files of a store that deletes lazily still hold the bytes until it is compacted.
 */
export async function eraseEnvelope(options: EraseEnvelopeOptions): Promise<EnvelopeErasure> {
  const { envelope, blobs } = options;
  const unreached: Unreached[] = [];
  const absent: CID[] = [];

  async function attempt<T>(
    what: Unreached["what"],
    names: readonly string[],
    work: () => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await work();
    } catch (cause) {
      unreached.push({ what, names, cause });
      return undefined;
    }
  }

  async function clear(what: "keys" | "grants"): Promise<number> {
    const shelf = options[what];
    const names = await attempt(what, [], async () => shelf?.list(envelope));
    if (shelf === undefined || names === undefined || names.length === 0) return 0;
    const done = await attempt(what, names.map(toHex), async () => {
      await shelf.delete(names);
      return names.length;
    });
    return done ?? 0;
  }

  async function remove(what: "header" | "blocks", cids: readonly CID[]): Promise<number> {
    const done = await attempt(what, cids.map(String), async () => {
      const there: CID[] = [];
      for (const cid of cids) {
        if (await blobs.has(cid)) there.push(cid);
        else absent.push(cid);
      }
      if (there.length > 0) await blobs.delete(there);
      return there.length;
    });
    return done ?? 0;
  }

  const keys = await clear("keys");
  const grants = await clear("grants");
  const header = await attempt("header", [String(envelope)], async () => ({
    bytes: await blobs.get(envelope),
  }));
  const none = { header: 0, blocks: 0, grants, keys };
  if (header === undefined) return { envelope, deleted: none, absent, unreached };
  const { blocks } = listEnvelope(envelope, header.bytes);
  if (blocks === undefined) {
    const cause = header.bytes === undefined ? "the header is gone" : "the header is damaged";
    unreached.push({ what: "blocks", names: [], cause });
    if (header.bytes === undefined) {
      return { envelope, deleted: none, absent: [envelope], unreached };
    }
  }
  const failed = unreached.length;
  const deletedBlocks = await remove("blocks", blocks ?? []);
  // A header that says where ciphertext still is must stay to say it.
  const deletedHeader = unreached.length > failed ? 0 : await remove("header", [envelope]);
  const deleted = { header: deletedHeader, blocks: deletedBlocks, grants, keys };
  return { envelope, deleted, absent, unreached };
}
