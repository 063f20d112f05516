import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { appendTo } from "../../bytes/lists.ts";
import type { LedgerContext } from "../context.ts";
import { byPlace, isPresent, linksLocal, type CatalogueItem } from "../entries/catalogue-item.ts";
import { consentsLostOf } from "../entries/lost-consents.ts";
import { recordBook } from "../entries/record-book.ts";
import { nameBook, type RecordNames } from "../entries/record-names.ts";
import { giveTurn } from "../../loop/give-turn.ts";
import { wholeItem, type Held } from "../index/held.ts";
import type { Index } from "../index/index-store.ts";
import { assertNoneLack, isAboutAnybody } from "../index/lacking.ts";
import type { Person } from "../index/memory.ts";
import { INDEXED_KINDS } from "../index/rows.ts";
import { foldLinks, isLink, type JoinedPersons } from "./fold-links.ts";

/**
 * Entries about a person and about those joined with them that a decision depends on, each list in ledger order. A
 * person who was never joined has the same lists as long as nothing is added to them or erased.
 */
export interface EntriesOfJoined {
  /** Those of the kind `record`. */
  readonly records: readonly CatalogueItem[];
  /** Consents, links and erasures. */
  readonly others: readonly CatalogueItem[];
  /** The merges in effect that join them. */
  readonly merges: readonly CatalogueItem[];
}

/** Reads the entries about persons, and about those joined with them. */
export interface PersonEntries {
  /**
   * All entries about a person and about those joined with them, in ledger order, as of the last `catchUp`
   * of the catalogue. The persons' consents that do not open are included, marked as lost.
   *
   * @param kinds - the call rejects if an entry of one of these kinds is lost; default all. It always
   *   rejects if it is unknown who is joined with the person
   * @param height - the last block whose merges count; default the newest
   */
  itemsOf(
    local: Uint8Array,
    kinds?: readonly (typeof INDEXED_KINDS)[number][],
    height?: number,
  ): Promise<readonly CatalogueItem[]>;
  /**
   * The same entries without accesses, with those that join the persons; all at one moment. Takes no longer for many
   * entries of a person who was never joined.
   */
  entriesOf: (...which: Parameters<PersonEntries["itemsOf"]>) => Promise<EntriesOfJoined>;
  /**
   * The entries about one record of a person, in ledger order, given the id of any of them; none
   * where an entry that they follow was erased. Takes no longer for many records.
   */
  recordItems(local: Uint8Array, id: Uint8Array): Promise<readonly CatalogueItem[]>;
  /**
   * Whether a record about a person, or about one joined with them, may have one of these names; `false`
   * means that none has. Depends on the same data as {@link itemsOf}, and takes no longer for many records.
   */
  mayHold(local: Uint8Array, names: RecordNames): Promise<boolean>;
  /**
   * Who is joined with a person, and with everybody whom they were ever joined with.
   *
   * @param height - the last block whose merges count; default the newest
   */
  joinedWith(local: Uint8Array, height?: number): Promise<JoinedPersons>;
}

/** Dependencies of reading entries about persons. */
interface EntrySource {
  readonly index: Pick<Index, "cached" | "person" | "lists" | "lacking" | "subject" | "idRow">;
  /** @throws {StorageError} `ERR_STORAGE_PENDING` when an erasure about this person is not carried out */
  readonly assertCarriedOut: (local: Uint8Array) => void;
  /** Runs work on the index while nothing is taken in. */
  readonly steadily: <T>(work: () => Promise<T>) => Promise<T>;
}

export function createPersonEntries(
  context: LedgerContext,
  { index, assertCarriedOut, steadily }: EntrySource,
): PersonEntries {
  const isAnyNamed = nameBook();
  const sortedIn = createSortedBook();
  const decodeAll = createDecoding();
  const itemsWith = recordBook<Held>();
  const linksIn = createLinkBook();

  const consentsLost = (local: Uint8Array, kinds: readonly string[]): Promise<CatalogueItem[]> =>
    consentsLostOf(context, index, local, kinds);

  /**
   * Merges and partings of a person, and of everybody ever joined with them, in ledger order.
   *
   * @throws {StorageError} when an entry that may join anybody with anybody does not open
   */
  async function readLinks(local: Uint8Array): Promise<readonly CatalogueItem[]> {
    assertNoneLack(
      (await index.lacking()).filter((one) => one.kind === "link" && isAboutAnybody(one)),
    );
    const people = new Map([[toHex(local), local]]);
    const links = new Map<string, CatalogueItem>();
    // A map yields what is added to it while it is read.
    for (const person of people.values()) {
      // Its own list is short, where that of all the person's entries may be long.
      const [held] = await index.lists([linksLocal(context, person)]);
      for (const item of presentItems(held!)) {
        links.set(toHex(item.id), item);
        for (const one of [item.manifest.local, item.manifest.other!]) {
          if (!people.has(toHex(one))) people.set(toHex(one), one);
        }
      }
    }
    return [...links.values()].sort(byPlace);
  }

  async function findJoined(local: Uint8Array, height: number): Promise<JoinedPersons> {
    const links = await readLinks(local);
    return foldLinks(links.filter(({ place }) => place.height <= height));
  }

  /** The entries about a person if they are in memory, and the person was never joined with anybody. */
  function cachedAlone(local: Uint8Array): Person | undefined {
    const cached = index.cached(local);
    return cached !== undefined && linksIn(cached).length === 0 ? cached : undefined;
  }

  /** A person's list, if it is in memory and nobody else's entries belong to it. */
  async function readAlone(local: Uint8Array): Promise<Person | undefined> {
    await decodeAll(cachedAlone(local));
    assertCarriedOut(local);
    return cachedAlone(local);
  }

  async function readJoined(
    local: Uint8Array,
    kinds: readonly (typeof INDEXED_KINDS)[number][] = INDEXED_KINDS,
    height = Infinity,
  ): Promise<{
    readonly items: readonly CatalogueItem[];
    readonly merges: readonly CatalogueItem[];
  }> {
    // In turn: entries taken in during this read would otherwise be missed for good.
    return steadily(async () => {
      const joined = await findJoined(local, height);
      const people = joined.personsWith(local);
      const items: CatalogueItem[] = [];
      let parts = people.length;
      for (const person of people) {
        assertCarriedOut(person);
        const lost = await consentsLost(person, kinds);
        parts += lost.length;
        // An entry that names two of them is listed under both.
        const known = await index.person(person);
        await decodeAll(known);
        const own = presentItems(known.held);
        appendTo(items, people.length === 1 ? own : own.filter(isFirstOf(people, person)));
        appendTo(items, lost);
      }
      const named = new Set(people.map(toHex));
      const merges = joined.merges.filter(({ manifest }) => named.has(toHex(manifest.local)));
      return { items: parts === 1 ? items : items.sort(byPlace), merges };
    });
  }

  return {
    async entriesOf(...which) {
      const alone = await readAlone(which[0]);
      if (alone !== undefined) return { ...sortedIn(alone), merges: [] };
      const { items, merges } = await readJoined(...which);
      return {
        records: items.filter(({ kind }) => kind === "record"),
        others: items.filter(isOther),
        merges,
      };
    },
    async itemsOf(...which) {
      const alone = await readAlone(which[0]);
      return alone === undefined ? (await readJoined(...which)).items : presentItems(alone.held);
    },
    async recordItems(local, id) {
      assertCarriedOut(local);
      const cached = index.cached(local);
      if (cached !== undefined) return presentItems(itemsWith(cached, id));
      return steadily(async () => {
        await consentsLost(local, INDEXED_KINDS);
        return presentItems(itemsWith(await index.person(local), id));
      });
    },
    async mayHold(local, names) {
      assertCarriedOut(local);
      const alone = cachedAlone(local);
      if (alone !== undefined) return isAnyNamed(alone, names);
      return steadily(async () => {
        let isAny = false;
        for (const person of (await findJoined(local, Infinity)).personsWith(local)) {
          assertCarriedOut(person);
          await consentsLost(person, INDEXED_KINDS);
          isAny = isAnyNamed(await index.person(person), names) || isAny;
        }
        return isAny;
      });
    },
    async joinedWith(local, height = Infinity) {
      return cachedAlone(local) === undefined
        ? steadily(() => findJoined(local, height))
        : foldLinks([]);
    },
  };
}

/** Tells whether an entry in a person's list is in no list of the persons before. */
function isFirstOf(people: readonly Uint8Array[], person: Uint8Array) {
  return (item: CatalogueItem): boolean => {
    const { local, other } = item.manifest;
    if (other === undefined) return true;
    const first = people.find((one) => equalBytes(one, local) || equalBytes(one, other));
    return first === person;
  };
}

/**
 * Makes the function that decodes the manifests of a list which were not decoded yet, so that listing them afterwards
 * takes no time. Each entry is looked at once.
 */
function createDecoding(): (person: Growing | undefined) => Promise<void> {
  const known = new WeakMap<Growing, { upTo: number }>();
  return async (person) => {
    if (person === undefined) return;
    const book = known.get(person) ?? { upTo: 0 };
    known.set(person, book);
    while (book.upTo < person.held.length) {
      const held = person.held[book.upTo++]!;
      if (held.brief === undefined) continue;
      wholeItem(held);
      await giveTurn();
    }
  };
}

/** Whether a decision depends on an entry that is about no record. */
const isOther = ({ kind }: CatalogueItem): boolean => kind !== "record" && kind !== "access";

/**
 * Makes the function that sorts the entries in a list by what decisions need of them. Each entry is read once, unless
 * one of the list was erased since: a repeated call costs only the entries added since the last one. Lists that were
 * given out do not change.
 */
function createSortedBook(): (list: Person) => Pick<EntriesOfJoined, "records" | "others"> {
  interface Book {
    records: readonly CatalogueItem[];
    others: readonly CatalogueItem[];
    upTo: number;
    readonly erased: number;
  }
  const known = new WeakMap<Person, Book>();
  return (list) => {
    const { held, erased } = list;
    let book = known.get(list);
    if (book?.erased !== erased)
      known.set(list, (book = { records: [], others: [], upTo: 0, erased }));
    if (book.upTo < held.length) {
      const added = presentItems(held.slice(book.upTo));
      const records = added.filter(({ kind }) => kind === "record");
      const others = added.filter(isOther);
      if (records.length > 0) book.records = [...book.records, ...records];
      if (others.length > 0) book.others = [...book.others, ...others];
      book.upTo = held.length;
    }
    return { records: book.records, others: book.others };
  };
}

/** The entries that were not erased. */
export function presentItems(all: readonly Held[]): CatalogueItem[] {
  const items: CatalogueItem[] = [];
  for (const held of all) {
    const item = wholeItem(held);
    if (isPresent(item)) items.push(item);
  }
  return items;
}

/** A list of entries that only grows; an entry may be replaced by its tombstone. */
interface Growing {
  readonly held: readonly Held[];
}

/**
 * Makes the function that lists the merges and partings in a list. Each entry is read once, so a repeated
 * call costs only the entries added since the last one.
 */
function createLinkBook(): (list: Growing) => readonly CatalogueItem[] {
  const known = new WeakMap<Growing, { links: Held[]; upTo: number }>();
  return (list) => {
    const book = known.get(list) ?? { links: [], upTo: 0 };
    known.set(list, book);
    const { held } = list;
    for (; book.upTo < held.length; book.upTo++) {
      const one = held[book.upTo]!;
      if (one.item.kind !== "link") continue;
      const item = wholeItem(one);
      if (isPresent(item) && isLink(item)) book.links.push(one);
    }
    return book.links.flatMap(({ item }) => (isPresent(item) ? [item] : []));
  };
}
