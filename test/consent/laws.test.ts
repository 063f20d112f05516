import { afterEach, describe, expect, it, vi } from "vitest";
import {
  compileDirectives,
  encodeDecision,
  filter,
  type ConsentSnapshot,
  type Rule,
} from "../../src/consent/index.ts";
import { diceOf, recordOf, ruleOf, tripleOf, type Triple } from "./random.ts";
import { filed, onLedger } from "./support.ts";

const SEEDS = 600;
const decisionOf = ({ snapshot, request, resource, asOf, understood }: Triple) =>
  compileDirectives(snapshot).evaluate(request, resource, asOf, { understood });

/** The snapshot with one more directive, in a lineage of its own, without default. */
function withDirective(snapshot: ConsentSnapshot, root: Rule): ConsentSnapshot {
  const [extra] = onLedger([filed("extra", { lineage: "extra", root }, { height: 999 })]);
  return { ...snapshot, directives: [...snapshot.directives, extra!] };
}

const only = (effect: Rule["effect"], rule: Rule): Rule => {
  const { obligations: _, rules, ...rest } = rule;
  return {
    ...rest,
    effect,
    ...(rules === undefined ? {} : { rules: rules.map((one) => only(effect, one)) }),
  };
};

describe("a directive in a lineage of its own", () => {
  it("changes nothing where it does not match", () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const triple = tripleOf(seed);
      const root: Rule = {
        id: "never",
        effect: "deny",
        combine: "deny-overrides",
        when: { actions: ["never"] },
        rules: [ruleOf(diceOf(seed), 2)],
      };
      const after = decisionOf({ ...triple, snapshot: withDirective(triple.snapshot, root) });
      const { outcome, reasons, obligations, refrains, breakGlass } = decisionOf(triple);
      expect(after, `${seed}`).toMatchObject({
        outcome,
        reasons,
        obligations,
        refrains,
        breakGlass,
      });
    }
  });

  it("permits nothing more when it has no permits", () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const triple = tripleOf(seed);
      const root = only("deny", ruleOf(diceOf(seed), 3));
      const after = decisionOf({ ...triple, snapshot: withDirective(triple.snapshot, root) });
      if (after.outcome === "permit") expect(decisionOf(triple).outcome, `${seed}`).toBe("permit");
    }
  });

  it("leaves the patient with no less when it has nothing but permits", () => {
    let permitted = 0;
    for (let seed = 0; seed < SEEDS; seed++) {
      const triple = tripleOf(seed);
      const before = decisionOf(triple);
      if (before.outcome !== "permit") continue;
      permitted++;
      const root = only("permit", ruleOf(diceOf(seed), 3));
      const after = decisionOf({ ...triple, snapshot: withDirective(triple.snapshot, root) });
      expect(after.outcome, `${seed}`).toBe("permit");
    }
    expect(permitted).toBeGreaterThan(50);
  });
});

describe("a decision", () => {
  afterEach(() => vi.restoreAllMocks());

  it("is the same bytes twice, in whatever order lineages and facts were listed", () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const triple = tripleOf(seed);
      const { snapshot } = triple;
      const first = encodeDecision(decisionOf(triple));
      const turned: ConsentSnapshot = {
        ...snapshot,
        directives: [...snapshot.directives].reverse(),
        memberships: [...snapshot.memberships].reverse(),
        capacities: [...snapshot.capacities].reverse(),
        roles: [...snapshot.roles].reverse(),
      };
      // Within one lineage it is the ledger that orders.
      expect(encodeDecision(decisionOf(triple)), `${seed}`).toEqual(first);
      expect(encodeDecision(decisionOf({ ...triple, snapshot: turned })), `${seed}`).toEqual(first);
    }
  });

  it("does not depend on what the same snapshot was asked before", () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const triple = tripleOf(seed);
      const { snapshot, request, resource, asOf, understood } = triple;
      const consent = compileDirectives(snapshot);
      const other = tripleOf(seed + 1);
      for (const moment of [asOf + 86_400_000 * 400, 0, asOf]) {
        consent.evaluate(other.request, other.resource, moment);
      }
      const again = consent.evaluate(request, resource, asOf, { understood });
      expect(encodeDecision(again)).toEqual(encodeDecision(decisionOf(triple)));
    }
  });

  it("reads no clock and no random source", () => {
    const clock = vi.spyOn(Date, "now");
    const chance = vi.spyOn(Math, "random");
    for (let seed = 0; seed < 50; seed++) decisionOf(tripleOf(seed));
    expect(clock).not.toHaveBeenCalled();
    expect(chance).not.toHaveBeenCalled();
  });

  it("holds until it says", () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const triple = tripleOf(seed);
      const before = decisionOf(triple);
      if (before.expiresAt === null) continue;
      const then = decisionOf({ ...triple, asOf: before.expiresAt });
      expect({ ...then, asOf: before.asOf }, `${seed}`).toEqual(before);
    }
  });
});

describe("filter", () => {
  it("equals evaluating each, also where decisions are shared", () => {
    for (let seed = 0; seed < 200; seed++) {
      const dice = diceOf(seed);
      const { snapshot, request, asOf, understood } = tripleOf(seed);
      const consent = compileDirectives(snapshot);
      const list = Array.from({ length: 40 }, (_, i) => recordOf(dice, `Observation/${i}`));
      const page = filter(consent, request, list, asOf, { understood });
      const each = list
        .map((item) => ({ item, decision: consent.evaluate(request, item, asOf, { understood }) }))
        .filter(({ decision }) => decision.outcome === "permit");
      expect(page, `${seed}`).toEqual({ items: each, cursor: null, complete: true });
    }
  });
});
