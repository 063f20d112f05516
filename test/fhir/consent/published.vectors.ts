import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { fromConsent } from "../../../src/fhir/consent-in/from-consent.ts";
import type { FromConsentOptions } from "../../../src/fhir/consent-in/options.ts";
import { describeVectors } from "../../support/vectors.ts";
import { compile, requestOf, resourceOf } from "./support.ts";

/**
 * Each published Consent, the options that a person who read its narrative would give, and what
 * becomes of it: the decisions on some questions, or why it is refused.
 */
interface Row {
  readonly name: string;
  readonly options?: FromConsentOptions;
  readonly refused?: RegExp;
  readonly because?: string;
  /** Legal time, who asks, for what and about what, and the decision. */
  readonly decides?: readonly (readonly [on: string, asks: object, about: object, then: string])[];
}

const exception: FromConsentOptions = { reading: "exception" };
const scope: FromConsentOptions = { reading: "scope" };
const nurse = { user: "Practitioner/f204" };
const f001 = { requester: "Organization/f001", user: "Organization/f001" };
const held = { controller: "Organization/f001" };

const R4: readonly Row[] = [
  {
    name: "basic",
    options: scope,
    because: "opts in for half a century",
    decides: [
      ["2015-12-31", {}, {}, "permit"],
      ["2016-01-02", {}, {}, "deny"],
    ],
  },
  {
    name: "Emergency",
    options: exception,
    refused: /Consent\.provision\.actor names a custodian/,
    because: "it denies what one custodian holds, but not for emergencies: a rule per custodian",
  },
  {
    name: "Out",
    options: scope,
    because: "withholds what one custodian holds",
    decides: [
      ["2020-01-01", {}, held, "deny"],
      ["2020-01-01", {}, { controller: "Organization/other" }, "not-applicable"],
    ],
  },
  {
    name: "grantor",
    options: scope,
    because: "what one custodian holds is withheld from one recipient",
    decides: [
      ["2020-01-01", { user: "Patient/example" }, held, "deny"],
      // A practitioner may be that patient too.
      ["2020-01-01", { user: "Practitioner/1" }, held, "indeterminate"],
      ["2020-01-01", { user: "Patient/other" }, held, "not-applicable"],
    ],
  },
  {
    name: "notAuthor",
    options: exception,
    refused: /Consent\.provision\.actor names a custodian/,
    because: "everything but what one custodian holds: a rule per custodian",
  },
  {
    name: "notOrg",
    because: "typed: no reading is needed",
    decides: [
      ["2020-01-01", f001, {}, "deny"],
      ["2020-01-01", { ...f001, action: "use" }, {}, "permit"],
      ["2020-01-01", {}, {}, "permit"],
    ],
  },
  {
    name: "notThem",
    options: exception,
    because: "everybody but one nurse",
    decides: [
      ["2020-01-01", nurse, {}, "deny"],
      ["2020-01-01", {}, {}, "permit"],
    ],
  },
  {
    name: "notThis",
    options: exception,
    because: "everything but one task and what it refers to",
    decides: [
      ["2020-01-01", {}, { id: "Task/example3" }, "deny"],
      ["2020-01-01", {}, { referredBy: ["Task/example3"] }, "deny"],
      ["2020-01-01", {}, {}, "permit"],
    ],
  },
  {
    name: "notTime",
    options: exception,
    because: "always but for one month, which had passed when it was given",
    decides: [["2020-01-01", {}, {}, "permit"]],
  },
  {
    name: "pkb",
    options: exception,
    refused:
      /provision\[2\] has the same conditions as the provision around it, and so cancels all of it/,
    because: "permits normal data, with an exception for normal data",
  },
  {
    name: "signature",
    options: exception,
    refused: /provision\[0\]\.class\[0\] is not a FHIR resource type/,
    because: "is about CDA documents",
  },
  {
    name: "smartonfhir",
    options: { ...scope, capacity: "proxy", controller: null },
    because: "an app may read prescriptions for half an hour",
    decides: [],
  },
];

const R5: readonly Row[] = [
  {
    name: "basic",
    options: { ...exception, controller: null },
    because: "refuses from 2019 on",
    decides: [
      ["2018-12-30", {}, {}, "permit"],
      ["2019-01-02", {}, {}, "deny"],
    ],
  },
  {
    name: "CDA",
    options: exception,
    refused: /Consent\.grantee/,
    because: "binds a grantee as a whole, beside the recipients of its provisions",
  },
  {
    name: "Emergency",
    options: exception,
    refused: /Consent\.provision\[0\]\.actor names a custodian/,
    because: "a rule per custodian",
  },
  {
    name: "Out",
    options: exception,
    refused: /Consent\.provision\[0\]\.actor names a custodian/,
    because: "a rule per custodian",
  },
  {
    name: "grantor",
    options: { ...scope, capacity: "proxy" },
    refused: /Consent\.grantee/,
    because: "binds a grantee as a whole",
  },
  {
    name: "notAuthor",
    options: exception,
    refused: /Consent\.provision\[0\]\.actor names a custodian/,
    because: "everything but what one custodian holds: a rule per custodian",
  },
  {
    name: "notOrg",
    options: exception,
    because: "bounded to its controller's records",
    decides: [
      ["2020-01-01", f001, { controller: "Organization/2.16.840.1.113883.19.5" }, "deny"],
      ["2020-01-01", {}, { controller: "Organization/2.16.840.1.113883.19.5" }, "permit"],
      ["2020-01-01", {}, held, "not-applicable"],
    ],
  },
  {
    name: "notThem",
    options: exception,
    because: "everybody but one nurse",
    decides: [
      ["2020-01-01", nurse, held, "deny"],
      ["2020-01-01", {}, held, "permit"],
    ],
  },
  {
    name: "notThis",
    options: exception,
    because: "everything but one prescription and what it refers to",
    decides: [
      ["2020-01-01", {}, { ...held, id: "MedicationRequest/medrx0305" }, "deny"],
      ["2020-01-01", {}, held, "permit"],
    ],
  },
  {
    name: "notTime",
    options: exception,
    because: "always but for one month, which had passed when it was given",
    decides: [["2020-01-01", {}, held, "permit"]],
  },
  {
    name: "pkb",
    options: exception,
    refused:
      /provision\[2\] has the same conditions as the provision around it, and so cancels all of it/,
    because: "permits normal data, with an exception for normal data",
  },
  {
    name: "smartonfhir",
    options: { ...scope, capacity: "proxy", controller: null },
    because: "an app may read prescriptions for half an hour",
    decides: [],
  },
];

for (const [version, rows] of [
  ["r4", R4],
  ["r5", R5],
] as const) {
  describeVectors(`Consents of FHIR ${version.toUpperCase()}`, `fhir-${version}`, (folder) => {
    const dialect = version === "r4" ? "r4-policy-rule" : "r5";
    const read = (name: string) =>
      JSON.parse(readFileSync(join(folder, `Consent-consent-example-${name}.json`), "utf8"));

    it("are all in the table", () => {
      const names = readdirSync(folder).flatMap(
        (file) => /^Consent-consent-example-(.+)\.json$/.exec(file)?.[1] ?? [],
      );
      expect(rows.map((row) => row.name).sort()).toEqual(names.sort());
    });

    it.each(rows)("$name: $because", ({ name, options, refused, decides }) => {
      const consent = read(name);
      if (refused !== undefined) {
        expect(() => fromConsent(consent, { lineage: name, ...options, dialect })).toThrow(refused);
        return;
      }
      const { directive } = fromConsent(consent, { lineage: name, ...options, dialect });
      for (const [on, asks, about, then] of decides ?? []) {
        const decision = compile([directive]).evaluate(
          requestOf(asks),
          resourceOf(about),
          Date.parse(on),
        );
        expect(decision.outcome, `${on} ${JSON.stringify([asks, about])}`).toBe(then);
      }
    });

    it.each(rows.filter((row) => row.options?.reading !== undefined))(
      "$name: a reading is asked for, never guessed",
      ({ name, options, refused }) => {
        const { reading: _, ...rest } = options!;
        expect(() => fromConsent(read(name), { lineage: name, ...rest, dialect })).toThrow(
          refused?.source.includes("provision") === true && name !== "signature"
            ? /pass reading|custodian/
            : /pass reading|grantee|class/,
        );
      },
    );

    it("opens prescriptions to an app for half an hour, and nothing else", () => {
      const { directive } = fromConsent(read("smartonfhir"), {
        lineage: "smartonfhir",
        dialect,
        reading: "scope",
        capacity: "proxy",
        controller: null,
      });
      const consent = compile([directive], {
        capacities: [{ actor: "RelatedPerson/peter", capacity: "proxy" }],
      });
      const ask = (on: string, type: string) =>
        consent.evaluate(requestOf(), resourceOf({ type }), Date.parse(on)).outcome;
      expect(ask("2016-06-23T17:10:00+10:00", "MedicationRequest")).toBe("permit");
      expect(ask("2016-06-23T17:32:33.999+10:00", "MedicationRequest")).toBe("permit");
      expect(ask("2016-06-23T17:10:00+10:00", "Observation")).toBe("deny");
      expect(ask("2016-06-23T17:32:34+10:00", "MedicationRequest")).toBe("deny");
      // R5 gives only the day of the consent, and a period to the provision
      expect(ask("2016-06-23T17:02:00+10:00", "MedicationRequest")).not.toBe("permit");
    });
  });
}
