import { describe, expect, it } from "vitest";
import type { Rule, When } from "../../../src/consent/model/model.ts";
import { fromConsent } from "../../../src/fhir/index.ts";
import { ward, opened, type Ward } from "../../support/ward.ts";

// The whole path: a FHIR Consent as text, records as text, a request, what is released.

const LOINC = "http://loinc.org";
const observation = (id: string, more: object = {}): string =>
  JSON.stringify({
    resourceType: "Observation",
    id,
    status: "final",
    code: { coding: [{ system: LOINC, code: "8480-6" }] },
    subject: { reference: "Patient/p1" },
    performer: [{ reference: "Practitioner/of-us" }],
    effectiveDateTime: "2026-01-05T10:15:00Z",
    ...more,
  });

const records: readonly string[] = [
  observation("keep"),
  observation("share"),
  observation("dr-x", { performer: [{ reference: "Practitioner/x" }] }),
  observation("nobody", { performer: undefined }),
  observation("words", { performer: [{ display: "Dr X" }] }),
  observation("glucose", { code: { coding: [{ system: LOINC, code: "2339-0" }] } }),
];
const ALL = ["keep", "share", "dr-x", "nobody", "words", "glucose"];

/** A Consent that permits treatment but for one exception. */
const but = (exception: object, more: object = {}): string =>
  JSON.stringify({
    resourceType: "Consent",
    id: "c1",
    identifier: [{ system: "urn:example:consents", value: "c1" }],
    status: "active",
    scope: {
      coding: [
        {
          system: "http://terminology.hl7.org/CodeSystem/consentscope",
          code: "patient-privacy",
        },
      ],
    },
    category: [{ coding: [{ system: LOINC, code: "59284-0" }] }],
    patient: { reference: "Patient/p1" },
    dateTime: "2026-01-01",
    policy: [{ uri: "urn:example:policy" }],
    provision: { type: "permit", provision: [{ type: "deny", ...exception }] },
    ...more,
  });

const instance = (reference: string): object => ({
  data: [{ meaning: "instance", reference: { reference } }],
});
const author = (reference: string): object => ({
  data: [{ meaning: "authoredby", reference: { reference } }],
});
const party = (part: string, reference: string): object => ({
  actor: [
    {
      role: {
        coding: [
          { system: "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", code: part },
        ],
      },
      reference: { reference },
    },
  ],
});
const recipient = (reference: string): object => party("PRCP", reference);
const code = (system: string, value: string): object => ({
  code: [{ coding: [{ system, code: value }] }],
});
const label = (system: string, value: string): object => ({
  securityLabel: [{ system, code: value }],
});
const CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
const ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
const ACTION = "http://terminology.hl7.org/CodeSystem/consentaction";
const TYPES = "http://hl7.org/fhir/resource-types";
const ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

async function filed(consent: string): Promise<Ward> {
  const w = await ward();
  for (const text of records) await w.hl.record(w.me, text);
  const { directive } = fromConsent(consent, { dialect: "r4-typed", capacity: "self" });
  const witness = { user: "clerk-7", form: "paper" as const, takenAt: w.clock.now };
  await w.hl.consent(w.me, directive, { witness });
  return w;
}

async function released(consent: string, user?: string): Promise<unknown[]> {
  const w = await filed(consent);
  const answer = await w.ask(w.b, user === undefined ? {} : { user });
  return (await opened(answer)).map(({ resource }) => resource?.["id"]);
}

const without = (...ids: readonly string[]): string[] => ALL.filter((id) => !ids.includes(id));

describe("a refusal written by hand with a code that nothing knows", () => {
  const unknown: readonly (readonly [string, When])[] = [
    ["label", { data: { labels: [{ system: ACT_CODE, code: "HVI" }] } }],
    ["type", { data: { types: ["Observations"] } }],
    ["purpose", { purposes: ["TRAET"] }],
    ["action", { actions: ["acess"] }],
  ];

  it.each(unknown)("releases nothing that it may be about: a %s", async (_, when) => {
    const w = await ward();
    for (const text of records) await w.hl.record(w.me, text);
    const no: Rule = { id: "no", effect: "deny", combine: "deny-overrides", when };
    const root: Rule = {
      ...{ id: "all", effect: "permit", combine: "deny-overrides", when: {} },
      rules: [no],
    };
    await w.permit({ root });
    expect((await opened(await w.ask())).length).toBe(0);
  });
});

describe("what a patient refuses in a FHIR Consent is not released", () => {
  it.each<[what: string, exception: object, rest: readonly string[]]>([
    ["one record", instance("Observation/keep"), without("keep")],
    [
      "one record of some server",
      instance("http://h.example/fhir/Observation/keep"),
      without("keep"),
    ],
    ["another type's record of that id", instance("Condition/keep"), ALL],
    [
      "a record that has no name here",
      instance("urn:uuid:0b9d6d6e-7f2a-4c1e-9a57-3f1f3c1b2a10"),
      [],
    ],
    [
      "what Dr X wrote: not what may be by Dr X either",
      author("Practitioner/x"),
      without("dr-x", "nobody", "words"),
    ],
    ["a code", code(LOINC, "2339-0"), without("glucose")],
    ["a code of a version of its system", code(`${LOINC}|2.77`, "2339-0"), []],
    ["a value set instead of a code system", code("http://hl7.org/fhir/ValueSet/x", "2339-0"), []],
    ["a code in another spelling", code(LOINC, "2339 - 0"), without("glucose")],
    ["a label of a version of its system", label(`${ACT_CODE}|2024`, "HIV"), []],
    ["a label in lower case", label(ACT_CODE, "hiv"), []],
    ["a misspelt label", label(ACT_CODE, "HVI"), []],
    ["a label of somebody's own system", label("urn:example:labels", "FAMILY"), []],
    ["a misspelt confidentiality", label(CONFIDENTIALITY, "RR"), []],
    ["a misspelt type of record", { class: [{ system: TYPES, code: "Observations" }] }, []],
    ["another type of record", { class: [{ system: TYPES, code: "Condition" }] }, ALL],
    ["a misspelt purpose", { purpose: [{ system: ACT_REASON, code: "TRAET" }] }, []],
    ["another purpose", { purpose: [{ system: ACT_REASON, code: "HMARKT" }] }, ALL],
    ["a misspelt action", { action: [{ coding: [{ system: ACTION, code: "acess" }] }] }, []],
    ["another action", { action: [{ coding: [{ system: ACTION, code: "correct" }] }] }, ALL],
  ])("%s", async (_, exception, rest) => {
    expect(await released(but(exception))).toEqual(rest);
  });

  it.each<[what: string, user: string | undefined, named: string, rest: readonly string[]]>([
    ["one doctor, who is asking", "Practitioner/x", "Practitioner/x", []],
    ["one doctor, where another is asking", "Practitioner/y", "Practitioner/x", ALL],
    ["one doctor, where nobody is named", undefined, "Practitioner/x", []],
    ["one doctor, where the asker goes by another kind of name", "dr-y", "Practitioner/x", []],
    ["one organisation, where the asker is known by its key alone", "dr-y", "Organization/x", []],
  ])("to %s", async (_, user, named, rest) => {
    expect(await released(but(recipient(named)), user)).toEqual(rest);
  });

  it("of another custodian's records alone, as far as the custodian's name is known", async () => {
    const elsewhere = {
      ...party("CST", "Organization/elsewhere"),
      data: [{ meaning: "instance", reference: { reference: "Observation/keep" } }],
    };
    const consent = JSON.parse(but({}));
    consent.provision = { type: "deny", ...elsewhere };
    const w = await filed(JSON.stringify(consent));
    await w.permit({
      lineage: "care",
      root: { id: "care", effect: "permit", combine: "deny-overrides", when: {} },
    });
    expect((await opened(await w.ask())).map(({ resource }) => resource?.["id"])).toEqual(
      without("keep"),
    );
  });

  it("tells extensions that it does not read", () => {
    const provision = {
      type: "permit",
      extension: [{ url: "http://example.org/only-on-mondays", valueBoolean: true }],
      _type: { extension: [{ url: "urn:x", valueString: "y" }] },
    };
    const { losses } = fromConsent(but({}, { provision }), { dialect: "r4-typed" });
    expect(losses.map(({ path }) => path)).toEqual(
      expect.arrayContaining(["Consent.provision.extension", "Consent.provision.type"]),
    );
  });
});
