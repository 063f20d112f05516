import * as reference from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import { decodeBlock } from "../../src/block/block.ts";
import { decodeEntry } from "../../src/block/entry.ts";
import { decodeGenesis } from "../../src/block/genesis.ts";
import { decodeHeader } from "../../src/block/header.ts";
import { decodeSignedTransaction, decodeTransaction } from "../../src/block/transaction.ts";
import { decodeReceipt } from "../../src/chain/receipt.ts";
import type { EncodingError } from "../../src/errors.ts";
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

  const decoders: Readonly<Record<string, (bytes: Uint8Array) => unknown>> = {
    genesis: decodeGenesis,
    entry: decodeEntry,
    transaction: decodeTransaction,
    "signed transaction": decodeSignedTransaction,
    header: decodeHeader,
    block: decodeBlock,
    receipt: decodeReceipt,
  };
  const limitsOf = (record: string): readonly number[] => {
    const row = page.text.split("\n").find((line) => line.startsWith(`| ${record} `))!;
    return row
      .split("|")
      .slice(2, 5)
      .map((cell) => Number(cell.replaceAll("`", "")));
  };

  it.each(Object.keys(decoders))(
    "gives the limits of a %s, to the last byte, level and item",
    (record) => {
      const [length, levels, items] = limitsOf(record) as [number, number, number];
      const codeOf = (bytes: Uint8Array): string => {
        try {
          decoders[record]!(bytes);
          return "";
        } catch (error) {
          return (error as EncodingError).code;
        }
      };
      const nested = (depth: number) => Uint8Array.from([...Array(depth - 1).fill(0x81), 0x80]);
      const list = (count: number) => encode(Array(count - 1).fill(null));
      const LIMIT = "ERR_ENCODING_LIMIT";
      for (const within of [new Uint8Array(length), nested(levels), list(items)]) {
        expect(codeOf(within)).not.toBe(LIMIT);
      }
      for (const beyond of [new Uint8Array(length + 1), nested(levels + 1), list(items + 1)]) {
        expect(codeOf(beyond)).toBe(LIMIT);
      }
    },
  );

  it("counts keys as items, and a CID as one", () => {
    const example = encode({ a: [1, 2] });
    expect(decode(example, { maxItems: 5, maxDepth: 2 })).toEqual({ a: [1, 2] });
    expect(() => decode(example, { maxItems: 4 })).toThrow("too many items");
    expect(() => decode(example, { maxDepth: 1 })).toThrow("nested too deeply");
    expect(decode(encode(cidOf(bytes, DAG_CBOR)), { maxItems: 1 })).toBeDefined();
  });
});
