import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { readFields } from "../../src/envelope/disclosed.ts";
import { splitFields } from "../../src/fhir/fields.ts";
import { specPage } from "./spec-page.ts";

const page = specPage("envelope.md");
const salts = ["000102030405060708090a0b0c0d0e0f", "101112131415161718191a1b1c1d1e1f"];
salts.push("202122232425262728292a2b2c2d2e2f");

describe("docs/spec/envelope.md, fields", () => {
  const fields = splitFields('{"gender":"female","birthDate":"1974-12-25","active":true}');
  const leaves = fields.map(({ path, value }, i) => [fromHex(salts[i]!), path, value] as const);
  const root = page.value("root");

  it("has the hashes that node:crypto computes", () => {
    const sha256 = (...parts: Uint8Array[]): Buffer =>
      createHash("sha256").update(Buffer.concat(parts)).digest();
    const [gender, birthDate, active] = leaves.map((leaf) =>
      sha256(Uint8Array.of(0), encode([...leaf])),
    ) as [Buffer, Buffer, Buffer];
    const padding = fromHex(page.value("padding"));
    expect(gender.toString("hex")).toBe(page.value("salt `0001…0f`, `/gender`"));
    expect(birthDate.toString("hex")).toBe(page.value("salt `1011…1f`, `/birthDate`"));
    expect(active.toString("hex")).toBe(page.value("salt `2021…2f`, `/active`"));
    const node = (left: Uint8Array, right: Uint8Array): Buffer =>
      sha256(Uint8Array.of(1), left, right);
    expect(node(node(padding, gender), node(active, birthDate)).toString("hex")).toBe(root);
  });

  it("is what the library reads", () => {
    const padding = [fromHex(page.value("padding"))];
    const part = encode({ v: 1, fields: leaves.map((leaf) => [...leaf]), padding });
    expect(readFields(part, fromHex(root))).toEqual(fields);
    expect(toHex(fields[0]!.value)).toBe(Buffer.from('"female"').toString("hex"));
  });
});
