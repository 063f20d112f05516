import { afterEach, describe, expect, it, vi } from "vitest";
import {
  compileDirectives,
  filter,
  type ConsentSnapshot,
  type Rule,
} from "../../src/consent/index.ts";
import { encodeDecision } from "../../src/consent/model/decision.ts";
import { diceOf, recordOf, ruleOf, tripleOf, type Triple } from "./random.ts";
import { filed, onLedger } from "./support.ts";

const SEEDS = 600;
const decisionOf = ({ snapshot, request, resource, asOf, supportedObligations }: Triple) =>
  compileDirectives(snapshot).evaluate(request, resource, asOf, { supportedObligations });

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
        when: { validity: { to: "1990" } },
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
      const { snapshot, request, resource, asOf, supportedObligations } = triple;
      const consent = compileDirectives(snapshot);
      const other = tripleOf(seed + 1);
      for (const moment of [asOf + 86_400_000 * 400, 0, asOf]) {
        consent.evaluate(other.request, other.resource, moment);
      }
      const again = consent.evaluate(request, resource, asOf, { supportedObligations });
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
      const { snapshot, request, asOf, supportedObligations } = tripleOf(seed);
      const consent = compileDirectives(snapshot);
      const list = Array.from({ length: 40 }, (_, i) => recordOf(dice, `Observation/${i}`));
      const page = filter(consent, request, list, asOf, { supportedObligations });
      const each = list
        .map((item) => ({
          item,
          decision: consent.evaluate(request, item, asOf, { supportedObligations }),
        }))
        .filter(({ decision }) => decision.outcome === "permit");
      expect(page, `${seed}`).toEqual({ items: each, cursor: null, complete: true });
    }
  });

  it("gives the same in pages of any size, none empty before the last, and says when it is complete", () => {
    let pages = 0;
    for (let seed = 0; seed < 200; seed++) {
      const dice = diceOf(seed);
      const { snapshot, request, asOf, supportedObligations } = tripleOf(seed);
      const consent = compileDirectives(snapshot);
      const list = Array.from({ length: 25 }, (_, i) => recordOf(dice, `Observation/${i}`));
      const permits = (item: (typeof list)[0]) =>
        consent.evaluate(request, item, asOf, { supportedObligations }).outcome === "permit";
      const wanted = list.filter(permits);
      const limit = 1 + dice.below(6);
      const given: typeof list = [];
      let cursor: string | undefined;
      for (;;) {
        const options = {
          supportedObligations,
          limit,
          ...(cursor === undefined ? {} : { cursor }),
        };
        const page = filter(consent, request, list, asOf, options);
        // What is withheld leaves no trace: without it the page is the same, cursor and all.
        expect(filter(consent, request, wanted, asOf, options), `${seed}`).toEqual(page);
        given.push(...page.items.map(({ item }) => item));
        pages++;
        expect(page.complete).toBe(given.length === wanted.length);
        expect(page.cursor === null).toBe(page.complete);
        if (page.cursor === null) break;
        expect(page.items).toHaveLength(limit);
        cursor = page.cursor;
      }
      expect(given, `${seed}`).toEqual(wanted);
    }
    expect(pages).toBeGreaterThan(300);
  });

  it("refuses a cursor that names nothing, and items that cannot be named", () => {
    const { snapshot, request, asOf } = tripleOf(0);
    const consent = compileDirectives(snapshot);
    const list = [recordOf(diceOf(0), "Observation/1")];
    const cursor = JSON.stringify(["Observation/2"]);
    expect(() => filter(consent, request, list, asOf, { cursor })).toThrow(RangeError);
    expect(() => filter(consent, request, list, asOf, { limit: 0 })).toThrow(RangeError);
    const { id: _, ...nameless } = list[0]!;
    expect(() => filter(consent, request, [nameless], asOf, { cursor })).toThrow(RangeError);
  });
});
