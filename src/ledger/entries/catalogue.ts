import { bytesKey } from "../../bytes/bytes-key.ts";
import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { StorageError } from "../../errors.ts";
import type { StateChange } from "../../storage/types.ts";
import type { LedgerContext } from "../context.ts";
import { openIndex, type Index } from "../index/index-store.ts";
import { wholeItem } from "../index/held.ts";
import { IndexMoved } from "../index/loss.ts";
import { assertNoneLack, isAboutAnybody } from "../index/lacking.ts";
import {
  type IndexItem,
  type Lacking,
  type PersonIdentifier,
  type StoredSubject,
} from "../index/rows.ts";
import { consentsLostOf } from "./lost-consents.ts";
import {
  createPersonEntries,
  presentItems,
  type PersonEntries,
} from "../persons/person-entries.ts";
import type { Identity } from "./own-envelope.ts";
import {
  type CatalogueItem,
  type CatalogueFind,
  alsoListed,
  byPlace,
  entitledLocal,
  isPresent,
} from "./catalogue-item.ts";
import { createTakingIn, FLUSH_BLOCKS, type Sealed } from "./taking-in.ts";

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
export interface Catalogue extends PersonEntries {
  /** Takes in the blocks since the last call. */
  catchUp(): Promise<void>;
  /** The height of the next block to take in; as of the last {@link catchUp} or a later one. */
  height(): number;
  /**
   * The entries of several lists in ledger order, as of the last {@link catchUp}, without keeping the lists
   * in memory. Rejects if an entry may be missing from one of them.
   *
   * @param people - the persons on whose entries the answer rests; all, if it is `undefined`
   */
  listed(
    lists: readonly Uint8Array[],
    people?: readonly Uint8Array[],
  ): Promise<readonly (readonly CatalogueItem[])[]>;
  /** Whether an entry of each of several lists was erased, as of the last {@link catchUp}. */
  haveErased(lists: readonly Uint8Array[]): Promise<readonly boolean[]>;
  find(id: Uint8Array): Promise<CatalogueFind>;
  /**
   * The entries that a member is entitled to, in ledger order, erased ones included, as of the last {@link catchUp}.
   * Rejects if one may be missing, since their places are the numbers by which the member knows them, or may have
   * been erased, though that could not be carried out.
   */
  entitledTo(actor: string): Promise<readonly IndexItem[]>;
  /**
   * The entries about a person alone, in ledger order, erased ones included. Rejects as {@link entitledTo} does.
   */
  filedAbout(local: Uint8Array): Promise<readonly IndexItem[]>;
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
  /** Takes in filed entries once some are waiting, so that no later call has to wait long. */
  keepUp(): Promise<void>;
  /**
   * Takes in what this process filed and writes it, so that the ledger's next opening need not. If
   * other processes filed very much meanwhile, only writes.
   */
  finish(): Promise<void>;
  /** Runs work on the index while nothing is taken in, then writes the index. The work must not take in. */
  withHands(work: (hands: IndexHands) => Promise<void>): Promise<void>;
  /** Writes pending changes. */
  flush(): Promise<void>;
  /** Entries that do not open here although nothing erased them. */
  lacking(): Promise<readonly Lacking[]>;
  /** Takes in the whole ledger again, without trusting anything in the index. */
  rebuild(): Promise<void>;
}

/** Number of newly filed entries after which they are taken in. */
const KEEP_UP_ENTRIES = 256;
/** Kinds of entries that make, change and end records. */
const CHANGING_RECORDS: readonly string[] = ["record", "link", "erase"];
/** How often a read is retried because other processes moved the index. */
const TRIES = 20;

/** Opens the index. Every erase entry of this custodian that it reads goes to `erasures`. */
export function openCatalogue(context: LedgerContext, erasures: ErasureHandler): Catalogue {
  const { chain, vault } = context;
  const index: Index = openIndex(context);
  const { takeIn, remember, waiting } = createTakingIn(context, {
    index,
    carryOut: (item) => erasures.carryOut(item, hands),
  });
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

  async function find(id: Uint8Array): Promise<CatalogueFind> {
    const known = await index.idRow(id);
    if (known === undefined) return { status: "missing" };
    if (known.local === undefined) {
      const { place, envelope, kind, erasedBy } = known;
      return erasedBy === undefined
        ? { status: "lost", place, envelope, kind }
        : { status: "erased", by: erasedBy, place, kind };
    }
    const held = (await index.person(known.local)).byId.get(bytesKey(id));
    if (held === undefined) return index.lost(`entry ${toHex(id)}`);
    const item = wholeItem(held);
    if (isPresent(item)) return { status: "present", item };
    const { kind, place, erasedBy } = item;
    return { status: "erased", by: erasedBy!, place, kind, local: known.local };
  }

  const consentsLost = (local: Uint8Array, kinds: readonly string[]): Promise<CatalogueItem[]> =>
    consentsLostOf(context, index, local, kinds);

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
        const held = person.byId.get(bytesKey(id));
        const manifest = held && wholeItem(held).manifest;
        index.tombstone(person, id, by);
        if (manifest === undefined) continue;
        for (const list of alsoListed(context, manifest)) {
          index.tombstone(await index.person(list), id, by);
        }
      }
    },
    forget: (local) => index.forget(local),
    remove: (changes) => index.alsoRemove(changes),
  };

  const entries = createPersonEntries(context, {
    ...{ index, steadily },
    assertCarriedOut: (local) => erasures.assertCarriedOut(local),
  });

  return {
    catchUp: () => steadily(async () => undefined, true),
    height: () => index.mark(),
    ...entries,
    async listed(lists, people) {
      for (const local of people ?? []) erasures.assertCarriedOut(local);
      return steadily(async () => {
        for (const local of people ?? []) await consentsLost(local, CHANGING_RECORDS);
        const isList = ({ local }: Lacking): boolean =>
          local !== undefined && lists.some((list) => equalBytes(list, local));
        const isMissing = ({ kind }: Lacking): boolean => CHANGING_RECORDS.includes(kind);
        const lacking = await index.lacking();
        assertNoneLack(lacking.filter(people === undefined ? isMissing : isList));
        return (await index.lists(lists)).map(presentItems);
      });
    },
    haveErased: (lists) =>
      steadily(async () =>
        (await index.lists(lists)).map((held) => presentItems(held).length < held.length),
      ),
    find: (id) => steadily(() => find(id)),
    entitledTo: (actor) =>
      steadily(async () => {
        assertNoneLack((await index.lacking()).filter(({ kind }) => kind !== "record"));
        const { held } = await index.person(entitledLocal(context, actor));
        const items = held.map(wholeItem).sort(byPlace);
        for (const { manifest } of items) {
          if (manifest !== undefined) erasures.assertCarriedOut(manifest.local);
        }
        return items;
      }),
    filedAbout: (local) =>
      steadily(async () => {
        assertNoneLack((await index.lacking()).filter(({ kind }) => kind !== "record"));
        erasures.assertCarriedOut(local);
        return (await index.person(local)).held.map(wholeItem).sort(byPlace);
      }),
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
    remember,
    keepUp: async () => {
      if (waiting() >= KEEP_UP_ENTRIES) await steadily(async () => undefined, true);
    },
    async finish() {
      if (!index.isOpen()) return;
      const isNear = waiting() > 0 && chain.size - index.mark() <= FLUSH_BLOCKS;
      // What cannot be taken in now is taken in when the ledger is opened again.
      if (isNear) await steadily(async () => undefined, true).catch(() => undefined);
      await steadily(() => index.flush());
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
