import { describe, expect, it } from "vitest";
import { run, written } from "./row.ts";
import { COORDINATION } from "./rows-coordination.ts";
import { SCREENS } from "./rows-screens.ts";
import { SHARES } from "./rows-shares.ts";
import { TOGETHER } from "./rows-together.ts";

const ROWS = [...SHARES, ...SCREENS, ...COORDINATION, ...TOGETHER];

describe("claims worked by hand", () => {
  it("are forty at least, each with another name", () => {
    expect(new Set(ROWS.map(({ name }) => name)).size).toBe(ROWS.length);
    expect(ROWS.length).toBeGreaterThanOrEqual(40);
  });

  it.each(ROWS)("$name", (row) => {
    const { decision, accumulators } = run(row);
    const lines = decision.lines.map((line) => ({ adjust: written(line), paid: line.paid }));
    expect(lines).toEqual(row.then.map(({ adjust, paid }) => ({ adjust, paid })));
    if (row.after !== undefined) expect(accumulators).toEqual(row.after);
  });
});
