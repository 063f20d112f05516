import { describe, expect, it } from "vitest";
import { observation } from "../../support/hospital.ts";
import { ward } from "../../support/ward.ts";

const OBSERVATIONS = 260;

describe("the records of a person with many", () => {
  it(
    "are the same as for a process that reads them for the first time, after every change",
    { timeout: 180_000 },
    async () => {
      const w = await ward();
      await w.permit();
      const lines = Array.from({ length: OBSERVATIONS }, (_, i) =>
        JSON.stringify({
          ...(JSON.parse(observation(`o${i}`)) as object),
          subject: {
            identifier: { system: "urn:oid:1.2.36.146.595.217.0.1", value: "MRN-0012345" },
          },
        }),
      );
      await w.hl.recordNdjson([lines.join("\n")], { source: "ehr-1" });
      const ids = (await w.hl.records(w.me)).map(({ record }) => record);
      const reason = "wrong";
      const changes: readonly (readonly [(at: number) => Promise<unknown>, number])[] = [
        [(at) => w.hl.amend(ids[at]!, observation(`o${at}`, "99")), OBSERVATIONS],
        [(at) => w.hl.relabel(ids[at]!, { codes: [], stamp: null }), OBSERVATIONS],
        [(at) => w.hl.retract(ids[at]!, reason), OBSERVATIONS - 1],
        [(at) => w.hl.erase(w.me, { records: [ids[at]!], reason }), OBSERVATIONS - 2],
        [() => w.hl.record(w.me, observation("new")), OBSERVATIONS - 1],
      ];
      for (const [at, [change, living]] of changes.entries()) {
        await change(10 * at + 3);
        const own = await w.hl.records(w.me);
        expect(await w.hl.records(w.me)).toEqual(own);
        const other = await w.again();
        expect(await other.records(w.me)).toEqual(own);
        await other.close();
        const asked = { requester: w.b.signer.actor, purposes: ["TREAT"] };
        expect((await w.hl.decide(w.me, asked)).records).toHaveLength(living);
        const page = await w.hl.records(w.me, { limit: 20, after: own[19]!.record });
        expect(page).toEqual(own.slice(20, 40));
      }
    },
  );

  it("cannot be changed through what is given", { timeout: 180_000 }, async () => {
    const w = await ward();
    const lines = Array.from({ length: OBSERVATIONS }, (_, i) =>
      JSON.stringify({
        ...(JSON.parse(observation(`o${i}`)) as object),
        subject: { identifier: { system: "urn:oid:1.2.36.146.595.217.0.1", value: "MRN-0012345" } },
      }),
    );
    await w.hl.recordNdjson([lines.join("\n")], { source: "ehr-1" });
    const given = await w.hl.records(w.me);
    const before = JSON.stringify(given[0]!.history.length);
    (given[0]!.history as unknown[]).push("more");
    (given[0] as { retracted: boolean }).retracted = true;
    const again = await w.hl.records(w.me);
    expect(again[0]!.retracted).toBe(false);
    expect(JSON.stringify(again[0]!.history.length)).toBe(before);
  });
});
