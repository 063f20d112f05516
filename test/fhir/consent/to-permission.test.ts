import { describe, expect, it } from "vitest";
import type { Directive, Rule } from "../../../src/consent/index.ts";
import { InputError } from "../../../src/errors.ts";
import { toConsent } from "../../../src/fhir/consent-out/to-consent.ts";
import { toPermission } from "../../../src/fhir/consent-out/to-permission.ts";
import { sensitivity } from "./support.ts";

const directive = (root: Rule, more: Partial<Directive> = {}): Directive => ({
  v: 1,
  lineage: "Consent/1",
  predecessors: [],
  mode: "replace",
  grantor: { actor: "Patient/1", capacity: "self", evidence: [] },
  basis: { uri: "urn:example:policy", version: "3" },
  validity: { from: "2024-01-01", to: "2025-12-31", zone: "UTC" },
  default: "deny",
  root,
  ...more,
});
const rule = (id: string, effect: Rule["effect"], more: Partial<Rule> = {}): Rule => ({
  id,
  effect,
  combine: "deny-overrides",
  when: {},
  ...more,
});
const treat = { purposes: ["TREAT"] };
const hiv = { data: { labels: [sensitivity("HIV")] } };
const coding = (code: string) => ({
  coding: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ActReason", code }],
});
const rulesOf = (one: Directive) => toPermission(one).resource["rule"] as Record<string, unknown>[];
const lossesOf = (one: Directive) =>
  toPermission(one)
    .losses.map((loss) => loss.path)
    .filter((path) => path !== "lineage");

describe("toPermission", () => {
  it("writes a permit with its duties; the rest is denied", () => {
    const { resource, losses } = toPermission(
      directive(
        rule("care", "permit", {
          when: {
            ...treat,
            actors: [{ type: "organisation", id: "Organization/1" }],
            data: { period: { from: "2024", to: "2025-06-30" }, ...hiv.data },
          },
          obligations: ["DELAU"],
        }),
      ),
    );
    expect(resource).toEqual({
      resourceType: "Permission",
      status: "active",
      asserter: { reference: "Patient/1" },
      date: ["2024-01-01"],
      validity: { start: "2024-01-01", end: "2025-12-31" },
      justification: { basis: [{ text: "urn:example:policy|3" }] },
      combining: "deny-unless-permit",
      rule: [
        {
          type: "permit",
          data: [
            {
              security: [sensitivity("HIV")],
              period: [{ start: "2024", end: "2025-06-30" }],
            },
          ],
          activity: [{ actor: [{ reference: "Organization/1" }], purpose: [coding("TREAT")] }],
          limit: [
            {
              coding: [
                { system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "DELAU" },
              ],
            },
          ],
        },
      ],
    });
    expect(losses.map((loss) => loss.path)).toEqual(["lineage"]);
  });

  it("writes exceptions beside their base, joined with its conditions", () => {
    const one = directive(
      rule("care", "permit", { when: treat, rules: [rule("hiv", "deny", { when: hiv })] }),
      { default: "none" },
    );
    expect(toPermission(one).resource["combining"]).toBe("deny-overrides");
    expect(rulesOf(one)).toEqual([
      { type: "permit", activity: [{ purpose: [coding("TREAT")] }] },
      {
        type: "deny",
        data: [{ security: [sensitivity("HIV")] }],
        activity: [{ purpose: [coding("TREAT")] }],
      },
    ]);
    expect(lossesOf(one)).toEqual([]);
  });

  it("lets permits override the refusal that they are excepted from", () => {
    const one = directive(
      rule("no", "deny", { rules: [rule("care", "permit", { when: treat })] }),
      { default: "none" },
    );
    expect(toPermission(one).resource["combining"]).toBe("permit-overrides");
    expect(rulesOf(one).map(({ type }) => type)).toEqual(["deny", "permit"]);
    expect(lossesOf(one)).toEqual([]);
  });

  it.each<[string, Rule, readonly string[], readonly string[]]>([
    [
      "a permit by type",
      rule("r", "permit", { when: { data: { types: ["Observation"] } } }),
      ["deny"],
      ["root"],
    ],
    ["a permit by role", rule("r", "permit", { when: { roles: ["nurse"] } }), ["deny"], ["root"]],
    [
      "a refusal by type",
      rule("r", "deny", { when: { data: { types: ["Observation"] } } }),
      ["deny"],
      ["root"],
    ],
    [
      "exceptions to an exception",
      rule("r", "permit", {
        rules: [rule("d", "deny", { when: hiv, rules: [rule("p", "permit", { when: treat })] })],
      }),
      ["permit", "deny"],
      ["root/d"],
    ],
    [
      "a permit bounded by a refusal",
      rule("r", "deny", {
        rules: [rule("p", "permit", { when: treat, rules: [rule("d", "deny", { when: hiv })] })],
      }),
      ["deny"],
      ["root/p"],
    ],
    [
      "a permit beside a refusal in a refusal",
      rule("r", "deny", {
        rules: [rule("p", "permit", { when: treat }), rule("d", "deny", { when: hiv })],
      }),
      ["deny"],
      ["root/p", "root/d"],
    ],
    [
      "a permit with duties inside a permit",
      rule("r", "permit", {
        rules: [rule("p", "permit", { when: treat, obligations: ["DELAU"] })],
      }),
      ["permit", "deny"],
      ["root/p"],
    ],
  ])("says %s more strictly, and says so", (_, root, types, paths) => {
    const one = directive(root, { default: "none" });
    expect(rulesOf(one).map(({ type }) => type)).toEqual(types);
    expect(lossesOf(one).sort()).toEqual([...paths].sort());
  });

  it("is refused for a directive that is not a complete statement of its own", () => {
    const { root: _, ...rest } = directive(rule("r", "permit"), {
      mode: "revoke",
      default: "none",
    });
    const { to: __, ...validity } = rest.validity;
    expect(() => toPermission({ ...rest, validity })).toThrow(InputError);
    const amendment = directive(rule("r", "permit"), { mode: "amend", default: "none" });
    expect(() => toPermission(amendment)).toThrow(InputError);
    expect(() => toConsent(amendment, { version: "r4", patient: "Patient/1" })).toThrow(InputError);
  });
});
