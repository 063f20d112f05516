import { appendTo } from "../bytes/lists.ts";
import type { CID } from "multiformats/cid";
import { toHex } from "../bytes/hex.ts";
import { concatBytes } from "../bytes/concat.ts";
import { decodeEntry, entryIdOf, isCustom, type Entry } from "../block/entry.ts";
import { decodeTransaction } from "../block/transaction.ts";
import type { EntryPlace } from "../chain/make-receipt.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectCid, expectMap, expectUint } from "../codec/shape.ts";
import { wipeKeys } from "../envelope/keys.ts";
import { openEnvelope, type OpenOptions } from "../envelope/open.ts";
import { decodeSignedHeader } from "../envelope/header.ts";
import { ConsentError, EncodingError, EnvelopeError, StorageError } from "../errors.ts";
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
  /** Never was there; or stands on the ledger at a place, and its envelope does not open here. */
  | { readonly status: "missing"; readonly place?: EntryPlace };

/** An entry to be replaced by a tombstone. */
export interface Buried {
  readonly id: Uint8Array;
  readonly place: EntryPlace;
  /** The person it is about, where that can still be told. */
  readonly local?: Uint8Array;
}

/**
 * The custodian's index of its own entries by person and by id, sealed at rest. It is built from
 * the ledger and the envelopes, one decryption an entry, and can be built again.
 */
export interface Catalogue {
  /** Takes in the blocks since the last time. */
  catchUp(): Promise<void>;
  /**
   * All entries about a person, in ledger order, as of the last {@link catchUp}.
   *
   * @throws {StorageError} `ERR_STORAGE_CORRUPT` when the index has lost one of them
   */
  itemsOf(local: Uint8Array): Promise<readonly CatalogueItem[]>;
  find(id: Uint8Array): Promise<CatalogueFind>;
  /**
   * Whether a consent or an attested key stands on the ledger that does not open here, though
   * nothing erased it: then nobody can say what is permitted.
   */
  lacksConsents(): Promise<boolean>;
  /** Spares the decryption of an entry that this process has just sealed. */
  remember(id: Uint8Array, manifest: Manifest): void;
  /** Takes in what was filed once it has become much, so that no later call must wait long. */
  keepUp(): Promise<void>;
  /** The changes that turn entries into tombstones of an erasure. */
  bury(items: readonly Buried[], by: Uint8Array): StateChange[];
  /** Does what must not be seen half done, while nothing is taken in; must not take in itself. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
  /** Writes what is pending. */
  flush(): Promise<void>;
  /** Takes in the whole ledger again, trusting nothing that the index holds. */
  rebuild(): Promise<void>;
}

const CACHED_SUBJECTS = 256;
const FLUSH_AT = 2048;
/** Manifests of own entries that wait to be taken in; beyond, they are taken in by and by. */
const REMEMBERED = 8192;

/** What the index keeps under an entry's id. */
interface Known extends EntryPlace {
  readonly local?: Uint8Array;
  readonly erasedBy?: Uint8Array;
}

/**
 * Opens the index. `onErase` is told of every erase entry of this custodian that is met;
 * `assertReadable` is asked before a person's entries are listed.
 */
export function openCatalogue(
  context: LedgerContext,
  onErase: (item: CatalogueItem) => Promise<void>,
  assertReadable: (local: Uint8Array) => void = () => undefined,
): Catalogue {
  const { chain, vault, storage, signer } = context;
  const remembered = new Map<string, Manifest>();
  const bySubject = new Map<string, CatalogueItem[]>();
  const markName = vault.name("catalogue mark");
  const lackingPrefix = vault.name("catalogue lacking").subarray(0, 16);
  let pending: StateChange[] = [];
  const pendingItems = new Map<string, CatalogueItem>();
  let mark: number | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  /** Ids seen while the index is built again, when what it holds is not asked. */
  let rebuilding: Map<string, EntryPlace> | undefined;

  /** Which entries of the block that is being taken in are about whom. */
  let inBlock = new Map<string, { readonly local: Uint8Array; readonly ids: Uint8Array[] }>();

  const subjectPrefix = (local: Uint8Array): Uint8Array =>
    vault.name("catalogue subject", local).subarray(0, 16);
  // The place stands in the name as a keyed hash: else the store's keys would tell, to who has
  // nothing but the store, which entries on the ledger are about one person.
  const itemName = (local: Uint8Array, { height, transaction, entry }: EntryPlace): Uint8Array =>
    concatBytes(
      subjectPrefix(local),
      vault.name("catalogue place", encode([height, transaction, entry])),
    );
  const blocksPrefix = (local: Uint8Array): Uint8Array =>
    vault.name("catalogue blocks", local).subarray(0, 16);
  const blockName = (local: Uint8Array, height: number): Uint8Array =>
    concatBytes(blocksPrefix(local), vault.name("catalogue block", encode(height)));
  const idName = (id: Uint8Array): Uint8Array => vault.name("catalogue entry", id);
  const lackingName = (id: Uint8Array): Uint8Array =>
    concatBytes(lackingPrefix, vault.name("catalogue lacks", id));

  /** What moves the index, and what must not see it moving, waits for its turn. */
  function exclusively<T>(work: () => Promise<T>): Promise<T> {
    const mine = turn.then(work);
    turn = mine.catch(() => undefined);
    return mine;
  }

  async function takeIn(): Promise<void> {
    mark ??= await readMark();
    await chain.refresh();
    // A mark beyond the end is of another history, or of one that was lost.
    if (mark > chain.size) mark = 0;
    while (mark < chain.size) {
      const { block, header } = await chain.readBlock(mark);
      inBlock = new Map();
      try {
        for (const [transaction, signed] of block.transactions.entries()) {
          const { author, ledger } = decodeTransaction(signed.tx);
          if (author !== signer.actor) continue;
          const ids = signed.entries.map(entryIdOf(ledger, author));
          const known = rebuilding === undefined ? await vault.getMany(ids.map(idName)) : [];
          for (const [entry, bytes] of signed.entries.entries()) {
            const place = { height: header.height, transaction, entry };
            const decoded = decodeEntry(bytes);
            await takeEntry(decoded, ids[entry]!, place, header.time, known[entry]);
          }
        }
      } finally {
        countBlock(header.height);
      }
      mark++;
      if (pending.length >= FLUSH_AT) await flush();
    }
  }

  /** Notes that an entry of this block is about somebody, so that losing it is noticed. */
  function count(local: Uint8Array, id: Uint8Array): void {
    const hex = toHex(local);
    const counted = inBlock.get(hex);
    if (counted === undefined) inBlock.set(hex, { local, ids: [id] });
    else counted.ids.push(id);
  }

  function countBlock(height: number): void {
    for (const { local, ids } of inBlock.values()) {
      pending.push(vault.put(blockName(local, height), encode(ids)));
    }
  }

  /** Looks for entries that the index knew to be about a person and has no more. */
  async function assertWhole(
    counted: readonly Uint8Array[],
    items: readonly CatalogueItem[],
  ): Promise<void> {
    const there = new Set(items.map(({ id }) => toHex(id)));
    const absent = counted.filter((id) => !there.has(toHex(id)));
    for (const known of await vault.getMany(absent.map(idName))) {
      if (known !== undefined) {
        const { local, erasedBy } = decodeKnown(known);
        if (erasedBy !== undefined || local === undefined) continue;
      }
      throw new StorageError(
        "ERR_STORAGE_CORRUPT",
        "the index has lost an entry about this person: open with rebuildIndex",
      );
    }
  }

  async function takeEntry(
    entry: Entry,
    id: Uint8Array,
    place: EntryPlace,
    recordedAt: number,
    stored: Uint8Array | undefined,
  ): Promise<void> {
    if (isCustom(entry) || !("body" in entry) || !KINDS.includes(entry.kind)) return;
    const hex = toHex(id);
    const known = stored === undefined ? undefined : decodeKnown(stored);
    const elsewhere = pendingItems.get(hex)?.place ?? rebuilding?.get(hex) ?? known;
    // A copy of an entry that stands already says nothing new.
    if (elsewhere !== undefined && !isSamePlace(elsewhere, place)) return;
    rebuilding?.set(hex, place);
    const waiting = pendingItems.get(hex);
    if (waiting !== undefined) return count(waiting.manifest.local, id);
    if (known?.erasedBy !== undefined) return;
    if (known?.local !== undefined) {
      // Taken in before a crash, or by another process: this one has yet to hear of it.
      const value = await vault.get(itemName(known.local, place));
      if (value !== undefined) {
        count(known.local, id);
        return hear(decodeItem(value));
      }
    }
    const manifest =
      remembered.get(hex) ?? (await openManifest(context, entry.kind, entry.body, place.height));
    remembered.delete(hex);
    if (manifest === undefined) {
      // It was erased, as an entry further on may say; or its key or header was lost.
      pending.push(vault.put(idName(id), encode({ ...place })));
      if (entry.kind === "consent" || entry.kind === "link") {
        pending.push(vault.put(lackingName(id), new Uint8Array(0)));
      }
      return;
    }
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
    if (known !== undefined || rebuilding !== undefined) {
      pending.push(vault.remove(lackingName(id)));
    }
    count(local, id);
    pendingItems.set(hex, item);
    bySubject.get(toHex(local))?.push(item);
    if (entry.kind === "erase") {
      // What is still to be written of its targets must not be written behind their removal.
      countBlock(place.height);
      await flush();
      await onErase(item);
    }
  }

  /** Takes up in memory what the index holds already. */
  async function hear(item: CatalogueItem): Promise<void> {
    const items = bySubject.get(toHex(item.manifest.local));
    if (items?.some(({ place }) => isSamePlace(place, item.place)) === false) items.push(item);
    if (item.kind !== "erase") return;
    bySubject.clear();
    // Repeating an erasure is harmless; leaving one half done is not.
    await onErase(item);
  }

  async function readMark(): Promise<number> {
    const bytes = await vault.get(markName);
    return bytes === undefined ? 0 : expectUint(decode(bytes), "mark");
  }

  async function flush(): Promise<void> {
    if (pending.length === 0) return;
    const batch = pending;
    const items = [...pendingItems.keys()];
    pending = [];
    try {
      // One block can come to more changes than a batch takes. The mark is in the last.
      const most = Math.max(1, storage.state.caps.maxBatch - 1);
      for (let at = 0; at < batch.length; at += most) {
        const last = at + most >= batch.length;
        const mine = last ? [vault.put(markName, encode(mark ?? 0))] : [];
        await storage.state.batch([...batch.slice(at, at + most), ...mine], { sync: false });
      }
    } catch (error) {
      // Else a later mark would say that these are there.
      pending = [...batch, ...pending];
      throw error;
    }
    for (const id of items) pendingItems.delete(id);
  }

  const catchUp = (): Promise<void> => exclusively(takeIn);

  return {
    catchUp,
    async itemsOf(local) {
      assertReadable(local);
      const hex = toHex(local);
      const cached = bySubject.get(hex);
      if (cached !== undefined) return cached.slice();
      // In its turn: what is taken in while this reads would be missed for good.
      return exclusively(async () => {
        const meanwhile = bySubject.get(hex);
        if (meanwhile !== undefined) return meanwhile.slice();
        await flush();
        // First what must be there: another process may add to both in between.
        const counted: Uint8Array[] = [];
        for await (const { value } of vault.scan(blocksPrefix(local))) {
          appendTo(
            counted,
            expectArray(decode(value), "ids", 1_000_000).map((id) => expectBytes(id, "id", 32)),
          );
        }
        const items: CatalogueItem[] = [];
        for await (const { value } of vault.scan(subjectPrefix(local))) {
          items.push(decodeItem(value));
        }
        await assertWhole(counted, items);
        items.sort(byPlace);
        if (bySubject.size >= CACHED_SUBJECTS) bySubject.delete(bySubject.keys().next().value!);
        bySubject.set(hex, items);
        return items.slice();
      });
    },
    async find(id) {
      const held = pendingItems.get(toHex(id));
      if (held !== undefined) return { status: "present", item: held };
      const found = await vault.get(idName(id));
      if (found === undefined) return { status: "missing" };
      const { local, erasedBy, ...place } = decodeKnown(found);
      if (erasedBy !== undefined) return { status: "erased", by: erasedBy, place };
      const value = local && (await vault.get(itemName(local, place)));
      if (value === undefined) return { status: "missing", place };
      return { status: "present", item: decodeItem(value) };
    },
    async lacksConsents() {
      if (pending.length > 0) await exclusively(flush);
      for await (const lacking of vault.scan(lackingPrefix)) return lacking !== undefined;
      return false;
    },
    remember(id, manifest) {
      remembered.set(toHex(id), manifest);
      // One that never comes to stand on the ledger must not stay for ever.
      if (remembered.size > REMEMBERED) remembered.delete(remembered.keys().next().value!);
    },
    keepUp: async () => {
      if (remembered.size > REMEMBERED / 2) await catchUp();
    },
    bury(items, by) {
      for (const { id, local } of items) {
        pendingItems.delete(toHex(id));
        if (local !== undefined) bySubject.delete(toHex(local));
      }
      return items.flatMap(({ id, local, place: { height, transaction, entry } }) => {
        const place = { height, transaction, entry };
        return [
          ...(local === undefined ? [] : [vault.remove(itemName(local, place))]),
          vault.put(idName(id), encode({ erasedBy: by, ...place })),
          vault.remove(lackingName(id)),
        ];
      });
    },
    exclusively,
    flush: () => exclusively(flush),
    rebuild: () =>
      exclusively(async () => {
        mark = 0;
        rebuilding = new Map();
        bySubject.clear();
        try {
          await vault.discardErased();
          await takeIn();
          await flush();
        } finally {
          rebuilding = undefined;
          bySubject.clear();
        }
      }),
  };
}

const KINDS: readonly string[] = ["record", "consent", "access", "erase", "link"];

function decodeKnown(bytes: Uint8Array): Known {
  const map = expectMap(
    decode(bytes),
    "catalogue entry",
    ["height", "transaction", "entry"],
    ["local", "erasedBy"],
  );
  return {
    height: expectUint(map["height"], "height"),
    transaction: expectUint(map["transaction"], "transaction"),
    entry: expectUint(map["entry"], "entry"),
    ...(map["local"] === undefined ? {} : { local: expectBytes(map["local"], "local", 16) }),
    ...(map["erasedBy"] === undefined
      ? {}
      : { erasedBy: expectBytes(map["erasedBy"], "erasedBy", 32) }),
  };
}

function byPlace({ place: a }: CatalogueItem, { place: b }: CatalogueItem): number {
  return a.height - b.height || a.transaction - b.transaction || a.entry - b.entry;
}

function isSamePlace(a: EntryPlace, b: EntryPlace): boolean {
  return a.height === b.height && a.transaction === b.transaction && a.entry === b.entry;
}

/** Opens the manifest of one of the custodian's own envelopes. */
async function openManifest(
  context: LedgerContext,
  kind: string,
  envelope: CID,
  height: number,
): Promise<Manifest | undefined> {
  try {
    const opened = await openOwn(context, { kind, envelope, height, parts: ["manifest"] });
    const manifest = opened?.get("manifest");
    return manifest === undefined ? undefined : decodeManifest(manifest);
  } catch (error) {
    // One damaged entry must not keep every other from being found.
    if (isDamage(error)) return undefined;
    throw error;
  }
}

/** Whether an error says that something that was read is not what was written. */
export function isDamage(error: unknown): boolean {
  return (
    error instanceof EncodingError ||
    error instanceof EnvelopeError ||
    error instanceof ConsentError ||
    (error instanceof StorageError && error.code === "ERR_STORAGE_CORRUPT")
  );
}

/** A content key, unless an erasure destroyed what it is sealed under: then the store is older. */
async function contentKeyOf(
  vault: LedgerContext["vault"],
  name: Uint8Array,
): Promise<Uint8Array | undefined> {
  try {
    return await vault.get(name);
  } catch (error) {
    if (error instanceof StorageError && error.code === "ERR_STORAGE_ERASED") return undefined;
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
  what: OwnEnvelope & { readonly parts: readonly string[] },
): Promise<ReadonlyMap<string, Uint8Array> | undefined> {
  const opening = await openingOfOwn(context, what);
  if (opening === undefined) return undefined;
  try {
    return (await openEnvelope({ ...opening, parts: what.parts })).parts;
  } finally {
    wipeKeys(opening.keys);
  }
}

/** One of the custodian's own envelopes, as the catalogue knows it. */
export interface OwnEnvelope {
  readonly kind: string;
  readonly envelope: CID;
  /** Of the entry that names it. */
  readonly height: number;
}

/**
 * What opens one of the custodian's own envelopes.
 *
 * @returns `undefined` when its key or header is not there any more; the caller wipes the keys
 */
export async function openingOfOwn(
  context: LedgerContext,
  { kind, envelope, height }: OwnEnvelope,
): Promise<OpenOptions | undefined> {
  const { chain, storage, vault, signer } = context;
  const cek = await contentKeyOf(vault, contentKeyName(context, envelope));
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
