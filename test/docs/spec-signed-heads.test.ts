import { createHash } from "node:crypto";
import { CID } from "multiformats/cid";
import { sha256 } from "multiformats/hashes/sha2";
import { describe, expect, it } from "vitest";
import { decodeSignedHeads, encodeSignedHeads } from "../../src/identity/signed-heads.ts";
import { specPage } from "./spec-page.ts";

const hash = (text: string) => new Uint8Array(createHash("sha256").update(text).digest());

describe("docs/spec/signed-heads.md", () => {
  it("has a value that is read and written", async () => {
    const bytes = specPage("signed-heads.md").hex("signed-heads");
    const value = [
      {
        ledger: CID.createV1(0x71, await sha256.digest(hash("ledger"))),
        heads: [{ key: hash("key"), use: "checkpoint" as const, size: 3, root: hash("root") }],
        index: [{ member: "did:key:a", n: 2 }],
      },
    ];
    expect(encodeSignedHeads(value)).toEqual(bytes);
    expect(decodeSignedHeads(bytes)).toEqual(value);
  });
});
