import { describe, expect, it } from "vitest";
import { decideDataUse, type DataUseTerm, type ResearchPurpose } from "../../src/consent/index.ts";

const term = (code: string, ...values: string[]): DataUseTerm => ({
  code: `DUO:${code}`,
  ...(values.length === 0 ? {} : { values }),
});
const GRU = term("0000042");
const HMB = term("0000006");
const DS = term("0000007", "MONDO:0005148");
const POA = term("0000011");
const diabetes: ResearchPurpose = {
  kinds: ["disease"],
  diseases: [{ code: "MONDO:0005148", above: ["MONDO:0005015"] }],
};

// By hand from the definitions of the terms, and the GA4GH/DUOS rules for primary terms.
const cases: readonly [
  it: string,
  terms: readonly DataUseTerm[],
  purpose: ResearchPurpose,
  then: "permit" | "deny" | "abstain",
][] = [
  ["no restriction permits anything", [term("0000004")], { kinds: ["other"] }, "permit"],
  ["general research permits a disease", [GRU], diabetes, "permit"],
  ["general research permits ancestry", [GRU], { kinds: ["ancestry"] }, "permit"],
  ["general research is no clinical care", [GRU], { kinds: ["clinical-care"] }, "deny"],
  ["biomedical research permits a disease", [HMB], diabetes, "permit"],
  ["biomedical research excludes ancestry", [HMB], { kinds: ["ancestry"] }, "deny"],
  ["a disease permits itself", [DS], diabetes, "permit"],
  ["a disease permits one below it", [term("0000007", "MONDO:0005015")], diabetes, "permit"],
  [
    "a disease denies another",
    [DS],
    { kinds: ["disease"], diseases: [{ code: "MONDO:0004975" }] },
    "deny",
  ],
  ["a disease cannot be judged without one", [DS], { kinds: ["disease"] }, "abstain"],
  ["a disease that is not named cannot be judged", [term("0000007")], diabetes, "abstain"],
  ["ancestry alone denies a disease", [POA], diabetes, "deny"],
  ["ancestry alone permits ancestry", [POA], { kinds: ["ancestry"] }, "permit"],
  ["the widest permission holds", [POA, GRU], diabetes, "permit"],
  ["an unstated kind abstains", [GRU], { kinds: [] }, "abstain"],
  ["no permission abstains", [term("0000021")], { ...diabetes, ethicsApproval: true }, "abstain"],
  ["an unknown term abstains", [GRU, term("9999999")], diabetes, "abstain"],
  ["a denial outweighs an unknown term", [POA, term("9999999")], diabetes, "deny"],
  ["ethics approval is asked for", [GRU, term("0000021")], diabetes, "abstain"],
  [
    "ethics approval given",
    [GRU, term("0000021")],
    { ...diabetes, ethicsApproval: true },
    "permit",
  ],
  [
    "ethics approval missing",
    [GRU, term("0000021")],
    { ...diabetes, ethicsApproval: false },
    "deny",
  ],
  [
    "not for profit denies a company",
    [GRU, term("0000018")],
    { ...diabetes, commercialOrganisation: true, commercialUse: false },
    "deny",
  ],
  [
    "not for profit needs both answers",
    [GRU, term("0000018")],
    { ...diabetes, commercialOrganisation: false },
    "abstain",
  ],
  [
    "a company may do what is not commercial",
    [GRU, term("0000046")],
    { ...diabetes, commercialOrganisation: true, commercialUse: false },
    "permit",
  ],
  ["methods are excluded", [GRU, term("0000015")], { kinds: ["methods"] }, "deny"],
  [
    "methods beside a disease are for people to judge",
    [GRU, term("0000015")],
    { ...diabetes, kinds: ["disease", "methods"] },
    "abstain",
  ],
  ["genetic studies only", [GRU, term("0000016")], { ...diabetes, genetic: false }, "deny"],
  ["a place outside", [GRU, term("0000022", "EU")], { ...diabetes, places: ["EU", "US"] }, "deny"],
  ["a place inside", [GRU, term("0000022", "EU")], { ...diabetes, places: ["EU"] }, "permit"],
  [
    "a moratorium that is kept",
    [GRU, term("0000024", "2026-01-01")],
    { ...diabetes, publishesFrom: "2026-01-01" },
    "permit",
  ],
  [
    "a time limit that is overrun",
    [GRU, term("0000025", "2026-01-01")],
    { ...diabetes, usesUntil: "2026-01-02" },
    "deny",
  ],
  [
    "clinical care is permitted by its term",
    [GRU, term("0000043")],
    { kinds: ["clinical-care"] },
    "permit",
  ],
  ["and research beside it stays permitted", [GRU, term("0000043")], diabetes, "permit"],
  ["ancestry is prohibited", [GRU, term("0000044")], { kinds: ["ancestry"] }, "deny"],
];

describe("decideDataUse", () => {
  it.each(cases)("%s", (_, terms, purpose, then) => {
    const decision = decideDataUse(terms, purpose);
    expect(decision.outcome).toBe(then);
    expect(decision.reasons.length).toBeGreaterThanOrEqual(terms.length);
  });

  it("reads codes as CURIE, OBO id and IRI", () => {
    for (const code of [
      "DUO:0000042",
      "DUO_0000042",
      "http://purl.obolibrary.org/obo/DUO_0000042",
    ]) {
      expect(decideDataUse([{ code }], diabetes).reasons[0]).toMatchObject({
        code: "DUO:0000042",
        label: "general research use",
      });
    }
  });

  it("takes no names of Object.prototype for terms", () => {
    expect(decideDataUse([{ code: "constructor" }], diabetes).outcome).toBe("abstain");
  });
});
