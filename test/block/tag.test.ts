import { createHmac } from "node:crypto";
import { encode } from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import { isSubjectTag, subjectTag } from "../../src/block/tag.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { bytesFor, signerFor } from "../support/ledger.ts";

const key = bytesFor("subject key");
const context = {
  ledger: cidOf(bytesFor("genesis"), DAG_CBOR),
  author: signerFor("a").actor,
  kind: "record",
  salt: bytesFor("salt").slice(0, 16),
  body: cidOf(bytesFor("envelope"), DAG_CBOR),
};

describe("subjectTag", () => {
  it("is the HMAC of the context, by another implementation", () => {
    const { ledger, author, kind, salt, body } = context;
    const input = encode(["healthledger/tag/1", ledger, author, kind, salt, body]);
    const expected = createHmac("sha256", key).update(input).digest();
    expect(subjectTag(key, context)).toEqual(new Uint8Array(expected));
    expect(isSubjectTag(subjectTag(key, context), key, context)).toBe(true);
  });

  it("copied into any other entry is not the person's tag", () => {
    const tag = subjectTag(key, context);
    for (const other of [
      { ledger: cidOf(bytesFor("other"), DAG_CBOR) },
      { author: signerFor("b").actor },
      { kind: "access" },
      { salt: bytesFor("other salt").slice(0, 16) },
      { body: cidOf(bytesFor("other envelope"), DAG_CBOR) },
      { body: null },
    ]) {
      expect(isSubjectTag(tag, key, { ...context, ...other })).toBe(false);
    }
    expect(isSubjectTag(tag, bytesFor("another person"), context)).toBe(false);
    expect(isSubjectTag(tag.slice(1), key, context)).toBe(false);
  });
});
