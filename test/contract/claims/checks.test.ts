import { describe, expect, it } from "vitest";
import { encode } from "../../../src/codec/dag-cbor.ts";
import {
  adjudicate,
  createPlan,
  decodePlan,
  emptyAccumulators,
  encodePlan,
  type PlanDocument,
} from "../../../src/contract/claims/index.ts";
import { claimOf, factsOf, planOf, YEAR } from "./row.ts";

const SHAPE = "ERR_ENCODING_SHAPE";
const INVALID = "ERR_INPUT_INVALID";
const network = (terms: object): object => ({
  networks: { in: { contracted: true, coinsurance: 0, ...terms } },
});
const benefit = (more: object): object => ({ benefits: [{ name: "a", codes: ["a"], ...more }] });
const proto = JSON.parse('{"__proto__": 1}') as object;

describe("createPlan", () => {
  it.each<[string, object, string]>([
    ["another version", { v: 2 }, SHAPE],
    ["a misspelt field", { filingDay: 90 }, SHAPE],
    ["a currency in small letters", { currency: "usd" }, SHAPE],
    ["a year that begins on a leap day", { yearStarts: "02-29" }, SHAPE],
    ["a year that begins on no day", { yearStarts: "13-01" }, SHAPE],
    ["a fraction of a day", { filingDays: 1.5 }, SHAPE],
    ["more than all", network({ coinsurance: 10_001 }), SHAPE],
    ["a negative deductible", network({ deductible: { kind: "embedded", individual: -1 } }), SHAPE],
    ["a kind of deductible", network({ deductible: { kind: "other", family: 1 } }), SHAPE],
    ["no individual amount", network({ deductible: { kind: "embedded", family: 1 } }), SHAPE],
    [
      "an aggregate with an individual amount",
      network({ deductible: { kind: "aggregate", family: 1, individual: 1 } }),
      SHAPE,
    ],
    ["a cap of another person", network({ cap: { couple: 1 } }), SHAPE],
    ["a fee that is text", network({ fees: { a: "1" } }), SHAPE],
    ["a fee for __proto__", network({ fees: proto }), SHAPE],
    ["no contract stated", { networks: { in: { coinsurance: 0 } } }, SHAPE],
    ["a flag that is false", benefit({ excluded: false }), SHAPE],
    ["a limit of two things", benefit({ limit: { per: "year", units: 1, paid: 1 } }), SHAPE],
    ["a limit of nothing", benefit({ limit: { per: "year" } }), SHAPE],
    ["terms of a network that there is not", benefit({ terms: { far: {} } }), INVALID],
    ["a code of two benefits", { benefits: [{ name: "a", codes: ["a", "a"] }] }, INVALID],
    [
      "two benefits of a name",
      {
        benefits: [
          { name: "a", codes: [] },
          { name: "a", codes: [] },
        ],
      },
      INVALID,
    ],
    ["protection as no network", { protectedAs: "far" }, INVALID],
    ["a pair of one code", { pairs: [{ first: "a", second: "a" }] }, INVALID],
    ["ranks without shares", { ranks: { order: ["a"], shares: [] } }, INVALID],
    ["a code of two ranks", { ranks: { order: ["a", "a"], shares: [1] } }, INVALID],
    ["another coordination", { coordination: "none" }, SHAPE],
  ])("refuses %s", (_, change, code) => {
    const document = { ...planOf(), ...change } as PlanDocument;
    expect(() => createPlan(document)).toThrow(expect.objectContaining({ code }));
  });

  it("keeps a copy that nobody can change", () => {
    const document = structuredClone(planOf()) as { otherServices: string };
    const plan = createPlan(document as PlanDocument);
    document.otherServices = "excluded";
    expect(plan.document.otherServices).toBe("covered");
    expect(() => ((plan.document.networks as Record<string, unknown>)["in"] = {})).toThrow(
      TypeError,
    );
    expect(decodePlan(encodePlan(plan)).cid.equals(plan.cid)).toBe(true);
  });

  it("refuses bytes that are not canonical", () => {
    const bytes = encode(planOf());
    expect(() => decodePlan(bytes.slice(0, -1))).toThrow(
      expect.objectContaining({ code: "ERR_ENCODING_MALFORMED" }),
    );
  });
});

describe("adjudicate", () => {
  const line = (more: object): object => ({ lines: [{ ...claimOf([{}]).lines[0]!, ...more }] });
  const prior = (lines: object[]): object => ({ prior: [{ payer: "p", lines }] });
  const whole = { sequence: 1, paid: 0, adjustments: [{ group: "PR", carc: "1", amount: 10_000 }] };
  const impact = { group: "OA", carc: "23", amount: 10_000 };

  it.each<[string, object, string]>([
    ["no lines", { lines: [] }, INVALID],
    ["another currency", { currency: "EUR" }, INVALID],
    ["a claim that replaces itself", { replaces: "c1" }, INVALID],
    ["a member __proto__", { member: "__proto__" }, SHAPE],
    ["an unknown field", { total: 1 }, SHAPE],
    ["a charge below zero", line({ charge: -1 }), SHAPE],
    ["a fraction of a cent", line({ charge: 0.5 }), SHAPE],
    ["an amount beyond all bounds", line({ charge: 900_000_000_001 }), SHAPE],
    ["no units", line({ units: 0 }), INVALID],
    ["a day that there is not", line({ from: "2026-02-29", to: "2026-03-01" }), SHAPE],
    ["an end before its beginning", line({ to: "2026-03-01" }), INVALID],
    [
      "two lines of one number",
      { lines: [...claimOf([{}]).lines, ...claimOf([{}]).lines] },
      INVALID,
    ],
  ])("refuses a claim with %s", (_, change, code) => {
    const claim = { ...claimOf([{}]), ...change };
    const call = () =>
      adjudicate(createPlan(planOf()), claim, emptyAccumulators([YEAR]), factsOf());
    expect(call).toThrow(expect.objectContaining({ code }));
  });

  it.each<[string, object, string]>([
    ["a network that the plan lacks", { network: "far" }, INVALID],
    ["a network that every object has", { network: "constructor" }, INVALID],
    ["another line", { lines: [{ sequence: 2 }] }, INVALID],
    [
      "protection that the plan does not know",
      { lines: [{ sequence: 1, protected: true }] },
      INVALID,
    ],
    ["a flag that is false", { lines: [{ sequence: 1, protected: false }] }, SHAPE],
    ["no word on other payers", { prior: undefined }, SHAPE],
    ["a payer that lacks a line", prior([]), INVALID],
    ["a payer whose amounts do not add up", prior([{ ...whole, paid: 1 }]), INVALID],
    ["a payer of another line", prior([{ ...whole, sequence: 2 }]), INVALID],
    [
      "the impact of a payer that is not given",
      prior([{ ...whole, adjustments: [impact] }]),
      INVALID,
    ],
    [
      "another state of an authorisation",
      { authorisations: [{ codes: [], status: "yes", from: YEAR, to: YEAR }] },
      SHAPE,
    ],
  ])("refuses facts with %s", (_, change, code) => {
    const facts = { ...factsOf(), ...change };
    const call = () =>
      adjudicate(createPlan(planOf()), claimOf([{}]), emptyAccumulators([YEAR]), facts);
    expect(call).toThrow(expect.objectContaining({ code }));
  });

  it("refuses accumulators that lack the year, or hold a zero", () => {
    const decide = (accumulators: ReturnType<typeof emptyAccumulators>) => () =>
      adjudicate(createPlan(planOf()), claimOf([{}]), accumulators, factsOf());
    expect(decide(emptyAccumulators(["2025-01-01"]))).toThrow(
      expect.objectContaining({ code: INVALID }),
    );
    const zero = { in: { ann: { deductible: 0 } } };
    const held = { v: 1 as const, years: { [YEAR]: { networks: zero, limits: {} } }, lifetime: {} };
    expect(decide(held)).toThrow(expect.objectContaining({ code: SHAPE }));
  });

  it("refuses a line that nobody can price", () => {
    const plan = createPlan(planOf({ networks: { in: { contracted: true, coinsurance: 0 } } }));
    const call = () => adjudicate(plan, claimOf([{}]), emptyAccumulators([YEAR]), factsOf());
    expect(call).toThrow(expect.objectContaining({ code: "ERR_INPUT_UNSUPPORTED" }));
  });

  it("names no member, provider or claim in what it says", () => {
    const secret = "Q-secret-77";
    const ids = { id: secret, member: secret, provider: secret };
    for (const change of [{ charge: -1 }, { units: 0 }, { from: "x" }]) {
      const claim = { ...claimOf([{}], ids), ...line(change) };
      const call = () =>
        adjudicate(createPlan(planOf()), claim, emptyAccumulators([YEAR]), factsOf());
      expect(call).toThrow(
        expect.objectContaining({ message: expect.not.stringContaining(secret) }),
      );
    }
    const held = { [secret]: { deductible: -1 } };
    const accumulators = {
      v: 1 as const,
      years: { [YEAR]: { networks: { in: held }, limits: {} } },
      lifetime: {},
    };
    const call = () => adjudicate(createPlan(planOf()), claimOf([{}]), accumulators, factsOf());
    expect(call).toThrow(expect.objectContaining({ message: expect.not.stringContaining(secret) }));
  });

  it("decides 999 lines of the largest amounts exactly", () => {
    const lines = Array.from({ length: 999 }, (_, i) => ({
      code: `s${i}`,
      charge: 900_000_000_000,
    }));
    const { decision } = adjudicate(
      createPlan(planOf({}, { coinsurance: 3_333 })),
      claimOf(lines),
      emptyAccumulators([YEAR]),
      factsOf(),
    );
    // 33.33 % of 9 · 10^11 are 299,970,000,000.
    expect(decision.total.patient).toBe(999 * 299_970_000_000);
    expect(decision.total.paid).toBe(999 * 600_030_000_000);
  });
});
