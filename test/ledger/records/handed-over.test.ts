import { describe, expect, it } from "vitest";
import { MRN, observation } from "../../support/hospital.ts";
import { ward } from "../../support/ward.ts";

const entry = (id: string, more: object = {}) => ({
  fullUrl: `https://a.example/fhir/Observation/${id}`,
  resource: { ...(JSON.parse(observation(id)) as object), ...more },
});
const bundle = JSON.stringify({
  resourceType: "Bundle",
  type: "collection",
  entry: [
    entry("1"),
    entry("2", { note: [{ text: "ä prose of ünusual width ".repeat(40) }] }),
    entry("3", { status: "amended", identifier: [MRN] }),
    entry("4"),
  ],
});

describe("what a process files", () => {
  it("is what others read of it, from the index and from the ledger", async () => {
    const w = await ward();
    const { recorded } = await w.hl.recordBundle(w.me, bundle);
    const { id } = await w.hl.record(w.me, observation("5"), { labels: null });
    await w.hl.amend(id, observation("5b"));
    await w.hl.relabel(recorded[1]!.id, { codes: [], stamp: null });
    await w.hl.retract(recorded[2]!.id, "entered in error");
    // An erasure writes the index.
    const other = await w.hl.ensureSubject({ ...MRN, value: "other" });
    const gone = await w.hl.record(other, observation("6"));
    await w.hl.erase(other, { records: [gone.id], reason: "asked" });
    const mine = await w.hl.records(w.me);
    expect(mine).toHaveLength(5);
    expect(await (await w.again()).records(w.me)).toEqual(mine);
    expect(await (await w.again({ repair: { index: true } })).records(w.me)).toEqual(mine);
  });
});
