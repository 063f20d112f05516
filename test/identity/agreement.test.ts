import {
  createECDH,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  ECDH,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { decode, encode } from "cborg";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import {
  type AgreementAlg,
  coseAlgorithm,
  openCose,
  readCose,
  sealCose,
} from "../../src/crypto/cose-hpke.ts";
import { drawEphemeral } from "../../src/crypto/hpke-kem.ts";
import { randomBytes } from "../../src/crypto/node.ts";
import { EnvelopeError, SignatureError } from "../../src/errors.ts";
import { keyId } from "../../src/identity/actor.ts";
import {
  agreementFromEcdh,
  agreementFromKem,
  memoryAgreement,
  type KeyAgreement,
} from "../../src/identity/agreement.ts";

const aad = utf8ToBytes("bound to this");
const plaintext = utf8ToBytes("content key");
const sealTo = (to: { readonly alg: AgreementAlg; readonly publicKey: Uint8Array }) => {
  const ephemeral = drawEphemeral(coseAlgorithm(to.alg).suite.kem, randomBytes);
  return sealCose({ alg: to.alg, publicKey: to.publicKey }, plaintext, aad, ephemeral);
};

const memory = (alg: AgreementAlg, fill: number) =>
  memoryAgreement({ alg, secret: new Uint8Array(32).fill(fill) });

const later = <T>(value: T): Promise<T> =>
  new Promise((resolve) => setTimeout(() => resolve(value), 1));

// An HSM's shape: the key stays inside and only Diffie-Hellman values come out.
function x25519Device(): KeyAgreement {
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

// PKCS #11: C_DeriveKey with CKM_ECDH1_DERIVE, CKD_NULL and the full point.
function p256Device(): KeyAgreement {
  const device = createECDH("prime256v1");
  device.generateKeys();
  return agreementFromEcdh({
    alg: "P-256",
    publicKey: new Uint8Array(device.getPublicKey(null, "compressed")),
    async ecdh(theirs) {
      expect([theirs.length, theirs[0]]).toEqual([65, 4]);
      return new Uint8Array(device.computeSecret(theirs));
    },
  });
}

// A KMS's shape, as of AWS's DeriveSharedSecret: keys travel as SubjectPublicKeyInfo.
function kms(): KeyAgreement {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const service = {
    async deriveSharedSecret(request: { KeyId: string; PublicKey: Uint8Array }) {
      expect(request.KeyId).toBe("alias/grants");
      const theirs = createPublicKey({
        key: Buffer.from(request.PublicKey),
        format: "der",
        type: "spki",
      });
      const secret = diffieHellman({ privateKey, publicKey: theirs });
      return later({ SharedSecret: new Uint8Array(secret) });
    },
  };
  const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  const [prefix, point] = [spki.slice(0, -65), spki.slice(-65)];
  const compressed = ECDH.convertKey(point, "prime256v1", undefined, undefined, "compressed");
  return agreementFromEcdh({
    alg: "P-256",
    publicKey: new Uint8Array(compressed as unknown as Buffer),
    async ecdh(theirs) {
      const PublicKey = concatBytes(prefix, theirs);
      return (await service.deriveSharedSecret({ KeyId: "alias/grants", PublicKey })).SharedSecret;
    },
  });
}

// A service that opens whole messages: the interface itself, with nothing of ours around it.
function remoteUnwrap(): KeyAgreement {
  const secret = new Uint8Array(32).fill(8);
  const { key, alg, publicKey } = memoryAgreement({ alg: "X-Wing", secret });
  return {
    key,
    alg,
    publicKey,
    async unwrap(message, externalAad) {
      const id = readCose(message)?.id;
      if (id !== undefined && id !== coseAlgorithm(alg).id) {
        throw new EnvelopeError("ERR_ENVELOPE_UNSUPPORTED", `not COSE algorithm ${id}`);
      }
      const opened = await later(openCose(alg, secret, message, externalAad));
      if (opened === undefined) {
        throw new EnvelopeError("ERR_ENVELOPE_DECRYPT", "cannot be decrypted with this key");
      }
      return opened;
    },
  };
}

// A device that holds an X-Wing key, as a Secure Enclave does.
function xWingDevice(): KeyAgreement {
  const secret = randomBytes(32);
  const { kem } = coseAlgorithm("X-Wing").suite;
  return agreementFromKem({
    alg: "X-Wing",
    publicKey: kem.publicKey(secret),
    decapsulate(ek) {
      const shared = kem.decapsulate(ek, secret);
      return shared === undefined ? Promise.reject(new Error("refused")) : later(shared);
    },
  });
}

async function webcrypto(alg: "X25519" | "P-256"): Promise<KeyAgreement> {
  const { subtle } = globalThis.crypto;
  const algorithm = alg === "X25519" ? { name: alg } : { name: "ECDH", namedCurve: alg };
  const pair = (await subtle.generateKey(algorithm, false, ["deriveBits"])) as CryptoKeyPair;
  await expect(subtle.exportKey("jwk", pair.privateKey)).rejects.toThrow();
  const raw = new Uint8Array(await subtle.exportKey("raw", pair.publicKey));
  const compressed = (): Uint8Array =>
    concatBytes(Uint8Array.of(2 + (raw[64]! & 1)), raw.subarray(1, 33));
  return agreementFromEcdh({
    alg,
    publicKey: alg === "X25519" ? raw : compressed(),
    async ecdh(theirs) {
      const key = await subtle.importKey("raw", theirs.slice(), algorithm, true, []);
      const derive = { name: algorithm.name, public: key };
      return new Uint8Array(await subtle.deriveBits(derive, pair.privateKey, 256));
    },
  });
}

const SHAPES: readonly (readonly [string, AgreementAlg, () => Promise<KeyAgreement>])[] = [
  ["memoryAgreement", "X25519", async () => memory("X25519", 3)],
  ["memoryAgreement", "P-256", async () => memory("P-256", 3)],
  ["memoryAgreement", "X-Wing", async () => memory("X-Wing", 3)],
  ["a device that computes ECDH", "X25519", async () => x25519Device()],
  ["a device that computes ECDH", "P-256", async () => p256Device()],
  ["a key management service", "P-256", async () => kms()],
  ["a non-extractable WebCrypto key", "X25519", () => webcrypto("X25519")],
  ["a non-extractable WebCrypto key", "P-256", () => webcrypto("P-256")],
  ["a device that decapsulates", "X-Wing", async () => xWingDevice()],
  ["a service that opens messages", "X-Wing", async () => remoteUnwrap()],
];

describe.each(SHAPES)("%s with %s", (_, alg, make) => {
  it("opens what was sealed to it", async () => {
    const agreement = await make();
    expect(agreement.alg).toBe(alg);
    expect(agreement.key).toEqual(keyId(alg, agreement.publicKey));
    for (let i = 0; i < 3; i++) {
      expect(await agreement.unwrap(sealTo(agreement), aad)).toEqual(plaintext);
    }
  });

  it("fails in the same way whatever does not match", async () => {
    const agreement = await make();
    const message = sealTo(agreement);
    const { ek } = readCose(message)!;
    const at = message.length - plaintext.length - 16 - 2 - ek.length;
    expect(message.subarray(at, at + ek.length)).toEqual(ek);
    const changed = (change: (ek: Uint8Array, whole: Uint8Array) => unknown): Uint8Array => {
      const copy = message.slice();
      change(copy.subarray(at, at + ek.length), copy);
      return copy;
    };
    const attempts: readonly Uint8Array[] = [
      sealTo(memory(alg, 9)),
      changed((key) => key.fill(0)),
      changed((key) => key.fill(0, -32)), // a small order, or no point of the curve
      changed((key) => (key[1]! ^= 1)),
      changed((key) => (key[0]! ^= 2)), // OpenSSL's hybrid form of a P-256 point
      changed((key) => (key[key.length - 1]! ^= 1)),
      changed((_key, whole) => (whole[whole.length - 1]! ^= 1)),
      new Uint8Array(0),
      message.subarray(1),
      message.subarray(0, -1),
    ];
    const moved = [message, utf8ToBytes("bound to that")] as const;
    for (const [bytes, bound] of [moved, ...attempts.map((attempt) => [attempt, aad] as const)]) {
      const failure = agreement.unwrap(bytes, bound);
      const error = (await failure.catch((thrown: unknown) => thrown)) as EnvelopeError;
      expect(error).toBeInstanceOf(EnvelopeError);
      expect(error.message).toBe("cannot be decrypted with this key");
      const {
        stack: _stack,
        message: _message,
        ...rest
      } = Object.fromEntries(
        Object.getOwnPropertyNames(error).map((name) => [name, error[name as "name"]]),
      );
      expect(rest).toEqual({ name: "EnvelopeError", code: "ERR_ENVELOPE_DECRYPT" });
    }
  });

  it("says which algorithm a message is of that is not its own", async () => {
    const agreement = await make();
    const [, ...rest] = decode(sealTo(agreement).subarray(1), { useMaps: true }) as unknown[];
    for (const id of [46, -70_001]) {
      const other = encode([encode(new Map([[1, id]])), ...rest]);
      const failure = agreement.unwrap(concatBytes(Uint8Array.of(0xd0), other), aad);
      await expect(failure).rejects.toMatchObject({
        code: "ERR_ENVELOPE_UNSUPPORTED",
        message: expect.stringContaining(String(id)) as unknown,
      });
    }
  });
});

describe("memoryAgreement", () => {
  it("gives the public keys that others derive", () => {
    const secret = new Uint8Array(32).fill(3);
    const pair = createECDH("prime256v1");
    pair.setPrivateKey(secret);
    expect(memory("P-256", 3).publicKey).toEqual(
      new Uint8Array(pair.getPublicKey(null, "compressed")),
    );
    const der = Buffer.concat([Buffer.from("302e020100300506032b656e04220420", "hex"), secret]);
    const x25519: KeyObject = createPublicKey(
      createPrivateKey({ key: der, format: "der", type: "pkcs8" }),
    );
    expect(Buffer.from(memory("X25519", 3).publicKey).toString("base64url")).toBe(
      x25519.export({ format: "jwk" }).x,
    );
    expect(memory("X-Wing", 3).publicKey).toHaveLength(1216);
  });

  it("refuses values that are not private keys", () => {
    const secret = new Uint8Array(32).fill(1);
    for (const alg of ["X25519", "P-256", "X-Wing"] as const) {
      expect(() => memoryAgreement({ alg, secret: secret.subarray(1) })).toThrow(RangeError);
    }
    for (const fill of [0, 0xff]) expect(() => memory("P-256", fill)).toThrow(SignatureError);
    const unknown = { alg: "X448" as AgreementAlg, secret };
    expect(() => memoryAgreement(unknown)).toThrow("grants cannot be sealed to X448 keys");
  });
});

describe("agreementFromEcdh", () => {
  const { publicKey } = memory("X25519", 3);
  const withEcdh = (ecdh: () => Promise<Uint8Array>): KeyAgreement =>
    agreementFromEcdh({ alg: "X25519", publicKey, ecdh });

  it("refuses secrets that are all zero or of another length", async () => {
    for (const length of [32, 31, 33, 0]) {
      const agreement = withEcdh(async () => new Uint8Array(length));
      await expect(agreement.unwrap(sealTo(agreement), aad)).rejects.toMatchObject({
        code: "ERR_ENVELOPE_DECRYPT",
      });
    }
  });

  it("lets a device that is out of reach say so, and wipes what one gives", async () => {
    const closed = new Error("the session is closed");
    const broken = withEcdh(() => Promise.reject(closed));
    await expect(broken.unwrap(sealTo(broken), aad)).rejects.toBe(closed);
    const given = new Uint8Array(32).fill(7);
    const agreement = withEcdh(async () => given);
    await expect(agreement.unwrap(sealTo(agreement), aad)).rejects.toThrow(EnvelopeError);
    expect(given).toEqual(new Uint8Array(32));
  });

  it("refuses keys of the wrong length, and algorithms that are more", () => {
    const ecdh = async (): Promise<Uint8Array> => new Uint8Array(32);
    const make = (alg: AgreementAlg, key: Uint8Array) => () =>
      agreementFromEcdh({ alg, publicKey: key, ecdh });
    expect(make("X25519", publicKey.subarray(1))).toThrow(RangeError);
    expect(make("P-256", new Uint8Array(65))).toThrow(RangeError);
    expect(make("X-Wing", memory("X-Wing", 3).publicKey)).toThrow(EnvelopeError);
  });
});

describe("agreementFromKem", () => {
  it("refuses shared secrets of another length", async () => {
    const { publicKey } = memory("X-Wing", 3);
    const decapsulate = async (): Promise<Uint8Array> => new Uint8Array(16);
    const agreement = agreementFromKem({ alg: "X-Wing", publicKey, decapsulate });
    await expect(agreement.unwrap(sealTo(agreement), aad)).rejects.toThrow(
      "cannot be decrypted with this key",
    );
  });
});
