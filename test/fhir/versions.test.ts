import { describe, expect, it } from "vitest";
import { readBundle } from "../../src/fhir/bundle.ts";

const base = "https://a.example/fhir/";
const version = (id: string, versionId: string | undefined, lastUpdated?: string) => ({
  fullUrl: `${base}Observation/${id}`,
  resource: {
    resourceType: "Observation",
    id,
    meta: { ...(versionId && { versionId }), ...(lastUpdated && { lastUpdated }) },
    subject: { reference: "Patient/1" },
  },
});
const deletion = (id: string, more: object = { fullUrl: `${base}Observation/${id}` }) => ({
  request: { method: "DELETE", url: `Observation/${id}` },
  ...more,
});

/** Places of what no longer stands. */
function past(type: string, ...entry: object[]): string[] {
  const { problems } = readBundle({ resourceType: "Bundle", type, entry });
  return problems
    .filter(({ code }) => code === "superseded" || code === "deleted")
    .map(({ code, path }) => `${code} ${path.slice("Bundle.entry".length)}`);
}

describe("versions in a bundle", () => {
  it.each([
    [
      "by when they were updated",
      [undefined, "2024-01-01T00:00:00Z"],
      [undefined, "2023-01-01T00:00:00Z"],
    ],
    [
      "across offsets",
      [undefined, "2024-01-01T00:30:00Z"],
      [undefined, "2024-01-01T01:00:00+01:00"],
    ],
    ["by their number", ["10"], ["9"]],
  ])("are told apart %s, wherever they stand", (_name, newer, older) => {
    const [one, other] = [newer, older].map(([id, at]) => version("o", id, at));
    expect(past("collection", one!, other!)).toEqual(["superseded [1]"]);
    expect(past("collection", other!, one!)).toEqual(["superseded [0]"]);
    expect(past("history", other!, one!)).toEqual(["superseded [0]"]);
  });

  it("all stand, where nothing tells the newest", () => {
    expect(past("collection", version("o", undefined), version("o", "2"))).toEqual([]);
    expect(past("collection", version("o", "a"), version("o", "b"))).toEqual([]);
    const day = "2024-01-01";
    expect(past("collection", version("o", "a", day), version("o", "b", day))).toEqual([]);
  });

  it("stand first in a history, where nothing else tells", () => {
    expect(past("history", version("o", "b"), version("p", "1"), version("o", "a"))).toEqual([
      "superseded [2]",
    ]);
  });

  it("are gone with a deletion after them", () => {
    const one = version("o", "1");
    expect(past("history", deletion("o"), one)).toEqual(["deleted [1]"]);
    expect(past("history", deletion("o", {}), one)).toEqual(["deleted [1]"]);
    expect(past("history", deletion("other"), one)).toEqual([]);
    expect(past("history", deletion("o", {}), version("o", "2"), one)).toEqual([
      "deleted [1]",
      "deleted [2]",
    ]);
    expect(past("history", version("o", "3"), deletion("o"), one)).toEqual(["superseded [2]"]);
    // where a transaction deletes, what it creates stands
    expect(past("transaction", deletion("o"), one)).toEqual([]);
  });

  it("of two servers are not those of one", () => {
    const there = { ...version("o", "2"), fullUrl: "https://b.example/fhir/Observation/o" };
    expect(past("collection", there, version("o", "1"))).toEqual([]);
  });
});
