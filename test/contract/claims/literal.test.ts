import { describe, expect, it } from "vitest";
import { agreeOn, seen } from "./agree.ts";
import { seeded } from "./scene.ts";

describe("adjudicate", () => {
  it("agrees with a literal model on 400 sequences, which meet every code", () => {
    for (let seed = 0; seed < 400; seed++) agreeOn(seeded(seed));
    const codes = [
      ...["PR-1", "PR-2", "PR-3", "PR-26", "PR-27", "PR-31", "PR-35", "PR-45", "PR-96", "PR-119"],
      ...["PR-200", "CO-29", "CO-39", "CO-45", "CO-59", "CO-97", "CO-197", "CO-198"],
      ...["PI-29", "PI-197", "OA-18", "OA-23", "OA-133"],
    ];
    for (const code of codes) expect(seen.get(code) ?? 0, code).toBeGreaterThan(1);
  });
});
