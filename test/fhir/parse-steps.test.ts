import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { atOnce } from "../../src/bytes/steps.ts";
import { scanJson } from "../../src/fhir/json-text.ts";
import { parseSteps } from "../../src/fhir/parse-steps.ts";
import { readResource } from "../../src/fhir/bundle.ts";

const parsed = (text: string, keepDepth = 1): unknown => {
  const span = scanJson(text, { name: "value", maxDepth: 200, keepDepth });
  return atOnce(parseSteps(text, span));
};
const steps = (text: string): number => {
  const work = parseSteps(text, scanJson(text, { name: "value", maxDepth: 200, keepDepth: 1 }));
  let count = 1;
  while (work.next().done !== true) count++;
  return count;
};
/** A string so long that what holds it is taken apart. */
const LONG = "long ".repeat(60_000);

describe("parseSteps", () => {
  it("gives what JSON.parse gives, however a value is taken apart", () => {
    const small = fc.jsonValue({ maxDepth: 3 });
    const large = fc.letrec<{ node: unknown }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 7 },
        fc.constant(LONG),
        small,
        fc.array(tie("node"), { maxLength: 4 }),
        fc.dictionary(fc.string(), tie("node"), { maxKeys: 4 }),
      ),
    })).node;
    fc.assert(
      fc.property(large, fc.integer({ min: 0, max: 4 }), fc.boolean(), (value, keep, spaced) => {
        const text = JSON.stringify(value, undefined, spaced ? 1 : undefined);
        expect(parsed(text, keep)).toEqual(JSON.parse(text));
      }),
      { numRuns: 60 },
    );
  });

  it("takes apart many small items, and stops often", () => {
    const items = Array.from({ length: 60_000 }, (_, i) => ({ code: `c${i}`, value: [i, null] }));
    const text = JSON.stringify({ resourceType: "Observation", component: items });
    expect(text.length).toBeGreaterThan(1_500_000);
    expect(parsed(text)).toEqual(JSON.parse(text));
    expect(steps(text)).toBeGreaterThan(text.length / 262_144);
  });

  it("keeps names that objects have of their own, and their order", () => {
    const text = `{"__proto__":{"a":1},"constructor":"${LONG}","10":2,"b":{"__proto__":"${LONG}"}}`;
    const value = parsed(text) as object;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(JSON.stringify(value)).toBe(JSON.stringify(JSON.parse(text)));
  });

  it("reads the large below many levels", () => {
    const text = `${'{"x":['.repeat(45)}"${LONG}"${"]}".repeat(45)}`;
    expect(parsed(text)).toEqual(JSON.parse(text));
  });

  it("keeps a large resource's exact text", () => {
    const text = `{"resourceType":"Binary","n":1.50,"data":"${LONG}"}`;
    const read = readResource(text);
    expect(new TextDecoder().decode(read.text)).toBe(text);
    expect(read.resource).toEqual(JSON.parse(text));
  });
});
