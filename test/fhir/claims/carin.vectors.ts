import { describe, expect, it } from "vitest";
import { describeVectors } from "../../support/vectors.ts";
import { EOBS } from "./eobs.ts";
import type { Json } from "./fsh.ts";

describeVectors("CARIN Blue Button 2.2.0", "carin-bb", () => {
  const loaded = Promise.all([import("./carin.ts"), import("./fsh.ts")]);
  const TYPES = ["Professional", "Oral", "Pharmacy", "Inpatient", "Outpatient"] as const;

  describe.each(TYPES)("%s", (type) => {
    const load = async () => {
      const [{ profileRules }, { instanceOf }] = await loaded;
      const rules = profileRules(`EOB${type}Profile.fsh`);
      return { rules, example: instanceOf(`EOB${type}1`) };
    };
    const broken = (rules: Awaited<ReturnType<typeof load>>["rules"], resource: Json): string[] =>
      rules.filter((rule) => rule.broken(resource) > 0).map(({ text }) => text);

    it("is kept by the published example", async () => {
      const { rules, example } = await load();
      expect(rules.length).toBeGreaterThan(40);
      expect(broken(rules, example)).toEqual([]);
    });

    it("is kept by every ExplanationOfBenefit that is written", async () => {
      const { rules } = await load();
      for (const eob of EOBS[type]()) expect(broken(rules, eob)).toEqual([]);
    });

    it("is broken by a mutant of each rule that applies to what is written", async () => {
      const { rules } = await load();
      let mutants = 0;
      for (const rule of rules) {
        const eob = structuredClone(EOBS[type]()[0]!);
        if (!rule.breakIt(eob)) continue;
        mutants++;
        expect(broken(rules, eob), rule.text).toContain(rule.text);
      }
      expect(mutants).toBeGreaterThan(30);
    });
  });
});
