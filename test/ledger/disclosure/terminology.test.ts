import { describe, expect, it } from "vitest";
import { extendTerminology, HL7_TERMINOLOGY, makeTerminology } from "../../../src/consent/index.ts";
import { MRN, observation } from "../../support/hospital.ts";
import { ward } from "../../support/ward.ts";

describe("openLedger with a terminology of one's own", () => {
  it("reads codes by it, and pins it", async () => {
    const terminology = makeTerminology(
      extendTerminology(HL7_TERMINOLOGY, {
        name: "ours",
        version: "1",
        purposes: { "urn:ours|BOARD": ["tumour board", "TREAT"] },
      }),
    );
    const snapshots = [];
    for (const [policy, count] of [
      [{ terminology }, 1],
      [{}, 0],
    ] as const) {
      const w = await ward({ policy });
      await w.permit();
      await w.hl.record(w.me, observation("bp-1"));
      const answer = await w.hl.request(w.b, { patient: MRN, purposes: ["urn:ours|BOARD"] });
      expect(answer.count).toBe(count);
      snapshots.push(String((await w.audit())[0]!.records[0]!.decision.snapshot));
    }
    expect(new Set(snapshots).size).toBe(2);
  });
});
