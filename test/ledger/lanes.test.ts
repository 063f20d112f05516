import { describe, expect, it } from "vitest";
import { memoryData, memoryStorage } from "../../src/storage/memory.ts";
import { foundWorld, MRN, observation } from "../support/hospital.ts";

describe("lanes", () => {
  for (const lane of [undefined, 7]) {
    it(`several processes lose nothing, ${lane === undefined ? "each finding one" : "all on one"}`, async () => {
      const data = memoryData();
      const world = await foundWorld();
      const open = () =>
        world.open({
          storage: memoryStorage({ data }),
          ...(lane === undefined ? {} : { lane }),
        });
      const first = await open();
      const patient = await first.ensureSubject(MRN);
      const processes = [first, await open(), await open(), await open()];
      const written = await Promise.all(
        processes.flatMap((hl, process) =>
          Array.from({ length: 12 }, async (_, i) => {
            await new Promise((resolve) => setTimeout(resolve, i * 3));
            return hl.record(patient, observation(`o-${process}-${i}`));
          }),
        ),
      );
      expect(new Set(written.map(({ id }) => id)).size).toBe(48);
      const last = await open();
      expect(await last.verify()).toMatchObject({ ok: true, entries: expect.any(Number) });
      expect(await last.records(patient)).toHaveLength(48);
    });
  }

  it("are 1024, and named as whole numbers", async () => {
    const world = await foundWorld();
    for (const lane of [-1, 1024, 0.5, NaN]) {
      await expect(world.open({ lane })).rejects.toThrow(RangeError);
    }
    await world.open({ lane: 1023 });
  });
});
