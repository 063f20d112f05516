import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../../src/errors.ts";
import { type JsonScanOptions, type JsonSpan, scanJson } from "../../src/fhir/json-text.ts";
import { scanSlowly } from "../support/slow-json-text.ts";
import { cases } from "../support/share.ts";

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
      { numRuns: cases(2000, 4) },
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

describe("scanJson, against a plain one", () => {
  /** Spans or the refusal. */
  const outcome = (
    scanner: (text: string, options: JsonScanOptions) => JsonSpan,
    text: string,
    options: JsonScanOptions,
  ): unknown => {
    try {
      return scanner(text, options);
    } catch (error) {
      if (error instanceof InputError) return `${error.code} ${error.message}`;
      throw error;
    }
  };
  const agree = (text: string, maxDepth = 100, keepDepth = 3): void => {
    const options = { name: "input", maxDepth, keepDepth };
    expect(outcome(scanJson, text, options)).toEqual(outcome(scanSlowly, text, options));
  };
  /** Characters of one to four bytes, lone surrogates, and everything with a meaning in JSON. */
  const SIGNS = [
    ...'{}[]:,"\\/ \n\t\r-+.0123456789eEtrufalsnbx',
    ...["\u0000", "\u001f", "\u007f", "ü", "\u0800", "€", "\ufeff", "\ufffd", "\uffff", "😀"],
    ...[
      "\ud83d",
      "\ude00",
      "\\ud83d",
      "\\ude00",
      "\\uD83D\\uDE00",
      "\\u00e9",
      "\\u0061",
      "\\n",
      "\\u12",
    ],
    ...["true", "null", '"a":1', '"a"', '"ü":', '"\\u0061":2', '"__proto__":[]'],
  ];
  const sign = fc.constantFrom(...SIGNS);
  const keys = fc.oneof(fc.constantFrom("a", "b", "ab", "ba", "é", "__proto__", '"'), fc.string());
  const tree = fc.letrec<{ node: unknown }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 5 },
      fc.jsonValue({ maxDepth: 0 }),
      fc.string({ unit: "binary" }),
      fc.array(tie("node"), { maxLength: 4 }),
      fc.dictionary(keys, tie("node"), { maxKeys: 24 }),
    ),
  })).node;

  it("gives the same spans, and refuses the same texts in the same words", () => {
    fc.assert(
      fc.property(
        tree,
        fc.array(fc.tuple(fc.nat(), fc.nat(2), sign), { maxLength: 3 }),
        fc.nat({ max: 6 }),
        fc.nat({ max: 6 }),
        (value, changes, keepDepth, depth) => {
          const spaced = JSON.stringify(value, undefined, keepDepth % 3);
          agree(spaced, 100, keepDepth);
          let text = spaced;
          for (const [at, length, put] of changes) {
            const place = at % (text.length + 1);
            text = text.slice(0, place) + put + text.slice(place + length);
          }
          agree(text, depth + 1, keepDepth);
        },
      ),
      { numRuns: cases(6000, 4) },
    );
  });

  it("agrees on texts of nothing but signs", () => {
    fc.assert(
      fc.property(fc.array(sign, { maxLength: 12 }), (signs) => {
        agree(signs.join(""));
        agree(`["${signs.join("")}"]`);
        agree(`{"a":{"${signs.join("")}":1}}`);
      }),
      { numRuns: cases(10_000, 4) },
    );
  });

  it("agrees on escapes and literals with any other unit in them", () => {
    for (const text of [
      '"\\u00e9"',
      '"\\ud83d\\ude00"',
      '["\\n",-1.5e+3,true,false,null]',
      '{"a":"é"}',
    ]) {
      for (let at = 0; at < text.length; at++) {
        for (let unit = 0; unit < 0x100; unit++) {
          agree(text.slice(0, at) + String.fromCharCode(unit) + text.slice(at + 1));
        }
        agree(text.slice(0, at));
      }
    }
  });

  it("agrees on objects of many members, of which two may have one name", () => {
    const name = fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 400 }).map((i) => `"n${i}"`) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 99 }).map((i) => `"\\u006e${i}"`) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 99 }).map((i) => `"ñ${i}"`) },
    );
    fc.assert(
      fc.property(fc.array(name, { maxLength: 40 }), fc.nat({ max: 3 }), (names, keepDepth) => {
        agree(`[{${names.map((one) => `${one}:{"n1":[]}`).join()}}]`, 100, keepDepth);
      }),
      { numRuns: cases(2000, 4) },
    );
  });
});
