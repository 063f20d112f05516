import { describe, expect, it } from "vitest";
import {
  toPcfResidual,
  type ConsentResource,
  type PcfResidualRule,
} from "../../../src/consent/index.ts";
import { diceOf } from "../random.ts";
import { leftOf, namedRecord, residualOf } from "./residual-support.ts";
import { confidentiality, deny, labelled, permit, resourceOf, sensitivity } from "../support.ts";
import { cases } from "../../support/share.ts";

/** Whether a record is released, as ITI-71 with PCF puts it: a permit overrides a forbid. */
function released(rules: readonly PcfResidualRule[], record: ConsentResource): boolean {
  const named = rules.filter((rule) => names(rule, record)).map(({ type }) => type);
  return named.includes("permit") || !named.includes("forbid");
}

function names({ securityLabel, dataPeriod, data }: PcfResidualRule, record: ConsentResource) {
  const labels = record.labels?.codes ?? [];
  const day = String(record.period?.from ?? "");
  const { start, end } = dataPeriod ?? {};
  return (
    (securityLabel === undefined ||
      securityLabel.some((one) =>
        labels.some(({ system, code }) => system === one.system && code === one.code),
      )) &&
    (dataPeriod === undefined || day !== "") &&
    (start === undefined || day.slice(0, start.length) >= start) &&
    (end === undefined || day.slice(0, end.length) <= end) &&
    (data === undefined ||
      data.some(({ meaning, reference: { reference } }) => {
        if (meaning === "authoredby") return record.authors?.includes(reference) === true;
        if (record.id === reference) return true;
        if (meaning === "instance") return false;
        expect(meaning).toBe("related");
        return record.encounter === reference || record.references?.includes(reference) === true;
      }))
  );
}

describe("toPcfResidual", () => {
  it("releases nothing that is refused of what is known, and exactly what is permitted where it says so", () => {
    const seen = { released: 0, permitted: 0, refused: 0, exact: 0 };
    const seeds = cases(800, 4);
    for (let seed = 0; seed < seeds; seed++) {
      const dice = diceOf(seed);
      const left = leftOf(dice);
      if (left === undefined) continue;
      const { value, inexact } = toPcfResidual(left.residual);
      for (let i = 0; i < 12; i++) {
        const exact = inexact.length === 0;
        const record = namedRecord(dice, !exact || dice.chance(0.5));
        const permitted = left.permits(record);
        const may = released(value, record);
        if (may && !permitted) expect.fail(`${seed}: released`);
        if (exact && may !== permitted) expect.fail(`${seed}: said to be exact`);
        if (permitted) seen.permitted++;
        else seen.refused++;
        if (may) seen.released++;
        if (exact && permitted) seen.exact++;
      }
    }
    expect(seen.refused).toBeGreaterThan((seeds * 5) / 8);
    expect(seen.released).toBeGreaterThan(seen.permitted / 4);
    expect(seen.exact).toBeGreaterThan(seeds / 40);
  });

  const year = { from: "2022-01-01", to: "2022-12-31" };

  // As IHE publishes them for its own examples (pcf-014 and its like).
  it("refuses all but a period, as IHE writes it", () => {
    const { value, inexact } = toPcfResidual(residualOf(permit({ data: { period: year } })));
    expect(value).toEqual([
      { type: "forbid" },
      { type: "permit", dataPeriod: { start: "2022-01-01", end: "2022-12-31" } },
    ]);
    expect(inexact).toEqual(["the time zone, and records that a period only touches"]);
  });

  it("forbids one period, as IHE writes it", () => {
    const root = permit({}, { id: "all", rules: [deny({ data: { period: year } })] });
    expect(toPcfResidual(residualOf(root)).value).toEqual([
      { type: "forbid", dataPeriod: { start: "2022-01-01", end: "2022-12-31" } },
    ]);
  });

  it("forbids what an author wrote, as IHE writes it", () => {
    const refs = [{ meaning: "authoredby" as const, reference: "Practitioner/1" }];
    const root = permit({}, { id: "all", rules: [deny({ data: { refs } })] });
    expect(toPcfResidual(residualOf(root)).value).toEqual([
      {
        type: "forbid",
        data: [{ meaning: "authoredby", reference: { reference: "Practitioner/1" } }],
      },
    ]);
  });

  it("says dependents as PCF's related, and cannot say FHIR's related", () => {
    const refsOf = (meaning: "dependents" | "related") =>
      toPcfResidual(
        residualOf(permit({ data: { refs: [{ meaning, reference: "Encounter/1" }] } })),
      );
    expect(refsOf("dependents").value).toEqual([
      { type: "forbid" },
      {
        type: "permit",
        data: [{ meaning: "related", reference: { reference: "Encounter/1" } }],
      },
    ]);
    expect(refsOf("related").value).toEqual([{ type: "forbid" }]);
    expect(refsOf("related").inexact.join()).toContain("left out");
  });

  it("forbids every label below the one named", () => {
    const labels = [sensitivity("ETH")];
    const root = permit({}, { id: "all", rules: [deny({ data: { labels } })] });
    const { value } = toPcfResidual(residualOf(root));
    for (const code of ["ETH", "SUD", "ETHUD", "OPIOIDUD"]) {
      const record = resourceOf({ labels: labelled(confidentiality("R"), sensitivity(code)) });
      expect(released(value, record), code).toBe(false);
    }
  });

  it.each([
    ["N", "R", [{ type: "forbid" }, "permit"]],
    ["R", "R", [{ type: "forbid" }]],
    ["R", "N", [{ type: "forbid" }]],
  ])("drops an exception that a permit of %s implies, and of %s only then", (most, least, then) => {
    const root = permit(
      { data: { labels: [confidentiality(most)] } },
      { id: "normal", rules: [deny({ data: { labels: [confidentiality(least)] } })] },
    );
    const { value } = toPcfResidual(residualOf(root));
    expect(value.map((one, at) => (at === 0 ? one : one.type))).toEqual(then);
  });

  it("leaves out a permit with an exception, which a permit in a token would override", () => {
    const root = permit(
      { data: { labels: [confidentiality("N")] } },
      { id: "normal", rules: [deny({ data: { labels: [sensitivity("PSY")] } })] },
    );
    const { value, inexact } = toPcfResidual(residualOf(root));
    expect(value).toEqual([{ type: "forbid" }]);
    expect(inexact.join()).toContain("left out");
  });

  it("says nothing of types and codes, of which a token knows nothing", () => {
    const { value, inexact } = toPcfResidual(
      residualOf(permit({ data: { types: ["Observation"] } })),
    );
    expect(value).toEqual([{ type: "forbid" }]);
    expect(inexact.join()).toContain("left out");
  });

  it("marks that PCF takes unlabelled records for harmless", () => {
    const labels = [sensitivity("HIV")];
    const root = permit({}, { id: "all", rules: [deny({ data: { labels } })] });
    expect(toPcfResidual(residualOf(root)).inexact.join()).toContain("without labels");
  });
});
