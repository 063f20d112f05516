import { sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { verifySignature } from "../../src/crypto/sign.ts";
import { SignatureError } from "../../src/errors.ts";
import { parseActor } from "../../src/identity/actor.ts";
import {
  generateSigner,
  memorySigner,
  provePossession,
  signEachWith,
  signWith,
  type Signer,
} from "../../src/identity/signer.ts";
import { memoryKeys } from "../../src/identity/key-store.ts";
import { webcryptoSigner } from "../../src/identity/webcrypto-signer.ts";

const secret = new Uint8Array(32).fill(1);
const bytes = Uint8Array.of(1, 2, 3);
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

async function verifies(signer: Signer): Promise<boolean> {
  const signature = await signWith(signer, "header", bytes);
  const { alg, publicKey } = signer;
  return verifySignature({ alg, publicKey, signature, what: "header", bytes });
}

describe("memorySigner", () => {
  it.each(["Ed25519", "ES256"] as const)("signs with %s what verifies", async (alg) => {
    const signer = memorySigner({ alg, secret });
    expect(await verifies(signer)).toBe(true);
    expect(parseActor(signer.actor)).toEqual({ alg, publicKey: signer.publicKey });
  });

  it("keeps a copy of the secret and shows none", async () => {
    const own = secret.slice();
    const signer = memorySigner({ alg: "Ed25519", secret: own });
    own.fill(0);
    expect(await verifies(signer)).toBe(true);
    const shown = JSON.stringify(
      Object.values(signer).map((v) => (v instanceof Uint8Array ? toHex(v) : v)),
    );
    expect(shown).not.toContain(toHex(secret));
  });

  it("signs for an actor named after another key", () => {
    const { actor } = memorySigner({ alg: "Ed25519", secret: new Uint8Array(32) });
    expect(memorySigner({ alg: "Ed25519", secret, actor }).actor).toBe(actor);
  });

  it("refuses unknown algorithms and values that are not secrets", () => {
    expect(() => memorySigner({ alg: "RS256" as "ES256", secret })).toThrow(SignatureError);
    expect(() => memorySigner({ alg: "ES256", secret: new Uint8Array(32) })).toThrow(
      SignatureError,
    );
    expect(() => memorySigner({ alg: "Ed25519", secret: new Uint8Array(31) })).toThrow(RangeError);
  });
});

describe("signWith", () => {
  it("brings the high s of an HSM into the form that verifies", async () => {
    const inner = memorySigner({ alg: "ES256", secret });
    const hsm: Signer = {
      ...inner,
      async sign(input) {
        const low = await inner.sign(input);
        const s = order - BigInt(`0x${toHex(low.subarray(32))}`);
        return fromHex(toHex(low.subarray(0, 32)) + s.toString(16).padStart(64, "0"));
      },
    };
    expect(await verifies(hsm)).toBe(true);
  });

  it("refuses signatures of another form, as DER is", async () => {
    const { privateKey } = await import("node:crypto").then((c) =>
      c.generateKeyPairSync("ec", { namedCurve: "P-256" }),
    );
    const der: Signer = {
      ...memorySigner({ alg: "ES256", secret }),
      sign: async (input) => new Uint8Array(sign("sha256", input, privateKey)),
    };
    await expect(signWith(der, "header", bytes)).rejects.toMatchObject({
      code: "ERR_SIGNATURE_INVALID",
    });
  });
});

describe("what signWith does not hand on", () => {
  it.each(["Ed25519", "ES256"] as const)("another key's, or of other bytes: %s", async (alg) => {
    const inner = memorySigner({ alg, secret });
    const other = memorySigner({ alg, secret: new Uint8Array(32).fill(2) });
    const wrong: readonly Signer["sign"][] = [
      (input) => other.sign(input),
      (input) => inner.sign(input.slice(1)),
      async () => new Uint8Array(64),
    ];
    for (const sign of wrong) {
      await expect(signWith({ ...inner, sign }, "header", bytes)).rejects.toMatchObject({
        code: "ERR_SIGNATURE_INVALID",
      });
    }
    const renamed = Object.assign(memorySigner({ alg, secret }), { publicKey: other.publicKey });
    await expect(signWith(renamed, "header", bytes)).rejects.toThrow(SignatureError);
  });
});

describe("provePossession", () => {
  it("signs under its own domain", async () => {
    const signer = memorySigner({ alg: "Ed25519", secret });
    const signature = await provePossession(signer, bytes);
    const { alg, publicKey } = signer;
    const claim = { alg, publicKey, signature, bytes };
    expect(verifySignature({ ...claim, what: "possession" })).toBe(true);
    expect(verifySignature({ ...claim, what: "transaction" })).toBe(false);
  });
});

describe("webcryptoSigner", () => {
  it.each([
    ["Ed25519", { name: "Ed25519" }],
    ["ES256", { name: "ECDSA", namedCurve: "P-256" }],
  ] as const)("signs with a %s key that cannot be extracted", async (alg, algorithm) => {
    const { subtle } = globalThis.crypto;
    const keyPair = (await subtle.generateKey(algorithm, false, [
      "sign",
      "verify",
    ])) as CryptoKeyPair;
    await expect(subtle.exportKey("jwk", keyPair.privateKey)).rejects.toThrow();
    const signer = await webcryptoSigner({ keyPair });
    expect(signer.alg).toBe(alg);
    for (let i = 0; i < 8; i++) expect(await verifies(signer)).toBe(true);
  });

  it("refuses keys for something else", async () => {
    const algorithm = { name: "ECDSA", namedCurve: "P-384" };
    const keyPair = await globalThis.crypto.subtle.generateKey(algorithm, false, [
      "sign",
      "verify",
    ]);
    await expect(webcryptoSigner({ keyPair })).rejects.toMatchObject({
      code: "ERR_SIGNATURE_ALGORITHM",
    });
  });
});

describe("generateSigner", () => {
  it("makes an Ed25519 key that is named after itself, another each time", async () => {
    const [one, two] = [generateSigner(), generateSigner()];
    expect(await verifies(one)).toBe(true);
    expect(parseActor(one.actor)).toEqual({ alg: "Ed25519", publicKey: one.publicKey });
    expect(one.actor).not.toBe(two.actor);
  });

  it("makes an ES256 key, for another actor too", async () => {
    const { actor } = generateSigner();
    const signer = generateSigner({ alg: "ES256", actor });
    expect(await verifies(signer)).toBe(true);
    expect(signer.actor).toBe(actor);
    expect(signer.publicKey).toHaveLength(33);
  });

  it("takes its secret from the source that is given", () => {
    const asked: number[] = [];
    const random = (length: number): Uint8Array => {
      asked.push(length);
      return secret.slice();
    };
    const { publicKey } = memorySigner({ alg: "Ed25519", secret });
    expect(generateSigner({ random }).publicKey).toEqual(publicKey);
    expect(asked).toEqual([32]);
    expect(() => generateSigner({ random: (length) => new Uint8Array(length - 1) })).toThrow(
      RangeError,
    );
    expect(() => generateSigner({ alg: "RS256" as never })).toThrow(
      expect.objectContaining({ code: "ERR_SIGNATURE_ALGORITHM" }),
    );
  });
});

describe("signEachWith", () => {
  const structures = Array.from({ length: 40 }, (_, i) => new Uint8Array(7 * i).fill(i));
  const noPause = (): undefined => undefined;
  const oneByOne = async (signer: Signer): Promise<string[]> => {
    const all: string[] = [];
    for (const one of structures) all.push(toHex(await signWith(signer, "envelope", one)));
    return all;
  };

  it("makes the signatures that signing one after another makes, in the same order", async () => {
    const keys = memoryKeys();
    await keys.add({ use: "sign", secret });
    for (const signer of [memorySigner({ alg: "Ed25519", secret }), keys.signer()]) {
      const made = await signEachWith(signer, "envelope", structures, noPause);
      expect(made.map(toHex)).toEqual(await oneByOne(signer));
      const few = await signEachWith(signer, "envelope", structures.slice(0, 2), noPause);
      expect(few.map(toHex)).toEqual(made.slice(0, 2).map(toHex));
    }
  });

  it("asks a signer that lives elsewhere for one after another, never for two at once", async () => {
    const inner = memorySigner({ alg: "ES256", secret });
    const asked: string[] = [];
    let underWay = 0;
    const signer: Signer = {
      ...inner,
      async sign(message) {
        expect(++underWay).toBe(1);
        asked.push(toHex(message));
        await new Promise((resolve) => setTimeout(resolve, 0));
        underWay--;
        return inner.sign(message);
      },
    };
    let pauses = 0;
    const made = await signEachWith(signer, "envelope", structures, () => void pauses++);
    expect(pauses).toBe(structures.length - 1);
    expect(asked.map((one) => one.endsWith("07".repeat(49)))).toEqual(
      structures.map((_, i) => i === 7),
    );
    for (const [i, signature] of made.entries()) {
      const { alg, publicKey } = inner;
      const claim = { alg, publicKey, signature, what: "envelope", bytes: structures[i]! } as const;
      expect(verifySignature(claim)).toBe(true);
    }
  });

  it("does not pass by the sign of a copy of its own signers", async () => {
    const inner = memorySigner({ alg: "Ed25519", secret });
    let asked = 0;
    const counting: Signer = {
      ...inner,
      async sign(message) {
        asked++;
        return inner.sign(message);
      },
    };
    await signEachWith(counting, "envelope", structures, noPause);
    expect(asked).toBe(structures.length);
  });

  it("refuses with a key that was retired, or a store that was closed", async () => {
    const keys = memoryKeys();
    const { key } = await keys.add({ use: "sign", secret });
    const signer = keys.signer();
    await keys.retire(key);
    const failure = { code: "ERR_SIGNATURE_KEYSTORE" };
    await expect(signEachWith(signer, "envelope", structures, noPause)).rejects.toMatchObject(
      failure,
    );
    const closed = memoryKeys();
    await closed.add({ use: "sign", secret });
    const orphan = closed.signer();
    await closed.close();
    await expect(signEachWith(orphan, "envelope", structures, noPause)).rejects.toMatchObject(
      failure,
    );
  });

  it("refuses what is no signature", async () => {
    const signer: Signer = {
      ...memorySigner({ alg: "Ed25519", secret }),
      sign: async () => new Uint8Array(63),
    };
    await expect(signEachWith(signer, "envelope", structures, noPause)).rejects.toMatchObject({
      code: "ERR_SIGNATURE_INVALID",
    });
  });
});
