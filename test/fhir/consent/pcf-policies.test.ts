import { describe, expect, it } from "vitest";
import { type PcfImplicitPolicy, pcfImplicitPolicy } from "../../../src/fhir/pcf-policies.ts";
import { compile, filed, requestOf, resourceOf } from "./support.ts";

const at = Date.parse("2024-01-01");
const options = { organisation: "Organization/1", from: "2024" };

describe("pcfImplicitPolicy", () => {
  // IHE PCF 1.1.0 §53.2.1: the definition of each policy
  it.each<[PcfImplicitPolicy, string, string]>([
    ["basic-normal", "TREAT", "permit"],
    ["basic-normal", "HPAYMT", "deny"],
    ["basic-normal", "BTG", "deny"],
    ["all-normal", "TREAT", "permit"],
    ["all-normal", "HMARKT", "permit"],
    ["all-normal", "BTG", "deny"],
    ["break-glass-only", "TREAT", "deny"],
    ["break-glass-only", "BTG", "permit"],
    ["deny", "TREAT", "deny"],
    ["deny", "BTG", "deny"],
  ])("%s for %s is %s", (policy, purpose, expected) => {
    const consent = compile([], { organisation: filed([pcfImplicitPolicy(policy, options)]) });
    const decision = consent.evaluate(requestOf({ purposes: [purpose] }), resourceOf(), at);
    expect(decision.outcome).toBe(expected);
  });

  it("names the canonical policy", () => {
    expect(pcfImplicitPolicy("deny", options).basis.uri).toBe(
      "https://profiles.ihe.net/ITI/PCF/Policy-deny",
    );
  });

  it("bounds who may break the glass, and whose records it is about", () => {
    const policy = pcfImplicitPolicy("break-glass-only", {
      ...options,
      controller: "Organization/1",
      breakGlassBy: [{ type: "group", id: "Group/privileged" }],
    });
    const consent = compile([], {
      organisation: filed([policy]),
      memberships: [{ member: "Practitioner/in", of: "Group/privileged" }],
    });
    const by = (user: string, controller = "Organization/1") =>
      consent.evaluate(requestOf({ user, purposes: ["BTG"] }), resourceOf({ controller }), at)
        .outcome;
    expect(by("Practitioner/in")).toBe("permit");
    expect(by("Practitioner/out")).toBe("deny");
    expect(by("Practitioner/in", "Organization/2")).toBe("not-applicable");
  });

  it("refuses any name besides the four", () => {
    expect(() => pcfImplicitPolicy("open" as PcfImplicitPolicy, options)).toThrow(RangeError);
  });
});
