import { describe, expect, it } from "vitest";
import {
  compileDirectives,
  compileResidual,
  filter,
  type ConsentResource,
} from "../../src/consent/index.ts";
import { askedOf, diceOf, NOW, recordOf, snapshotFrom } from "./random.ts";
import { decide, deny, filed, permit, resourceOf } from "./support.ts";
import { cases } from "../support/share.ts";

const OUTCOMES = ["deny", "indeterminate", "not-applicable", "permit"] as const;

describe("evaluate, of a resource with others inside it", () => {
  it("gives the outcome that weighs most of those for each alone, also by residual and filter", () => {
    const seen = { permit: 0, partly: 0 };
    const seeds = cases(600, 4);
    for (let seed = 0; seed < seeds; seed++) {
      const dice = diceOf(seed);
      const consent = compileDirectives(snapshotFrom(dice));
      const request = askedOf(dice);
      const options = { supportedObligations: dice.chance(0.5) ? ["DELAU"] : [] };
      const rest = consent.evaluateRequest(request, NOW, options).filter;
      const holds = rest === undefined ? undefined : compileResidual(rest);
      const prepared = consent.prepare(request, NOW, options);
      for (let i = 0; i < 6; i++) {
        const parts = Array.from({ length: 1 + (i % 3) }, (_, n) =>
          recordOf(dice, `Observation/${n}`),
        );
        const own = recordOf(dice, "Bundle/1");
        const deep: ConsentResource = { ...parts[0]!, contains: parts.slice(1) };
        const whole: ConsentResource = { ...own, contains: [deep] };
        const each = [own, ...parts].map(
          (one) => consent.evaluate(request, one, NOW, options).outcome,
        );
        const expected = OUTCOMES.find((one) => each.includes(one));
        const said = consent.evaluate(request, whole, NOW, options);
        expect(said.outcome, `seed ${seed}`).toBe(expected);
        expect(said.reasons.length).toBeGreaterThan(0);
        expect(prepared.decide(whole).outcome).toBe(expected);
        if (holds !== undefined) expect(holds(whole)).toBe(expected === "permit");
        expect(filter(consent, request, [whole], NOW, options).items).toHaveLength(
          expected === "permit" ? 1 : 0,
        );
        if (expected === "permit") seen.permit++;
        else if (each.includes("permit")) seen.partly++;
      }
    }
    expect(seen.permit).toBeGreaterThan(seeds / 12);
    expect(seen.partly).toBeGreaterThan(seeds / 12);
  });

  it("lets the glass be broken only if that is said of each", () => {
    const never = deny({ data: { types: ["Condition"] } }, { id: "never", breakGlass: "never" });
    const root = permit({}, { rules: [never], breakGlass: "allowed" });
    const given = [filed("a", { root })];
    const glassOf = (contains: readonly ConsentResource[]) =>
      decide({ it: "", then: "permit", given, about: { type: "Bundle", contains } }).breakGlass;
    expect(glassOf([resourceOf()])).toBe("allowed");
    expect(glassOf([resourceOf(), resourceOf({ type: "Condition" })])).toBe("never");
  });

  it("refuses by the type of a contained resource, and permits by its own alone, however many directives", () => {
    const about = { type: "Observation", otherTypes: ["Condition"] };
    const data = { types: ["Condition"] };
    for (const count of [1, 20]) {
      const others = Array.from({ length: count - 1 }, (_, i) =>
        filed(`o${i}`, { lineage: `o${i}`, root: deny({ data: { types: ["Immunization"] } }) }),
      );
      const outcome = (root: ReturnType<typeof permit>) =>
        decide({
          it: "",
          then: "permit",
          given: [
            ...others,
            filed("all", { lineage: "all", root: permit({ data: { types: ["Observation"] } }) }),
            filed("one", { lineage: "one", root }),
          ],
          about,
        }).outcome;
      expect(outcome(deny({ data }))).toBe("deny");
      expect(outcome(permit({ data }))).toBe("permit");
    }
    const given = [filed("one", { root: permit({ data }) })];
    expect(decide({ it: "", then: "deny", given, about }).outcome).not.toBe("permit");
  });
});
