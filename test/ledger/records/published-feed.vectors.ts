import { readdirSync } from "node:fs";
import { expect, it } from "vitest";
import type { RecordedNdjson, Subject } from "../../../src/index.ts";
import { at, onOneLine, referencesIn, type Example } from "../../support/published-examples.ts";
import { collect, ward, type Ward } from "../../support/ward.ts";
import { describeVectors, readVector } from "../../support/vectors.ts";

/** Where a type names its patient, in R4 and R5; what stands first and is there decides. */
const PATIENT_AT: Readonly<Record<string, readonly (readonly string[])[]>> = {
  AuditEvent: [["patient"], ["entity", "what"]],
  Claim: [["patient"]],
  ClaimResponse: [["patient"]],
  Consent: [["patient"], ["subject"]],
  Contract: [["subject"]],
  Coverage: [["beneficiary"]],
  CoverageEligibilityRequest: [["patient"]],
  CoverageEligibilityResponse: [["patient"]],
  ExplanationOfBenefit: [["patient"]],
  Provenance: [["patient"], ["target"]],
  ResearchSubject: [["individual"], ["subject"]],
};
/** Types that are about nobody. */
const ABOUT_NOBODY = new Set(["InsurancePlan", "Permission", "ResearchStudy"]);

/** Why an example is not recorded, by its class. */
const WHY = {
  "a contained patient without a number": "its patient has no identifier that tells who they are",
  "no patient, in a type that may have data about one":
    "it names nobody and may have data about somebody, and nothing about a known person refers to it yet",
  "a reference that is no FHIR reference": "it cannot be told whom it is about",
};

/** Examples that are not recorded, as found by reading them. */
const OF_BOTH: Partial<Record<keyof typeof WHY, readonly string[]>> = {
  "a contained patient without a number": ["Claim/100152", "Claim/100155", "Claim/MED-00050"],
  "no patient, in a type that may have data about one": [
    // Two logins, an error, a burnt disc, two queries whose patient is in a query string, a device.
    ...["login", "logout", "error", "media", "pixQuery", "search"].map(
      (name) => `AuditEvent/example-${name}`,
    ),
    "AuditEvent/example",
    // A licence.
    "Contract/C-123",
  ],
};
const NOT_RECORDED: Readonly<Record<string, typeof OF_BOTH>> = {
  "fhir-r4": OF_BOTH,
  "fhir-r5": {
    ...OF_BOTH,
    // Its subject is "cfsb1676546565857".
    "a reference that is no FHIR reference": ["ResearchSubject/example-crossover-placebo-to-drug"],
  },
};

/** The name of a patient, or a number, as text; `undefined` if an example is about nobody who can be found. */
function patientOf(
  example: Example,
  all: ReadonlyMap<string, Example>,
): { readonly name: string } | { readonly number: { system: string; value: string } } | undefined {
  const names = new Set<string>();
  const numbers = new Map<string, { system: string; value: string }>();
  for (const path of PATIENT_AT[example.resourceType] ?? []) {
    for (const { reference = "", identifier } of at(example, path)) {
      const { system, value } = identifier ?? {};
      const [name, type] = /^([A-Z]\w+)\/[\w.-]+/.exec(reference) ?? [];
      if (type === "Patient") names.add(name!);
      else if (name !== undefined) {
        const other = all.get(name);
        const its = other === undefined ? undefined : patientOf(other, all);
        if (its !== undefined && "name" in its) names.add(its.name);
      } else if (system !== undefined && value !== undefined && path.join() === "patient") {
        numbers.set(`${system}|${value}`, { system, value });
      }
    }
    if (names.size + numbers.size > 0) break;
  }
  expect(names.size + numbers.size).toBeLessThan(2);
  for (const name of names) return { name };
  for (const number of numbers.values()) return { number };
  return undefined;
}

for (const version of ["fhir-r4", "fhir-r5"]) {
  describeVectors(`published examples, ${version}`, version, (folder) => {
    const files = readdirSync(folder).filter((file) => file.endsWith(".json"));
    const published = files.map((file) => readVector(version, file).trim());
    const examples = new Map(
      published.map((text) => {
        const example = JSON.parse(text) as Example;
        const name: string = `${example.resourceType}/${example.id}`;
        return [name, example] as const;
      }),
    );
    const names = [...examples.keys()];
    const whyNot = new Map(
      Object.entries(NOT_RECORDED[version]!).flatMap(([because, some]) =>
        some.map((name) => [name, WHY[because as keyof typeof WHY]] as const),
      ),
    );

    const asLines = {
      texts: published.map(onOneLine),
      send: (w: Ward, texts: readonly string[]) =>
        w.hl.recordNdjson([texts.join("\n")], { source: version }),
      placeOf: ({ line }: RecordedNdjson["problems"][number]) => line - 1,
    };
    const asBundle = {
      texts: published,
      send(w: Ward, texts: readonly string[]) {
        const entry = texts.map((text) => `{"resource":${text}}`).join(",");
        const bundle = `{"resourceType":"Bundle","type":"collection","entry":[${entry}]}`;
        // Bundles in NDJSON are read as they are elsewhere; their line breaks end no line.
        return w.hl.recordBundle(null, bundle, { source: version }).then((said) => ({
          recorded:
            said.recorded.filter(({ amends }) => amends === undefined).length +
            said.kept.filter(({ as }) => as === "created").length,
          known: said.known.length + said.kept.filter(({ as }) => as === "recorded").length,
          copied: said.copied.length,
          skipped: said.skipped.length,
          problems: said.skipped.map(({ index, why, type }) => ({
            ...{ line: index, code: "skipped" as const, type, why },
          })),
        }));
      },
      placeOf: ({ line }: RecordedNdjson["problems"][number]) => line,
    };

    it("have a table that leaves none out", () => {
      expect(examples.size).toBe(files.length);
      expect([...whyNot.keys()].filter((name) => !examples.has(name))).toEqual([]);
      for (const [name, example] of examples) {
        const isAbout = patientOf(example, examples) !== undefined;
        const isNobodys = ABOUT_NOBODY.has(example.resourceType);
        const isNot = whyNot.has(name);
        const ways = [isAbout, isNobodys, isNot].filter(Boolean);
        expect([name, ways.length]).toEqual([name, 1]);
      }
    });

    it.each([
      ["lines", asLines],
      ["a bundle", asBundle],
    ])("are recorded as they are or it is said why not, as %s", async (_, form) => {
      const w = await ward();
      const said = await form.send(w, form.texts);
      const why = new Map(said.problems.map((one) => [names[form.placeOf(one)]!, one.why]));
      expect(new Map([...why].sort())).toEqual(new Map([...whyNot].sort()));
      expect(said.problems.every(({ code }) => code === "skipped")).toBe(true);

      /** The person whom an example is about. */
      const personOf = async (example: Example): Promise<Subject | undefined> => {
        const who = patientOf(example, examples);
        if (who === undefined) return undefined;
        const found = await w.hl.findSubject(
          "number" in who ? who.number : { source: version, reference: who.name },
        );
        expect(found).toBeDefined();
        return found;
      };
      let copied = 0;
      const unassigned: string[] = [];
      for (const [i, [name, example]] of [...examples].entries()) {
        const { resourceType: type, id } = example;
        const resource = { source: version, type, id };
        const persons = new Map<string, Subject>();
        if (ABOUT_NOBODY.has(type)) {
          for (const [j, other] of [...examples.values()].entries()) {
            const person = await personOf(other);
            const isServed = person !== undefined && referencesIn(published[j]!).has(name);
            if (isServed) persons.set(person.local.join(), person);
          }
          copied += persons.size;
          if (persons.size === 0) {
            unassigned.push(name);
            expect(await w.hl.find(resource)).toEqual([]);
            await w.hl.assign(resource, w.me);
            persons.set(w.me.local.join(), w.me);
          }
        } else {
          const person = await personOf(example);
          if (person !== undefined) persons.set(person.local.join(), person);
        }
        const found = await w.hl.find(resource);
        expect(found.map(({ subject }) => subject.local.join()).sort()).toEqual(
          [...persons.keys()].sort(),
        );
        expect(found.length > 0).toBe(!whyNot.has(name));
        for (const one of found) {
          expect(one.ended).toBe(false);
          expect(new TextDecoder().decode(await w.hl.read(one.id))).toBe(form.texts[i]);
        }
      }
      expect(said).toMatchObject({ recorded: names.length - whyNot.size, known: 0, copied });
      expect(said.skipped).toBe(whyNot.size);
      expect(unassigned.length).toBeGreaterThan(0);
      expect(await collect(w.hl.unassigned())).toEqual([]);

      const again = await form.send(w, form.texts);
      expect(again).toMatchObject({ recorded: 0, known: said.recorded, skipped: said.skipped });
      expect(again).toMatchObject({ copied: 0, problems: said.problems });
    });
  });
}
