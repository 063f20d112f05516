import { describe, expect, expectTypeOf, it } from "vitest";
import { parseEntryId, parseRecordId, type EntryId, type RecordId } from "../../src/codec/ids.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";

const TEXT = "0123456789abcdef".repeat(4);

describe.each([
  ["parseRecordId", parseRecordId, "a record's id must be a string of 64 lower-case hexadecimal"],
  ["parseEntryId", parseEntryId, "an entry's id must be a string of 64 lower-case hexadecimal"],
] as const)("%s", (_, parse, message) => {
  it("takes 64 lower-case hexadecimal characters as they are", () => {
    expect(parse(TEXT)).toBe(TEXT);
  });

  it.each<[string, unknown]>([
    ["upper case", TEXT.toUpperCase()],
    ["a character too few", TEXT.slice(1)],
    ["a character too many", `${TEXT}0`],
    ["a line's end behind it", `${TEXT}\n`],
    ["a letter beyond f", `g${TEXT.slice(1)}`],
    ["digits of another script", "٠".repeat(64)],
    ["nothing", ""],
    ["undefined", undefined],
    ["null", null],
    ["a number", 64],
    ["a list of one", [TEXT]],
  ])("refuses %s", (__, wrong) => {
    expect(() => parse(wrong as string)).toThrow(
      expect.objectContaining({
        name: "InputError",
        code: "ERR_INPUT_INVALID",
        message: `${message} characters`,
      }),
    );
  });

  it("says of bytes that they are bytes", () => {
    expect(() => parse(new Uint8Array(32) as unknown as string)).toThrow(
      expect.objectContaining({
        code: "ERR_INPUT_INVALID",
        message: `${message} characters, not bytes`,
      }),
    );
  });
});

/** Never called: what must not compile. */
export function mistakes(hl: Ledger, record: RecordId, entry: EntryId): unknown[] {
  const bytes = new Uint8Array(32);
  return [
    // @ts-expect-error an entry is not a record
    hl.read(entry),
    // @ts-expect-error a string from elsewhere is to be parsed
    hl.read(TEXT),
    // @ts-expect-error bytes are no id
    hl.read(bytes),
    // @ts-expect-error a record is not an entry
    hl.receipt(record),
    // @ts-expect-error a string from elsewhere is to be parsed
    hl.receipt(TEXT),
    // @ts-expect-error bytes are no id
    hl.receipt(bytes),
    // @ts-expect-error records are erased by their own ids
    hl.erase({ local: bytes }, { records: [entry], reason: "" }),
    // @ts-expect-error accesses are of the class audit
    hl.erase({ local: bytes }, { accesses: [entry], reason: "" }),
    // @ts-expect-error entries are given up, not records
    hl.giveUp([record], { reason: "" }),
  ];
}

describe("ids", () => {
  it("are strings, of two kinds that do not stand for one another", () => {
    expectTypeOf<RecordId>().toExtend<string>();
    expectTypeOf<EntryId>().toExtend<string>();
    expectTypeOf<RecordId>().not.toExtend<EntryId>();
    expectTypeOf<EntryId>().not.toExtend<RecordId>();
    expectTypeOf(parseRecordId).returns.toEqualTypeOf<RecordId>();
    expectTypeOf(parseEntryId).returns.toEqualTypeOf<EntryId>();
    expectTypeOf<Ledger["read"]>().parameter(0).toEqualTypeOf<RecordId>();
    expectTypeOf<Ledger["evidence"]>().parameter(0).toEqualTypeOf<EntryId>();
  });
});
