import { describe, expect, it } from "vitest";
import {
  alternativesOf,
  compileDirectives,
  evaluateRequest,
  matches,
  toPcfResidual,
  toPermission,
  toSearchParameters,
  type Residual,
  type Rule,
} from "../../src/consent/index.ts";
import { askedOf, diceOf, NOW, recordOf, snapshotFrom } from "./random.ts";
import { deny, filed, permit, requestOf, sensitivity, snapshotOf } from "./support.ts";

const residualOf = (root: Rule): Residual =>
  evaluateRequest(requestOf(), snapshotOf([filed("a", { root })]), NOW).filter!;

const butHiv = residualOf(
  permit({}, { id: "all", rules: [deny({ data: { labels: [sensitivity("HIV")] } })] }),
);
const year = residualOf(permit({ data: { period: { from: "2022-01-01", to: "2022-12-31" } } }));
const observations = residualOf(
  permit({ data: { types: ["Observation"], labels: [sensitivity("SUD")] } }),
);

describe("alternativesOf", () => {
  it("says the same as the residual", () => {
    let compared = 0;
    for (let seed = 0; seed < 500; seed++) {
      const dice = diceOf(seed);
      const request = askedOf(dice);
      const { filter } = compileDirectives(snapshotFrom(dice)).evaluateRequest(request, NOW);
      const terms = filter === undefined ? undefined : alternativesOf(filter);
      if (filter === undefined || terms === undefined) continue;
      for (let i = 0; i < 6; i++) {
        const record = recordOf(dice);
        const ask = (op: "certain" | "possible", question: (typeof terms)[0][0]["question"]) =>
          matches({ ...filter, nodes: [{ op, question }], root: 0 }, record);
        const held = terms.some((term) =>
          term.every(({ question, answer }) => {
            if (answer === "yes") return ask("certain", question);
            if (answer === "maybe") return ask("possible", question);
            return !ask(answer === "no" ? "possible" : "certain", question);
          }),
        );
        expect(held, `${seed}`).toBe(matches(filter, record));
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(300);
  });
});

describe("toSearchParameters", () => {
  it("excludes labels, and says that unlabelled records cannot be told from harmless ones", () => {
    const { value, inexact } = toSearchParameters(butHiv);
    expect(value).toHaveLength(1);
    expect(value[0]!.parameters).toEqual([
      ["_security:not", "http://terminology.hl7.org/CodeSystem/v3-ActCode|HIV"],
    ]);
    expect(inexact.join()).toContain("without labels");
  });

  it("asks for types and every label below the one named", () => {
    const [search] = toSearchParameters(observations).value;
    expect(search!.types).toEqual(["Observation"]);
    const [name, codes] = search!.parameters[0]!;
    expect(name).toBe("_security");
    for (const code of ["SUD", "ETHUD", "OPIOIDUD"]) expect(codes).toContain(`|${code}`);
  });

  it("bounds dates from both sides", () => {
    expect(toSearchParameters(year).value[0]!.parameters).toEqual([
      ["date", "ge2022-01-01"],
      ["date", "le2022-12-31"],
    ]);
  });
});

describe("toPcfResidual", () => {
  // As IHE publishes them for its own examples (pcf-014 and its like).
  it("refuses all but a period, as IHE writes it", () => {
    const { value, inexact } = toPcfResidual(year);
    expect(value).toEqual([
      { type: "forbid" },
      { type: "permit", dataPeriod: { start: "2022-01-01", end: "2022-12-31" } },
    ]);
    expect(inexact).toEqual([]);
  });

  it("forbids one period, as IHE writes it", () => {
    const residual = residualOf(
      permit({}, { id: "all", rules: [deny({ data: { period: { from: "2022-01-01" } } })] }),
    );
    expect(toPcfResidual(residual).value).toEqual([
      { type: "forbid", dataPeriod: { start: "2022-01-01" } },
    ]);
  });

  it("forbids what an author wrote, as IHE writes it", () => {
    const root = permit(
      {},
      {
        id: "all",
        rules: [deny({ data: { refs: [{ meaning: "authoredby", reference: "Practitioner/1" }] } })],
      },
    );
    expect(toPcfResidual(residualOf(root)).value).toEqual([
      {
        type: "forbid",
        data: [{ meaning: "authoredby", reference: { reference: "Practitioner/1" } }],
      },
    ]);
  });

  it("marks that PCF takes unlabelled records for harmless", () => {
    expect(toPcfResidual(butHiv).inexact.join()).toContain("without labels");
  });
});

describe("toPermission", () => {
  it("permits all but a label", () => {
    const { value } = toPermission(butHiv);
    expect(value.rule.map(({ type }) => type)).toEqual(["permit", "deny"]);
    expect(value.rule[1]!.data![0]!.security).toEqual([sensitivity("HIV")]);
  });

  it("permits what is named, and marks what it writes as an expression", () => {
    const { value, inexact } = toPermission(observations);
    expect(value.rule).toHaveLength(1);
    expect(value.rule[0]!.data![0]!.expression!.expression).toBe("(%resource.is(Observation))");
    expect(inexact.join()).toContain("expression");
  });
});
