import { describe, expect, it } from "vitest";
import { bytesToUtf8, utf8ToBytes } from "../../src/bytes/utf8.ts";
import { splitFields } from "../../src/fhir/fields.ts";

const split = (text: string | Uint8Array): [string, string][] =>
  splitFields(text).map(({ path, value }) => [path, bytesToUtf8(value)]);

describe("splitFields", () => {
  it("keeps the exact text of every value", () => {
    const text = `{ "resourceType":"Observation", "value" : 1.50, "big":12345678901234567890.00,
      "code":{"coding":[{"system":"a","code":"b\\u00e9"},{"code":"c"}]},
      "flag":true,"none":null,"empty":{},"nothing":[ ] }`;
    const wanted: [string, string][] = [
      ["/resourceType", '"Observation"'],
      ["/value", "1.50"],
      ["/big", "12345678901234567890.00"],
      ["/code/coding/0/system", '"a"'],
      ["/code/coding/0/code", '"b\\u00e9"'],
      ["/code/coding/1/code", '"c"'],
      ["/flag", "true"],
      ["/none", "null"],
      ["/empty", "{}"],
      ["/nothing", "[ ]"],
    ];
    expect(split(text)).toEqual(wanted);
    expect(split(utf8ToBytes(text))).toEqual(wanted);
  });

  it("escapes names as RFC 6901 has it", () => {
    // The example of RFC 6901 §5.
    const text = '{"a/b":1,"m~n":8,"":0,"c%d":2,"e^f":3,"k\\"l":6," ":7}';
    expect(split(text).map(([path]) => path)).toEqual([
      "/a~1b",
      "/m~0n",
      "/",
      "/c%d",
      "/e^f",
      '/k"l',
      "/ ",
    ]);
  });

  it("refuses values that are not JSON objects", () => {
    for (const text of ["[]", '"x"', "{", '{"a":1,"a":2}', "", "{}x"]) {
      expect(() => splitFields(text)).toThrow(
        expect.objectContaining({ code: "ERR_INPUT_INVALID" }),
      );
    }
  });
});
