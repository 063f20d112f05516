import * as dagCbor from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import { decodeBlock, encodeBlock } from "../../src/block/block.ts";
import { entriesRoot, rootOfSigned, signTransaction } from "../../src/block/transaction.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { bytesFor, recordEntries, signerFor } from "../support/ledger.ts";

const ledger = cidOf(bytesFor("a ledger"), DAG_CBOR);
const sign = (entries: readonly Uint8Array[]) =>
  signTransaction(signerFor("author"), { ledger, lane: 0, seq: 1, time: 1, entries });

describe("signTransaction", () => {
  it("is not changed by what becomes of the arrays it was given", async () => {
    const entries = recordEntries(3);
    const before = entries.map((entry) => entry.slice());
    const signed = await sign(entries);
    entries[1]!.fill(0);
    entries.pop();
    expect(signed.entries.map((entry) => entry.slice())).toEqual(before);
    expect(rootOfSigned(signed)).toEqual(entriesRoot(before));
  });

  it("gives what cannot be put together anew unnoticed", async () => {
    const signed = await sign(recordEntries(2));
    expect(Object.isFrozen(signed)).toBe(true);
    expect(Object.isFrozen(signed.entries)).toBe(true);
    const other = { ...signed, entries: recordEntries(2) };
    expect(rootOfSigned(other)).toEqual(entriesRoot(other.entries));
    expect(rootOfSigned(other)).not.toEqual(rootOfSigned(signed));
  });
});

describe("encodeBlock", () => {
  it.each([0, 1, 2, 500])("writes %i transactions as the codec of others does", async (count) => {
    const transactions = await Promise.all(
      Array.from({ length: count }, (_, i) => sign(recordEntries(1 + (i % 5)))),
    );
    const block = {
      header: bytesFor("header"),
      alg: "Ed25519" as const,
      sig: new Uint8Array(64),
      transactions,
    };
    const bytes = encodeBlock(block);
    const plain = { ...block, transactions: transactions.map((signed) => ({ ...signed })) };
    expect(bytes.slice()).toEqual(new Uint8Array(dagCbor.encode(plain)));
    expect(decodeBlock(bytes).transactions).toHaveLength(count);
  });
});
