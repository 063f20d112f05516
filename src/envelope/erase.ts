import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { toHex } from "../bytes/hex.ts";
import type { CID } from "../codec/cid.ts";
import { matchesCid } from "../codec/cid.ts";
import { LedgerError } from "../errors.ts";
import { decodeSignedHeader } from "./header.ts";

/** The stored records of an envelope. */
export interface EnvelopeRecords {
  readonly header: CID;
  /** Ciphertext, part by part; `undefined` if the header that lists it is unavailable. */
  readonly blocks: readonly CID[] | undefined;
}

/** Store of headers and ciphertext, such as a `BlobStore`. */
export interface ErasableBlobs {
  get(cid: CID): Promise<Uint8Array | undefined>;
  has(cid: CID): Promise<boolean>;
  delete(cids: readonly CID[]): Promise<void>;
}

/** Store of grants and keys, under names that the store chooses. */
export interface ErasableRecords {
  /** Lists the names of all records kept for an envelope. */
  list(envelope: CID): Promise<readonly Uint8Array[]>;
  /** Deletes records; must not resolve before they are durably deleted. */
  delete(names: readonly Uint8Array[]): Promise<void>;
}

/** Options of {@link eraseEnvelope}. */
export interface EraseEnvelopeOptions {
  readonly envelope: CID;
  readonly blobs: ErasableBlobs;
  /** Grants kept here. Grants already handed over cannot be deleted. */
  readonly grants?: ErasableRecords;
  /** The custodian's own keys to the envelope. */
  readonly keys?: ErasableRecords;
}

/** Records that could not be deleted. */
export interface Unreached {
  readonly what: "header" | "blocks" | "grants" | "keys";
  /** CIDs, or names in hexadecimal; empty if not even the list could be read. */
  readonly names: readonly string[];
  readonly cause: unknown;
}

/**
 * A statement of what was deleted from the stores given. It is not a proof: nothing can prove that
 * no copy is left, and a recipient who was granted a key and kept the ciphertext can still read it.
 */
export interface EnvelopeErasure {
  readonly envelope: CID;
  /** Number of deleted records of each sort. */
  readonly deleted: {
    readonly header: number;
    readonly blocks: number;
    readonly grants: number;
    readonly keys: number;
  };
  /** Records that were already absent. */
  readonly absent: readonly CID[];
  /** Records that could not be deleted; repeat the call when their store can be reached. */
  readonly unreached: readonly Unreached[];
}

/**
 * Lists the records of an envelope.
 *
 * @param header - the signed header as read from the store
 * @example
 * const { blocks } = listEnvelope(envelope, await storage.blobs.get(envelope));
 * if (blocks === undefined) console.warn("the header is missing or is not this envelope's");
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

const ERASE_OPTIONS: OptionsOf<EraseEnvelopeOptions> = {
  ...{ envelope: true, blobs: true, grants: true, keys: true },
};

/**
 * Deletes an envelope's keys and grants, then its ciphertext, and last its header: while the header
 * exists, the rest can be found, so that an interrupted call can be repeated. Failures of stores
 * are reported, not thrown; the header is kept as long as there is ciphertext.
 *
 * The files of a store that deletes lazily hold the bytes until it is compacted.
 *
 * @example
 * const { unreached } = await eraseEnvelope({ envelope, blobs: storage.blobs });
 * if (unreached.length > 0) console.warn("not deleted yet: repeat the call");
 */
export async function eraseEnvelope(options: EraseEnvelopeOptions): Promise<EnvelopeErasure> {
  assertOptions(options, ERASE_OPTIONS, "eraseEnvelope");
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
  // Keep a header that still lists ciphertext.
  const deletedHeader = unreached.length > failed ? 0 : await remove("header", [envelope]);
  const deleted = { header: deletedHeader, blocks: deletedBlocks, grants, keys };
  return { envelope, deleted, absent, unreached };
}
