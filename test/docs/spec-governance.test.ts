import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { decode, encode } from "cborg";
import { describe, expect, it } from "vitest";
import { fromHex } from "../../src/bytes/hex.ts";
import { verifyDescription } from "../../src/chain/description.ts";
import { specPage } from "./spec-page.ts";

const page = specPage("governance.md");
const keys = specPage("keys-and-signatures.md");
const nonce = Uint8Array.from({ length: 32 }, (_, i) => i);
const input = (what: string, bytes: Uint8Array) =>
  Buffer.concat([Buffer.from(`healthledger/${what}/1\0`), bytes]);

interface Described {
  readonly v: number;
  readonly for: Uint8Array;
  readonly name: string;
  readonly member: {
    readonly actor: string;
    readonly roles: readonly string[];
    readonly keys: readonly Record<string, unknown>[];
  };
}

describe("docs/spec/governance.md", () => {
  const outer = decode(page.hex("signed-description")) as Record<string, Uint8Array>;
  const content = decode(page.hex("description")) as Described;
  const publicKey = keys.hex("ed25519-public-key");

  it("has a description that cborg takes apart, and node:crypto signs and verifies", () => {
    expect(Object.keys(outer).sort()).toEqual(["alg", "description", "sig"]);
    expect(outer["description"]).toEqual(page.hex("description"));
    expect(content).toMatchObject({ v: 1, name: "Clinic", for: nonce });
    const { actor, roles, keys: held } = content.member;
    expect([actor, roles]).toEqual([keys.value("Ed25519 actor"), ["auditor"]]);
    const [key] = held as [{ use: string; alg: string; pub: Uint8Array; proof: Uint8Array }];
    expect(key).toMatchObject({ use: "sign", alg: "Ed25519", pub: publicKey });
    const secret = createPrivateKey({
      key: Buffer.concat([
        Buffer.from("302e020100300506032b657004220420", "hex"),
        fromHex(keys.value("Ed25519 secret")),
      ]),
      ...{ format: "der", type: "pkcs8" },
    });
    const signed = input("description", page.hex("description"));
    expect(new Uint8Array(sign(null, signed, secret))).toEqual(outer["sig"]);
    const possession = encode([nonce, actor, key.use, key.alg, key.pub]);
    expect(verify(null, input("possession", possession), createPublicKey(secret), key.proof)).toBe(
      true,
    );
  });

  it("has the description that the library reads", () => {
    const { name, member } = verifyDescription(page.hex("signed-description"), nonce);
    expect([name, member.actor, member.roles]).toEqual([
      ...["Clinic", content.member.actor, content.member.roles],
    ]);
  });

  it("names the reasons in the order in which they are found", () => {
    const order = [
      ...["malformed", "other-nonce", "other-ledger", "key-twice", "no-signing-key"],
      ...["other-actor", "no-proof-of-possession", "bad-signature"],
    ];
    const section = page.text.slice(page.text.indexOf("A reader checks in this order"));
    const found = order.map((reason) => section.indexOf(`\`${reason}\``));
    expect(found).toEqual(found.toSorted((a, b) => a - b));
    expect(Math.min(...found)).toBeGreaterThan(0);
  });
});
