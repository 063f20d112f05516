import { describe, expect, it } from "vitest";
import {
  compileDirectives,
  compileResidual,
  defaultTerminology,
  encodeDecision,
  evaluateRequest,
  explain,
  HL7_TERMINOLOGY,
  makeTerminology,
  matches,
  type Residual,
} from "../../src/consent/index.ts";
import { ConsentError } from "../../src/errors.ts";
import { askedOf, diceOf, NOW, recordOf, snapshotFrom } from "./random.ts";
import {
  deny,
  filed,
  labelled,
  permit,
  requestOf,
  resourceOf,
  sensitivity,
  snapshotOf,
} from "./support.ts";

describe("evaluateRequest", () => {
  it("leaves a predicate that holds for exactly the records that are permitted", () => {
    const seen = { partial: 0, permit: 0, refuse: 0, held: 0, asked: 0 };
    for (let seed = 0; seed < 1_000; seed++) {
      const dice = diceOf(seed);
      const snapshot = snapshotFrom(dice);
      const consent = compileDirectives(snapshot);
      const request = askedOf(dice);
      const options = { understood: dice.chance(0.5) ? ["DELAU"] : [] };
      const decision = consent.evaluateRequest(request, NOW, options);
      const { filter } = decision;
      if (filter === undefined) seen[decision.outcome === "permit" ? "permit" : "refuse"]++;
      else seen.partial++;
      const holds = filter === undefined ? undefined : compileResidual(filter);
      for (let i = 0; i < 8; i++) {
        const record = recordOf(dice, `Observation/${i}`);
        const permitted = consent.evaluate(request, record, NOW, options).outcome === "permit";
        const predicted = holds === undefined ? decision.outcome === "permit" : holds(record);
        expect(predicted, `seed ${seed}`).toBe(permitted);
        seen.asked++;
        if (permitted) seen.held++;
      }
    }
    expect(seen.partial).toBeGreaterThan(100);
    expect(seen.permit).toBeGreaterThan(30);
    expect(seen.refuse).toBeGreaterThan(300);
    expect(seen.held).toBeGreaterThan(seen.asked / 10);
  });

  it("encodes, names what it rests on, and can be asked of a single record", () => {
    const given = [
      filed("a", {
        root: permit({}, { id: "all", rules: [deny({ data: { labels: [sensitivity("HIV")] } })] }),
      }),
    ];
    const snapshot = snapshotOf(given);
    const decision = evaluateRequest(requestOf(), snapshot, NOW);
    expect(decision).toMatchObject({ outcome: "partial", reasons: [] });
    expect(decision.basedOn.map(String)).toEqual([snapshot.directives[0]!.cid.toString()]);
    expect(encodeDecision(decision).length).toBeGreaterThan(100);
    expect(matches(decision.filter!, resourceOf())).toBe(true);
    expect(matches(decision.filter!, resourceOf({ labels: null }))).toBe(false);
    expect(matches(decision.filter!, resourceOf({ labels: labelled(sensitivity("HIV")) }))).toBe(
      false,
    );
    expect(explain(decision)).toContain("Permitted in part");
  });

  it("is a decision where no record makes a difference", () => {
    const open = snapshotOf([filed("a", { root: permit() })]);
    expect(evaluateRequest(requestOf(), open, NOW)).toMatchObject({ outcome: "permit" });
    const shut = snapshotOf([filed("a", { root: deny() })]);
    const decision = evaluateRequest(requestOf(), shut, NOW);
    expect(decision.outcome).toBe("deny");
    expect(decision.filter).toBeUndefined();
    expect(decision.reasons).toHaveLength(1);
  });

  it("leaves a predicate linear in the rules, however they nest", () => {
    let root = permit({ data: { codes: [{ system: "s", code: "0" }] } }, { id: "0" });
    for (let i = 1; i < 12; i++) {
      const when = { data: { codes: [{ system: "s", code: String(i) }] } };
      root = (i % 2 === 0 ? permit : deny)(when, { id: String(i), rules: [root] });
    }
    const decision = evaluateRequest(requestOf(), snapshotOf([filed("a", { root })]), NOW);
    expect(decision.filter!.nodes.length).toBeLessThan(300);
  });
});

describe("compileResidual", () => {
  const question = { effect: "deny" as const, zone: "UTC", data: { types: ["Observation"] } };
  const terminology = defaultTerminology().cid;

  it.each<[string, Residual["nodes"], number]>([
    ["a step that refers ahead", [{ op: "not", of: 0 }], 0],
    ["a root that is not there", [{ op: "certain", question }], 1],
    ["a question about nothing", [{ op: "certain", question: { effect: "deny", zone: null } }], 0],
  ])("refuses %s", (_, nodes, root) => {
    expect(() => compileResidual({ v: 1, terminology, nodes, root })).toThrow(RangeError);
  });

  it("refuses another terminology", () => {
    const other = makeTerminology({ ...HL7_TERMINOLOGY, name: "other" });
    const residual = {
      v: 1 as const,
      terminology,
      nodes: [{ op: "all" as const, of: [] }],
      root: 0,
    };
    expect(() => compileResidual(residual, other)).toThrow(ConsentError);
  });
});
