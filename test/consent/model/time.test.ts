import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  endOf,
  fromFhirDateTime,
  isDateValue,
  isoInstant,
  startOf,
} from "../../../src/consent/model/time.ts";
import { findZone, type Zone } from "../../../src/consent/model/zone.ts";

const zone = (name: string): Zone => findZone(name)!;

describe("startOf and endOf", () => {
  it.each([
    ["2024", "UTC", "2024-01-01T00:00:00.000Z", "2024-12-31T23:59:59.999Z"],
    ["2024-02", "UTC", "2024-02-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z"],
    ["1900-02", "UTC", "1900-02-01T00:00:00.000Z", "1900-02-28T23:59:59.999Z"],
    ["2024-06-15", "+02:00", "2024-06-14T22:00:00.000Z", "2024-06-15T21:59:59.999Z"],
    ["2024-06-15", "-09:30", "2024-06-15T09:30:00.000Z", "2024-06-16T09:29:59.999Z"],
    // Clocks in New York go forward on 10 March 2024 (23 hours) and back on 3 November (25 hours).
    ["2024-03-10", "America/New_York", "2024-03-10T05:00:00.000Z", "2024-03-11T03:59:59.999Z"],
    ["2024-11-03", "America/New_York", "2024-11-03T04:00:00.000Z", "2024-11-04T04:59:59.999Z"],
    // In São Paulo, 4 November 2018 began at 01:00: midnight was skipped.
    ["2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00.000Z", "2018-11-05T01:59:59.999Z"],
    // And 17 February 2018 had its last hour twice.
    ["2018-02-17", "America/Sao_Paulo", "2018-02-17T02:00:00.000Z", "2018-02-18T02:59:59.999Z"],
  ])("resolve %s in %s", (date, name, start, end) => {
    expect(isoInstant(startOf(date, zone(name))!)).toBe(start);
    expect(isoInstant(endOf(date, zone(name))!)).toBe(end);
  });

  it("leave instants as they are", () => {
    expect(startOf(5, zone("UTC"))).toBe(5);
    expect(endOf(5, zone("UTC"))).toBe(5);
  });
});

describe("isDateValue", () => {
  it.each(["0000", "2024-13", "2024-00", "2023-02-29", "2024-6-1", "24", "2024-06-15T00:00Z", ""])(
    "refuses %j",
    (text) => expect(isDateValue(text)).toBe(false),
  );

  it.each([0.5, NaN, Infinity, 8_640_000_000_000_001])("refuses %d", (value) => {
    expect(isDateValue(value)).toBe(false);
  });
});

describe("isoInstant", () => {
  it("agrees with the engine", () => {
    fc.assert(
      fc.property(fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 }), (instant) => {
        expect(isoInstant(instant)).toBe(new Date(instant).toISOString());
      }),
    );
  });
});

describe("fromFhirDateTime", () => {
  it("keeps dates and turns times into instants", () => {
    expect(fromFhirDateTime("2024-06")).toBe("2024-06");
    expect(fromFhirDateTime("2013-02-19T20:32:26+00:00")).toBe(Date.UTC(2013, 1, 19, 20, 32, 26));
    expect(fromFhirDateTime("2013-02-19T20:32:26.5-05:00")).toBe(
      Date.UTC(2013, 1, 20, 1, 32, 26, 500),
    );
    expect(fromFhirDateTime("2013-02-19T20:32:26Z", true)).toBe(
      Date.UTC(2013, 1, 19, 20, 32, 26, 999),
    );
  });

  it.each(["2013-02-30T20:32:26Z", "2013-02-19T20:32:26", "2013-02-19T24:00:00Z", "now"])(
    "refuses %s",
    (text) => expect(fromFhirDateTime(text)).toBeUndefined(),
  );
});

describe("findZone", () => {
  it.each(["Moon/Tranquility", "+15:00", "+1:00", "../x", ""])("does not know %j", (name) => {
    expect(findZone(name)).toBeUndefined();
  });
});
