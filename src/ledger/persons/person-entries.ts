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

/** Entries about a person and about those joined with them. */
export interface EntriesOfJoined {
  /** In ledger order. */
  readonly items: readonly CatalogueItem[];
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
  /** The same entries, with those that join the persons; both at one moment. */
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

  const entriesOf: PersonEntries["entriesOf"] = async (
    local,
    kinds = INDEXED_KINDS,
    height = Infinity,
  ) => {
    await decodeAll(cachedAlone(local));
    assertCarriedOut(local);
    const alone = cachedAlone(local);
    if (alone !== undefined) return { items: presentItems(alone.held), merges: [] };
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
  };

  return {
    entriesOf,
    itemsOf: async (...which) => (await entriesOf(...which)).items,
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

/** Decodes the manifests that were not yet, so that listing them afterwards takes no time. */
async function decodeAll(person: Person | undefined): Promise<void> {
  for (const held of person?.held ?? []) {
    if (held.brief === undefined) continue;
    wholeItem(held);
    await giveTurn();
  }
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
