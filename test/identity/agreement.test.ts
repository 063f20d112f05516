import { createPublicKey, diffieHellman, generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { sealCose } from "../../src/crypto/cose-hpke.ts";
import { EnvelopeError } from "../../src/errors.ts";
import { keyId } from "../../src/identity/actor.ts";
import {
  agreementFromEcdh,
  memoryAgreement,
  type KeyAgreement,
} from "../../src/identity/agreement.ts";

const aad = utf8ToBytes("bound to this");
const plaintext = utf8ToBytes("content key");
const ephemeral = new Uint8Array(32).fill(5);
const sealTo = (to: KeyAgreement) =>
  sealCose({ alg: to.alg, publicKey: to.publicKey }, plaintext, aad, ephemeral);

const memory = (fill: number) =>
  memoryAgreement({ alg: "X25519", secret: new Uint8Array(32).fill(fill) });

// An HSM's shape: the key stays inside and only Diffie-Hellman values come out.
function device(): KeyAgreement {
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  const raw = Buffer.from(publicKey.export({ format: "jwk" }).x!, "base64url");
  return agreementFromEcdh({
    alg: "X25519",
    publicKey: new Uint8Array(raw),
    async ecdh(theirs) {
      const x = Buffer.from(theirs).toString("base64url");
      const jwk = { kty: "OKP", crv: "X25519", x };
      const key = createPublicKey({ key: jwk, format: "jwk" });
      return new Uint8Array(diffieHellman({ privateKey, publicKey: key }));
    },
  });
}

async function webcrypto(): Promise<KeyAgreement> {
  const { subtle } = globalThis.crypto;
  const algorithm = { name: "X25519" };
  const pair = (await subtle.generateKey(algorithm, false, ["deriveBits"])) as CryptoKeyPair;
  return agreementFromEcdh({
    alg: "X25519",
    publicKey: new Uint8Array(await subtle.exportKey("raw", pair.publicKey)),
    async ecdh(theirs) {
      const key = await subtle.importKey("raw", theirs.slice(), algorithm, true, []);
      const derive = { name: "X25519", public: key };
      return new Uint8Array(await subtle.deriveBits(derive, pair.privateKey, 256));
    },
  });
}

describe.each([
  ["memoryAgreement", async () => memory(3)],
  ["agreementFromEcdh over a device", async () => device()],
  ["agreementFromEcdh over WebCrypto", webcrypto],
])("%s", (_, make) => {
  it("opens what was sealed to it", async () => {
    const agreement = await make();
    expect(agreement.key).toEqual(keyId("X25519", agreement.publicKey));
    expect(await agreement.unwrap(sealTo(agreement), aad)).toEqual(plaintext);
  });

  it("fails alike whatever does not fit", async () => {
    const agreement = await make();
    const message = sealTo(agreement);
    const flipped = message.slice();
    flipped[message.length - 1]! ^= 1;
    const smallOrder = message.slice();
    smallOrder.fill(0, 10, 42);
    const attempts = [
      () => agreement.unwrap(message, utf8ToBytes("bound to that")),
      () => agreement.unwrap(sealTo(memory(9)), aad),
      () => agreement.unwrap(flipped, aad),
      () => agreement.unwrap(smallOrder, aad),
      () => agreement.unwrap(new Uint8Array(0), aad),
      () => agreement.unwrap(message.subarray(1), aad),
    ];
    for (const attempt of attempts) {
      await expect(attempt()).rejects.toMatchObject({
        name: "EnvelopeError",
        code: "ERR_ENVELOPE_DECRYPT",
        message: "the message cannot be opened",
      });
    }
  });

  it("says which algorithm it does not know", async () => {
    const agreement = await make();
    const message = sealTo(agreement);
    message[6] = 45;
    await expect(agreement.unwrap(message, aad)).rejects.toMatchObject({
      code: "ERR_ENVELOPE_UNSUPPORTED",
      message: expect.stringContaining("45") as unknown,
    });
  });
});

describe("agreementFromEcdh", () => {
  it("refuses an all-zero secret and reports a device that fails", async () => {
    const { publicKey } = memory(3);
    const zero = agreementFromEcdh({
      alg: "X25519",
      publicKey,
      ecdh: async () => new Uint8Array(32),
    });
    const message = sealTo(zero);
    await expect(zero.unwrap(message, aad)).rejects.toThrow(EnvelopeError);
    const cause = new Error("the session is closed");
    const broken = agreementFromEcdh({
      alg: "X25519",
      publicKey,
      ecdh: () => Promise.reject(cause),
    });
    await expect(broken.unwrap(message, aad)).rejects.toMatchObject({ cause });
  });

  it("refuses algorithms that are not there", () => {
    const secret = new Uint8Array(32).fill(1);
    expect(() => memoryAgreement({ alg: "X-Wing", secret })).toThrow(EnvelopeError);
    expect(() => memoryAgreement({ alg: "X25519", secret: secret.subarray(1) })).toThrow(
      RangeError,
    );
  });
});
