import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Manifest } from "../../../src/ledger/entries/manifest.ts";
import { isNamed, nameBook, namesOf } from "../../../src/ledger/entries/record-names.ts";
import type { IndexItem } from "../../../src/ledger/index/rows.ts";

const named = fc
  .record({
    id: fc.option(fc.constantFrom("1", "2", "3", "4"), { nil: undefined }),
    fullUrl: fc.option(fc.constantFrom("urn:1", "urn:2", "https://a/1"), { nil: undefined }),
    described: fc.boolean(),
  })
  .map(({ id, fullUrl, described }) => ({
    ...(described && { resource: { type: "Observation", ...(id !== undefined && { id }) } }),
    ...(fullUrl !== undefined && { fullUrl }),
  })) as fc.Arbitrary<Pick<Manifest, "resource" | "fullUrl">>;
const item = fc
  .tuple(named, fc.constantFrom("record", "record", "consent"))
  .map(([manifest, kind]) => ({ kind, manifest }) as unknown as IndexItem);

describe("nameBook", () => {
  it("misses no record of a growing list that has one of the names", () => {
    const steps = fc.array(
      fc.tuple(fc.array(item, { maxLength: 4 }), fc.array(named, { maxLength: 3 }), fc.nat()),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(steps, (all) => {
        const mayHold = nameBook();
        const held: { item: IndexItem }[] = [];
        const person = { held };
        let erased = false;
        for (const [more, wanted, at] of all) {
          for (const one of more) held.push({ item: one });
          const names = namesOf(wanted);
          const has = held.some(
            ({ item: { kind, manifest } }) =>
              kind === "record" && manifest !== undefined && isNamed(manifest, names),
          );
          // What was erased since it was looked at may still be named.
          const told = mayHold(person, names);
          if (has || !erased) expect(told).toBe(has);
          if (at % 4 === 0 && held.length > 0) {
            const one = held[at % held.length]!;
            const { manifest: _, ...rest } = one.item;
            one.item = rest;
            erased = true;
          }
        }
      }),
    );
  });

  it("keeps lists apart", () => {
    const mayHold = nameBook();
    const one = { held: [{ item: { kind: "record", manifest: { fullUrl: "u" } } }] };
    const names = namesOf([{ resource: { id: "7" } as Manifest["resource"] & {}, fullUrl: "u" }]);
    expect(mayHold(one as never, names)).toBe(true);
    expect(mayHold({ held: [] }, names)).toBe(false);
  });
});
