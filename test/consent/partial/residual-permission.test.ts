import { describe, expect, it } from "vitest";
import {
  toResidualPermission,
  type ConsentResource,
  type ResidualPermission,
} from "../../../src/consent/index.ts";
import { diceOf } from "../random.ts";
import { leftOf, namedRecord, residualOf } from "./residual-support.ts";
import { deny, permit, sensitivity } from "../support.ts";
import { cases } from "../../support/share.ts";

type Data = NonNullable<ResidualPermission["rule"][number]["data"]>[number];

/** Whether a Permission permits a record: some rule permits it, and none denies it. */
function permitted({ combining, rule }: ResidualPermission, record: ConsentResource): boolean {
  expect(combining).toBe("deny-overrides");
  const named = rule
    .filter(({ data }) => data === undefined || data.some((one) => names(one, record)))
    .map(({ type }) => type);
  return named.includes("permit") && !named.includes("deny");
}

function names({ resource, security, period, expression }: Data, record: ConsentResource): boolean {
  const labels = record.labels?.codes ?? [];
  const day = String(record.period?.from ?? "");
  return (
    (security === undefined ||
      security.some((one) =>
        labels.some(({ system, code }) => system === one.system && code === one.code),
      )) &&
    (period === undefined ||
      period.some(
        ({ start, end }) =>
          day !== "" &&
          (start === undefined || day.slice(0, start.length) >= start) &&
          (end === undefined || day.slice(0, end.length) <= end),
      )) &&
    (resource === undefined ||
      resource.some(({ meaning, reference: { reference } }) => {
        if (meaning === "authoredby") return record.authors?.includes(reference) === true;
        if (record.id === reference) return true;
        if (meaning === "related") return record.referredBy?.includes(reference) === true;
        if (meaning !== "dependents") return false;
        return record.encounter === reference || record.references?.includes(reference) === true;
      })) &&
    (expression === undefined || fhirPath(expression.expression, record))
  );
}

/** As much of FHIRPath as is written: groups of alternatives, joined. */
function fhirPath(text: string, record: ConsentResource): boolean {
  return text
    .slice(1, -1)
    .split(") and (")
    .every((group) =>
      group.split(" or ").some((one) => {
        const type = /^%resource\.is\((\w+)\)$/.exec(one)?.[1];
        if (type !== undefined) return record.type === type;
        const [, where, system, code] =
          /^%resource\.(code\.coding|descendants\(\))\.where\(system='(.*)' and code='(.*)'\)\.exists\(\)$/.exec(
            one,
          )!;
        const codes =
          where === "code.coding"
            ? record.codes.slice(0, 1)
            : [...record.codes, ...(record.otherCodes ?? [])];
        return codes.some((own) => own.system === system && own.code === code);
      }),
    );
}

describe("toPermission", () => {
  it("permits nothing that is refused of what is known, and exactly what is permitted where it says so", () => {
    const seen = { may: 0, permitted: 0, refused: 0, exact: 0, expressions: 0 };
    const seeds = cases(800, 4);
    for (let seed = 0; seed < seeds; seed++) {
      const dice = diceOf(seed);
      const left = leftOf(dice);
      if (left === undefined) continue;
      const { value, inexact } = toResidualPermission(left.residual);
      if (value.rule.some(({ data }) => data?.some((one) => one.expression))) seen.expressions++;
      for (let i = 0; i < 12; i++) {
        const exact = inexact.length === 0;
        const record = namedRecord(dice, !exact || dice.chance(0.5));
        const wanted = left.permits(record);
        const may = permitted(value, record);
        if (may && !wanted) expect.fail(`${seed}: permitted`);
        if (exact && may !== wanted) expect.fail(`${seed}: said to be exact`);
        if (wanted) seen.permitted++;
        else seen.refused++;
        if (may) seen.may++;
        if (exact && wanted) seen.exact++;
      }
    }
    expect(seen.refused).toBeGreaterThan((seeds * 5) / 8);
    expect(seen.may).toBeGreaterThan(seen.permitted / 2);
    expect(seen.exact).toBeGreaterThan(seeds / 40);
    expect(seen.expressions).toBeGreaterThan(seeds / 16);
  });

  it("permits all but a label", () => {
    const labels = [sensitivity("HIV")];
    const { value } = toResidualPermission(
      residualOf(permit({}, { id: "all", rules: [deny({ data: { labels } })] })),
    );
    expect(value.rule).toEqual([
      { type: "permit" },
      { type: "deny", data: [{ security: labels }] },
    ]);
  });

  it("permits what is named but for its exceptions", () => {
    const root = permit(
      { data: { types: ["Observation"] } },
      { id: "all", rules: [deny({ data: { labels: [sensitivity("HIV")] } })] },
    );
    const { value, inexact } = toResidualPermission(residualOf(root));
    expect(value.rule.map(({ type }) => type)).toEqual(["permit", "deny"]);
    expect(value.rule[0]!.data![0]!.expression!.expression).toBe("(%resource.is(Observation))");
    expect(inexact).toContain("types and codes, as an expression");
  });

  it("writes no expression for an invalid type, and escapes quotes in strings", () => {
    const types = ["Observation) or (true"];
    const odd = toResidualPermission(residualOf(permit({ data: { types } })));
    expect(odd.value.rule).toEqual([{ type: "deny" }]);
    expect(odd.inexact.join()).toContain("left out");
    const codes = [{ system: "urn:s", code: "x' or true or '\\\n." }];
    const { value } = toResidualPermission(
      residualOf(permit({}, { id: "all", rules: [deny({ data: { codes } })] })),
    );
    expect(value.rule[1]!.data![0]!.expression!.expression).toBe(
      "(%resource.descendants().where(system='urn:s' and code='x\\' or true or \\'\\\\\\u000a.').exists())",
    );
  });
});
