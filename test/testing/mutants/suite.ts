import { readFile, writeFile } from "node:fs/promises";
import { afterAll, describe, expect, it } from "vitest";
import { memoryData, memoryStorage } from "../../../src/storage/memory.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import { runKit } from "../../../src/testing/kit.ts";
import { ALL_FEATURES } from "../../../src/testing/memory-subject.ts";
import { storageCases, type MakeStorage } from "../../../src/testing/storage-kit.ts";
import { blobMutants } from "./blobs.ts";
import { chainMutants } from "./chains.ts";
import { closingMutants, tidyUp } from "./closing.ts";
import { commitMutants } from "./commit.ts";
import { stateMutants } from "./state.ts";
import { stopTimers, tailMutants } from "./tails.ts";
import type { Mutant } from "./wrap.ts";

/** Every defect there is. */
export const allMutants: readonly Mutant[] = [
  ...chainMutants,
  ...blobMutants,
  ...stateMutants,
  ...commitMutants,
  ...tailMutants,
  ...closingMutants,
];

/** Stores in memory, of which every handle has the defect. */
function subjectsOf({ change }: Mutant): MakeStorage {
  return async () => {
    const data = memoryData();
    const shared = {};
    const opened: FullStorage[] = [];
    return {
      async open(limits) {
        const storage = memoryStorage({ ...limits, data });
        opened.push(storage);
        return change(storage, shared);
      },
      async dispose() {
        for (const storage of opened) await storage.close();
      },
    };
  };
}

/** Cases that take long; asked last. */
const LONG = /^(caps: as many|blobs: holds|pages: a scan gives|ledger)/;
const cases = [...storageCases].sort(
  (a, b) => Number(LONG.test(a.name)) - Number(LONG.test(b.name)),
);

const NOTICED = new URL("./noticed-by.json", import.meta.url);
/** Which case noticed which mutant, so that it is asked first; written anew when told to. */
const noticedBy = JSON.parse(await readFile(NOTICED, "utf8")) as Record<string, string>;

/** Tries the kit on stores that each have one of these defects; says how many it noticed. */
export function describeMutants(mutants: readonly Mutant[], bases: readonly Mutant[]): void {
  const found: Record<string, string> = {};
  const survivors: string[] = [];

  describe("the kit against stores with one defect each", () => {
    it("has mutants by distinct names", () => {
      expect(new Set(allMutants.map(({ name }) => name)).size).toBe(allMutants.length);
      expect(allMutants.length).toBeGreaterThan(300);
      expect(mutants.length).toBeGreaterThan(90);
    });

    it.each(bases)("passes: $name", async (one) => {
      const results = await runKit(cases, subjectsOf(one), { features: ALL_FEATURES });
      expect(results.filter(({ outcome }) => outcome !== "passed")).toEqual([]);
    });

    it.each(mutants)("notices: $name", async (one) => {
      const make = subjectsOf(one);
      const likely = noticedBy[one.name];
      const order = [...cases].sort(
        (a, b) => Number(b.name === likely) - Number(a.name === likely),
      );
      for (const each of order) {
        const options = { features: ALL_FEATURES, timeout: 2500 };
        const [result] = await runKit([each], make, options);
        if (result?.outcome !== "failed") continue;
        found[one.name] = each.name;
        return;
      }
      survivors.push(one.name);
      expect.fail("no case of the kit notices");
    });

    afterAll(async () => {
      tidyUp();
      stopTimers();
      if (process.env["HEALTHLEDGER_NOTICED"] === "write") {
        await writeFile(NOTICED, `${JSON.stringify(found, null, 2)}\n`);
      }
      const killed = mutants.length - survivors.length;
      console.log(
        `mutants of storage noticed: ${killed} of ${mutants.length} (${((100 * killed) / mutants.length).toFixed(1)} %)`,
      );
    });
  });
}
