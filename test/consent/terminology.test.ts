import { describe, expect, it } from "vitest";
import {
  defaultTerminology,
  extendTerminology,
  HL7_TERMINOLOGY,
  makeTerminology,
} from "../../src/consent/index.ts";
import { ConsentError } from "../../src/errors.ts";

const shipped = defaultTerminology();

describe("makeTerminology", () => {
  it("puts BTG below ETREAT below TREAT", () => {
    expect(shipped.purposesBelow("TREAT")!.has("BTG")).toBe(true);
    expect(shipped.purposesBelow("ETREAT")!.has("BTG")).toBe(true);
    expect(shipped.purposesBelow("BTG")!.has("TREAT")).toBe(false);
  });

  it("puts ETHUD and OPIOIDUD below both ETH and SUD", () => {
    for (const parent of ["ETH", "SUD"]) {
      for (const child of ["ETHUD", "OPIOIDUD"]) {
        expect(shipped.labelsBelow(parent)!.has(child)).toBe(true);
      }
    }
    expect(shipped.labelsBelow("SUD")!.has("ETH")).toBe(false);
  });

  it("orders confidentiality", () => {
    expect(
      ["U", "L", "M", "N", "R", "V"].map((code) => shipped.confidentialityLevel(code)),
    ).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("does not take the names of object members for codes", () => {
    expect(shipped.purposesBelow("constructor")).toBeUndefined();
    expect(shipped.display("toString")).toBeUndefined();
  });
});

describe("extendTerminology", () => {
  it("adds codes under known ones, and has another name", () => {
    const data = extendTerminology(HL7_TERMINOLOGY, {
      name: "ours",
      version: "1",
      purposes: { "urn:ours|TUMOURBOARD": ["tumour board", "TREAT"] },
    });
    const extended = makeTerminology(data);
    expect(extended.purposesBelow("TREAT")!.has("urn:ours|TUMOURBOARD")).toBe(true);
    expect(extended.cid.equals(shipped.cid)).toBe(false);
  });

  it("refuses to redefine a code", () => {
    expect(() =>
      extendTerminology(HL7_TERMINOLOGY, {
        name: "ours",
        version: "1",
        purposes: { BTG: ["harmless", "PurposeOfUse"] },
      }),
    ).toThrow(ConsentError);
  });

  it("refuses a cycle", () => {
    const data = extendTerminology(HL7_TERMINOLOGY, {
      name: "ours",
      version: "1",
      sensitivity: { XA: ["a", "XB"], XB: ["b", "XA"] },
    });
    expect(() => makeTerminology(data)).toThrow(ConsentError);
  });
});
