import { describe, expect, it } from "vitest";
import { effort } from "../support/effort.ts";
import { sweep } from "../support/sweep.ts";
import { folder } from "./lmdb-subject.ts";

/** `HEALTHLEDGER_SWEEP_COPIES`: how many copies are damaged in each way; 120, with little effort 5. */
const COPIES = effort("HEALTHLEDGER_SWEEP_COPIES", { full: 120, short: 5 });

describe("a ledger in LMDB whose file is damaged", () => {
  for (const kind of ["lmdb", "checked"] as const) {
    it(`answers rightly or refuses by name, and never hangs (${kind})`, async () => {
      const { path, remove } = await folder();
      // `make` erases, which compacts: the store is in its second environment.
      const file = "env-00000002/data.mdb";
      const tallies = await sweep({ kind, folder: path, file, copies: COPIES });
      console.log(kind, JSON.stringify(tallies, undefined, 1));
      for (const [damage, { wrong, hung, ended }] of Object.entries(tallies)) {
        expect(wrong, damage).toEqual([]);
        expect(hung, damage).toBe(0);
        // LMDB believes its pages; with check, and of where the file begins and ends, it has none that
        // it may not.
        const mayEnd = kind === "lmdb" && damage !== "cut short" && !damage.includes("first two");
        if (!mayEnd) expect(ended, damage).toBe(0);
      }
      await remove();
    });
  }
});
