import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Directive, directiveCid } from "../../../src/consent/index.ts";
import { fromConsent } from "../../../src/fhir/consent-in/from-consent.ts";
import { toConsent } from "../../../src/fhir/consent-out/to-consent.ts";
import { toPermission } from "../../../src/fhir/consent-out/to-permission.ts";
import { asOfs, directives, requests, resources } from "./generators.ts";
import { compile, r5, recipient, sensitivity } from "./support.ts";

const facts = { capacities: [{ actor: "Patient/1", capacity: "proxy" as const }] };

for (const version of ["r4", "r5"] as const) {
  describe(`toConsent, then fromConsent (${version})`, () => {
    const count = { exact: 0, lossy: 0, permits: 0, kept: 0 };
    it("keeps every decision unless a loss says so, and never permits more", () => {
      fc.assert(
        fc.property(
          directives,
          fc.array(fc.tuple(requests, resources, asOfs), { minLength: 4, maxLength: 4 }),
          (directive, questions) => {
            const { resource, readAs, losses } = toConsent(directive, {
              version,
              patient: "Patient/1",
            });
            const read = fromConsent(JSON.parse(JSON.stringify(resource)), readAs);
            expect(read.patient).toBe("Patient/1");
            const exact = !losses.some((loss) => /^(root|mode)/.test(loss.path));
            count[exact ? "exact" : "lossy"]++;
            const before = compile([directive], facts);
            const after = compile([read.directive], facts);
            for (const [request, about, on] of questions) {
              const one = before.evaluate(request, about, Date.parse(on)).outcome;
              const other = after.evaluate(request, about, Date.parse(on)).outcome;
              if (exact) expect(other).toBe(one);
              if (other === "permit") expect(one).toBe("permit");
              if (one === "permit") count.permits++;
              if (one === "permit" && other === "permit") count.kept++;
            }
          },
        ),
        { numRuns: 2000, seed: 4 },
      );
      // the property must not hold for want of cases
      expect(count.exact).toBeGreaterThan(200);
      expect(count.kept).toBeGreaterThan(200);
    });
  });
}

describe("toConsent", () => {
  it("writes what it reads: the bytes of a plain directive come back", () => {
    const directive: Directive = {
      v: 1,
      lineage: "Consent/c1",
      predecessors: [],
      mode: "replace",
      grantor: { actor: "Patient/1", capacity: "self", evidence: [] },
      category: "patient-privacy",
      basis: { uri: "urn:example:policy", version: "3" },
      validity: { from: "2022-01-01", to: "2024-12-31", zone: "UTC" },
      default: "deny",
      root: {
        id: "Consent.provision",
        effect: "permit",
        combine: "deny-overrides",
        when: { purposes: ["TREAT"] },
        rules: [
          {
            id: "Consent.provision.provision[0]",
            effect: "deny",
            combine: "deny-overrides",
            when: { data: { labels: [sensitivity("HIV")] } },
          },
        ],
      },
    };
    const { resource, losses } = toConsent(directive, { version: "r4", patient: "Patient/1" });
    expect(losses).toEqual([]);
    const read = fromConsent(resource, { dialect: "r4-typed" });
    expect(directiveCid(read.directive).toString()).toBe(directiveCid(directive).toString());
  });
});

/** A rule of a Permission, decided by the importer of Consents: a second way to the same meaning. */
interface PermissionRule {
  readonly type: "permit" | "deny";
  readonly data?: readonly {
    readonly resource?: object;
    readonly security?: object;
    readonly period?: readonly object[];
  }[];
  readonly activity?: readonly {
    readonly actor?: readonly { readonly reference?: string }[];
    readonly action?: object;
    readonly purpose?: readonly { readonly coding: readonly object[] }[];
  }[];
  readonly limit?: object;
}

function asConsent({ type, data, activity }: PermissionRule): object {
  const role = (recipient("x") as { role: object }).role;
  const [what = {}] = data ?? [];
  const [how = {}] = activity ?? [];
  const provision = {
    ...(what.resource && { data: what.resource }),
    ...(what.security && { securityLabel: what.security }),
    ...(what.period && { dataPeriod: what.period[0] }),
    ...(how.actor && { actor: how.actor.map((reference) => ({ role, reference })) }),
    ...(how.action && { action: how.action }),
    ...(how.purpose && { purpose: how.purpose.flatMap((concept) => concept.coding) }),
  };
  const empty = Object.keys(provision).length === 0;
  return r5({ date: "2022-01-01", decision: type, ...(!empty && { provision: [provision] }) });
}

describe("toPermission", () => {
  it("permits only what the directive permits, and all of it where no loss says otherwise", () => {
    const count = { exact: 0, kept: 0 };
    fc.assert(
      fc.property(
        directives.filter(
          (one) =>
            one.mode === "replace" && one.controller === undefined && one.category === undefined,
        ),
        fc.array(fc.tuple(requests, resources, asOfs), { minLength: 4, maxLength: 4 }),
        (directive, questions) => {
          const { resource, losses } = toPermission(directive);
          const { combining, rule, validity } = resource as unknown as {
            combining: string;
            rule: PermissionRule[];
            validity: { start: string; end?: string };
          };
          const { zone } = directive.validity;
          const rules = rule.map((one) => {
            const consent = { ...asConsent(one), period: validity };
            const options = { dialect: "r5", reading: "scope", default: "none", zone } as const;
            const read = fromConsent(JSON.parse(JSON.stringify(consent)), options);
            return { duties: one.limit !== undefined, consent: compile([read.directive]) };
          });
          const before = compile([
            { ...directive, grantor: { ...directive.grantor, capacity: "self" } },
          ]);
          const exact = !losses.some(({ path }) => /^(root|default)/.test(path));
          if (exact) count.exact++;
          for (const [request, about, on] of questions) {
            const asOf = Date.parse(on);
            const said = rules.map(({ consent, duties }) => {
              const { outcome } = consent.evaluate(request, about, asOf);
              return outcome === "permit" && duties ? "duties" : outcome;
            });
            const refused = said.some((one) => one === "deny" || one === "indeterminate");
            const permits =
              said.includes("permit") &&
              !said.includes("duties") &&
              (combining !== "deny-overrides" || !refused);
            const own = before.evaluate(request, about, asOf).outcome;
            // each purpose is decided by itself, which taking whole outcomes together cannot show
            if (request.purposes.length > 1) continue;
            if (permits) expect(own).toBe("permit");
            if (exact && own === "permit") expect(permits).toBe(true);
            if (permits) count.kept++;
          }
        },
      ),
      { numRuns: 2000, seed: 4 },
    );
    expect(count.exact).toBeGreaterThan(100);
    expect(count.kept).toBeGreaterThan(100);
  });
});
