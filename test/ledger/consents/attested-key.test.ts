import { describe, expect, it } from "vitest";
import {
  decodeAttestedKey,
  encodeAttestedKey,
  type AttestedKey,
} from "../../../src/ledger/consents/attested-key.ts";
import { memorySigner } from "../../../src/identity/signer.ts";

const { actor, alg, publicKey } = memorySigner({
  alg: "Ed25519",
  secret: new Uint8Array(32).fill(7),
});
const proxy: AttestedKey = {
  actor,
  alg,
  publicKey,
  capacity: "proxy",
  to: 1_800_000_000_000,
  by: { actor: "Patient/1", capacity: "self" },
  depth: 1,
  scope: { purposes: ["HPAYMT"] },
};

describe("encodeAttestedKey", () => {
  it("carries who granted a capacity, how far and for what", () => {
    expect(decodeAttestedKey(encodeAttestedKey(proxy))).toEqual(proxy);
  });

  it.each<[string, object]>([
    ["an empty scope", { scope: {} }],
    ["a scope of an unknown field", { scope: { roles: ["nurse"] } }],
    ["a negative depth", { depth: -1 }],
    ["a grantor without capacity", { by: { actor: "Patient/1" } }],
  ])("refuses %s", (_, wrong) => {
    expect(() => encodeAttestedKey({ ...proxy, ...wrong } as AttestedKey)).toThrow();
  });
});
