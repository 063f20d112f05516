import { decodeEntry, entryId } from "../../block/entry.ts";
import { decodeTransaction } from "../../block/transaction.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { CID, cidOf, DAG_CBOR, RAW } from "../../codec/cid.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import {
  expectArray,
  expectBytes,
  expectMap,
  expectUint,
  expectVersion,
} from "../../codec/shape.ts";
import { narrowKeys } from "../../envelope/grant.ts";
import { decodeSignedHeader } from "../../envelope/header.ts";
import { wipeKeys } from "../../envelope/keys.ts";
import { openEnvelope } from "../../envelope/open.ts";
import { ChainError, EncodingError, LedgerError, TransportError } from "../../errors.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { openingOfOwn } from "../entries/own-envelope.ts";
import { signingKeyAt, type LedgerContext } from "../context.ts";
import { MAX_ASK_BYTES } from "../../transport/types.ts";

/** Parts of one of a member's entries that it shows to another member, as that one has proved them. */
export interface ShownEntry {
  readonly id: EntryId;
  readonly place: EntryPlace;
  readonly parts: ReadonlyMap<string, Uint8Array>;
}

/**
 * Writes what another member needs to prove some parts of one of this member's entries with its own copy of the
 * ledger: the entry's place, the envelope's header, the parts' keys and their ciphertext.
 *
 * @returns `undefined` when the entry was erased
 */
export async function showEntry(
  context: LedgerContext,
  { kind, envelope, place }: Pick<CatalogueItem, "kind" | "envelope" | "place">,
  parts: readonly string[],
): Promise<Uint8Array | undefined> {
  const opening = await openingOfOwn(context, { kind, envelope, height: place.height });
  if (opening === undefined) return undefined;
  const { header } = decodeSignedHeader(opening.header);
  const keys = narrowKeys(opening.keys, { header, parts });
  try {
    const blobs: Uint8Array[] = [];
    for (const { id, data } of header.parts) {
      if (!parts.includes(id)) continue;
      for (const cid of data) {
        const blob = await opening.read(cid);
        if (!(blob instanceof Uint8Array)) return undefined;
        blobs.push(blob);
      }
    }
    const at = [place.height, place.transaction, place.entry];
    const given = "parts" in keys ? keys.parts : {};
    return encode({ v: 1, place: at, header: opening.header, keys: given, blobs });
  } finally {
    wipeKeys(keys);
    wipeKeys(opening.keys);
  }
}

/**
 * Proves an entry that its author shows by this member's own copy of the ledger, and opens the parts.
 *
 * @param bring - brings this copy up to date, where another store orders
 * @returns `undefined` for anything but an entry of this kind by this author with these parts
 * @throws {ChainError} `ERR_CHAIN_BUSY` while this copy has not got that far
 */
export async function openShown(
  context: LedgerContext,
  bytes: Uint8Array,
  whose: { readonly author: string; readonly kind: string; readonly parts: readonly string[] },
  bring: () => Promise<void>,
): Promise<ShownEntry | undefined> {
  try {
    return await prove(context, decodeShown(bytes, whose.parts), whose, bring);
  } catch (error) {
    const isOurs = !(error instanceof LedgerError) || /^ERR_(CHAIN|STORAGE)_/.test(error.code);
    if (isOurs) throw error;
    return undefined;
  }
}

async function prove(
  context: LedgerContext,
  { place, header, keys, blobs }: Shown,
  {
    author,
    kind,
    parts,
  }: { readonly author: string; readonly kind: string; readonly parts: readonly string[] },
  bring: () => Promise<void>,
): Promise<ShownEntry | undefined> {
  const { chain } = context;
  const { ledger } = chain;
  if (place.height >= (await chain.refresh())) {
    const failed = await bring().catch((error: unknown) => error);
    // That nobody could be reached says nothing about the entry.
    if (failed !== undefined && !(failed instanceof TransportError)) throw failed;
    if (place.height >= (await chain.refresh())) {
      throw new ChainError(
        "ERR_CHAIN_BUSY",
        "the entry is on a part of the ledger that is not here yet",
        failed === undefined ? undefined : { cause: failed },
      );
    }
  }
  const { block } = await chain.readBlock(place.height);
  const signed = block.transactions[place.transaction];
  const entry = signed?.entries[place.entry];
  if (signed === undefined || entry === undefined) return undefined;
  const decoded = decodeEntry(entry);
  const envelope = cidOf(header, DAG_CBOR);
  const body = "body" in decoded ? CID.asCID(decoded.body) : undefined;
  const isTheirs = decodeTransaction(signed.tx).author === author;
  if (!isTheirs || decoded.kind !== kind || body?.equals(envelope) !== true) return undefined;
  const byCid = new Map(blobs.map((blob) => [cidOf(blob, RAW).toString(), blob]));
  const opened = await openEnvelope({
    ...{ envelope, header, keys: { parts: keys }, parts, context: { ledger, author, kind } },
    author: await signingKeyAt(chain, author, decodeSignedHeader(header).key, place.height),
    read: async (cid) => byCid.get(cid.toString()),
    maxBytes: MAX_ASK_BYTES,
  });
  return { id: toEntryId(entryId(ledger, author, entry)), place, parts: opened.parts };
}

interface Shown {
  readonly place: EntryPlace;
  readonly header: Uint8Array;
  readonly keys: Readonly<Record<string, Uint8Array>>;
  readonly blobs: readonly Uint8Array[];
}

function decodeShown(bytes: Uint8Array, parts: readonly string[]): Shown {
  const names = ["v", "place", "header", "keys", "blobs"];
  const map = expectMap(
    decode(bytes, { maxBytes: MAX_ASK_BYTES, maxDepth: 3, maxItems: 256 }),
    "shown entry",
    names,
  );
  expectVersion(map["v"], "shown entry");
  const place = expectArray(map["place"], "shown entry.place", 3).map((at) =>
    expectUint(at, "shown entry.place"),
  );
  const [height, transaction, entry] = place;
  if (height === undefined || transaction === undefined || entry === undefined) {
    throw new EncodingError("ERR_ENCODING_SHAPE", "shown entry.place has three numbers");
  }
  const keys = expectMap(map["keys"], "shown entry.keys", [...parts]);
  return {
    place: { height, transaction, entry },
    header: expectBytes(map["header"], "shown entry.header"),
    keys: Object.fromEntries(
      parts.map((id) => [id, expectBytes(keys[id], "shown entry.keys", 32)] as const),
    ),
    blobs: expectArray(map["blobs"], "shown entry.blobs", 64).map((blob) =>
      expectBytes(blob, "shown entry.blobs"),
    ),
  };
}
