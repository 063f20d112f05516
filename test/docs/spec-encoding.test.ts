import * as reference from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { specPage } from "./spec-page.ts";

describe("docs/spec/encoding.md", () => {
  const page = specPage("encoding.md");
  const bytes = page.hex("every-value");

  it("shows what @ipld/dag-cbor writes, and what ours reads and writes", () => {
    const value = decode(bytes) as Record<string, unknown>;
    expect(Object.keys(value)).toHaveLength(13);
    expect(value["huge"]).toBe(2n ** 64n - 1n);
    expect(value["text"]).toBe("水");
    expect(new Uint8Array(reference.encode(value))).toEqual(bytes);
    expect(encode(value)).toEqual(bytes);
  });

  it("names it by its CID", () => {
    expect(page.text).toContain(`\`${cidOf(bytes, DAG_CBOR)}\``);
  });
});
