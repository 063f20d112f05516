import { describe, expect, it } from "vitest";
import {
  compileDirectives,
  defaultTerminology,
  extendTerminology,
  HL7_TERMINOLOGY,
  makeTerminology,
  type Rule,
  type TerminologyAdditions,
} from "../../../src/consent/index.ts";
import { ConsentError } from "../../../src/errors.ts";
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

  it.each<[string, Omit<TerminologyAdditions, "name" | "version">]>([
    ["a purpose below none that is there", { purposes: { X: ["x", "TRAET"] } }],
    ["a label below none that is there", { sensitivity: { X: ["x", "HIVV"] } }],
    ["an obligation below none that is there", { obligations: { X: ["x", "NOPE"] } }],
    ["an alias of none that is there", { aliases: [["HIVV", "STD"]] }],
    ["an alias for none that is there", { aliases: [["HIV", "STDD"]] }],
    ["a code below the name of an object's member", { purposes: { X: ["x", "constructor"] } }],
  ])("refuses %s", (_, additions) => {
    const make = () =>
      extendTerminology(HL7_TERMINOLOGY, { name: "o", version: "1", ...additions });
    expect(make).toThrow(ConsentError);
  });

  it("lets nothing stand below BTG, where a permit of treatment would reach it", () => {
    for (const purposes of [
      { X: ["x", "BTG"] as const },
      { X: ["x", "Y"] as const, Y: ["y", "TREAT", "BTG"] as const },
    ]) {
      const data = extendTerminology(HL7_TERMINOLOGY, { name: "o", version: "1", purposes });
      expect(() => makeTerminology(data)).toThrow(ConsentError);
    }
  });

  it("lets nobody widen a category by another meaning", () => {
    for (const categories of [{ research: null }, { treatment: ["TREAT"] }]) {
      expect(() =>
        extendTerminology(HL7_TERMINOLOGY, { name: "o", version: "1", categories }),
      ).toThrow(ConsentError);
    }
  });

  describe("as a snapshot pins it", () => {
    const extended = makeTerminology(
      extendTerminology(HL7_TERMINOLOGY, {
        name: "ours",
        version: "1",
        purposes: { "urn:ours|BOARD": ["tumour board", "TREAT"] },
        sensitivity: { "OUR-HIV": ["our own code", "HIV"] },
        aliases: [["STD", "OUR-HIV"]],
        categories: { board: ["urn:ours|BOARD"] },
      }),
    );
    const decide = (root: Rule, purpose: string, code: string, terminology = extended) =>
      compileDirectives(
        snapshotOf([filed("a", { default: "none", root })], { terminology: terminology.cid }),
        { terminology },
      ).evaluate(
        requestOf({ purposes: [purpose] }),
        resourceOf({ labels: labelled(sensitivity(code)) }),
        at("2026"),
      ).outcome;

    it("governs purposes and labels", () => {
      const treat = permit({ purposes: ["TREAT"] });
      expect(decide(treat, "urn:ours|BOARD", "N")).toBe("permit");
      expect(decide(treat, "urn:ours|BOARD", "N", shipped)).toBe("not-applicable");
      for (const above of ["HIV", "STD"]) {
        const but = permit({}, { rules: [deny({ data: { labels: [sensitivity(above)] } })] });
        expect(decide(but, "TREAT", "OUR-HIV")).toBe("deny");
        expect(decide(but, "TREAT", "OUR-HIV", shipped)).toBe("indeterminate");
      }
    });

    it("keeps BTG apart", () => {
      expect(decide(permit({ purposes: ["TREAT"] }), "BTG", "N")).toBe("not-applicable");
    });

    it("is needed to read the snapshot", () => {
      const snapshot = snapshotOf([], { terminology: extended.cid });
      expect(() => compileDirectives(snapshot)).toThrow(ConsentError);
      expect(() => compileDirectives(snapshotOf([]), { terminology: extended })).toThrow(
        ConsentError,
      );
    });
  });
});
