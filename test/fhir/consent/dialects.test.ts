import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/errors.ts";
import { fromConsent } from "../../../src/fhir/consent-in/from-consent.ts";
import type {
  ConsentDialect,
  FromConsentOptions,
  ImportedConsent,
} from "../../../src/fhir/consent-in/options.ts";
import { toConsent } from "../../../src/fhir/consent-out/to-consent.ts";
import { asOfs, requests, resources } from "./generators.ts";
import { compile, confidentiality, purpose, r4, r5, recipient, sensitivity } from "./support.ts";
import { cases } from "../../support/share.ts";

// Consents as others write them, in every dialect: what was understood of one is said again in R4
// and in R5, and read again.

const some = <T>(...values: readonly T[]): fc.Arbitrary<T[]> =>
  fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 2 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>, freq: number): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq });
const defined = (value: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined));

const action = (code: string) => ({
  coding: [{ system: "http://terminology.hl7.org/CodeSystem/consentaction", code }],
});
const type = (code: string) => ({ system: "http://hl7.org/fhir/resource-types", code });

/** The conditions of a provision; `version` says under which names. */
function conditions(version: "r4" | "r5" | "pcf"): fc.Arbitrary<Record<string, unknown>> {
  const more = version === "pcf" ? 0 : 1;
  const types = some(type("Observation"), type("Condition"));
  return fc
    .record({
      purpose: maybe(some(...["TREAT", "ETREAT", "HRESCH", "BTG"].map(purpose)), 1),
      securityLabel: maybe(
        some(
          sensitivity("PSY"),
          sensitivity("HIV"),
          ...["N", "R"].map((code) => confidentiality(code)),
        ),
        1,
      ),
      actor: maybe(
        some(...["Practitioner/asks", "Organization/asks", "Group/g"].map((id) => recipient(id))),
        1,
      ),
      dataPeriod: maybe(fc.constantFrom({ start: "2022-01-01" }, { end: "2022-06" }), 1),
      data: maybe(
        fc.constantFrom("authoredby", "instance", "related").map((meaning) => {
          const names: Record<string, string> = {
            authoredby: "Practitioner/author",
            instance: "Observation/1",
            related: "Encounter/1",
          };
          return [{ meaning, reference: { reference: names[meaning] } }];
        }),
        1,
      ),
      period: maybe(fc.constantFrom({ start: "2022" }, { end: "2024-03" }), 1),
      ...(more === 1 && {
        action: maybe(some(action("access"), action("correct")), 1),
        [version === "r4" ? "class" : "resourceType"]: maybe(types, 1),
        code: maybe(
          fc.constantFrom([{ coding: [{ system: "http://loinc.org", code: "1-8" }] }]),
          1,
        ),
      }),
    })
    .chain((all) => {
      // two or three of them, so that some records are in and others out
      const names = Object.keys(defined(all));
      return fc
        .subarray(names, { maxLength: Math.min(3, names.length) })
        .map((kept) => Object.fromEntries(kept.map((name) => [name, all[name as "purpose"]])));
    });
}

interface Said {
  readonly consent: Record<string, unknown>;
  readonly options: FromConsentOptions;
}

const effect = fc.constantFrom("permit", "deny");
const pcf: fc.Arbitrary<Said> = fc
  .record({
    type: effect,
    base: conditions("pcf"),
    provision: fc.array(fc.tuple(effect, conditions("pcf")), { maxLength: 3 }),
  })
  .map(({ type: own, base, provision }) => ({
    consent: r4({
      provision: {
        type: own,
        ...base,
        ...(provision.length > 0 && {
          provision: provision.map(([inner, when]) => ({ type: inner, ...when })),
        }),
      },
    }),
    options: { dialect: "r4-pcf" },
  }));

/** Provisions without types, nested up to three deep. */
function untyped(version: "r4" | "r5", depth: number): fc.Arbitrary<Record<string, unknown>> {
  const inner =
    depth === 0
      ? fc.constant([])
      : fc.array(untyped(version, depth - 1), { maxLength: depth === 2 ? 2 : 1 });
  return fc
    .tuple(conditions(version), inner)
    .map(([when, provision]) => ({ ...when, ...(provision.length > 0 && { provision }) }));
}

const readings = fc.constantFrom("exception" as const, "scope" as const);
const policyRule: fc.Arbitrary<Said> = fc
  .record({
    base: fc.constantFrom("OPTIN", "OPTOUT"),
    provision: untyped("r4", 2),
    reading: readings,
  })
  .map(({ base, provision, reading }) => ({
    consent: r4({
      policyRule: {
        coding: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: base }],
      },
      ...(Object.keys(provision).length > 0 && { provision }),
    }),
    options: { dialect: "r4-policy-rule", reading },
  }));
const decision: fc.Arbitrary<Said> = fc
  .record({
    decision: effect,
    provision: fc.array(untyped("r5", 1), { maxLength: 3 }),
    reading: readings,
  })
  .map(({ decision: base, provision, reading }) => ({
    consent: r5({ decision: base, ...(provision.length > 0 && { provision }) }),
    options: { dialect: "r5", reading },
  }));
function typedOf(depth: number): fc.Arbitrary<Record<string, unknown>> {
  const inner =
    depth === 0
      ? fc.constant([])
      : fc.array(typedOf(depth - 1), { maxLength: depth === 2 ? 3 : 2 });
  return fc.tuple(effect, conditions("r4"), inner).map(([own, when, provision]) => ({
    type: own,
    ...when,
    ...(provision.length > 0 && { provision }),
  }));
}
const typed: fc.Arbitrary<Said> = typedOf(2).map((provision) => ({
  consent: r4({ provision }),
  options: { dialect: "r4-typed" },
}));

function read({ consent, options }: Said): ImportedConsent | undefined {
  try {
    return fromConsent(consent, options);
  } catch (error) {
    // Refused with the path of what cannot be understood, which is an answer too.
    expect(error).toBeInstanceOf(InputError);
    expect((error as InputError).message).toMatch(/^Consent[.\s]/);
    return undefined;
  }
}

const DIALECTS: readonly (readonly [ConsentDialect, fc.Arbitrary<Said>])[] = [
  ["r4-typed", typed],
  ["r4-policy-rule", policyRule],
  ["r4-pcf", pcf],
  ["r5", decision],
];

describe.each(DIALECTS)("a Consent in %s", (dialect, consents) => {
  it.each(["r4", "r5"] as const)("means the same when it is written again in %s", (version) => {
    const numRuns = cases(400, 4);
    const count = { read: 0, exact: 0, permits: 0, refusals: 0 };
    fc.assert(
      fc.property(
        consents,
        fc.array(fc.tuple(requests, resources, asOfs), { minLength: 4, maxLength: 4 }),
        (said, questions) => {
          const first = read(said);
          if (first === undefined) return;
          expect(first.dialect).toBe(dialect);
          count.read++;
          const { resource, readAs, losses } = toConsent(first.directive, {
            version,
            patient: first.patient,
          });
          const again = fromConsent(JSON.parse(JSON.stringify(resource)), readAs);
          const lossless = !losses.some(({ path }) => /^(root|mode)/.test(path));
          if (lossless) count.exact++;
          for (const loss of losses) expect(loss.what).not.toBe("");
          const before = compile([first.directive]);
          const after = compile([again.directive]);
          for (const [request, about, on] of questions) {
            const one = before.evaluate(request, about, Date.parse(on)).outcome;
            const other = after.evaluate(request, about, Date.parse(on)).outcome;
            if (lossless) expect(other).toBe(one);
            if (other === "permit") expect(one).toBe("permit");
            if (lossless) count[one === "permit" ? "permits" : "refusals"]++;
          }
        },
      ),
      { numRuns, seed: 7 },
    );
    // The property does not hold for want of cases.
    expect(count.read).toBeGreaterThan(numRuns / 4);
    expect(count.exact).toBeGreaterThan(numRuns / 8);
    expect(count.permits).toBeGreaterThan(numRuns / 20);
    expect(count.refusals).toBeGreaterThan(numRuns / 20);
  });
});
