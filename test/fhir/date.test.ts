import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseDate } from "../../src/fhir/date.ts";

const utc = (iso: string) => Date.parse(iso);

describe("parseDate", () => {
  it.each([
    ["2024", "2024-01-01T00:00:00.000Z", "2024-12-31T23:59:59.999Z", "year", false],
    ["2024-02", "2024-02-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z", "month", false],
    ["2023-02", "2023-02-01T00:00:00.000Z", "2023-02-28T23:59:59.999Z", "month", false],
    ["1999-12", "1999-12-01T00:00:00.000Z", "1999-12-31T23:59:59.999Z", "month", false],
    ["2024-02-29", "2024-02-29T00:00:00.000Z", "2024-02-29T23:59:59.999Z", "day", false],
    ["1900-02-28", "1900-02-28T00:00:00.000Z", "1900-02-28T23:59:59.999Z", "day", false],
    [
      "2024-03-10T13:28:17Z",
      "2024-03-10T13:28:17.000Z",
      "2024-03-10T13:28:17.999Z",
      "second",
      true,
    ],
    [
      "2024-03-10T13:28:17-05:00",
      "2024-03-10T18:28:17.000Z",
      "2024-03-10T18:28:17.999Z",
      "second",
      true,
    ],
    [
      "2024-01-01T00:10:00+14:00",
      "2023-12-31T10:10:00.000Z",
      "2023-12-31T10:10:00.999Z",
      "second",
      true,
    ],
    [
      "2015-02-07T13:28:17.239+02:00",
      "2015-02-07T11:28:17.239Z",
      "2015-02-07T11:28:17.239Z",
      "millisecond",
      true,
    ],
    [
      "2015-02-07T13:28:17.2399999Z",
      "2015-02-07T13:28:17.239Z",
      "2015-02-07T13:28:17.239Z",
      "millisecond",
      true,
    ],
    [
      "2016-12-31T23:59:60Z",
      "2017-01-01T00:00:00.000Z",
      "2017-01-01T00:00:00.999Z",
      "second",
      true,
    ],
    ["2024-03-10T13:28Z", "2024-03-10T13:28:00.000Z", "2024-03-10T13:28:59.999Z", "second", true],
    ["0001-01-01", "0001-01-01T00:00:00.000Z", "0001-01-01T23:59:59.999Z", "day", false],
    ["9999", "9999-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "year", false],
  ])("reads %s", (text, from, to, precision, zoned) => {
    expect(parseDate(text)).toEqual({ from: utc(from), to: utc(to), precision, zoned });
  });

  it.each([
    "",
    "24",
    "0000",
    "2024-13",
    "2024-00",
    "2023-02-29",
    "1900-02-29",
    "2024-02-30",
    "2024-04-31",
    "2024-01-00",
    "2024-1-1",
    "2024-01-01T10",
    "2024-01-01T10:00:00",
    "2024-01-01T24:00:00Z",
    "2024-01-01T10:60:00Z",
    "2024-01-01T10:00:61Z",
    "2024-01-01T10:00:00+15:00",
    "2024-01-01T10:00:00+0100",
    "2024-01-01 10:00:00Z",
    "2024-01-01T10:00:00z",
    " 2024",
    "2024\n",
    "about 2010",
  ])("refuses %j", (text) => {
    expect(parseDate(text)).toBeUndefined();
  });

  it("agrees with the platform's Date on every day", () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date("0001-01-01"), max: new Date("9998-12-31"), noInvalidDate: true }),
        (date) => {
          const iso = date.toISOString();
          expect(parseDate(iso)?.from).toBe(date.getTime());
          expect(parseDate(iso.slice(0, 10))?.from).toBe(utc(iso.slice(0, 10)));
        },
      ),
      { numRuns: 1000 },
    );
  });
});
