import { toHex } from "../../bytes/hex.ts";
import { decodeEntry, entryIdOf, isCustom, type Entry } from "../../block/entry.ts";
import { decodeSubjectEntry } from "../../block/subject-entry.ts";
import { decodeTransaction } from "../../block/transaction.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { StorageError } from "../../errors.ts";
import { giveTurn } from "../../loop/give-turn.ts";
import { leafHash } from "../../merkle/hash.ts";
import type { StateChange } from "../../storage/types.ts";
import type { LedgerContext } from "../context.ts";
import type { SealedEntry } from "./filing.ts";
import { openIndex, type Index } from "../index/index-store.ts";
import type { Person } from "../index/memory.ts";
import { IndexMoved, isLoss } from "../index/loss.ts";
import { assertNoneLack, isAboutAnybody, mayBeAbout } from "../index/lacking.ts";
import {
  INDEXED_KINDS,
  type Lacking,
  type PersonIdentifier,
  type StoredSubject,
} from "../index/rows.ts";
import { ownManifest, type Manifest } from "./manifest.ts";
import { nameBook, type RecordNames } from "./record-names.ts";
import { openManifest, type Told, type Identity } from "./own-envelope.ts";
import {
  type CatalogueItem,
  type CatalogueFind,
  byPlace,
  isPresent,
  isReview,
  isIndexed,
  tagOf,
  reviewsLocal,
} from "./catalogue-item.ts";

/** The parts of a newly sealed entry that the catalogue remembers. */
type Sealed = Pick<SealedEntry, "id" | "manifest" | "encoded">;

/** The operations that an erasure may use on the index while it is carried out. */
export interface IndexHands {
  find(id: Uint8Array): Promise<CatalogueFind>;
  /** Replaces entries by tombstones. */
  tombstone(ids: readonly Uint8Array[], by: Uint8Array): Promise<void>;
  /** Forgets a person's identifiers and key. */
  forget(local: Uint8Array): Promise<void>;
  /** Adds changes of the vault that are made together with those of the index, or before them. */
  remove(changes: readonly StateChange[]): void;
}

/** Handles the erase entries that the catalogue reads. */
export interface ErasureHandler {
  /**
   * Carries out an erase entry of the ledger; repeating it is harmless. Called while the catalogue takes
   * entries in, so it must not call the catalogue, only `index`.
   */
  carryOut(item: CatalogueItem, index: IndexHands): Promise<void>;
  /**
   * Called before a person's entries are listed.
   *
   * @throws {StorageError} `ERR_STORAGE_PENDING` when an erasure about this person could not be carried
   *   out: the data that it was to destroy may still be there
   */
  assertCarriedOut(local: Uint8Array): void;
}

/**
 * The custodian's index of its own entries by person and by id, sealed at rest. It is a function of those
 * entries in ledger order. One root commits to both what it holds and what it does not hold, so data that
 * the store lost is never mistaken for data that never existed.
 *
 * A call whose answer would depend on lost data rejects with a {@link StorageError} `ERR_STORAGE_CORRUPT`
 * that names it.
 */
export interface Catalogue {
  /** Takes in the blocks since the last call. */
  catchUp(): Promise<void>;
  /**
   * All entries about a person, in ledger order, as of the last {@link catchUp}. The person's consents that
   * do not open are included, marked as lost.
   *
   * @param kinds - the call rejects if an entry of one of these kinds is lost; default all
   */
  itemsOf(
    local: Uint8Array,
    kinds?: readonly (typeof INDEXED_KINDS)[number][],
  ): Promise<readonly CatalogueItem[]>;
  /**
   * Whether a record about a person may have one of these names; `false` means that none has. Depends on
   * the same data as {@link itemsOf}, and takes no longer for many records.
   */
  mayHold(local: Uint8Array, names: RecordNames): Promise<boolean>;
  find(id: Uint8Array): Promise<CatalogueFind>;
  /** The local id of the person with an identifier; `undefined` if provably nobody has it. */
  personWith(identifier: PersonIdentifier): Promise<Uint8Array | undefined>;
  /** A person's identifiers and key; `undefined` if the person was forgotten or never known. */
  subject(local: Uint8Array): Promise<StoredSubject | undefined>;
  /** Whether anything was ever filed about a person here, even if it was erased since. */
  knows(local: Uint8Array): Promise<boolean>;
  /** Rejects if an entry that nothing erased does not open, and whom it is about is unknown. */
  assertComplete(): Promise<void>;
  /** Remembers a newly sealed entry, to save decrypting it and encoding its manifest. */
  remember(sealed: Sealed, identity?: Identity): void;
  /** Takes in filed entries once many are waiting, so that no later call has to wait long. */
  keepUp(): Promise<void>;
  /** Runs work on the index while nothing is taken in, then writes the index. The work must not take in. */
  withHands(work: (hands: IndexHands) => Promise<void>): Promise<void>;
  /** Writes pending changes. */
  flush(): Promise<void>;
  /** Entries that do not open here although nothing erased them. */
  lacking(): Promise<readonly Lacking[]>;
  /** Takes in the whole ledger again, without trusting anything in the index. */
  rebuild(): Promise<void>;
}

/** Maximum number of entries, and of blocks, that are taken in again after a crash. */
const FLUSH_ENTRIES = 2048;
const FLUSH_BLOCKS = 256;
/** Maximum number of entries that wait in memory while the store takes no writes. */
const UNFLUSHED_ENTRIES = 20_000;
/** Maximum number of remembered manifests of own entries; beyond it the oldest is dropped. */
const REMEMBERED = 8192;
/** How often a read is retried because other processes moved the index. */
const TRIES = 20;

/** Opens the index. Every erase entry of this custodian that it reads goes to `erasures`. */
export function openCatalogue(context: LedgerContext, erasures: ErasureHandler): Catalogue {
  const { chain, vault, signer } = context;
  const remembered = new Map<string, Told>();
  const index: Index = openIndex(context);
  const reviews = reviewsLocal(context);
  const isAnyNamed = nameBook();
  let turn: Promise<unknown> = Promise.resolve();

  /** Work that moves the index, or must not see it move, waits for its turn. */
  function exclusively<T>(work: () => Promise<T>): Promise<T> {
    const mine = turn.then(work);
    turn = mine.catch(() => undefined);
    return mine;
  }

  /** Runs work on the index, and runs it again if another process moved the index meanwhile. */
  const steadily = <T>(work: () => Promise<T>, isFresh = false): Promise<T> =>
    exclusively(async () => {
      for (let tries = 0; ; tries++) {
        try {
          if (isFresh || tries > 0 || !index.isOpen()) await takeIn();
          return await work();
        } catch (error) {
          if (!(error instanceof IndexMoved)) throw error;
          index.reset();
          if (tries < TRIES) continue;
          throw new StorageError(
            "ERR_STORAGE_CONFLICT",
            "other processes of this member moved the index too often: try again",
          );
        }
      }
    });

  async function takeIn(): Promise<void> {
    await index.open();
    await chain.refresh();
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
    const hex = toHex(id);
    // A copy of an entry that was already taken in adds nothing.
    if (index.hasTaken(hex)) return;
    const told = remembered.get(hex) ?? (await openManifest(context, { kind, envelope, place }));
    remembered.delete(hex);
    if (told === undefined) {
      // It was erased, as a later entry may say, or its key, header or ciphertext was lost.
      const tag = "subject" in entry ? { tag: tagOf(entry) } : {};
      index.takeUnknown({ id, kind, ...tag }, envelope, place);
      return;
    }
    const { manifest, encoded, identity } = told;
    const { local } = manifest;
    const item: CatalogueItem = { id, place, kind, envelope, recordedAt, manifest };
    const held = encoded === undefined ? { item } : { item, encoded };
    if (kind === "erase") await carryOut(item);
    if (identity !== undefined) await makeKnown(item, identity);
    if (isReview(manifest)) index.addTo(reviews, held);
    index.take(local, held);
  }

  async function carryOut(item: CatalogueItem): Promise<void> {
    try {
      await erasures.carryOut(item, hands);
    } catch (error) {
      if (!isLoss(error)) throw error;
      // The entries that it names cannot be found: until the index is rebuilt, calls about the person reject.
      index.lack({ id: item.id, kind: item.kind, local: item.manifest.local });
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

  async function find(id: Uint8Array): Promise<CatalogueFind> {
    const known = await index.idRow(id);
    if (known === undefined) return { status: "missing" };
    if (known.local === undefined) {
      const { place, envelope, kind, erasedBy } = known;
      return erasedBy === undefined
        ? { status: "lost", place, envelope, kind }
        : { status: "erased", by: erasedBy, place, kind };
    }
    const held = (await index.person(known.local)).byId.get(toHex(id));
    if (held === undefined) return index.lost(`entry ${toHex(id)}`);
    const { item } = held;
    if (isPresent(item)) return { status: "present", item };
    const { kind, place, erasedBy } = item;
    return { status: "erased", by: erasedBy!, place, kind, local: known.local };
  }

  /**
   * Consents that do not open and that are about a person by their tags. Their readers must find out whether
   * a later one replaces them.
   *
   * @throws {StorageError} when another entry of these kinds that may be about the person does not open
   */
  async function consentsLost(
    local: Uint8Array,
    kinds: readonly string[],
  ): Promise<CatalogueItem[]> {
    const all = await index.lacking();
    if (all.length === 0) return [];
    const key = (await index.subject(local))?.key;
    const made = { ledger: chain.ledger, author: signer.actor };
    const about = all.filter((one) => mayBeAbout(one, { local, key }, made));
    const isConsent = ({ kind, tag }: Lacking): boolean =>
      kind === "consent" && tag !== undefined && key !== undefined;
    assertNoneLack(about.filter((one) => kinds.includes(one.kind) && !isConsent(one)));
    const lost: CatalogueItem[] = [];
    for (const { id, kind } of about.filter(isConsent)) {
      const known = await index.idRow(id);
      if (known === undefined || known.local !== undefined) continue;
      const { envelope, place } = known;
      const { header } = await chain.readBlock(place.height);
      const manifest: Manifest = { v: 1, op: "directive", local };
      lost.push({ id, kind, envelope, place, recordedAt: header.time, manifest, lost: true });
    }
    return lost;
  }

  const hands: IndexHands = {
    find,
    async tombstone(ids, by) {
      for (const id of ids) {
        const known = await index.idRow(id);
        if (known === undefined) continue;
        if (known.local === undefined) {
          index.tombstoneUnknown(id, known, by);
          continue;
        }
        const person = await index.person(known.local);
        const manifest = person.byId.get(toHex(id))?.item.manifest;
        index.tombstone(person, id, by);
        if (manifest !== undefined && isReview(manifest)) {
          index.tombstone(await index.person(reviews), id, by);
        }
      }
    },
    forget: (local) => index.forget(local),
    remove: (changes) => index.alsoRemove(changes),
  };

  function present({ held }: Person): CatalogueItem[] {
    const items: CatalogueItem[] = [];
    for (const { item } of held) if (isPresent(item)) items.push(item);
    return items;
  }

  return {
    catchUp: () => steadily(async () => undefined, true),
    async itemsOf(local, kinds = INDEXED_KINDS) {
      erasures.assertCarriedOut(local);
      const cached = index.cached(local);
      if (cached !== undefined) return present(cached);
      // In turn: entries taken in during this read would otherwise be missed for good.
      return steadily(async () => {
        const lost = await consentsLost(local, kinds);
        const items = present(await index.person(local));
        return lost.length === 0 ? items : [...items, ...lost].sort(byPlace);
      });
    },
    async mayHold(local, names) {
      erasures.assertCarriedOut(local);
      const cached = index.cached(local);
      if (cached !== undefined) return isAnyNamed(cached, names);
      return steadily(async () => {
        await consentsLost(local, INDEXED_KINDS);
        return isAnyNamed(await index.person(local), names);
      });
    },
    find: (id) => steadily(() => find(id)),
    personWith: (identifier) =>
      steadily(async () => {
        const local = await index.personWith(identifier);
        // An entry that does not open may have named the person who has it.
        if (local === undefined) {
          assertNoneLack((await index.lacking()).filter(({ kind }) => kind === "link"));
        }
        return local;
      }),
    subject: (local) => steadily(() => index.subject(local)),
    knows: (local) =>
      steadily(async () => {
        const { held } = await index.person(local);
        if (held.length > 0 || (await index.subject(local)) !== undefined) return true;
        // An entry that does not open may have made the person known.
        assertNoneLack((await index.lacking()).filter(({ kind }) => kind === "link"));
        return false;
      }),
    assertComplete: () =>
      steadily(async () => assertNoneLack((await index.lacking()).filter(isAboutAnybody))),
    remember({ id, manifest, encoded }, identity) {
      // A copy as sealed: the caller may change the original.
      const told = { manifest: ownManifest(manifest), encoded };
      remembered.set(toHex(id), identity === undefined ? told : { ...told, identity });
      // An entry that never reaches the ledger must not stay for ever.
      if (remembered.size > REMEMBERED) remembered.delete(remembered.keys().next().value!);
    },
    keepUp: async () => {
      if (remembered.size > REMEMBERED / 2) await steadily(async () => undefined, true);
    },
    flush: async () => {
      if (index.isOpen()) await steadily(() => index.flush());
    },
    lacking: () => steadily(() => index.lacking(), true),
    rebuild: async () => {
      await exclusively(async () => {
        await vault.discardErased();
        await index.beginAnew();
      });
      await steadily(() => index.flush(), true);
    },
    withHands: (work) =>
      steadily(async () => {
        await work(hands);
        await index.flush();
      }),
  };
}

/** Whether an entry is erased by now. */
export async function isErasedNow(catalogue: Catalogue, id: Uint8Array): Promise<boolean> {
  await catalogue.catchUp();
  return (await catalogue.find(id)).status === "erased";
}
