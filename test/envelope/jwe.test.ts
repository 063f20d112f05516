import { createCipheriv, createDecipheriv } from "node:crypto";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { compactDecrypt, CompactEncrypt } from "jose";
import { describe, expect, it } from "vitest";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import {
  decodeHealthLink,
  encodeHealthLink,
  exportJwe,
  importJwe,
} from "../../src/envelope/jwe.ts";
import { seeded } from "./parties.ts";

const content = utf8ToBytes('{"resourceType":"Observation","value":1.50}');
const random = seeded("jwe");
const DECRYPT = expect.objectContaining({ code: "ERR_ENVELOPE_DECRYPT" });

const base64url = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString("base64url");

/** RFC 7516 by node:crypto alone. */
function writeJwe(header: object, key: Uint8Array, plaintext: Uint8Array): string {
  const protectedHeader = base64url(JSON.stringify(header));
  const cipher = createCipheriv("aes-256-gcm", key, new Uint8Array(12).fill(9));
  cipher.setAAD(Buffer.from(protectedHeader));
  const sealed = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const iv = base64url(new Uint8Array(12).fill(9));
  return [protectedHeader, "", iv, base64url(sealed), base64url(cipher.getAuthTag())].join(".");
}

function readJwe(jwe: string, key: Uint8Array): { header: Record<string, string>; text: Buffer } {
  const [head, wrapped, iv, sealed, tag] = jwe.split(".") as [string, ...string[]];
  expect(wrapped).toBe("");
  const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(iv!, "base64url"));
  decipher.setAAD(Buffer.from(head));
  decipher.setAuthTag(Buffer.from(tag!, "base64url"));
  const text = Buffer.concat([
    decipher.update(Buffer.from(sealed!, "base64url")),
    decipher.final(),
  ]);
  return { header: JSON.parse(Buffer.from(head, "base64url").toString()), text };
}

describe("exportJwe", () => {
  it("writes what another implementation opens", async () => {
    const { jwe, key } = await exportJwe({ content, random });
    const { header, text } = readJwe(jwe, key);
    expect(header).toEqual({ alg: "dir", enc: "A256GCM", cty: "application/fhir+json" });
    expect(text.equals(content)).toBe(true);
    const small = await exportJwe({ content, random, compress: true, contentType: "text/plain" });
    const deflated = readJwe(small.jwe, small.key);
    expect(deflated.header).toMatchObject({ zip: "DEF", cty: "text/plain" });
    expect(inflateRawSync(deflated.text).equals(content)).toBe(true);
    expect(small.key).not.toEqual(key);
  });
});

describe("jose, another implementation,", () => {
  it("opens what is written here, and is opened here", async () => {
    for (const compress of [false, true]) {
      const { jwe, key } = await exportJwe({ content, random, compress });
      const { plaintext, protectedHeader } = await compactDecrypt(jwe, key, {
        keyManagementAlgorithms: ["dir"],
        contentEncryptionAlgorithms: ["A256GCM"],
      });
      expect([...plaintext]).toEqual([...content]);
      expect(protectedHeader).toMatchObject({ cty: "application/fhir+json" });
      const header = {
        alg: "dir",
        enc: "A256GCM",
        cty: "x/y",
        ...(compress ? { zip: "DEF" } : {}),
      };
      const theirs = await new CompactEncrypt(content).setProtectedHeader(header).encrypt(key);
      expect(await importJwe(theirs, key)).toEqual({ content, contentType: "x/y" });
    }
  });
});

describe("importJwe", () => {
  const key = random(32);
  const header = { alg: "dir", enc: "A256GCM", cty: "application/fhir+json" };

  it("opens what another implementation wrote, compressed or not", async () => {
    expect(await importJwe(writeJwe(header, key, content), key)).toEqual({
      content,
      contentType: "application/fhir+json",
    });
    const deflated = writeJwe({ ...header, zip: "DEF" }, key, deflateRawSync(content));
    expect((await importJwe(deflated, key)).content).toEqual(content);
    const bare = await importJwe(writeJwe({ alg: "dir", enc: "A256GCM" }, key, content), key);
    expect(bare).toEqual({ content });
  });

  it("gives one answer to every failure", async () => {
    const good = writeJwe(header, key, content);
    const [head, , iv, sealed, tag] = good.split(".");
    const bad = [
      "",
      "a.b.c",
      [head, "AA", iv, sealed, tag].join("."),
      [head, "", iv, sealed, `${tag}AA`].join("."),
      [head, "", iv, sealed!.replace(/^./, (c) => (c === "A" ? "B" : "A")), tag].join("."),
      [base64url(JSON.stringify({ ...header, cty: "x" })), "", iv, sealed, tag].join("."),
      writeJwe({ ...header, alg: "A256KW" }, key, content),
      writeJwe({ ...header, enc: "A128GCM" }, key, content),
      writeJwe({ ...header, crit: ["x"], x: 1 }, key, content),
      writeJwe({ ...header, zip: "LZ4" }, key, content),
      writeJwe({ ...header, zip: "DEF" }, key, content),
      writeJwe({ ...header, zip: "DEF" }, key, deflateRawSync(content).subarray(0, -3)),
      writeJwe({ ...header, zip: ["DEF"] }, key, deflateRawSync(content)),
      writeJwe([{ ...header }], key, content),
      `${good}.`,
      `${good}=`,
      [head, "", `${iv}AAAA`, sealed, tag].join("."),
      [head, "", iv, `${sealed!.slice(0, -2)}`, `${sealed!.slice(-2)}${tag}`].join("."),
      [`${head} `, "", iv, sealed, tag].join("."),
    ];
    expect((await importJwe(`${good}\n`, key)).content).toEqual(content);
    for (const jwe of bad) await expect(importJwe(jwe, key)).rejects.toThrow(DECRYPT);
    await expect(importJwe(good, random(32))).rejects.toThrow(DECRYPT);
    await expect(importJwe(good, new Uint8Array(16))).rejects.toThrow(RangeError);
  });

  it("opens nothing of other algorithms, though the key would fit them", async () => {
    for (const [alg, enc] of [
      ["dir", "A128CBC-HS256"],
      ["A256KW", "A256GCM"],
      ["A256GCMKW", "A256GCM"],
      ["A256KW", "A256CBC-HS512"],
    ] as const) {
      const jwe = await new CompactEncrypt(content).setProtectedHeader({ alg, enc }).encrypt(key);
      expect((await compactDecrypt(jwe, key)).plaintext).toEqual(content);
      await expect(importJwe(jwe, key)).rejects.toThrow(DECRYPT);
    }
  });

  it("stops inflating at its limit", async () => {
    const bomb = deflateRawSync(Buffer.alloc(200 << 20), { level: 9 });
    expect(bomb.length).toBeLessThan(300_000);
    const jwe = writeJwe({ ...header, zip: "DEF" }, key, bomb);
    const before = process.memoryUsage().rss;
    await expect(importJwe(jwe, key)).rejects.toThrow(DECRYPT);
    expect(process.memoryUsage().rss - before).toBeLessThan(120 << 20);
    const fits = writeJwe({ ...header, zip: "DEF" }, key, deflateRawSync(Buffer.alloc(2000)));
    expect((await importJwe(fits, key, { maxBytes: 2000 })).content).toHaveLength(2000);
    await expect(importJwe(fits, key, { maxBytes: 1999 })).rejects.toThrow(DECRYPT);
    await expect(importJwe("x".repeat(10_000), key, { maxBytes: 10 })).rejects.toMatchObject({
      code: "ERR_INPUT_TOO_LARGE",
    });
  });
});

describe("encodeHealthLink", () => {
  // In the form of the example in the SMART Health Links specification.
  const example =
    "shlink:/eyJ1cmwiOiJodHRwczovL2Voci5leGFtcGxlLm9yZy9xci9ZOXhJS2NscDJvWVBBRU1ZTjA5T1U5V1RfM1QtdzVJS1pJbVZGQzlQQkZjL21hbmlmZXN0Lmpzb24iLCJmbGFnIjoiUCIsImtleSI6InJ4VGdZbE9hS0pQRnRjRWQwcWNjZU44d0VVNHA5NFNxQXdJV1FlNnVYN1EiLCJsYWJlbCI6IkJhY2stdG8tc2Nob29sIGltbXVuaXphdGlvbnMgZm9yIE9saXZlciBCcm93biJ9";

  it("writes what it reads, and reads links with a viewer's address before them", () => {
    const link = {
      url: "https://hospital.example/l/1",
      key: random(32),
      exp: 1_800_000_000,
      flag: "LP",
      label: "Immunizations",
    };
    const text = encodeHealthLink(link);
    expect(decodeHealthLink(text)).toEqual(link);
    expect(decodeHealthLink(`https://viewer.example/#${text}`)).toEqual(link);
    const bare = { url: link.url, key: link.key };
    expect(decodeHealthLink(encodeHealthLink(bare))).toEqual(bare);
    const read = decodeHealthLink(example);
    expect(Buffer.from(read.key).toString("base64url")).toMatch(
      /^rxTgYlOaKJPFtcEd0qcceN8wEU4p94Sq/,
    );
    expect(read).toMatchObject({ flag: "P", url: expect.stringContaining("ehr.example.org") });
  });

  it("refuses text that is not a link", () => {
    const of = (json: unknown): string => `shlink:/${base64url(JSON.stringify(json))}`;
    const good = { url: "https://a.example/", key: base64url(random(32)) };
    const bad = [
      "",
      "shlink:/",
      "shlink:/!!",
      of(null),
      of({}),
      of({ ...good, url: "not a url" }),
      of({ ...good, key: "AAAA" }),
      of({ ...good, v: 2 }),
      of({ ...good, exp: "soon" }),
      of({ ...good, flag: "PL" }),
      of({ ...good, label: "x".repeat(81) }),
      `shlink:/${"A".repeat(9000)}`,
    ];
    for (const text of bad) {
      expect(() => decodeHealthLink(text)).toThrow(
        expect.objectContaining({ code: "ERR_INPUT_INVALID" }),
      );
    }
    expect(() => encodeHealthLink({ url: "x", key: random(32) })).toThrow(
      expect.objectContaining({ code: "ERR_INPUT_INVALID" }),
    );
  });

  const shl = (json: unknown): string => `shlink:/${base64url(JSON.stringify(json))}`;
  const key = random(32);
  const url = "https://shl.example.org/manifests/I91rhba3VsuGXGchcnr6VHlQFKxfE28kuZ0ssbEuxno/m";
  const payload = { url, key: base64url(key) };

  it.each([
    ["P with U", { flag: "PU" }],
    ["L, P and U", { flag: "LPU" }],
    ["flags out of order", { flag: "UL" }],
    ["an unknown flag", { flag: "X" }],
    ["no flag at all", { flag: "" }],
    ["milliseconds", { exp: 1_800_000_000_000 }],
    ["a part of a second", { exp: 1_800_000_000.5 }],
    ["a time before 1970", { exp: -1 }],
    ["no time", { exp: NaN }],
    ["no HTTPS", { url: "http://a.example/" }],
    ["a script", { url: "javascript:alert(1)" }],
    ["a URL of 129 characters", { url: `https://a.example/${"x".repeat(111)}` }],
    ["a label of 81 characters", { label: "ä".repeat(81) }],
  ])("does not write %s", (_name, more) => {
    expect(() => encodeHealthLink({ url, key, ...more })).toThrow(
      expect.objectContaining({ code: "ERR_INPUT_INVALID" }),
    );
  });

  it("writes what is as long as it may be", () => {
    const longest = `https://a.example/${"x".repeat(110)}`;
    const link = { url: longest, key, flag: "LU", exp: 253_402_300_799, label: "😀".repeat(80) };
    expect(longest).toHaveLength(128);
    expect(decodeHealthLink(encodeHealthLink(link))).toEqual(link);
  });

  it("reads what scanners and other writers make of it", () => {
    const bare = { url, key };
    expect(decodeHealthLink(shl(payload).replace("shlink", "SHLINK"))).toEqual(bare);
    expect(decodeHealthLink(`${shl(payload)}\r\n`)).toEqual(bare);
    for (const pad of ["", "x", "xx"]) {
      const padded = Buffer.from(JSON.stringify({ ...payload, pad })).toString("base64");
      const text = `shlink:/${padded.replaceAll("+", "-").replaceAll("/", "_")}`;
      expect(decodeHealthLink(text)).toEqual(bare);
    }
    // receivers ignore members and flags that they do not recognise
    expect(decodeHealthLink(shl({ ...payload, flag: "LX", more: 1 }))).toEqual({
      ...bare,
      flag: "L",
    });
    expect(decodeHealthLink(shl({ ...payload, flag: "X" }))).toEqual(bare);
  });

  it.each([
    { flag: "PU" },
    { flag: 1 },
    { exp: 1_800_000_000_000 },
    { exp: -1 },
    { url: "javascript:alert(1)" },
    { url: "data:text/plain,x" },
  ])("does not read %j", (more) => {
    expect(() => decodeHealthLink(shl({ ...payload, ...more }))).toThrow(
      expect.objectContaining({ code: "ERR_INPUT_INVALID" }),
    );
  });
});
