import { expect, it } from "vitest";
import { effort } from "../../support/effort.ts";
import { agreeOn } from "./agree.ts";
import { seeded } from "./scene.ts";

it("adjudicate agrees with a literal model on random sequences", () => {
  const sequences = effort("CLAIM_SEQUENCES", { full: 100_000, short: 2_000 });
  for (let seed = 0; seed < sequences; seed++) agreeOn(seeded(1_000_000 + seed));
  expect(sequences).toBeGreaterThan(0);
});
