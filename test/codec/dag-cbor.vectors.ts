import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as reference from "@ipld/dag-cbor";
import { expect, it } from "vitest";
import { fromHex } from "../../src/bytes/hex.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { describeVectors, readVector } from "../support/vectors.ts";

describeVectors("ipld codec fixtures", "dag-cbor", (path) => {
  const folder = join(path, "fixtures");
  const files = readdirSync(folder).filter((name) => name.endsWith(".dag-cbor"));

  it("are all 128 there", () => {
    expect(files).toHaveLength(128);
  });

  it.each(files)("%s", (file) => {
    const bytes = new Uint8Array(readFileSync(join(folder, file)));
    const cid = file.slice(file.lastIndexOf("__") + 2, -".dag-cbor".length);
    expect(cidOf(bytes, DAG_CBOR).toString()).toBe(cid);
    const value = decode(bytes, { floats: true });
    expect(value).toEqual(reference.decode(bytes));
    expect(encode(value, { floats: true })).toEqual(bytes);
  });

  it("are refused in the mode without floats if, and only if, they contain one", () => {
    const refused = files.filter((file) => {
      try {
        decode(new Uint8Array(readFileSync(join(folder, file))));
        return false;
      } catch {
        return true;
      }
    });
    const holdsFloat = (value: unknown): boolean =>
      typeof value === "number"
        ? !Number.isSafeInteger(value)
        : typeof value === "object" &&
          value !== null &&
          !("asCID" in value) &&
          Object.values(value).some(holdsFloat);
    const wanted = files.filter((file) =>
      holdsFloat(reference.decode(new Uint8Array(readFileSync(join(folder, file))))),
    );
    expect(refused).toEqual(wanted);
  });

  it("refuses the negative fixtures", () => {
    const cases = JSON.parse(readVector("dag-cbor", "negative-duplicate-keys.json")) as {
      hex: string;
    }[];
    expect(cases.length).toBeGreaterThan(0);
    for (const { hex } of cases) {
      expect(() => decode(fromHex(hex), { floats: true })).toThrow(
        expect.objectContaining({ code: "ERR_ENCODING_MALFORMED" }),
      );
    }
  });
});
