import { bytesKey } from "../../bytes/bytes-key.ts";
import { decodeEntry, entryIdOf, isCustom, type Entry } from "../../block/entry.ts";
import { decodeSubjectEntry } from "../../block/subject-entry.ts";
import { decodeTransaction } from "../../block/transaction.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { giveTurn } from "../../loop/give-turn.ts";
import { leafHash } from "../../merkle/hash.ts";
import type { LedgerContext } from "../context.ts";
import type { Index } from "../index/index-store.ts";
import { IndexMoved, isLoss } from "../index/loss.ts";
import {
  alsoListed,
  entitledLocal,
  isIndexed,
  tagOf,
  type CatalogueItem,
} from "./catalogue-item.ts";
import { isDecoy } from "./decoys.ts";
import type { SealedEntry } from "./filing.ts";
import { briefOf, ownManifest, type Manifest, type ManifestBrief } from "./manifest.ts";
import { openManifest, type Identity, type Told } from "./own-envelope.ts";

/** The parts of a newly sealed entry that are remembered. */
export type Sealed = Pick<SealedEntry, "id" | "manifest" | "encoded">;

/** An entry sealed in this process: its manifest, or a brief of one that describes a resource. */
type Remembered = { readonly encoded: Uint8Array } & (
  (Told & { readonly brief?: undefined }) | { readonly brief: ManifestBrief }
);

/**
 * Remembers an entry as sealed: the caller may change the manifest later.
 *
 * @param former - the brief before, which is often about the same person
 */
function rememberedOf(
  manifest: Manifest,
  encoded: Uint8Array,
  identity: Identity | undefined,
  former: ManifestBrief | undefined,
): Remembered {
  if (manifest.resource !== undefined) return { encoded, brief: briefOf(manifest, former) };
  const told = { encoded, manifest: ownManifest(manifest) };
  return identity === undefined ? told : { ...told, identity };
}

/** Takes the custodian's own entries from the ledger into the index. */
export interface TakingIn {
  /** Takes in the blocks since the last call. */
  takeIn(): Promise<void>;
  /** Remembers a newly sealed entry, to save decrypting it and encoding its manifest. */
  remember(sealed: Sealed, identity?: Identity): void;
  /** Number of entries remembered since the last call of {@link takeIn}. */
  waiting(): number;
}

/** Maximum number of entries, and of blocks, that are taken in again after a crash. */
const FLUSH_ENTRIES = 2048;
export const FLUSH_BLOCKS = 256;
/** Maximum number of entries that wait in memory while the store takes no writes. */
const UNFLUSHED_ENTRIES = 20_000;
/** Maximum number of remembered manifests of own entries; beyond it the oldest is dropped. */
const REMEMBERED = 8192;

/**
 * Starts taking in.
 *
 * @param options.carryOut - carries out an erase entry
 */
export function createTakingIn(
  context: LedgerContext,
  {
    index,
    carryOut,
  }: {
    readonly index: Index;
    readonly carryOut: (item: CatalogueItem) => Promise<void>;
  },
): TakingIn {
  const { chain, signer } = context;
  const remembered = new Map<string, Remembered>();
  let waiting = 0;
  let former: ManifestBrief | undefined;

  async function takeIn(): Promise<void> {
    await index.open();
    await chain.refresh();
    waiting = 0;
    if (index.mustFlush()) await tryToFlush();
    while (index.mark() < chain.size) {
      const { block, header } = await chain.readBlock(index.mark());
      for (const [transaction, signed] of block.transactions.entries()) {
        const { author, ledger } = decodeTransaction(signed.tx);
        if (author !== signer.actor) continue;
        const ids = signed.entries.map(entryIdOf(ledger, author));
        const known = await index.knows(ids);
        for (const [entry, bytes] of signed.entries.entries()) {
          const place = { height: header.height, transaction, entry };
          const read = () => decodeSubjectEntry(bytes) ?? decodeEntry(bytes);
          if (!known[entry]) await takeEntry(read(), ids[entry]!, place, header.time);
          await giveTurn();
        }
      }
      index.moveOn(leafHash(block.header));
      if (
        index.mustFlush() ||
        index.waiting() >= FLUSH_ENTRIES ||
        index.mark() - index.height() >= FLUSH_BLOCKS
      ) {
        await tryToFlush();
      }
    }
  }

  /** A store that takes no writes can still be read: new entries stay in memory up to a limit. */
  async function tryToFlush(): Promise<void> {
    try {
      await index.flush();
    } catch (error) {
      const isMuch = index.waiting() >= UNFLUSHED_ENTRIES;
      if (error instanceof IndexMoved || isMuch) throw error;
    }
  }

  async function takeEntry(
    entry: Entry,
    id: Uint8Array,
    place: EntryPlace,
    recordedAt: number,
  ): Promise<void> {
    if (isCustom(entry) || !("body" in entry) || !isIndexed(entry.kind)) return;
    const { kind, body: envelope } = entry;
    const key = bytesKey(id);
    // A copy of an entry that was already taken in adds nothing.
    if (index.hasTaken(key)) return;
    const sealed = remembered.get(key);
    remembered.delete(key);
    if (sealed?.brief !== undefined) {
      const { brief, encoded } = sealed;
      const item = { id, place, kind, envelope, recordedAt };
      const held = { item, page: undefined, encoded, brief };
      for (const list of alsoListed(context, brief)) index.addTo(list, { ...held });
      index.take(brief.local, held);
      return;
    }
    // Before it is opened: a decoy has no envelope, and must not count as an entry that lost its own.
    if (sealed === undefined && isDecoy(context, entry)) return;
    const told = sealed ?? (await openManifest(context, { kind, envelope, place }));
    if (told === undefined) {
      // It was erased, as a later entry may say, or its key, header or ciphertext was lost.
      const tag = "subject" in entry ? { tag: tagOf(entry) } : {};
      index.takeUnknown({ id, kind, ...tag }, envelope, place);
      return;
    }
    const { manifest, identity } = told;
    const { local } = manifest;
    const item: CatalogueItem = { id, place, kind, envelope, recordedAt, manifest };
    const held = { item, page: undefined, encoded: sealed?.encoded, brief: undefined };
    if (kind === "erase") await carryOutErasure(item);
    if (identity !== undefined) await makeKnown(item, identity);
    for (const list of alsoListed(context, manifest)) index.addTo(list, { ...held });
    index.take(local, held);
  }

  async function carryOutErasure(item: CatalogueItem): Promise<void> {
    try {
      await carryOut(item);
      await keepNumbers(item);
    } catch (error) {
      if (!isLoss(error)) throw error;
      // The entries that it names cannot be found: until the index is rebuilt, calls about the person reject.
      index.lack({ id: item.id, kind: item.kind, local: item.manifest.local });
    }
  }

  /** Lists erased entries whose manifests could not be read any more, for those who were entitled to them. */
  async function keepNumbers({ id: erasedBy, manifest }: CatalogueItem): Promise<void> {
    for (const { entitled, ids } of manifest.erased ?? []) {
      const lists = await Promise.all(
        entitled.map((actor) => index.person(entitledLocal(context, actor))),
      );
      for (const id of ids) {
        const unlisted = lists.filter(({ byId }) => !byId.has(bytesKey(id)));
        const row = unlisted.length === 0 ? undefined : await index.idRow(id);
        if (row === undefined || row.local !== undefined) continue;
        const { place, kind, envelope } = row;
        const { header } = await chain.readBlock(place.height);
        const item = { id, place, kind, envelope, recordedAt: header.time, erasedBy };
        for (const { local } of unlisted) {
          index.addTo(local, { item, page: undefined, encoded: undefined, brief: undefined });
        }
      }
    }
  }

  async function makeKnown(item: CatalogueItem, identity: Identity): Promise<void> {
    const { local } = item.manifest;
    try {
      await index.identify(local, identity);
    } catch (error) {
      if (!isLoss(error)) throw error;
      index.lack({ id: item.id, kind: item.kind, local });
    }
  }

  return {
    takeIn,
    remember({ id, manifest, encoded }, identity) {
      waiting++;
      const one = rememberedOf(manifest, encoded, identity, former);
      former = one.brief;
      remembered.set(bytesKey(id), one);
      // An entry that never reaches the ledger must not stay for ever.
      if (remembered.size > REMEMBERED) remembered.delete(remembered.keys().next().value!);
    },
    waiting: () => waiting,
  };
}
