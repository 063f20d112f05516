import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { asFailed, asUnsettled, isBroken, isRetryable } from "../../src/storage/postgres/errors.ts";
import { quoted } from "../../src/storage/postgres/schema.ts";
import { readPromise } from "../../src/storage/postgres/server.ts";
import { openKeyOrder } from "../../src/storage/postgres/key-order.ts";
import { byteaArray, bytesOf, numberOf } from "../../src/storage/postgres/wire.ts";

// What needs no server; the rest is in test/postgres.

describe("byteaArray", () => {
  it("writes what array_recv reads", () => {
    // dimensions, has NULL, OID of bytea, length, lower bound; each item with its length
    expect(toHex(byteaArray([fromHex("c0ff"), null, new Uint8Array()]))).toBe(
      "000000010000000100000011" + "0000000300000001" + "00000002c0ff" + "ffffffff" + "00000000",
    );
    expect(toHex(byteaArray([fromHex("01")]))).toBe(
      "000000010000000000000011" + "0000000100000001" + "0000000101",
    );
    expect(toHex(byteaArray([]))).toBe("000000000000000000000011");
  });
});

describe("bytesOf", () => {
  it("reads both forms that the server writes", () => {
    expect(bytesOf("\\x00ff5c")).toEqual(fromHex("00ff5c"));
    expect(bytesOf("\\x")).toEqual(new Uint8Array());
    expect(bytesOf("a\\000\\377\\\\z")).toEqual(fromHex("6100ff5c7a"));
    expect(Object.getPrototypeOf(bytesOf("\\x00"))).toBe(Uint8Array.prototype);
  });

  it.each(["\\x0", "\\x0g", null, undefined])("refuses %j", (text) => {
    expect(() => bytesOf(text)).toThrow(expect.objectContaining({ code: "ERR_STORAGE_CORRUPT" }));
  });
});

describe("numberOf", () => {
  it.each(["", "x", "9007199254740992", null])("refuses %j", (text) => {
    expect(() => numberOf(text)).toThrow(expect.objectContaining({ code: "ERR_STORAGE_CORRUPT" }));
  });
});

describe("readPromise", () => {
  const row = (change: readonly (readonly [number, string])[] = []) => {
    const values = ["150018", "f", "on", "on", "", "on"];
    for (const [at, value] of change) values[at] = value;
    return values;
  };

  it.each([
    [[], "power", "on"],
    [[[5, "off"]], "power", "on"],
    [[[5, "local"]], "power", "local"],
    [[[4, "ANY 1 (a, b)"]], "quorum", "on"],
    [
      [
        [4, "*"],
        [5, "off"],
      ],
      "quorum",
      "on",
    ],
    [
      [
        [4, "*"],
        [5, "remote_write"],
      ],
      "quorum",
      "on",
    ],
    [
      [
        [4, "*"],
        [5, "remote_apply"],
      ],
      "quorum",
      "remote_apply",
    ],
    [
      [
        [4, "*"],
        [5, "local"],
      ],
      "power",
      "local",
    ],
    [[[4, " "]], "power", "on"],
    [
      [
        [2, "off"],
        [4, "*"],
      ],
      "process",
      "on",
    ],
    [[[3, "off"]], "process", "on"],
  ] as const)("of settings changed by %j is %s, waited for as %s", (change, durability, level) => {
    expect(readPromise(row(change))).toEqual({ durability, level, version: 150018 });
  });

  it("refuses a standby, and a missing answer", () => {
    expect(() => readPromise(row([[1, "t"]]))).toThrow("standby");
    expect(() => readPromise(undefined)).toThrow("standby");
  });
});

describe("errors of the server", () => {
  const sent = (code: string) => Object.assign(new Error("sent"), { code, severity: "ERROR" });
  const hungUp = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });

  it.each([
    ["40P01", "ERR_STORAGE_FAILED", "ERR_STORAGE_FAILED"],
    ["53100", "ERR_STORAGE_FAILED", "ERR_STORAGE_FAILED"],
    ["57P01", "ERR_STORAGE_FAILED", "ERR_STORAGE_AMBIGUOUS"],
    ["08006", "ERR_STORAGE_FAILED", "ERR_STORAGE_AMBIGUOUS"],
    ["XX001", "ERR_STORAGE_CORRUPT", "ERR_STORAGE_CORRUPT"],
  ])("%s mean %s before COMMIT and %s behind it", (code, before, behind) => {
    expect(asFailed(sent(code))).toMatchObject({ code: before });
    expect(asUnsettled(sent(code))).toMatchObject({ code: behind });
  });

  it("are told from a connection that broke", () => {
    expect(isBroken(hungUp)).toBe(true);
    expect(isBroken(new Error("Query read timeout"))).toBe(true);
    expect(isBroken(sent("23505"))).toBe(false);
    expect(asFailed(hungUp)).toMatchObject({ code: "ERR_STORAGE_FAILED", cause: hungUp });
    expect(asUnsettled(hungUp)).toMatchObject({ code: "ERR_STORAGE_AMBIGUOUS", cause: hungUp });
    expect(["40001", "40P01", "23505"].map((code) => isRetryable(sent(code)))).toEqual([
      true,
      true,
      false,
    ]);
  });
});

describe("openTurns", () => {
  it("keeps the order of what shares a key, whatever fails, and holds up nothing else", async () => {
    const inKeyOrder = openKeyOrder();
    const done: string[] = [];
    const gates: (() => void)[] = [];
    const work =
      (name: string, fails = false) =>
      async () => {
        await new Promise<void>((resolve) => gates.push(resolve));
        done.push(name);
        if (fails) throw new Error(name);
      };
    const one = inKeyOrder(["a", "b"], work("one", true));
    const two = inKeyOrder(["b"], work("two"));
    const other = inKeyOrder(["c"], work("other"));
    expect(gates).toHaveLength(2);
    gates[1]!();
    await other;
    gates[0]!();
    await expect(one).rejects.toThrow("one");
    await expect.poll(() => gates.length).toBe(3);
    gates[2]!();
    await two;
    expect(done).toEqual(["other", "one", "two"]);
  });
});

describe("quoted", () => {
  it("leaves nothing of a name to be taken for SQL", () => {
    expect(quoted('a"; DROP SCHEMA b; --')).toBe('"a""; DROP SCHEMA b; --"');
  });
});
