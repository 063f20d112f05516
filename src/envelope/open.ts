import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { appendTo } from "../bytes/lists.ts";
import type { CID } from "../codec/cid.ts";
import { EnvelopeError, InputError } from "../errors.ts";
import { openBlock } from "./blocks.ts";
import { type BlockReader, readBlock } from "./read-block.ts";
import type { EnvelopeContext, EnvelopeHeader, EnvelopePart, SigningKey } from "./header.ts";
import { verifyHeader } from "./header.ts";
import type { EnvelopeKeys } from "./keys.ts";
import { decryptFailed, unlockParts } from "./keys.ts";
import { joinWithoutPadding } from "./padding.ts";
import { createPartCipher, type PartCipher } from "./part-cipher.ts";
import { usableSuite } from "./suite.ts";

/** Options of {@link openEnvelope}. */
export interface OpenOptions {
  /** The envelope's CID, from the body of the entry. */
  readonly envelope: CID;
  /** The signed header as received. */
  readonly header: Uint8Array;
  /** Borrowed; not wiped. */
  readonly keys: EnvelopeKeys;
  /** Ledger, author and kind of the first entry that names the envelope. */
  readonly context: EnvelopeContext;
  /** A signing key of the author that was in force at that entry. */
  readonly author: SigningKey;
  /** Fetches a ciphertext block; the caller need not check its hash. */
  readonly read: BlockReader;
  /** Ids of the parts to open. Default: all that the keys can open. */
  readonly parts?: readonly string[];
  /**
   * Most bytes of plaintext to hold, padding included. Default 288 MiB, which 256 MiB of content
   * and its manifest need.
   */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal;
}

/** An envelope that has been opened. */
export interface OpenedEnvelope {
  readonly header: EnvelopeHeader;
  /** Plaintext without padding, by part id. */
  readonly parts: ReadonlyMap<string, Uint8Array>;
}

const OPEN_OPTIONS: OptionsOf<OpenOptions> = {
  ...{ envelope: true, header: true, keys: true, context: true, author: true, read: true },
  ...{ parts: true, maxBytes: true, signal: true },
};

/**
 * Verifies an envelope's header and decrypts its parts.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when the header is not the author's for this entry
 *   or a block does not match its CID, `ERR_ENVELOPE_DECRYPT` when the keys do not open it,
 *   `ERR_ENVELOPE_MISSING` when a block is missing, `ERR_ENVELOPE_UNSUPPORTED`
 * @throws {StorageError} `ERR_STORAGE_ERASED`, `ERR_STORAGE_PRUNED` when `read` reports a block as
 *   such
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` beyond `maxBytes`
 * @example
 * const { parts } = await openEnvelope({
 *   ...{ envelope, header, keys, context, author },
 *   read: (cid) => storage.blobs.get(cid),
 * });
 * wipeKeys(keys);
 * const content = parts.get("content");
 */
export async function openEnvelope(options: OpenOptions): Promise<OpenedEnvelope> {
  assertOptions(options, OPEN_OPTIONS, "openEnvelope");
  const verified = verifyHeader(options.header, options);
  if (!verified.ok) {
    throw new EnvelopeError("ERR_ENVELOPE_INVALID", `the header was refused: ${verified.reason}`);
  }
  const { header } = verified;
  const suite = usableSuite(header.suite);
  const wanted = selectParts(header, options.keys, options.parts);
  const most = options.maxBytes ?? 288 * 1024 * 1024;
  if (wanted.reduce((sum, { size }) => sum + size, 0) > most) {
    throw new InputError(
      "ERR_INPUT_TOO_LARGE",
      `the parts have more than ${most} bytes of plaintext`,
    );
  }
  const ciphers = unlockParts(header, options.keys, wanted).map((key) =>
    createPartCipher(suite, key),
  );
  try {
    const parts = new Map<string, Uint8Array>();
    for (const [i, part] of wanted.entries()) {
      parts.set(part.id, await openPart(ciphers[i]!, part, options));
    }
    return { header, parts };
  } finally {
    for (const cipher of ciphers) cipher.close();
  }
}

function selectParts(
  header: EnvelopeHeader,
  keys: EnvelopeKeys,
  ids: readonly string[] | undefined,
): readonly EnvelopePart[] {
  if (ids === undefined) {
    const known = header.parts.filter(({ id }) => "cek" in keys || Object.hasOwn(keys.parts, id));
    if (known.length === 0) throw decryptFailed();
    return known;
  }
  return [...new Set(ids)].map((id) => {
    const part = header.parts.find((candidate) => candidate.id === id);
    if (part === undefined) {
      throw new EnvelopeError("ERR_ENVELOPE_INVALID", "the envelope has no such part");
    }
    return part;
  });
}

async function openPart(
  cipher: PartCipher,
  part: EnvelopePart,
  { read, signal }: OpenOptions,
): Promise<Uint8Array> {
  const segments: Uint8Array[] = [];
  try {
    for (const [block, cid] of part.data.entries()) {
      signal?.throwIfAborted();
      appendTo(segments, await openBlock(cipher, part, block, await readBlock(read, cid)));
    }
  } catch (error) {
    for (const segment of segments) segment.fill(0);
    throw error;
  }
  return joinWithoutPadding(segments, part.size);
}
