import { describe, expect, it } from "vitest";
import type { RecordId } from "../../../src/codec/ids.ts";
import type { RequestQuery } from "../../../src/consent/model/request.ts";
import { askedAmong } from "../../../src/ledger/disclosure/asked-for.ts";
import type { FoldedRecord } from "../../../src/ledger/records/current-record.ts";

const LOINC = "http://loinc.org";

/** Records in the order of their places, and how often each was looked into. */
function records(all: readonly (readonly [type: string, id: string, ...codes: string[]])[]) {
  const looks = new Map<string, number>();
  const folded = all.map(([type, id, ...codes], height) => {
    const resource = { type, id, codes: codes.map((code) => ({ system: LOINC, code })) };
    const place = { height, transaction: 0, entry: 0 };
    return {
      record: `record-${id}` as RecordId,
      get head() {
        looks.set(id, (looks.get(id) ?? 0) + 1);
        return { manifest: { resource } };
      },
      history: [{ place }],
      retracted: false,
    } as unknown as FoldedRecord;
  });
  return { looks, folded: new Map(folded.map((one) => [one.record, one])) };
}

const ALL = [
  ["Observation", "a", "1", "2"],
  ["Condition", "b", "1"],
  ["Observation", "c", "2"],
  ["Observation", "d"],
] as const;

describe("what a query asks for", () => {
  // By reading the table above.
  it.each<readonly [name: string, query: RequestQuery, ids: string]>([
    ["everything", {}, "abcd"],
    ["a type", { types: ["Observation"] }, "acd"],
    [
      "types, in another order, one twice",
      { types: ["Observation", "Condition", "Condition"] },
      "abcd",
    ],
    ["no such type", { types: ["Basic"] }, ""],
    ["no type at all", { types: [] }, ""],
    [
      "codes, of which one record has two",
      { codes: [2, 1].map((n) => ({ system: LOINC, code: `${n}` })) },
      "abc",
    ],
    ["a code of another system", { codes: [{ system: "urn:x", code: "1" }] }, ""],
    ["a type and a code", { types: ["Condition"], codes: [{ system: LOINC, code: "1" }] }, "b"],
    [
      "ids, of a record and of a resource",
      { ids: ["record-c", "Observation/a", "record-a"] as never },
      "ac",
    ],
    ["an id and a type that it has not", { ids: ["Condition/b"], types: ["Observation"] }, ""],
  ])("is found in order and once: %s", (_, query, ids) => {
    const { folded } = records(ALL);
    const found = () => askedAmong(folded, query).map(({ head }) => head.manifest.resource?.id);
    expect(found().join("")).toBe(ids);
    expect(found().join("")).toBe(ids);
  });

  it.each<readonly [string, RequestQuery]>([
    ["type", { types: ["Condition"] }],
    ["code", { codes: [{ system: LOINC, code: "wanted" }] }],
    ["id", { ids: ["Condition/b"] }],
  ])("by %s, needs no look into what is not asked for, once that was sorted", (_, query) => {
    const many = Array.from({ length: 500 }, (_none, i) => ["Observation", `o${i}`, "1"] as const);
    const { folded, looks } = records([...many, ["Condition", "b", "wanted"]]);
    askedAmong(folded, query);
    looks.clear();
    expect(askedAmong(folded, query)).toHaveLength(1);
    expect([...looks.keys()]).toEqual(["b"]);
  });
});
