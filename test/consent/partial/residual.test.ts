import { describe, expect, it } from "vitest";
import {
  compileDirectives,
  compileResidual,
  defaultTerminology,
  evaluateRequest,
  explain,
  HL7_TERMINOLOGY,
  makeTerminology,
  matches,
  snapshotCid,
  type Reason,
  type Residual,
} from "../../../src/consent/index.ts";
import { encodeDecision } from "../../../src/consent/model/decision.ts";
import { ConsentError } from "../../../src/errors.ts";
import { askedOf, diceOf, NOW, recordOf, snapshotFrom } from "../random.ts";
import {
  at,
  deny,
  filed,
  labelled,
  permit,
  requestOf,
  resourceOf,
  sensitivity,
  snapshotOf,
} from "../support.ts";
import { cases } from "../../support/share.ts";

describe("evaluateRequest", () => {
  it("leaves a predicate that holds for exactly the records that are permitted", () => {
    const seen = { partial: 0, permit: 0, refuse: 0, held: 0, asked: 0 };
    const seeds = cases(1_000, 4);
    for (let seed = 0; seed < seeds; seed++) {
      const dice = diceOf(seed);
      const snapshot = snapshotFrom(dice);
      const consent = compileDirectives(snapshot);
      const request = askedOf(dice);
      const options = { supportedObligations: dice.chance(0.5) ? ["DELAU"] : [] };
      const decision = consent.evaluateRequest(request, NOW, options);
      const { filter } = decision;
      if (filter === undefined) seen[decision.outcome === "permit" ? "permit" : "refuse"]++;
      else seen.partial++;
      const holds = filter === undefined ? undefined : compileResidual(filter);
      for (let i = 0; i < 8; i++) {
        const record = recordOf(dice, `Observation/${i}`);
        const permitted = consent.evaluate(request, record, NOW, options).outcome === "permit";
        const predicted = holds === undefined ? decision.outcome === "permit" : holds(record);
        if (predicted !== permitted) expect(predicted, `seed ${seed}`).toBe(permitted);
        seen.asked++;
        if (permitted) seen.held++;
      }
    }
    expect(seen.partial).toBeGreaterThan(seeds / 10);
    expect(seen.permit).toBeGreaterThan(seeds / 34);
    expect(seen.refuse).toBeGreaterThan((seeds * 3) / 10);
    expect(seen.held).toBeGreaterThan(seen.asked / 20);
  });

  it("encodes, names what it rests on, and can be asked of a single record", () => {
    const given = [
      filed("a", {
        root: permit({}, { id: "all", rules: [deny({ data: { labels: [sensitivity("HIV")] } })] }),
      }),
    ];
    const snapshot = snapshotOf(given);
    const decision = evaluateRequest(requestOf(), snapshot, NOW);
    expect(decision).toMatchObject({ outcome: "partial", breakGlass: null });
    expect(decision.basedOn.map(String)).toEqual([snapshot.directives[0]!.cid.toString()]);
    expect(encodeDecision(decision).length).toBeGreaterThan(100);
    expect(matches(decision.filter!, resourceOf())).toBe(true);
    expect(matches(decision.filter!, resourceOf({ labels: null }))).toBe(false);
    expect(matches(decision.filter!, resourceOf({ labels: labelled(sensitivity("HIV")) }))).toBe(
      false,
    );
  });

  it("says in plain sentences what each record is held against", () => {
    const given = [
      filed("a", {
        to: "2024-12-31",
        root: permit(
          { purposes: ["TREAT"] },
          {
            id: "care",
            rules: [
              deny(
                { data: { labels: [sensitivity("HIV")] } },
                { id: "no-hiv", breakGlass: "never" },
              ),
              deny({ actors: [{ type: "person", id: "dr-other" }] }, { id: "not-her" }),
            ],
          },
        ),
      }),
    ];
    const snapshot = snapshotOf(given);
    const decision = evaluateRequest(requestOf(), snapshot, NOW);
    const name = snapshot.directives[0]!.cid.toString().slice(-8);
    expect(explain(decision).split("\n")).toEqual([
      "Permitted in part: each record decides which of these grounds applies to it.",
      `The patient allows some records to be shared for treatment (rule "care" of directive …${name}, which looks at the purpose).`,
      `The patient does not allow some records to be shared for treatment (rule "care" › "no-hiv" of directive …${name}, which looks at the sensitivity of the record).`,
      "For some records a rule says that the glass must never be broken, not even in an emergency.",
      "This can change after 2024-12-31T23:59:59.999Z.",
    ]);
    expect(decision).toMatchObject({ breakGlass: "never", expiresAt: at("2025-01-01") - 1 });
    expect(decision.snapshot.toString()).toBe(snapshotCid(snapshot).toString());
  });

  it("gives every reason that any record's own decision gives, and the strictest word on breaking the glass", () => {
    const seen = { partial: 0, given: 0, met: 0 };
    const seeds = cases(1_500, 5);
    for (let seed = 0; seed < seeds; seed++) {
      const dice = diceOf(seed);
      const consent = compileDirectives(snapshotFrom(dice));
      const request = askedOf(dice);
      const options = { supportedObligations: dice.chance(0.5) ? ["DELAU"] : [] };
      const decision = consent.evaluateRequest(request, NOW, options);
      const rank = ["never", "allowed", null].indexOf(decision.breakGlass);
      const nameOf = ({ kind, layer, purpose, directive, path, effect, matchedOn }: Reason) =>
        JSON.stringify([kind, layer, purpose, directive?.toString(), path, effect, matchedOn]);
      const named = new Map(decision.reasons.map((one) => [nameOf(one), one]));
      const met = new Set<string>();
      for (let i = 0; i < 20; i++) {
        const record = recordOf(dice, `Observation/${i % 3}`);
        const own = consent.evaluate(request, record, NOW, options);
        expect(
          ["never", "allowed", null].indexOf(own.breakGlass),
          `${seed}`,
        ).toBeGreaterThanOrEqual(rank);
        if (decision.outcome !== "partial") continue;
        for (const one of own.reasons) {
          const ours = named.get(nameOf(one));
          expect(ours, `${seed}: ${nameOf(one)}`).toBeDefined();
          expect(one.unknown, `${seed}`).toEqual(expect.arrayContaining([...ours!.unknown]));
          expect(ours!.codes, `${seed}`).toEqual(expect.arrayContaining([...one.codes]));
          met.add(nameOf(one));
        }
      }
      if (decision.outcome !== "partial") continue;
      expect(named.size, "none twice").toBe(decision.reasons.length);
      seen.partial++;
      seen.given += named.size;
      seen.met += met.size;
    }
    // What is given as a reason is one: few are met by none of twenty records.
    expect(seen.partial).toBeGreaterThan(seeds / 10);
    expect(seen.met / seen.given).toBeGreaterThan(0.6);
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
