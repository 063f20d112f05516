import { createECDH, createHash } from "node:crypto";
import fc from "fast-check";
import { base58btc } from "multiformats/bases/base58";
import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { ed25519PublicKey } from "../../src/crypto/noble.ts";
import { SignatureError } from "../../src/errors.ts";
import { actorFromKey, keyId, parseActor } from "../../src/identity/actor.ts";

// From the test vectors of the W3C CCG did:key method: seeds 00…00 and 00…01, and a P-256 JWK.
const published = [
  ["00".repeat(32), "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"],
  [`${"00".repeat(31)}01`, "did:key:z6MkjchhfUsD6mmvni8mCdXHw216Xrm9bQe2mBH1P5RDjVJG"],
] as const;
const p256 = {
  did: "did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv",
  x: "igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns",
  y: "efsX5b10x8yjyrj4ny3pGfLcY7Xby1KzgqOdqnsrJIM",
};
const fromJwk = (text: string) => new Uint8Array(Buffer.from(text, "base64url"));
const p256Point = Uint8Array.of(2 + (fromJwk(p256.y)[31]! & 1), ...fromJwk(p256.x));

describe("actorFromKey", () => {
  it.each(published)("names the key of seed %s as published", (seed, did) => {
    expect(actorFromKey("Ed25519", ed25519PublicKey(fromHex(seed)))).toBe(did);
  });

  it("names a P-256 key as published", () => {
    expect(actorFromKey("ES256", p256Point)).toBe(p256.did);
  });

  it("refuses keys that no signature could be accepted of", () => {
    expect(() => actorFromKey("Ed25519", new Uint8Array(32))).toThrow(SignatureError);
    expect(() => actorFromKey("Ed25519", new Uint8Array(32).fill(0xff))).toThrow(SignatureError);
    expect(() => actorFromKey("ES256", new Uint8Array(33))).toThrow(SignatureError);
    expect(() => actorFromKey("ES256", new Uint8Array(32))).toThrow(RangeError);
  });
});

describe("parseActor", () => {
  it("gives back the same key on every call", () => {
    for (const [seed, did] of [...published, ...published]) {
      const publicKey = ed25519PublicKey(fromHex(seed));
      expect(parseActor(did)).toEqual({ alg: "Ed25519", publicKey });
    }
    expect(parseActor(p256.did)).toEqual({ alg: "ES256", publicKey: p256Point });
    // Published in the did:key specification.
    expect(parseActor("did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169").alg).toBe(
      "ES256",
    );
    expect(parseActor("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK").alg).toBe(
      "Ed25519",
    );
  });

  const [[, did]] = published;
  const named = (...bytes: readonly number[]) =>
    `did:key:${base58btc.encode(Uint8Array.from([...bytes, ...parseActor(did).publicKey]))}`;
  it.each([
    ["an empty string", ""],
    ["another method", did.replace("key", "web")],
    ["a fragment", `${did}#${did.slice(8)}`],
    ["another multibase", did.replace(":z", ":u")],
    ["a missing multibase", did.replace(":z", ":")],
    ["characters outside base58", did.replace("z6Mk", "z60k")],
    ["a leading zero byte", did.replace(":z", ":z1")],
    ["a space", `${did} `],
    ["a key cut short", did.slice(0, -1)],
    ["an X25519 key", named(0xec, 0x01)],
    ["a secp256k1 key", named(0xe7, 0x01, 0x02)],
    ["a varint that is not the shortest", named(0xed, 0x81, 0x00)],
    [
      "an Ed25519 key of small order",
      `did:key:${base58btc.encode(Uint8Array.from([0xed, 1, 1, ...new Uint8Array(31)]))}`,
    ],
    [
      "a P-256 key in full",
      `did:key:${base58btc.encode(Uint8Array.from([0x80, 0x24, 4, ...new Uint8Array(64)]))}`,
    ],
    ["a P-256 key with a strange first byte", named(0x80, 0x24, 0x05)],
    ["endless text", `did:key:z${"6".repeat(1_000_000)}`],
  ])("refuses %s", (_, text) => {
    expect(() => parseActor(text)).toThrow(SignatureError);
  });

  it("takes back every name it gives", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 - 1 }), (scalar) => {
        const ecdh = createECDH("prime256v1");
        ecdh.setPrivateKey(scalar.toString(16).padStart(64, "0"), "hex");
        const key = new Uint8Array(ecdh.getPublicKey(null, "compressed"));
        expect(parseActor(actorFromKey("ES256", key))).toEqual({ alg: "ES256", publicKey: key });
      }),
    );
  });
});

describe("actorFromKey", () => {
  it("refuses points that lie off their curve", () => {
    // y = 2: x² = 3/(4d + 1) has no root. No x of P-256 is beyond its prime.
    expect(() => actorFromKey("Ed25519", Uint8Array.of(2, ...new Uint8Array(31)))).toThrow(
      SignatureError,
    );
    const offP256 = Uint8Array.of(2, ...new Uint8Array(32).fill(0xff));
    expect(() => actorFromKey("ES256", offP256)).toThrow(SignatureError);
  });
});

describe("keyId", () => {
  it("is the SHA-256 of dag-cbor([alg, public key])", () => {
    const publicKey = new Uint8Array(32).fill(7);
    const cbor = Buffer.concat([
      Buffer.from("8267", "hex"),
      Buffer.from("Ed25519"),
      Buffer.from("5820", "hex"),
      publicKey,
    ]);
    expect(toHex(keyId("Ed25519", publicKey))).toBe(
      createHash("sha256").update(cbor).digest("hex"),
    );
    expect(keyId("X25519", publicKey)).not.toEqual(keyId("Ed25519", publicKey));
  });
});
