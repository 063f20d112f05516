import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatMinor,
  MAX_AMOUNT,
  minorDigits,
  portion,
} from "../../../src/contract/claims/amounts.ts";
import { dayNumber, yearOf } from "../../../src/contract/claims/day.ts";

describe("portion", () => {
  it("is half up, as exact fractions are", () => {
    const amounts = fc.integer({ min: 0, max: MAX_AMOUNT });
    const wholes = fc.integer({ min: 1, max: 10_000 });
    fc.assert(
      fc.property(amounts, wholes, fc.nat(10_000), (amount, whole, any) => {
        const part = any % (whole + 1);
        const exact = (2n * BigInt(amount) * BigInt(part) + BigInt(whole)) / (2n * BigInt(whole));
        expect(BigInt(portion(amount, part, whole))).toBe(exact);
      }),
    );
    expect(portion(MAX_AMOUNT - 1, 9_999, 10_000)).toBe(899_909_999_999);
  });
});

describe("dayNumber", () => {
  it("counts days as the platform's calendar does", () => {
    fc.assert(
      fc.property(fc.integer({ min: -25_567, max: 2_932_896 }), (day) => {
        const text = new Date(day * 86_400_000).toISOString().slice(0, 10);
        expect(dayNumber(text)).toBe(day);
      }),
    );
  });

  it.each(["2026-02-29", "1900-02-29", "2026-00-10", "2026-13-01", "2026-1-1", "2026-04-31", "x"])(
    "knows no day %s",
    (text) => expect(dayNumber(text)).toBeUndefined(),
  );
});

describe("yearOf", () => {
  it.each([
    ["2026-01-01", "01-01", "2026-01-01"],
    ["2026-06-30", "07-01", "2025-07-01"],
    ["2026-07-01", "07-01", "2026-07-01"],
  ])("puts %s with years from %s into %s", (day, starts, year) =>
    expect(yearOf(day, starts)).toBe(year),
  );
});

describe("formatMinor", () => {
  it.each([
    [0, "USD", "0.00"],
    [-5, "USD", "-0.05"],
    [123_456, "USD", "1234.56"],
    [500, "JPY", "500"],
    [1_005, "KWD", "1.005"],
    [1, "CLF", "0.0001"],
  ])("writes %d of %s as %s", (amount, currency, text) =>
    expect(formatMinor(amount, currency)).toBe(text),
  );

  it("knows the digits of currencies that have other than two", () => {
    expect(["JPY", "BHD", "UYW", "EUR"].map(minorDigits)).toEqual([0, 3, 4, 2]);
  });
});
