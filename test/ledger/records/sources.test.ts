import { describe, expect, it } from "vitest";
import type { RecordedBundle } from "../../../src/index.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";
import { bundleOf, SITUATIONS, type Step } from "./source-situations.ts";

/** What became of each entry of a bundle, in words. */
function outcomes(entries: number, said: RecordedBundle): readonly string[] {
  const all: string[][] = Array.from({ length: entries }, () => []);
  for (const { index, amends, byArrival } of said.recorded) {
    all[index]!.push(
      `${amends === undefined ? "create" : "amend"}${byArrival ? " by arrival" : ""}`,
    );
  }
  for (const { index, why } of said.retracted) all[index]!.push(why);
  for (const { index, as } of said.known) all[index]!.push(as);
  for (const { index } of said.skipped) all[index]!.push("skip");
  return all.map((words) => words.join(", ") || "none");
}

const record = async ({ hl, me }: Ward, step: Step): Promise<RecordedBundle> => {
  const { source = "ehr-1", mine = false } = step;
  return hl.recordBundle(mine ? me : null, bundleOf(step), source === "" ? {} : { source });
};

const released = async (w: Ward): Promise<readonly number[]> =>
  (await opened(await w.ask()))
    .map(({ resource }) => (resource!["valueQuantity"] as { value: number }).value)
    .sort((a, b) => a - b);

describe("what a source sends", () => {
  it.each(SITUATIONS)("$name", async ({ steps, released: expected }) => {
    const w = await ward();
    await w.permit();
    for (const step of steps) {
      expect(outcomes(step.entries.length, await record(w, step))).toEqual(step.expect);
    }
    expect(await released(w)).toEqual(expected);
    // The same by another process, and by one that has forgotten its index.
    for (const repair of [{}, { index: true }]) {
      const other = await w.again({ repair });
      expect(await other.find({ source: "ehr-1", type: "Observation", id: "1" })).toEqual(
        await w.hl.find({ source: "ehr-1", type: "Observation", id: "1" }),
      );
    }
  });
});
