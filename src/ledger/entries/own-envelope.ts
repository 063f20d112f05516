import type { CID } from "multiformats/cid";
import { toHex } from "../../bytes/hex.ts";
import { wipeKeys } from "../../envelope/keys.ts";
import { openEnvelope, type OpenOptions } from "../../envelope/open.ts";
import { decodeSignedHeader } from "../../envelope/header.ts";
import { ConsentError, EncodingError, EnvelopeError, StorageError } from "../../errors.ts";
import { signingKeyAt, type LedgerContext } from "../context.ts";
import { contentKeyName } from "./filing.ts";
import { isLoss } from "../index/loss.ts";
import { decodeIdentifiers, type IndexItem, type PersonIdentifier } from "../index/rows.ts";
import { decodeManifest, type Manifest } from "./manifest.ts";

/**
 * Opens the manifest of one of the custodian's own envelopes and, in an `identify` entry, the identity.
 *
 * @returns `undefined` if either was erased, lost or damaged
 */
export async function openManifest(
  context: LedgerContext,
  { kind, envelope, place: { height } }: Pick<IndexItem, "kind" | "envelope" | "place">,
): Promise<Told | undefined> {
  const open = (...parts: string[]) => openOwn(context, { kind, envelope, height, parts });
  try {
    const bytes = (await open("manifest"))?.get("manifest");
    if (bytes === undefined) return undefined;
    const manifest = decodeManifest(bytes);
    if (manifest.op !== "identify") return { manifest };
    const parts = await open("content", "key");
    const [content, key] = [parts?.get("content"), parts?.get("key")];
    if (content === undefined || key === undefined) return undefined;
    return { manifest, identity: { identifiers: decodeIdentifiers(content), key } };
  } catch (error) {
    if (isLoss(error)) return undefined;
    throw error;
  }
}

/** Whether an error means that the data read differs from the data written. */
export function isDamage(error: unknown): boolean {
  return (
    error instanceof EncodingError ||
    error instanceof EnvelopeError ||
    error instanceof ConsentError ||
    (error instanceof StorageError && error.code === "ERR_STORAGE_CORRUPT")
  );
}

/** The error for an entry on the ledger that does not open although nothing erased it. */
export const lostEntry = (kind: string, id: Uint8Array): StorageError =>
  new StorageError(
    "ERR_STORAGE_MISSING",
    `${kind} entry ${toHex(id)} on the ledger does not open although nothing erased it: restore the store`,
  );

/**
 * The content key of one of the custodian's own envelopes, which the caller must wipe; `undefined` if it is not here,
 * or an erasure destroyed its wrapping key, since the store is then older.
 */
export async function ownContentKey(
  context: Pick<LedgerContext, "vault">,
  envelope: CID,
): Promise<Uint8Array | undefined> {
  try {
    return await context.vault.get(contentKeyName(context, envelope));
  } catch (error) {
    if (error instanceof StorageError && error.code === "ERR_STORAGE_ERASED") return undefined;
    throw error;
  }
}

/**
 * Opens parts of one of the custodian's own envelopes.
 *
 * @returns `undefined` if its key or header no longer exists
 * @throws {EnvelopeError} when the envelope exists but is damaged
 */
export async function openOwn(
  context: LedgerContext,
  what: OwnEnvelope & { readonly parts: readonly string[] },
): Promise<ReadonlyMap<string, Uint8Array> | undefined> {
  const opening = await openingOfOwn(context, what);
  if (opening === undefined) return undefined;
  try {
    // This member held it when it was sealed; a limit would only keep it from its own data.
    return (await openEnvelope({ ...opening, parts: what.parts, maxBytes: Infinity })).parts;
  } finally {
    wipeKeys(opening.keys);
  }
}

/** One of the custodian's own envelopes, as the catalogue knows it. */
export interface OwnEnvelope {
  readonly kind: string;
  readonly envelope: CID;
  /** Height of the entry that names it. */
  readonly height: number;
}

/**
 * Gathers the options that open one of the custodian's own envelopes.
 *
 * @returns the options, whose keys the caller must wipe; `undefined` if the envelope's key or header no
 *   longer exists
 */
export async function openingOfOwn(
  context: LedgerContext,
  { kind, envelope, height }: OwnEnvelope,
): Promise<OpenOptions | undefined> {
  const { chain, storage, signer } = context;
  const cek = await ownContentKey(context, envelope);
  const header = await storage.blobs.get(envelope);
  if (cek === undefined || header === undefined) return undefined;
  const { key } = decodeSignedHeader(header);
  return {
    envelope,
    header,
    keys: { cek },
    context: { ledger: chain.ledger, author: signer.actor, kind },
    author: await signingKeyAt(chain, signer.actor, key, height),
    read: (cid) => storage.blobs.get(cid),
  };
}

/** The content of an `identify` entry besides its manifest. */
export interface Identity {
  readonly identifiers: readonly PersonIdentifier[];
  /** The person's key, 32 bytes. */
  readonly key: Uint8Array;
}

/** An envelope's manifest and, in an `identify` entry, the identity. */
export interface Told {
  readonly manifest: Manifest;
  readonly identity?: Identity;
}
