import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import {
  createLabeller,
  DEFAULT_LABEL_RULES,
  extendLabelRules,
} from "../../../src/consent/index.ts";
import { describeVectors } from "../../support/vectors.ts";

interface Resource {
  readonly resourceType: string;
  readonly [field: string]: unknown;
}

// Independent of the rules: what the displays of the codes say, in words. Tobacco is left out.
const WORDS: Readonly<Record<string, RegExp>> = {
  ETH: /opioid abuse|alcoholism|drug (overdose|addiction|detox|rehab)|substance abuse/i,
  PSY: /psychi|depressi|posttraumatic|attention|suicide|mental health|psycho|cognitive behav|sertraline|fluoxetine|methylphenidate/i,
  SEX: /pregnan|prenatal|miscarriage|vasectomy|sexual/i,
};
/** Resources, over the ten patients, with such a display; counted outside the project. */
const EXPECTED = { ETH: 20, PSY: 26, SEX: 16 };

describeVectors("the default labeller on synthetic patients", "synthea", (folder) => {
  const bundles = readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .map((name) => {
      const text = readFileSync(join(folder, name), "utf8");
      const { entry } = JSON.parse(text) as { entry: { fullUrl: string; resource: Resource }[] };
      return new Map(entry.map(({ fullUrl, resource }) => [fullUrl, resource]));
    });
  const labeller = createLabeller();
  // Somebody went through all codes of these patients; what a rule finds sensitive stays so.
  const codes: Record<string, string[]> = {};
  for (const bundle of bundles) {
    const text = JSON.stringify([...bundle.values()]);
    for (const [, system, code] of text.matchAll(/"system":"([^"]*)","code":"([^"]*)"/g)) {
      (codes[system!] ??= []).push(code!);
    }
  }
  const list = { name: "synthetic", version: "1", notSensitive: [{ codes }] };
  const knowing = createLabeller(extendLabelRules(DEFAULT_LABEL_RULES, list));
  const all = bundles.flatMap((bundle) =>
    [...bundle.values()].map((resource) => ({
      displays: [...JSON.stringify(resource).matchAll(/"display":"([^"]*)"/g)].map((m) => m[1]!),
      labels: labeller.label(resource, { resolve: (reference) => bundle.get(reference) }),
      judged: knowing.label(resource, { resolve: (reference) => bundle.get(reference) }),
      alone: labeller.label(resource),
      resource,
    })),
  );

  it.each(["ETH", "PSY", "SEX"] as const)("labels %s wherever a display says so", (code) => {
    const said = all.filter(({ displays }) => displays.some((text) => WORDS[code]!.test(text)));
    expect(said.length).toBe(EXPECTED[code]);
    for (const { labels, alone, resource } of said) {
      for (const given of [labels, alone]) {
        const codes = given?.codes.map((coding) => coding.code) ?? [];
        expect(codes, JSON.stringify(resource).slice(0, 400)).toContain(code);
        expect(codes).toContain("R");
      }
    }
  });

  it("labels what only refers to something sensitive, where that is at hand", () => {
    const sensitive = (labels: (typeof all)[number]["labels"]): boolean =>
      labels?.codes.some(({ code }) => code === "R") === true;
    const referring = all.filter(({ labels, alone }) => sensitive(labels) && !sensitive(alone));
    // Pharmacy claims that name the prescription only, and what was prescribed for a diagnosis.
    expect(new Set(referring.map(({ resource }) => resource.resourceType))).toContain("Claim");
    for (const { alone } of referring) expect(alone).toBeNull();
  });

  it("stamps nothing with prose in it, and everything else once its codes are judged", () => {
    // Goals are prose, claims name their coverage in words, patients have extensions of their maker's.
    const prose = ["Goal", "Claim", "ExplanationOfBenefit", "Patient"];
    let stamps = 0;
    for (const { resource, judged: given } of all) {
      // Five plans have goals.
      const isProse = prose.includes(resource.resourceType) || resource["goal"] !== undefined;
      const what = JSON.stringify(resource).slice(0, 600);
      expect(given?.stamp == null, what).toBe(isProse);
      if (!isProse) stamps++;
    }
    // Encounters, observations, procedures, immunizations, conditions, orders, plans, reports, places,
    // practitioners: 180 + 1176 + 56 + 101 + 68 + 30 + 24 + 82 + 15 + 15.
    expect(stamps).toBe(1747);
  });

  it("stamps of clinical records those in CVX alone, while nobody has judged the codes", () => {
    const clinical = all.filter(
      ({ labels, resource }) =>
        labels?.stamp != null && !["Organization", "Practitioner"].includes(resource.resourceType),
    );
    const harmless = clinical.filter(({ labels }) => labels!.codes.length === 1);
    expect(new Set(harmless.map(({ resource }) => resource.resourceType))).toEqual(
      new Set(["Immunization"]),
    );
  });

  it("does not label most of a history", () => {
    const sensitive = all.filter(({ labels }) => (labels?.codes.length ?? 0) > 1);
    expect(sensitive.length / all.length).toBeLessThan(0.1);
  });
});
