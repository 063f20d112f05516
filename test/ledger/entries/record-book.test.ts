import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesKey } from "../../../src/bytes/bytes-key.ts";
import { toEntryId } from "../../../src/codec/ids.ts";
import { isPresent, type CatalogueItem } from "../../../src/ledger/entries/catalogue-item.ts";
import { recordBook } from "../../../src/ledger/entries/record-book.ts";
import { briefOf, encodeManifest } from "../../../src/ledger/entries/manifest.ts";
import { wholeItem, type HeldManifest } from "../../../src/ledger/index/held.ts";
import type { IndexItem } from "../../../src/ledger/index/rows.ts";
import { currentRecords } from "../../../src/ledger/records/current-record.ts";
import { cases } from "../../support/share.ts";

const OPERATIONS = [
  ...(["create", "create", "amend", "amend", "relabel", "retract", "reattribute"] as const),
  ...(["directive", "hold"] as const),
];

/** The id of an entry, which its number determines. */
const idOf = (number: number): Uint8Array => {
  const id = new Uint8Array(32).fill(number & 255);
  id[0] = number >> 8;
  return id;
};

const entry = fc.record({
  op: fc.constantFrom(...OPERATIONS),
  kind: fc.constantFrom("record", "record", "record", "record", "consent"),
  /** How many entries before this one the entry is that it replaces; not above 0: none, or later. */
  back: fc.integer({ min: -2, max: 8 }),
  labelled: fc.boolean(),
});

function itemOf(
  number: number,
  { op, kind, back, labelled }: { op: string; kind: string; back: number; labelled: boolean },
): IndexItem {
  const other = number - back;
  const manifest = {
    ...{ v: 1, op, local: new Uint8Array(16) },
    ...(back !== 0 && other >= 0 && { replaces: toEntryId(idOf(other)) }),
    ...(labelled && { labels: { codes: [{ system: "s", code: `c${number}` }], stamp: null } }),
  };
  const place = { height: Math.floor(number / 3), transaction: 0, entry: number % 3 };
  return { id: idOf(number), place, kind, envelope: {}, recordedAt: 0, manifest } as never;
}

/** A copy, so that what the book reads stays as it is. */
const decoded = (held: HeldManifest): IndexItem => wholeItem({ ...held });

/** An entry whose manifest only its bytes and a brief tell. */
function notDecoded({ manifest, ...item }: IndexItem): HeldManifest {
  return { item, encoded: encodeManifest(manifest!), brief: briefOf(manifest!) };
}

/** Folds everything, as looking a record up did before there was a book. */
function byFolding(held: readonly HeldManifest[], id: Uint8Array) {
  const all = held.map(decoded).filter(isPresent);
  const key = toEntryId(id);
  return [...currentRecords(all).values()].find(({ history }) =>
    history.some((item) => toEntryId(item.id) === key),
  );
}

function byBook(found: readonly HeldManifest[], id: Uint8Array) {
  const items = found.map((one) => decoded(one) as CatalogueItem);
  const [record] = currentRecords(items).values();
  const key = toEntryId(id);
  return record?.history.some((item) => toEntryId(item.id) === key) === true ? record : undefined;
}

describe("recordBook", () => {
  it("finds what folding all entries finds, while entries are added and erased", () => {
    const steps = fc.array(fc.tuple(fc.array(entry, { maxLength: 6 }), fc.nat()), {
      maxLength: 10,
    });
    fc.assert(
      fc.property(steps, (all) => {
        const itemsWith = recordBook<HeldManifest>();
        const held: HeldManifest[] = [];
        const byId = new Map<string, HeldManifest>();
        const person = { held, byId };
        for (const [more, at] of all) {
          for (const one of more) {
            const item = itemOf(held.length, one);
            const added = one.labelled ? { item } : notDecoded(item);
            held.push(added);
            byId.set(bytesKey(item.id), added);
          }
          if (at % 3 === 0 && held.length > 0) {
            const one = held[at % held.length]!;
            const { manifest: _, ...rest } = one.item;
            Object.assign(one, { item: { ...rest, erasedBy: idOf(999) }, brief: undefined });
          }
          for (let number = 0; number < held.length + 2; number++) {
            const id = idOf(number);
            expect(byBook(itemsWith(person, id), id)).toEqual(byFolding(held, id));
          }
        }
      }),
      { numRuns: cases(300, 5) },
    );
  });

  it("ends for entries that replace one another in a circle, and for one that replaces itself", () => {
    const circle = [
      itemOf(0, { op: "amend", kind: "record", back: -1, labelled: false }),
      itemOf(1, { op: "amend", kind: "record", back: 1, labelled: false }),
    ].map((item) => ({ item }));
    const itself = itemOf(2, { op: "amend", kind: "record", back: 0, labelled: false });
    const manifest = { ...itself.manifest!, replaces: toEntryId(itself.id) };
    const held = [...circle, { item: { ...itself, manifest } }];
    const byId = new Map(held.map((one) => [bytesKey(one.item.id), one]));
    for (const { item } of held)
      expect(recordBook<HeldManifest>()({ held, byId }, item.id)).toEqual([]);
  });
});
