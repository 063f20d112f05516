import { describe, expect, it } from "vitest";
import { fromConsent } from "../../../src/fhir/index.ts";
import { InputError } from "../../../src/errors.ts";

// Each element of Consent (R4 4.0.1, R5 5.0.0), as hl7.org lists them, with something in it that
// nothing here understands: the import refuses it or says that it is lost, and never drops it.

const act = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const odd = { system: "urn:example:odd", code: "odd" };
const concept = { coding: [odd] };
const someone = { reference: "Practitioner/odd" };
const period = { start: "2026-01-01", end: "2026-12-31" };

const r4 = {
  resourceType: "Consent",
  id: "c",
  identifier: [{ system: "urn:example:consents", value: "c" }],
  status: "active",
  scope: {
    coding: [
      { system: "http://terminology.hl7.org/CodeSystem/consentscope", code: "patient-privacy" },
    ],
  },
  category: [{ coding: [{ system: "http://loinc.org", code: "59284-0" }] }],
  patient: { reference: "Patient/p" },
  dateTime: "2026-01-01T00:00:00Z",
  policy: [{ uri: "urn:example:policy" }],
  provision: { type: "permit" },
};
const r5 = {
  resourceType: "Consent",
  id: "c",
  identifier: [{ system: "urn:example:consents", value: "c" }],
  status: "active",
  category: [{ coding: [{ system: "http://loinc.org", code: "59284-0" }] }],
  subject: { reference: "Patient/p" },
  date: "2026-01-01",
  policyBasis: { url: "urn:example:policy" },
  decision: "permit",
};

/** What is put where, and where it must be told of; that it is refused, where the path is absent. */
type Row = readonly [path: string, value: unknown, toldAt?: string];

/** Elements of either release outside provisions. */
const COMMON: readonly Row[] = [
  ["meta.security", [odd], "Consent.meta.security"],
  ["meta.tag", [odd], "Consent.meta.tag"],
  ["meta.profile", ["urn:example:profile", "urn:example:other"], ""],
  ["implicitRules", "urn:example:rules"],
  ["text", { status: "additional", div: "<div>but not my brother</div>" }, "Consent.text"],
  ["contained", [{ resourceType: "Organization", id: "o" }], "Consent.contained"],
  ["extension", [{ url: "urn:example:x", valueBoolean: true }], "Consent.extension"],
  ["modifierExtension", [{ url: "urn:example:x", valueBoolean: true }]],
  ["identifier", [{ value: "1" }, { system: "urn:x", value: "2" }], "Consent.identifier[0].value"],
  ["status", "odd"],
  ["status", "draft"],
  ["category", [concept], "Consent.category[0]"],
  ["category", [{ text: "only for my heart" }], "Consent.category[0]"],
  ["sourceReference", [{ reference: "DocumentReference/d" }], "Consent.sourceReference"],
  ["sourceAttachment", [{ url: "urn:x" }], "Consent.sourceAttachment"],
  ["verification", [{ verified: false }], "Consent.verification"],
  ["somethingElse", "odd"],
];
const HEADER_R4: readonly Row[] = [
  ...COMMON,
  ["scope", concept],
  ["scope", { ...r4.scope, text: "but for my brother" }, "Consent.scope.text"],
  ["scope", { coding: [...r4.scope.coding, { ...r4.scope.coding[0], code: "research" }] }],
  ["patient", { reference: "Group/g" }],
  [
    "patient",
    { reference: "Patient/p", identifier: { system: "urn:x", value: "of another" } },
    "Consent.patient.identifier",
  ],
  ["dateTime", "soon"],
  ["performer", [someone]],
  ["performer", [{ reference: "Patient/p" }, someone]],
  ["organization", [{ reference: "Organization/o" }], "Consent.organization"],
  ["policy", [{ uri: "urn:x", authority: "urn:y" }], "Consent.policy[0].authority"],
  ["policy", [{ uri: "urn:x" }, { uri: "urn:y" }]],
  ["policyRule", concept, "Consent.policyRule"],
];
const HEADER_R5: readonly Row[] = [
  ...COMMON,
  ["subject", { reference: "Group/g" }],
  ["date", "soon"],
  ["period", { ...period, end: "when I am dead" }],
  ["grantor", [someone]],
  ["grantee", [someone]],
  ["manager", [someone], "Consent.manager"],
  ["controller", [{ reference: "Organization/a" }, { reference: "Organization/b" }]],
  ["regulatoryBasis", [concept], "Consent.regulatoryBasis"],
  [
    "policyBasis",
    { url: "urn:x", reference: { reference: "Contract/c" } },
    "Consent.policyBasis.reference",
  ],
  ["policyText", [{ reference: "DocumentReference/d" }], "Consent.policyText"],
  ["decision", "odd"],
  ["decision", undefined],
];

const role = (...codes: readonly string[]) => ({
  coding: codes.map((code) => ({
    system: "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
    code,
  })),
});
/** Elements of a provision that are the same in both. */
const PROVISION: readonly Row[] = [
  ["extension", [{ url: "urn:x" }], "extension"],
  ["modifierExtension", [{ url: "urn:x" }]],
  ["period", { start: "soon" }],
  ["period", {}],
  ["actor", [{ role: concept, reference: someone }]],
  ["actor", [{ role: role("IRCP"), reference: { display: "my brother" } }]],
  ["actor", [{ role: role("IRCP"), reference: { reference: "#inside" } }]],
  ["actor", [{ role: role("IRCP"), reference: { reference: "Medication/m" } }]],
  ["actor", [{ role: role("WIT"), reference: someone }]],
  ["actor", [{ role: role("IRCP", "AUT"), reference: someone }]],
  [
    "actor",
    [{ role: { ...role("IRCP"), text: "on Mondays" }, reference: someone }],
    "actor[0].role.text",
  ],
  [
    "actor",
    [{ role: role("IRCP"), reference: { ...someone, identifier: { value: "7" } } }],
    "actor[0].reference.identifier",
  ],
  ["action", [{ text: "look at" }]],
  ["securityLabel", [{ code: "HIV" }]],
  ["securityLabel", [{ display: "HIV" }]],
  ["securityLabel", [{ system: act, code: "DELAU" }]],
  ["securityLabel", [{ system: act, version: "2", code: "HIV" }], "securityLabel[0].version"],
  ["purpose", [{ code: "TREAT" }]],
  ["code", [{ text: "that thing in May" }]],
  ["code", [{ ...concept, text: "but only the last" }], "code[0].text"],
  ["dataPeriod", { end: "last summer" }],
  ["data", [{ meaning: "odd", reference: { reference: "Observation/o" } }]],
  ["data", [{ meaning: "instance", reference: { display: "the letter" } }]],
  ["data", [{ meaning: "instance", reference: { reference: "Observation/o/_history/1" } }]],
  ["somethingElse", "odd"],
];
const PROVISION_R4: readonly Row[] = [
  ...PROVISION,
  ["type", "odd"],
  ["type", undefined],
  ["class", [odd]],
  ["actor", [{ reference: someone }]],
  ["expression", { language: "text/cql", expression: "true" }],
];
const PROVISION_R5: readonly Row[] = [
  ...PROVISION,
  ["resourceType", [odd]],
  ["documentType", [odd]],
  ["expression", { language: "text/cql", expression: "true" }],
  ["type", "permit"],
];

function put(resource: object, path: string, value: unknown): object {
  const [first, ...rest] = path.split(".") as [string, ...string[]];
  const at = (resource as Record<string, unknown>)[first];
  return {
    ...resource,
    [first]: rest.length === 0 ? value : put((at as object) ?? {}, rest.join("."), value),
  };
}

/** Where the import tells of something; `undefined` where it refuses. */
function toldAt(consent: object, dialect: "r4-typed" | "r5"): readonly string[] | undefined {
  try {
    const { losses } = fromConsent(JSON.stringify(consent), {
      dialect,
      zone: "UTC",
      ...(dialect === "r5" && { reading: "exception" as const }),
    });
    return losses.map(({ path }) => path);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return undefined;
  }
}

describe("an element that is not understood", () => {
  const tables = [
    ["r4-typed", "", r4, HEADER_R4],
    ["r5", "", r5, HEADER_R5],
    ["r4-typed", "provision", r4, PROVISION_R4],
    ["r5", "provision", r5, PROVISION_R5],
  ] as const;
  for (const [dialect, within, base, rows] of tables) {
    const named = rows.map(([path, value, told]) => ({
      path,
      value,
      told,
      shown: JSON.stringify(value),
    }));
    it.each(named)(`is refused or told of: ${dialect} ${within} $path $shown`, (row) => {
      const { path, value, told } = row;
      const resource =
        within === ""
          ? put(base, path, value)
          : {
              ...base,
              provision:
                dialect === "r5"
                  ? [put({ action: [{ coding: [odd] }] }, path, value)]
                  : {
                      type: "permit",
                      provision: [put({ type: "deny", action: [{ coding: [odd] }] }, path, value)],
                    },
            };
      const found = toldAt(JSON.parse(JSON.stringify(resource)), dialect);
      if (told === undefined) expect(found).toBeUndefined();
      else if (told !== "") {
        const prefix =
          within === ""
            ? ""
            : dialect === "r5"
              ? "Consent.provision[0]."
              : "Consent.provision.provision[0].";
        expect(found).toContain(prefix + told);
      }
    });
  }

  it("loses nothing where all is understood", () => {
    expect(toldAt(r4, "r4-typed")).toEqual([]);
    expect(toldAt(r5, "r5")).toEqual([]);
    const generated = { status: "generated", div: "<div>all of it</div>" };
    expect(toldAt({ ...r4, text: generated, language: "en" }, "r4-typed")).toEqual([]);
  });

  it("tells what is withdrawn unread", () => {
    expect(toldAt({ ...r4, status: "inactive" }, "r4-typed")).toContain("Consent.provision");
  });
});
