import { expect, it } from "vitest";
import { HL7_TERMINOLOGY, type Hierarchy } from "../../../src/consent/index.ts";
import { describeVectors, readVector } from "../../support/vectors.ts";

describeVectors("the shipped terminology", "consent/tho", () => {
  it.each<[string, Hierarchy]>([
    ["purpose-of-use", HL7_TERMINOLOGY.purposes],
    ["sensitivity", HL7_TERMINOLOGY.sensitivity],
    ["obligations", HL7_TERMINOLOGY.obligations],
    ["refrains", HL7_TERMINOLOGY.refrains],
  ])("is HL7's, for %s", (name, ours) => {
    const published = JSON.parse(readVector("consent", "tho", `${name}.json`)) as {
      concepts: Record<string, { display: string; parents: string[] }>;
    };
    const theirs = Object.fromEntries(
      Object.entries(published.concepts).map(([code, { display, parents }]) => [
        code,
        [display, ...parents],
      ]),
    );
    expect(ours).toEqual(theirs);
  });
});
