import type { CID } from "multiformats/cid";
import { toHex } from "../bytes/hex.ts";
import { concatBytes } from "../bytes/concat.ts";
import { decodeEntry, entryIdOf, isCustom, type Entry } from "../block/entry.ts";
import { decodeTransaction } from "../block/transaction.ts";
import type { EntryPlace } from "../chain/make-receipt.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectBytes, expectCid, expectMap, expectUint } from "../codec/shape.ts";
import { openEnvelope } from "../envelope/open.ts";
import { decodeSignedHeader } from "../envelope/header.ts";
import { LedgerError } from "../errors.ts";
import type { StateChange } from "../storage/types.ts";
import { signingKeyAt, type LedgerContext } from "./context.ts";
import { contentKeyName } from "./filing.ts";
import { decodeManifest, encodeManifest, type Manifest } from "./manifest.ts";

/** One of the custodian's own entries, with what its envelope says of itself. */
export interface CatalogueItem {
  readonly id: Uint8Array;
  readonly place: EntryPlace;
  readonly kind: string;
  readonly envelope: CID;
  /** Time of the block, in ms. */
  readonly recordedAt: number;
  readonly manifest: Manifest;
}

/** What the custodian knows under an entry's id. */
export type CatalogueFind =
  | { readonly status: "present"; readonly item: CatalogueItem }
  /** Its envelope was destroyed by the erase entry with this id. */
  | { readonly status: "erased"; readonly by: Uint8Array; readonly place: EntryPlace }
  | { readonly status: "missing" };

/**
 * The custodian's index of its own entries by person and by id, sealed at rest. It is built from
 * the ledger and the envelopes, one decryption an entry, and can be built again.
 */
export interface Catalogue {
  /** Takes in the blocks since the last time. */
  catchUp(): Promise<void>;
  /** All entries about a person, in ledger order, as of the last {@link catchUp}. */
  itemsOf(local: Uint8Array): Promise<readonly CatalogueItem[]>;
  find(id: Uint8Array): Promise<CatalogueFind>;
  /** Spares the decryption of an entry that this process has just sealed. */
  remember(id: Uint8Array, manifest: Manifest): void;
  /** The changes that turn entries into tombstones of an erasure. */
  bury(items: readonly CatalogueItem[], by: Uint8Array): StateChange[];
  /** Writes what is pending. */
  flush(): Promise<void>;
}

const CACHED_SUBJECTS = 256;
const FLUSH_AT = 2048;

/** Opens the index. `onErase` is told of every erase entry of this custodian that is met. */
export function openCatalogue(
  context: LedgerContext,
  onErase: (item: CatalogueItem) => Promise<void>,
): Catalogue {
  const { chain, vault, storage, signer } = context;
  const remembered = new Map<string, Manifest>();
  const bySubject = new Map<string, CatalogueItem[]>();
  const markName = vault.name("catalogue mark");
  let pending: StateChange[] = [];
  const pendingItems = new Map<string, CatalogueItem>();
  let mark: number | undefined;
  let turn: Promise<void> = Promise.resolve();

  const subjectPrefix = (local: Uint8Array): Uint8Array =>
    vault.name("catalogue subject", local).subarray(0, 16);
  const itemName = (local: Uint8Array, place: EntryPlace): Uint8Array =>
    concatBytes(subjectPrefix(local), placeKey(place));
  const idName = (id: Uint8Array): Uint8Array => vault.name("catalogue entry", id);

  async function takeIn(): Promise<void> {
    mark ??= await readMark();
    await chain.refresh();
    while (mark < chain.size) {
      const { block, header } = await chain.readBlock(mark);
      for (const [transaction, signed] of block.transactions.entries()) {
        const { author, ledger } = decodeTransaction(signed.tx);
        if (author !== signer.actor) continue;
        const idOf = entryIdOf(ledger, author);
        for (const [entry, bytes] of signed.entries.entries()) {
          const place = { height: header.height, transaction, entry };
          await takeEntry(decodeEntry(bytes), idOf(bytes), place, header.time);
        }
      }
      mark++;
      if (pending.length >= FLUSH_AT) await flush();
    }
  }

  async function takeEntry(
    entry: Entry,
    id: Uint8Array,
    place: EntryPlace,
    recordedAt: number,
  ): Promise<void> {
    if (isCustom(entry) || !("body" in entry)) return;
    const hex = toHex(id);
    // A copy of an entry that stands already says nothing new.
    if (pendingItems.has(hex) || (await vault.get(idName(id))) !== undefined) return;
    const manifest =
      remembered.get(hex) ?? (await openManifest(context, entry.kind, entry.body, place.height));
    remembered.delete(hex);
    // What does not open was erased, or is not this custodian's after all.
    if (manifest === undefined) return;
    const item: CatalogueItem = {
      id,
      place,
      kind: entry.kind,
      envelope: entry.body,
      recordedAt,
      manifest,
    };
    const { local } = manifest;
    pending.push(
      vault.put(itemName(local, place), encodeItem(item)),
      vault.put(idName(id), encode({ local, ...place })),
    );
    pendingItems.set(hex, item);
    bySubject.get(toHex(local))?.push(item);
    if (entry.kind === "erase") await onErase(item);
  }

  async function readMark(): Promise<number> {
    const bytes = await vault.get(markName);
    return bytes === undefined ? 0 : expectUint(decode(bytes), "mark");
  }

  async function flush(): Promise<void> {
    if (pending.length === 0) return;
    const batch = [...pending, vault.put(markName, encode(mark ?? 0))];
    const items = [...pendingItems.keys()];
    pending = [];
    await storage.state.batch(batch, { sync: false });
    for (const id of items) pendingItems.delete(id);
  }

  return {
    catchUp() {
      turn = turn.catch(() => undefined).then(takeIn);
      return turn;
    },
    async itemsOf(local) {
      const hex = toHex(local);
      let items = bySubject.get(hex);
      if (items === undefined) {
        await flush();
        items = [];
        for await (const { value } of vault.scan(subjectPrefix(local))) {
          items.push(decodeItem(value));
        }
        if (bySubject.size >= CACHED_SUBJECTS) bySubject.delete(bySubject.keys().next().value!);
        bySubject.set(hex, items);
      }
      return items.slice();
    },
    async find(id) {
      const held = pendingItems.get(toHex(id));
      if (held !== undefined) return { status: "present", item: held };
      const found = await vault.get(idName(id));
      if (found === undefined) return { status: "missing" };
      const map = decode(found) as { local?: Uint8Array; erasedBy?: Uint8Array } & EntryPlace;
      const place = { height: map.height, transaction: map.transaction, entry: map.entry };
      if (map.erasedBy !== undefined) return { status: "erased", by: map.erasedBy, place };
      const value = await vault.get(itemName(map.local!, place));
      const item = value === undefined ? undefined : decodeItem(value);
      return item === undefined ? { status: "missing" } : { status: "present", item };
    },
    remember(id, manifest) {
      if (remembered.size < 100_000) remembered.set(toHex(id), manifest);
    },
    bury(items, by) {
      for (const { id, manifest } of items) {
        pendingItems.delete(toHex(id));
        bySubject.delete(toHex(manifest.local));
      }
      return items.flatMap(({ id, manifest, place }) => [
        vault.remove(itemName(manifest.local, place)),
        vault.put(idName(id), encode({ erasedBy: by, ...place })),
      ]);
    },
    flush,
  };
}

/** Opens the manifest of one of the custodian's own envelopes. */
async function openManifest(
  context: LedgerContext,
  kind: string,
  envelope: CID,
  height: number,
): Promise<Manifest | undefined> {
  const opened = await openOwn(context, { kind, envelope, height, parts: ["manifest"] });
  const manifest = opened?.get("manifest");
  if (manifest === undefined) return undefined;
  try {
    return decodeManifest(manifest);
  } catch (error) {
    if (error instanceof LedgerError) return undefined;
    throw error;
  }
}

/**
 * Opens parts of one of the custodian's own envelopes.
 *
 * @returns `undefined` when its key or header is not there any more
 * @throws {EnvelopeError} when it is there and damaged
 */
export async function openOwn(
  context: LedgerContext,
  what: {
    readonly kind: string;
    readonly envelope: CID;
    readonly height: number;
    readonly parts: readonly string[];
  },
): Promise<ReadonlyMap<string, Uint8Array> | undefined> {
  const { chain, storage, vault, signer } = context;
  const { envelope, kind, height, parts } = what;
  const cek = await vault.get(contentKeyName(context, envelope));
  const header = await storage.blobs.get(envelope);
  if (cek === undefined || header === undefined) return undefined;
  const { key } = decodeSignedHeader(header);
  const opened = await openEnvelope({
    envelope,
    header,
    keys: { cek },
    context: { ledger: chain.ledger, author: signer.actor, kind },
    author: await signingKeyAt(chain, signer.actor, key, height),
    read: (cid) => storage.blobs.get(cid),
    parts,
  });
  cek.fill(0);
  return opened.parts;
}

function encodeItem(item: CatalogueItem): Uint8Array {
  const { id, place, kind, envelope, recordedAt, manifest } = item;
  return encode({ id, ...place, kind, envelope, recordedAt, manifest: encodeManifest(manifest) });
}

function decodeItem(bytes: Uint8Array): CatalogueItem {
  const fields = ["id", "height", "transaction", "entry", "kind", "envelope", "recordedAt"];
  const map = expectMap(decode(bytes), "catalogue item", [...fields, "manifest"]);
  return {
    id: expectBytes(map["id"], "id", 32),
    place: {
      height: expectUint(map["height"], "height"),
      transaction: expectUint(map["transaction"], "transaction"),
      entry: expectUint(map["entry"], "entry"),
    },
    kind: map["kind"] as string,
    envelope: expectCid(map["envelope"], "envelope"),
    recordedAt: expectUint(map["recordedAt"], "recordedAt"),
    manifest: decodeManifest(expectBytes(map["manifest"], "manifest")),
  };
}

function placeKey({ height, transaction, entry }: EntryPlace): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(height));
  view.setUint32(8, transaction);
  view.setUint32(12, entry);
  return bytes;
}
