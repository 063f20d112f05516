import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isPlaceholder } from "../../src/fhir/placeholder.ts";

/** The same letters and digits as full-width characters, which mean the same. */
const wide = (text: string): string =>
  text.replace(/[0-9A-Za-z]/g, (one) => String.fromCharCode(one.charCodeAt(0) + 0xfee0));

describe("isPlaceholder", () => {
  it("says the same of a text and of its full-width form, which no shortcut reads", () => {
    const sign = fc.constantFrom(..."09xXunkUNKna1 -./", "\u0301", "½", "٣", "ß", "😀");
    fc.assert(
      fc.property(fc.oneof(fc.array(sign, { maxLength: 12 }), fc.array(fc.string())), (signs) => {
        const text = signs.join("");
        expect(isPlaceholder(text)).toBe(isPlaceholder(wide(text)));
      }),
      { numRuns: 20_000 },
    );
  });

  it.each(["unknown", "000-00-0000", "999-99-9999", "XXX-XX-XXXX", "N/A", "-", "1111111 1"])(
    "knows %s",
    (value) => expect(isPlaceholder(value)).toBe(true),
  );

  it.each(["unknown1", "x0", "0x00", "99-A", "MRN-000000", "n/a 7"])("takes %s", (value) =>
    expect(isPlaceholder(value)).toBe(false),
  );
});
