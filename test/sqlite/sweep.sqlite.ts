import { describe, expect, it } from "vitest";
import { effort } from "../support/effort.ts";
import { sweep } from "../support/sweep.ts";
import { folder } from "./subject.ts";

/** `HEALTHLEDGER_SWEEP_COPIES`: how many copies are damaged in each way; 120, with little effort 5. */
const COPIES = effort("HEALTHLEDGER_SWEEP_COPIES", { full: 120, short: 5 });

describe("a ledger in SQLite whose file is damaged", () => {
  it("answers rightly or refuses by name, and never hangs nor ends the process", async () => {
    const { path, remove } = await folder();
    const tallies = await sweep({
      kind: "sqlite",
      folder: path,
      file: "ledger.db",
      copies: COPIES,
    });
    console.log("sqlite", JSON.stringify(tallies, undefined, 1));
    for (const [damage, { wrong, hung, ended }] of Object.entries(tallies)) {
      expect({ damage, wrong, hung, ended }).toEqual({ damage, wrong: [], hung: 0, ended: 0 });
    }
    await remove();
  });
});
