import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/errors.ts";
import { fromConsent } from "../../../src/fhir/consent-in/from-consent.ts";
import type { FromConsentOptions } from "../../../src/fhir/consent-in/options.ts";
import {
  compile,
  confidentiality,
  purpose,
  r4,
  r5,
  recipient,
  requestOf,
  resourceOf,
  sensitivity,
  stamp,
} from "./support.ts";

const typed: FromConsentOptions = { dialect: "r4-typed" };
const permit = { type: "permit" };
const at = Date.parse("2023-01-01");

/** A refusal's code and message. */
function refusal(consent: unknown, options: FromConsentOptions): string {
  try {
    fromConsent(consent, options);
  } catch (error) {
    if (error instanceof InputError) return `${error.code.slice(10)} ${error.message}`;
    throw error;
  }
  return "accepted";
}

const provision = (more: object): Record<string, unknown> =>
  r4({ provision: { ...permit, ...more } });
const actor = (reference: object, code = "IRCP"): object => ({
  actor: [
    {
      role: {
        coding: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", code }],
      },
      reference,
    },
  ],
});

describe("fromConsent", () => {
  it("names the dialect that a declared profile stands for, and never guesses one", () => {
    const profile = (...list: string[]) => ({
      ...provision({ purpose: [purpose("TREAT")] }),
      meta: { profile: list },
    });
    const pcf = "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consentBasic";
    expect(fromConsent(profile(`${pcf}|1.1.0`)).dialect).toBe("r4-pcf");
    const own = { profiles: { "urn:mine": "r4-typed" } } as const;
    expect(fromConsent(profile("urn:mine"), own).dialect).toBe("r4-typed");
    expect(refusal(profile("urn:other"), {})).toMatch(/UNSUPPORTED .*no dialect: pass dialect/);
    expect(refusal(profile(pcf, "urn:mine"), own)).toMatch(/more than one dialect/);
    expect(refusal(provision({}), {})).toMatch(/pass dialect: "r5"/);
  });

  it.each([
    ["active", "replace"],
    ["inactive", "revoke"],
    ["entered-in-error", "revoke"],
    ["draft", /UNSUPPORTED Consent\.status is draft/],
    ["proposed", /UNSUPPORTED Consent\.status is proposed/],
    ["rejected", /UNSUPPORTED Consent\.status is rejected/],
    ["not-done", /INVALID Consent\.status/],
    ["unknown", /INVALID Consent\.status/],
    ["ACTIVE", /INVALID Consent\.status/],
    [undefined, /INVALID Consent\.status/],
  ])("R4 status %s: %s", (status, expected) => {
    const consent = { ...provision({}), status };
    if (expected instanceof RegExp) expect(refusal(consent, typed)).toMatch(expected);
    else expect(fromConsent(consent, typed).directive.mode).toBe(expected);
  });

  it.each([
    ["inactive", "revoke"],
    ["not-done", /UNSUPPORTED Consent\.status is not-done/],
    ["unknown", /UNSUPPORTED Consent\.status is unknown/],
    ["rejected", /INVALID Consent\.status/],
  ])("R5 status %s: %s", (status, expected) => {
    const consent = { ...r5({ decision: "permit" }), status };
    if (expected instanceof RegExp) expect(refusal(consent, { dialect: "r5" })).toMatch(expected);
    else expect(fromConsent(consent, { dialect: "r5" }).directive.mode).toBe(expected);
  });

  describe("dates", () => {
    // by hand: what each precision means, in the zone that is passed or the one that is written
    it.each<[object, FromConsentOptions, string, string]>([
      [{ end: "2024" }, {}, "2024-12-31T23:59:59.999Z", "2025-01-01T00:00:00.000Z"],
      [{ end: "2024-02" }, {}, "2024-02-29T23:59:59.999Z", "2024-03-01T00:00:00.000Z"],
      [{ end: "2024-02-28" }, {}, "2024-02-28T23:59:59.999Z", "2024-02-29T00:00:00.000Z"],
      [
        { end: "2024-02-28" },
        { zone: "+09:00" },
        "2024-02-28T14:59:59.999Z",
        "2024-02-28T15:00:00.000Z",
      ],
      [
        { end: "2024-07-01" },
        { zone: "America/New_York" },
        "2024-07-02T03:59:59.999Z",
        "2024-07-02T04:00:00.000Z",
      ],
      [
        { end: "2024-02-28T10:00:00+02:00" },
        { zone: "+09:00" },
        "2024-02-28T08:00:00.999Z",
        "2024-02-28T08:00:01.000Z",
      ],
      [
        { end: "2024-02-28T10:00:00.250Z" },
        {},
        "2024-02-28T10:00:00.250Z",
        "2024-02-28T10:00:00.251Z",
      ],
    ])("%o with %o holds until %s", (period, options, last, after) => {
      const { directive } = fromConsent(provision({ period }), { ...typed, ...options });
      const on = (text: string) =>
        compile([directive]).evaluate(requestOf(), resourceOf(), Date.parse(text)).outcome;
      expect(on(last)).toBe("permit");
      expect(on(after)).toBe("deny");
    });

    it("says when it read dates without zone in UTC", () => {
      const { losses } = fromConsent(provision({}), typed);
      expect(losses).toContainEqual(expect.objectContaining({ path: "Consent" }));
      expect(fromConsent(provision({}), { ...typed, zone: "UTC" }).losses).toEqual([]);
    });

    it.each<[object, RegExp]>([
      [
        { period: { end: "2024-13" } },
        /INVALID Consent\.provision\.period\.end is not a FHIR date/,
      ],
      [{ period: { end: "2023-02-29" } }, /INVALID Consent\.provision\.period\.end/],
      [{ period: { end: "2024-01-01T10:00:00" } }, /INVALID Consent\.provision\.period\.end/],
      [{ period: {} }, /INVALID Consent\.provision\.period has neither a start nor an end/],
      [{ dataPeriod: { start: "2024", end: "2023" } }, /dataPeriod ends before it begins/],
      [{ dataPeriod: { start: "2024-06-30T20:00:00-08:00", end: "2024-06-30" } }, /ends before/],
      [{ period: { end: "2021-12-31" } }, /INVALID Consent ended before it was given/],
      [
        { period: { end: 2024 } },
        /INVALID Consent\.provision\.period\.end must be a non-empty string/,
      ],
    ])("refuses %o", (more, expected) => {
      expect(refusal(provision(more), typed)).toMatch(expected);
    });

    it("asks since when it holds where nothing says", () => {
      const { dateTime: _, ...undated } = provision({});
      expect(refusal(undated, typed)).toMatch(
        /UNSUPPORTED Consent\.dateTime is missing: pass from/,
      );
      expect(fromConsent(undated, { ...typed, from: "2020" }).directive.validity.from).toBe("2020");
    });
  });

  it.each<[string, object, RegExp]>([
    ["another resource", { resourceType: "Contract" }, /INVALID Consent\.resourceType/],
    ["implicit rules", { ...provision({}), implicitRules: "urn:x" }, /implicitRules/],
    [
      "an unknown modifier",
      provision({ modifierExtension: [{ url: "urn:x", valueBoolean: true }] }),
      /UNSUPPORTED Consent\.provision\.modifierExtension/,
    ],
    [
      "an unknown modifier deep inside",
      provision({ actor: [{ reference: { modifierExtension: [{ url: "urn:x" }] } }] }),
      /Consent\.provision\.actor\[0\]\.reference\.modifierExtension/,
    ],
    ["a mistyped element", provision({ purposes: [1] }), /INVALID Consent\.provision\.purposes/],
    [
      "an element of R5",
      provision({ resourceType: [{}] }),
      /INVALID Consent\.provision\.resourceType/,
    ],
    ["a decision in R4", { ...provision({}), decision: "permit" }, /INVALID Consent\.decision/],
    [
      "a value withheld",
      { ...r4(), provision: { _type: { id: "x" } } },
      /provision\.type has an extension but no value/,
    ],
    [
      "an empty list",
      provision({ purpose: [] }),
      /INVALID Consent\.provision\.purpose is an empty list/,
    ],
    ["no list", provision({ purpose: purpose("TREAT") }), /purpose must be a list/],
    ["no type", r4({ provision: {} }), /provision\.type is missing.*r4-policy-rule/],
    ["an odd type", r4({ provision: { type: "maybe" } }), /INVALID Consent\.provision\.type/],
    [
      "a nested one without type",
      provision({ provision: [{}] }),
      /provision\.provision\[0\]\.type/,
    ],
    ["no patient", { ...provision({}), patient: undefined }, /UNSUPPORTED Consent\.patient/],
    [
      "no patient but a group",
      { ...provision({}), patient: { reference: "Group/1" } },
      /is not a patient/,
    ],
    [
      "another grantor",
      { ...provision({}), performer: [{ reference: "RelatedPerson/1" }] },
      /performer\[0\] is not the patient: pass capacity/,
    ],
    [
      "two grantors",
      { ...provision({}), performer: [{ reference: "Patient/1" }, { reference: "Patient/2" }] },
      /performer\[1\]/,
    ],
    [
      "no policy",
      { ...provision({}), policy: undefined },
      /UNSUPPORTED Consent\.policy .*pass basis/,
    ],
    [
      "no name but an id, which every server gives",
      { ...provision({}), identifier: undefined },
      /UNSUPPORTED Consent\.identifier .*pass fullUrl or lineage/,
    ],
    [
      "no name but an id, and a withdrawal",
      { ...provision({}), status: "inactive", identifier: [{ value: "c1" }] },
      /UNSUPPORTED Consent\.identifier .*pass fullUrl or lineage/,
    ],
    [
      "a number that stands for none",
      { ...provision({}), identifier: [{ system: "urn:example:consents", value: "unknown" }] },
      /UNSUPPORTED Consent\.identifier .*pass fullUrl or lineage/,
    ],
    [
      "two names",
      { ...provision({}), identifier: ["1", "2"].map((value) => ({ system: "urn:x", value })) },
      /UNSUPPORTED Consent\.identifier .*pass lineage or fullUrl/,
    ],
    [
      "a purpose without system",
      provision({ purpose: [{ code: "TREAT" }] }),
      /provision\.purpose\[0\]\.system is missing/,
    ],
    [
      "an action in words",
      provision({ action: [{ text: "look at" }] }),
      /provision\.action\[0\] has no code, only text/,
    ],
    [
      "a code in words",
      provision({ code: [{ text: "HIV" }] }),
      /provision\.code\[0\] has no code, only text/,
    ],
    [
      "a document class",
      provision({ class: [{ system: "urn:ietf:bcp:13", code: "application/pdf" }] }),
      /provision\.class\[0\] is not a FHIR resource type/,
    ],
    [
      "an obligation among labels",
      provision({ securityLabel: [sensitivity("ENCRYPT")] }),
      /provision\.securityLabel\[0\] says how to handle data/,
    ],
    [
      "a purpose among labels",
      provision({ securityLabel: [purpose("HTEST")] }),
      /provision\.securityLabel\[0\] says how to handle data/,
    ],
    ["a contained party", provision(actor({ reference: "#p" })), /names a contained resource/],
    [
      "a search",
      provision(actor({ reference: "Practitioner?name=x" })),
      /INVALID .*is not a reference/,
    ],
    [
      "a party of no kind",
      provision(actor({ reference: "urn:uuid:0b9d6d6e-7f2a-4c1e-9a57-3f1f3c1b2a10" })),
      /reference\.type is missing/,
    ],
    [
      "a party that is none",
      provision(actor({ reference: "Location/1" })),
      /actor\[0\]\.reference does not name a party/,
    ],
    [
      "a type that contradicts",
      provision(actor({ reference: "Practitioner/1", type: "Group" })),
      /INVALID .*contradicts/,
    ],
    ["a display only", provision(actor({ display: "Dr X" })), /names nothing/],
    [
      "an odd part",
      provision(actor({ reference: "Practitioner/1" }, "WIT")),
      /role is not a participation/,
    ],
    [
      "one version of a record",
      provision({
        data: [{ meaning: "instance", reference: { reference: "Observation/1/_history/2" } }],
      }),
      /names one version/,
    ],
    [
      "a meaning that is none",
      provision({ data: [{ meaning: "kin", reference: { reference: "Observation/1" } }] }),
      /INVALID Consent\.provision\.data\[0\]\.meaning/,
    ],
    [
      "a custodian inside",
      provision({
        provision: [{ type: "deny", ...actor({ reference: "Organization/1" }, "CST") }],
      }),
      /provision\[0\]\.actor names a custodian/,
    ],
    [
      "a base in policyRule",
      {
        ...provision({}),
        policyRule: { coding: [sensitivity("OPTIN")] },
      },
      /pass dialect: "r4-policy-rule"/,
    ],
    [
      "another scope",
      { ...provision({}), scope: { coding: [{ system: "urn:x", code: "y" }] } },
      /UNSUPPORTED Consent\.scope/,
    ],
  ])("refuses %s", (_, consent, expected) => {
    expect(refusal(JSON.parse(JSON.stringify(consent)), typed)).toMatch(expected);
  });

  it("never puts what the resource says into a message", () => {
    const secret = "Zaphod Beeblebrox";
    for (const consent of [
      { ...provision({}), status: secret },
      provision({ [secret]: 1 }),
      provision(actor({ reference: secret })),
      provision({ purpose: [{ code: secret }] }),
      provision({ period: { end: secret } }),
    ]) {
      expect(refusal(consent, typed)).not.toMatch(/accepted|Zaphod/);
    }
  });

  it("gives author and custodian their parts", () => {
    const both = {
      actor: [
        ...(actor({ reference: "Practitioner/author" }, "AUT") as { actor: object[] }).actor,
        ...(actor({ reference: "Organization/1" }, "CST") as { actor: object[] }).actor,
        recipient("Practitioner/asks"),
      ],
    };
    const { directive } = fromConsent(provision(both), typed);
    expect(directive.controller).toBe("Organization/1");
    expect(directive.root!.when).toEqual({
      actors: [{ type: "person", id: "Practitioner/asks" }],
      data: { refs: [{ meaning: "authoredby", reference: "Practitioner/author" }] },
    });
  });

  it("reads absolute references below the base as relative ones", () => {
    const consent = provision(actor({ reference: "https://ehr.test/fhir/Practitioner/asks" }));
    const here = fromConsent(consent, { ...typed, base: "https://ehr.test/fhir/" });
    expect(here.directive.root!.when.actors).toEqual([{ type: "person", id: "Practitioner/asks" }]);
    const there = fromConsent(consent, typed);
    expect(there.directive.root!.when.actors![0]!.id).toMatch(/^https:/);
  });

  it.each([
    ["r4-typed", "related", "related"],
    ["r4-pcf", "related", "dependents"],
    ["r4-pcf", "instance", "instance"],
  ] as const)("in %s data %s means %s", (dialect, meaning, expected) => {
    const consent = provision({ data: [{ meaning, reference: { reference: "Encounter/1" } }] });
    const { directive } = fromConsent(consent, { dialect });
    expect(directive.root!.when.data!.refs![0]!.meaning).toBe(expected);
  });

  it.each([
    ["action", [{ coding: [{ system: "urn:x", code: "y" }] }]],
    ["class", [{ system: "http://hl7.org/fhir/resource-types", code: "Observation" }]],
    ["code", [{ coding: [{ system: "urn:x", code: "y" }] }]],
  ])("PCF does not use %s", (element, value) => {
    expect(refusal(provision({ [element]: value }), { dialect: "r4-pcf" })).toMatch(
      /is not used by IHE PCF/,
    );
  });

  it("PCF nests once only", () => {
    const deep = provision({ provision: [{ ...permit, provision: [permit] }] });
    expect(refusal(deep, { dialect: "r4-pcf" })).toMatch(/deeper than IHE PCF allows/);
  });
});

describe("r4-pcf exceptions that restate what the base says", () => {
  const label = (code: string) => ({ securityLabel: [sensitivity(code)] });
  const ask = (consent: object, labels: readonly string[], user = "Practitioner/asks") => {
    const { directive } = fromConsent(consent, { dialect: "r4-pcf" });
    const codes = labels.map((code) =>
      code.length === 1 ? confidentiality(code) : sensitivity(code),
    );
    return (purposes: readonly string[]) =>
      compile([directive]).evaluate(
        requestOf({ user, purposes }),
        resourceOf({ labels: { codes, stamp } }),
        at,
      ).outcome;
  };
  const refusesHiv = {
    ...r4(),
    provision: {
      type: "deny",
      ...label("HIV"),
      purpose: [purpose("TREAT")],
      provision: [
        { type: "permit", ...label("PSY"), actor: [recipient("Practitioner/asks")] },
        { type: "deny", ...label("SDV") },
      ],
    },
  };

  it.each<[readonly string[], string, string, string]>([
    [["HIV", "R"], "Practitioner/asks", "TREAT", "deny"],
    [["PSY", "R"], "Practitioner/asks", "TREAT", "permit"],
    [["PSY", "R"], "Practitioner/other", "TREAT", "deny"],
    // an exception decides before the base, a refusal before a permit among exceptions
    [["PSY", "HIV", "R"], "Practitioner/asks", "TREAT", "permit"],
    [["PSY", "SDV", "R"], "Practitioner/asks", "TREAT", "deny"],
    [["PSY", "SDV", "HIV", "R"], "Practitioner/asks", "TREAT", "deny"],
    [["PSY", "R"], "Practitioner/asks", "HRESCH", "deny"],
    [["N"], "Practitioner/asks", "TREAT", "deny"],
  ])("%o asked by %s for %s: %s", (labels, user, code, expected) => {
    expect(ask(refusesHiv, labels, user)([code])).toBe(expected);
  });

  it("break the glass is open to the exception that names it, not to the base beside it", () => {
    const consent = {
      ...r4(),
      provision: {
        type: "permit",
        purpose: [purpose("TREAT")],
        provision: [
          { type: "permit", purpose: [purpose("BTG")], actor: [recipient("Practitioner/asks")] },
        ],
      },
    };
    expect(ask(consent, ["N"])(["BTG"])).toBe("permit");
    expect(ask(consent, ["N"], "Practitioner/other")(["BTG"])).toBe("deny");
    expect(ask(consent, ["N"], "Practitioner/other")(["TREAT"])).toBe("permit");
  });

  it("what is inherited means to an exception what it means to the base", () => {
    const consent = {
      ...r4(),
      provision: {
        type: "permit",
        securityLabel: [confidentiality("N")],
        provision: [
          { type: "deny", actor: [recipient("Practitioner/asks")] },
          { type: "permit", ...label("PSY") },
        ],
      },
    };
    // a permit of normal data covers what is less confidential too, and so does its exception
    expect(ask(consent, ["L"], "Practitioner/other")(["TREAT"])).toBe("permit");
    expect(ask(consent, ["L"])(["TREAT"])).toBe("deny");
    expect(ask(consent, ["PSY", "R"], "Practitioner/other")(["TREAT"])).toBe("permit");
    expect(ask(consent, ["PSY", "R"])(["TREAT"])).toBe("deny");
  });

  it("an exception has its own period, and all of it ends with the consent", () => {
    const consent = {
      ...r4(),
      provision: {
        type: "permit",
        period: { end: "2023-12-31" },
        provision: [{ type: "deny", period: { end: "2022-12-31" }, ...label("HIV") }],
      },
    };
    const { directive } = fromConsent(consent, { dialect: "r4-pcf" });
    const on = (text: string) =>
      compile([directive]).evaluate(
        requestOf(),
        resourceOf({ labels: { codes: [sensitivity("HIV")], stamp } }),
        Date.parse(text),
      ).outcome;
    expect([on("2022-06-01"), on("2023-06-01"), on("2024-06-01")]).toEqual([
      "deny",
      "permit",
      "deny",
    ]);
  });
});

describe("readings", () => {
  const policyRule = (code: string, inner: object) =>
    r4({ policyRule: { coding: [sensitivity(code)] }, provision: inner, policy: undefined });
  const outcome = (consent: object, options: FromConsentOptions, more: object) => {
    const plain = JSON.parse(JSON.stringify(consent));
    const { directive } = fromConsent(plain, { dialect: "r4-policy-rule", ...options });
    return compile([directive]).evaluate(requestOf(more), resourceOf(), at).outcome;
  };
  const research = { purpose: [purpose("HRESCH")] };

  it.each([
    ["OPTIN", "exception", "HRESCH", "deny"],
    ["OPTIN", "exception", "TREAT", "permit"],
    ["OPTIN", "scope", "HRESCH", "permit"],
    ["OPTIN", "scope", "TREAT", "deny"],
    ["OPTOUT", "exception", "HRESCH", "permit"],
    ["OPTOUT", "exception", "TREAT", "deny"],
    ["OPTOUT", "scope", "HRESCH", "deny"],
    ["OPTOUT", "scope", "TREAT", "not-applicable"],
  ] as const)("%s with an untyped provision read as %s: %s is %s", (code, reading, asked, then) => {
    const consent = policyRule(code, research);
    expect(outcome(consent, { reading }, { purposes: [asked] })).toBe(then);
  });

  it("lets a typed provision say the same as the base only as a scope", () => {
    const consent = JSON.parse(JSON.stringify(policyRule("OPTIN", { ...permit, ...research })));
    const options = { dialect: "r4-policy-rule" } as const;
    expect(refusal(consent, options)).toMatch(
      /provision says permit inside a provision that says permit/,
    );
    expect(outcome(consent, { reading: "scope" }, { purposes: ["HRESCH"] })).toBe("permit");
    expect(outcome(consent, { reading: "scope" }, { purposes: ["TREAT"] })).toBe("deny");
  });

  it("is nothing to say where the dialect says all", () => {
    expect(() => fromConsent(provision({}), { ...typed, reading: "scope" })).toThrow(TypeError);
  });

  it("needs a base", () => {
    const options = { dialect: "r4-policy-rule" } as const;
    expect(refusal(provision({}), options)).toMatch(/Consent\.policyRule must be OPTIN or OPTOUT/);
    expect(refusal(r5(), { dialect: "r5" })).toMatch(/Consent\.decision must be/);
  });

  it("denies by default in IHE PCF, also where nothing is permitted", () => {
    const consent = provision({ type: "deny" });
    expect(fromConsent(consent, { dialect: "r4-pcf" }).directive.default).toBe("deny");
    expect(fromConsent(consent, { dialect: "r4-typed" }).directive.default).toBe("none");
  });

  it("refuses a grantee, who is bound as a whole", () => {
    const consent = r5({ decision: "permit", grantee: [{ reference: "Practitioner/1" }] });
    expect(refusal(consent, { dialect: "r5" })).toMatch(/Consent\.grantee/);
  });

  it("refuses a policyRule that says permit and deny", () => {
    const system = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
    const coding = ["OPTIN", "OPTOUT"].map((code) => ({ system, code }));
    const consent = { ...provision({}), policyRule: { coding } };
    expect(refusal(consent, { dialect: "r4-policy-rule" })).toMatch(/permit and deny/);
  });

  it("takes codes of R5's category from the code systems that define them", () => {
    const codes = "http://terminology.hl7.org/CodeSystem/consentcategorycodes";
    for (const [system, code, expected] of [
      [codes, "dnr", "adr"],
      [codes, "research", "research"],
      ["http://terminology.hl7.org/CodeSystem/v3-ActCode", "RSDID", "research"],
      ["http://terminology.hl7.org/CodeSystem/consentscope", "treatment", "treatment"],
      ["urn:example:forms", "dnr", undefined],
      ["urn:example:forms", "RESEARCH", undefined],
      ["urn:example:forms", "treatment", undefined],
    ] as const) {
      const consent = r5({ decision: "deny", category: [{ coding: [{ system, code }] }] });
      expect(fromConsent(consent, { dialect: "r5" }).directive.category, code).toBe(expected);
    }
  });

  it("R5 exceptions alternate", () => {
    const consent = r5({
      decision: "deny",
      provision: [
        {
          purpose: [purpose("TREAT")],
          provision: [
            { ...research },
            {
              securityLabel: [sensitivity("HIV")],
            },
          ],
        },
      ],
    });
    const { directive } = fromConsent(consent, { dialect: "r5", reading: "exception" });
    const effects = [
      directive.root!,
      directive.root!.rules![0]!,
      ...directive.root!.rules![0]!.rules!,
    ];
    expect(effects.map((rule) => rule.effect)).toEqual(["deny", "permit", "deny", "deny"]);
  });
});
