import { describe, expect, it } from "vitest";
import { ward } from "../../support/ward.ts";

const number = (value: string, system = "urn:oid:7.7.7") => ({ system, value });

describe("identify", () => {
  it("gives a known person more identifiers, by which they are found", async () => {
    const w = await ward();
    const one = await w.hl.ensureSubject(number("1"));
    const given = [number("2"), number("3"), number("2")];
    expect(await w.hl.identify(one, given)).toEqual({
      added: [number("2"), number("3")],
      proposals: [],
    });
    expect(await w.hl.identify(one, given)).toEqual({ added: [], proposals: [] });
    const answer = await w.hl.findSubject(number("3"));
    expect(answer).toEqual(one);
    const again = await w.again({ repair: { index: true } });
    expect(await again.findSubject(number("2"))).toEqual(one);
  });

  it("takes no identifier from anybody, and names both", async () => {
    const w = await ward();
    const one = await w.hl.ensureSubject(number("1"));
    const other = await w.hl.ensureSubject(number("2"));
    expect(await w.hl.identify(one, [number("2"), number("3")])).toEqual({
      added: [number("3")],
      proposals: [{ subjects: [one, other], because: number("2") }],
    });
    expect(await w.hl.findSubject(number("2"))).toEqual(other);
  });

  it("makes nobody known", async () => {
    const w = await ward();
    const nobody = { local: new Uint8Array(16).fill(9) };
    await expect(w.hl.identify(nobody, [number("1")])).rejects.toMatchObject({
      code: "ERR_INPUT_UNKNOWN_SUBJECT",
    });
    expect(await w.hl.findSubject(number("1"))).toBeUndefined();
  });

  it("forgets every identifier with the person", async () => {
    const w = await ward();
    const one = await w.hl.ensureSubject(number("1"));
    await w.hl.identify(one, [number("2")]);
    await w.hl.erase(one, { all: true, forgetSubject: true, reason: "asked for" });
    for (const value of ["1", "2"]) expect(await w.hl.findSubject(number(value))).toBeUndefined();
    const later = await w.again({ repair: { index: true } });
    expect(await later.findSubject(number("2"))).toBeUndefined();
  });

  it.each<[string, unknown]>([
    ["none", []],
    ["no list", number("1")],
    ["65", Array.from({ length: 65 }, (_, i) => number(String(i)))],
    ["an empty value", [number("")]],
    ["a NUL", [number("a\0")]],
    ["no system", [{ value: "1" }]],
  ])("refuses %s", async (_, given) => {
    const w = await ward();
    const one = await w.hl.ensureSubject(number("one"));
    await expect(w.hl.identify(one, given as never)).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
  });

  it("gives a person at most 1,024", async () => {
    const w = await ward();
    const one = await w.hl.ensureSubject(number("one"));
    const many = Array.from({ length: 1024 }, (_, i) => number(String(i)));
    for (let at = 0; at < 1000; at += 50) await w.hl.identify(one, many.slice(at, at + 50));
    await w.hl.identify(one, many.slice(1000, 1023));
    await expect(w.hl.identify(one, [many[1023]!])).rejects.toMatchObject({
      code: "ERR_INPUT_TOO_LARGE",
    });
    expect(await w.hl.findSubject(many[1022]!)).toEqual(one);
  });
});
