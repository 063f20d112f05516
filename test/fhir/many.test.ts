import { describe, expect, it } from "vitest";
import { describeResource } from "../../src/fhir/describe-resource.ts";
import { readResource } from "../../src/fhir/bundle.ts";
import { valuesAt } from "../../src/fhir/resource.ts";

describe("an element that occurs more often than a call takes arguments", () => {
  const MANY = 140_000;
  const subject = { reference: "Patient/1" };

  it("is read to its last item", () => {
    const coding = Array.from({ length: MANY }, (_, i) => ({ system: "urn:s", code: `c${i}` }));
    const observation = { resourceType: "Observation", id: "o", subject, code: { coding } };
    expect(valuesAt(observation, "code.coding")).toHaveLength(MANY);
    const text = JSON.stringify(observation);
    const { resource } = readResource(text);
    expect(valuesAt(resource, "code.coding.code").at(-1)).toBe(`c${MANY - 1}`);
    expect(describeResource(resource).codes).toHaveLength(MANY);
  });

  it("is read to its last date", () => {
    const event = Array.from({ length: MANY }, (_, i) => `2020-01-01T00:00:${10 + (i % 40)}Z`);
    event.push("2031-05-06T00:00:00Z");
    const request = {
      ...{ resourceType: "ServiceRequest", id: "s", subject, intent: "order", status: "active" },
      occurrenceTiming: { event },
    };
    // The last millisecond of the second that is named.
    expect(describeResource(request).period!.to).toBe(Date.UTC(2031, 4, 6) + 999);
  });
});
