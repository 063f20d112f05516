import { describe, expect, it } from "vitest";
import { LedgerError } from "../../../src/errors.ts";
import { fromConsent } from "../../../src/fhir/consent-in/from-consent.ts";
import type { FromConsentOptions } from "../../../src/fhir/consent-in/options.ts";
import { purpose, r4, r5, recipient, sensitivity } from "./support.ts";

/**
 * What becomes of it. That it ends at all, in the time and memory that a test has, is what is tested:
 * what is not bounded takes years, or every byte there is.
 */
function refused(consent: unknown, options: FromConsentOptions): string {
  try {
    fromConsent(consent, options);
  } catch (error) {
    expect(error).toBeInstanceOf(LedgerError);
    return (error as LedgerError).message;
  }
  return "accepted";
}

const typed: FromConsentOptions = { dialect: "r4-typed" };
const many = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

describe("hostile Consents", () => {
  it.each([20, 1000, 100_000])("nested %i deep", (depth) => {
    let inner: object = { type: "permit" };
    for (let level = 0; level < depth; level++) inner = { type: "permit", provision: [inner] };
    expect(refused(r4({ provision: inner }), typed)).toMatch(/nests deeper/);
  });

  it("nested deep as text", () => {
    const open = '{"type":"permit","provision":['.repeat(100_000);
    const text = `{"resourceType":"Consent","provision":${open}`;
    expect(refused(text, typed)).not.toBe("accepted");
  });

  it("a million actors", () => {
    const one = recipient("Practitioner/1");
    const provision = { type: "permit", actor: many(1_000_000, () => one) };
    expect(refused(r4({ provision }), typed)).toMatch(/actor has more than 10000 items/);
  });

  it("more actors than a rule can have", () => {
    const actor = many(5000, (index) => recipient(`Practitioner/${index}`));
    const provision = { type: "permit", actor };
    expect(refused(r4({ provision }), typed)).toMatch(/actor has more than 4096 items/);
  });

  it("more rules than a directive can have, flat and as a product", () => {
    const nested = (count: number) => many(count, () => ({ type: "permit" }));
    const wide = {
      type: "deny",
      provision: nested(200).map((one) => ({ ...one, provision: nested(60) })),
    };
    expect(refused(r4({ provision: wide }), typed)).toMatch(/too many/);
    const label = (code: string) => ({ securityLabel: [sensitivity(code)] });
    const provision = many(8000, (index) => ({
      type: index % 2 === 0 ? "permit" : "deny",
      ...label(`X${index}`),
    }));
    expect(
      refused(r4({ provision: { type: "deny", ...label("HIV"), provision } }), {
        dialect: "r4-pcf",
      }),
    ).toMatch(/too many/);
  });

  it("many values in many provisions", () => {
    const purposes = many(4000, (index) => purpose(`P${index}`));
    const provision = many(2000, () => ({ type: "deny", purpose: purposes }));
    expect(refused(r4({ provision: { type: "permit", provision } }), typed)).toMatch(
      /more than 1000000 values/,
    );
  });

  it("cycles of objects", () => {
    const provision: Record<string, unknown> = { type: "permit" };
    provision["provision"] = [provision, provision];
    expect(refused(r4({ provision }), typed)).toMatch(/nests deeper|more than/);
  });

  it("cycles of references: nothing is followed", () => {
    const consent = {
      ...r4({ provision: { type: "permit", actor: [recipient("#a")] } }),
      contained: [
        { resourceType: "Group", id: "a", member: [{ entity: { reference: "#b" } }] },
        { resourceType: "Group", id: "b", member: [{ entity: { reference: "#a" } }] },
      ],
    };
    expect(refused(consent, typed)).toMatch(/contained resource/);
    const own = r4({
      provision: {
        type: "permit",
        data: [{ meaning: "related", reference: { reference: "Consent/c1" } }],
      },
    });
    expect(refused(own, typed)).toBe("accepted");
  });

  it.each([
    `${"a".repeat(500)}!`,
    `${"a/".repeat(250)}x`,
    `${"a:".repeat(250)}\n`,
    `http://${"/".repeat(450)}`,
    `x://${"A/".repeat(240)}#`,
    "((a+)+)+$".repeat(40),
    " ".repeat(511),
    "|".repeat(511),
  ])("strings made for regular expressions: %#", (text) => {
    const ways = [
      { type: "permit", actor: [recipient(text)] },
      { type: "permit", purpose: [{ system: text, code: text }] },
      { type: "permit", class: [{ system: text, code: text }] },
      { type: "permit", period: { end: text } },
      { type: "permit", securityLabel: [{ system: text, code: text }] },
      { type: "permit", code: [{ coding: [{ system: text, code: text }] }] },
      { type: "permit", data: [{ meaning: "related", reference: { reference: text } }] },
      { type: "permit", actor: [{ role: { coding: [{ code: text }] }, reference: {} }] },
    ];
    for (const provision of ways) {
      expect(refused(r4({ provision }), typed)).toMatch(/^(accepted$|Consent\.provision\.)/);
    }
    for (const header of [
      { dateTime: text },
      { policy: [{ uri: text }] },
      { performer: [{ reference: text }] },
      { identifier: [{ system: text, value: text }] },
      { id: text },
      { policy: undefined, policyRule: { coding: [{ system: text, code: text }] } },
    ]) {
      const consent = r4({ provision: { type: "permit" }, ...header });
      expect(refused(consent, { ...typed, capacity: "proxy" })).toMatch(/^(accepted$|Consent\.)/);
    }
    const provision = [{ action: [{ coding: [{ system: text, code: text }] }] }];
    refused(r5({ decision: "deny", provision }), { dialect: "r5", reading: "exception" });
  });

  it("strings without end", () => {
    const text = "a".repeat(10_000_000);
    expect(refused(r4({ provision: { type: "permit", purpose: [purpose(text)] } }), typed)).toMatch(
      /longer than 512/,
    );
    expect(refused({ ...r4(), status: text }, typed)).toMatch(/longer than 512/);
  });

  it.each([
    null,
    [],
    7,
    "",
    "{",
    "null",
    { resourceType: "Consent" },
    { ...r4(), status: [] },
    { ...r4(), patient: "Patient/1" },
    { ...r4(), patient: [] },
    { ...r4(), meta: [] },
    { ...r4(), scope: null },
    { ...r4(), policy: {} },
    { ...r4(), performer: [null] },
    { ...r4(), identifier: [null] },
    { ...r4(), dateTime: {} },
    { ...r4(), provision: [] },
    { ...r4(), provision: [[]] },
    { ...r4(), provision: { type: "permit", actor: [[]] } },
    { ...r4(), provision: { type: "permit", actor: [{ role: [], reference: {} }] } },
    { ...r4(), provision: { type: "permit", provision: [null] } },
    { ...r4(), provision: { type: "permit", period: [] } },
    JSON.parse('{"resourceType":"Consent","__proto__":{"status":"active"}}'),
  ])("refuses %o with a typed error", (consent) => {
    expect(refused(consent, typed)).not.toBe("accepted");
  });
});
