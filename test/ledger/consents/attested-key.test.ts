import { describe, expect, it } from "vitest";
import {
  decodeAttestedKey,
  encodeAttestedKey,
  type AttestedKey,
} from "../../../src/ledger/consents/attested-key.ts";
import { decode, encode } from "../../../src/codec/dag-cbor.ts";
import { memoryAgreement } from "../../../src/identity/agreement.ts";
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
const agreement = memoryAgreement({ alg: "X25519", secret: new Uint8Array(32).fill(9) });
const receiving: AttestedKey = {
  ...{ actor, use: "agree", capacity: "self" },
  ...{ alg: agreement.alg, publicKey: agreement.publicKey },
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

  it("says what a key is for in one way only", () => {
    expect(encodeAttestedKey({ ...proxy, use: "sign" })).toEqual(encodeAttestedKey(proxy));
    const said = decode(encodeAttestedKey(proxy)) as Record<string, unknown>;
    expect(() => decodeAttestedKey(encode({ ...said, use: "sign" }))).toThrow();
    expect(decodeAttestedKey(encodeAttestedKey(receiving))).toEqual(receiving);
  });

  it.each<[string, object]>([
    ["that signs", { alg, publicKey }],
    ["that is missing", { alg: undefined, publicKey: undefined }],
    ["of another length", { publicKey: publicKey.slice(1) }],
    ["of small order", { publicKey: new Uint8Array(32) }],
    ["that may be handed on", { depth: 1 }],
    ["of limited scope", { scope: { purposes: ["HPAYMT"] } }],
    ["granted by somebody", { by: { actor: "Patient/1", capacity: "self" } }],
    ["of an unknown use", { use: "checkpoint" }],
  ])("refuses a key to receive by %s", (_, wrong) => {
    expect(() => encodeAttestedKey({ ...receiving, ...wrong } as AttestedKey)).toThrow();
  });

  it("refuses a key to sign by that can only receive", () => {
    const { use: _, ...without } = receiving;
    expect(() => encodeAttestedKey(without)).toThrow();
  });
});
