import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { atOnce } from "../../src/bytes/steps.ts";
import { readResource, readSteps } from "../../src/fhir/bundle.ts";
import { scanJson, scanSteps } from "../../src/fhir/json-text.ts";
import { parseSteps } from "../../src/fhir/parse-steps.ts";
import { cases } from "../support/share.ts";

const resource = (value: string): string => `{"resourceType":"Basic","note":${value}}`;
const MILLION = 1_000_000;

describe("readResource, of hostile text", () => {
  it.each([
    ["objects", resource(`[${"{},".repeat(MILLION)}{}]`), "too many objects and lists"],
    ["lists", resource(`[${"[],".repeat(MILLION)}[]]`), "too many objects and lists"],
    ["numbers", resource(`[${"1,".repeat(4 * MILLION)}1]`), "too many values"],
    [
      "names",
      `{"resourceType":"Basic"${Array.from({ length: 70_000 }, (_, i) => `,"n${i}":1`).join("")}}`,
      "too many names",
    ],
    ["a long name", `{"resourceType":"Basic","${"n".repeat(MILLION)}":1}`, "too long a name"],
    ["a long number", resource("1".repeat(MILLION)), "too long a number"],
  ])("refuses %s", (_, text, why) => {
    expect(() => readResource(text)).toThrow(why);
  });

  it.each([
    ["ASCII", "a"],
    ["other characters", "ä漢"],
    ["escapes", String.raw`\u00e4\ud83d\ude00`],
    ["escaped backslashes", String.raw`\\\\\"`],
  ])("reads a string of 8 MiB in many steps: %s", (_, piece) => {
    const text = resource(`"${piece.repeat((8 * 1024 * 1024) / piece.length)}"`);
    let steps = 0;
    const reading = readSteps(text);
    for (;;) {
      const { done, value } = reading.next();
      if (done === true) {
        expect(value.resource).toEqual(JSON.parse(text));
        break;
      }
      steps++;
    }
    expect(steps).toBeGreaterThan(20);
  });

  it("finds the same values by steps as at once, wherever a long string is cut", () => {
    const unit = fc.constantFrom(
      "a",
      "é",
      "漢",
      "😀",
      "\\\\",
      '\\"',
      "\\n",
      "\\u00e4",
      "\\ud83d\\ude00",
    );
    fc.assert(
      fc.property(
        fc.array(unit, { minLength: 1, maxLength: 7 }),
        fc.nat({ max: 9 }),
        (units, more) => {
          const long = units.join("").repeat(Math.ceil(600_000 / units.join("").length) + more);
          const text = `{"a":["${long}",1,"${long}"],"b":"x"}`;
          const how = { name: "value", maxDepth: 9, keepDepth: 2 };
          const found = atOnce(scanSteps(text, how));
          expect(found).toEqual(scanJson(text, how));
          expect(atOnce(parseSteps(text, found))).toEqual(JSON.parse(text));
        },
      ),
      { numRuns: cases(12, 3) },
    );
  });

  it("refuses a lone surrogate and a control character behind a cut", () => {
    const long = "a".repeat(700_000);
    for (const bad of ["\\ud800", "\u0001", "\\x"]) {
      const steps = scanSteps(`["${long}${bad}${long}"]`, { name: "x", maxDepth: 9, keepDepth: 1 });
      expect(() => atOnce(steps)).toThrow(/surrogate|control|escape/);
    }
  });
});
