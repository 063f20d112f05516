import { describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { coseAlgorithm, sealCose } from "../../src/crypto/cose-hpke.ts";
import { drawEphemeral } from "../../src/crypto/hpke-kem.ts";
import { randomBytes } from "../../src/crypto/node.ts";
import { verifySignature } from "../../src/crypto/sign.ts";
import { memoryKeys, type KeyStore } from "../../src/identity/key-store.ts";
import { memorySigner, signWith } from "../../src/identity/signer.ts";

const bytes = utf8ToBytes("a structure");
const keystore = { code: "ERR_SIGNATURE_KEYSTORE" };

async function filled(): Promise<KeyStore> {
  const keys = memoryKeys();
  await keys.generate({ use: "sign" });
  await keys.generate({ use: "checkpoint" });
  await keys.generate({ use: "recovery", alg: "ES256" });
  await keys.generate({ use: "agree" });
  return keys;
}

describe("memoryKeys", () => {
  it("gives a signer for each use, of one actor", async () => {
    const keys = await filled();
    const actor = keys.signer().actor;
    for (const use of ["sign", "checkpoint", "recovery"] as const) {
      const signer = keys.signer(use);
      const { alg, publicKey } = signer;
      const signature = await signWith(signer, "header", bytes);
      expect(verifySignature({ alg, publicKey, signature, what: "header", bytes })).toBe(true);
      expect(signer.actor).toBe(actor);
      expect(keys.signer(signer.key).publicKey).toEqual(publicKey);
    }
    expect(keys.list().map(({ use, alg, retired }) => [use, alg, retired])).toEqual([
      ["sign", "Ed25519", false],
      ["checkpoint", "Ed25519", false],
      ["recovery", "ES256", false],
      ["agree", "X25519", false],
    ]);
  });

  it("prefers the newest key, and another actor's only when asked", async () => {
    const keys = await filled();
    const first = keys.signer();
    const second = await keys.generate({ use: "sign" });
    expect(second.actor).toBe(first.actor);
    expect(keys.signer().key).toEqual(second.key);
    const { actor } = memorySigner({ alg: "Ed25519", secret: new Uint8Array(32) });
    const third = await keys.generate({ use: "sign", actor });
    expect(keys.signer("sign", actor).key).toEqual(third.key);
    expect(keys.signer("sign", first.actor).key).toEqual(second.key);
    expect(() => keys.signer("recovery", actor)).toThrow("no such signing key");
  });

  it("takes over private keys, copies them, and takes none twice", async () => {
    const keys = memoryKeys();
    const secret = new Uint8Array(32).fill(4);
    const expected = memorySigner({ alg: "Ed25519", secret });
    await keys.add({ use: "sign", secret });
    secret.fill(0);
    expect(keys.signer(expected.key).actor).toBe(expected.actor);
    await expect(
      keys.add({ use: "sign", secret: new Uint8Array(32).fill(4) }),
    ).rejects.toMatchObject(keystore);
  });

  it("opens with retired agreement keys, and signs with no retired key", async () => {
    const keys = await filled();
    const agreement = keys.agreement();
    const signer = keys.signer();
    const message = sealCose(agreement, bytes, bytes, new Uint8Array(32).fill(1));
    await keys.retire(agreement.key);
    await keys.retire(signer.key);
    expect(await keys.agreement(agreement.key).unwrap(message, bytes)).toEqual(bytes);
    expect(() => keys.agreement()).toThrow("no such agreement key");
    expect(() => keys.signer()).toThrow("no such signing key");
    expect(() => keys.signer(signer.key)).toThrow("no such signing key");
    await expect(signer.sign(bytes)).rejects.toMatchObject(keystore);
    await expect(keys.retire(new Uint8Array(32))).rejects.toMatchObject(keystore);
  });

  it("never shows a private key", async () => {
    const keys = memoryKeys();
    const secret = Uint8Array.from({ length: 32 }, (_, i) => i + 100);
    await keys.add({ use: "sign", secret });
    await keys.add({ use: "agree", secret });
    const seen: string[] = [];
    const walk = (value: unknown, depth: number): void => {
      if (value instanceof Uint8Array) seen.push(toHex(value));
      else if (typeof value === "object" && value !== null && depth < 5) {
        for (const inner of Object.values(value)) walk(inner, depth + 1);
      }
    };
    walk([keys, keys.list(), keys.signer(), keys.agreement()], 0);
    expect(seen.length).toBeGreaterThan(5);
    expect(seen.some((hex) => hex.includes(toHex(secret)))).toBe(false);
  });

  it.each(["X25519", "P-256", "X-Wing"] as const)("agrees with %s keys", async (alg) => {
    const keys = memoryKeys();
    const info = await keys.generate({ use: "agree", alg });
    expect(info).toMatchObject({ use: "agree", alg });
    const { kem } = coseAlgorithm(alg).suite;
    const [aad, plaintext] = [new Uint8Array(1), new Uint8Array(40)];
    const ephemeral = drawEphemeral(kem, randomBytes);
    const message = sealCose({ alg, publicKey: info.publicKey }, plaintext, aad, ephemeral);
    expect(await keys.agreement().unwrap(message, aad)).toEqual(plaintext);
    expect(await keys.agreement(info.key).unwrap(message, aad)).toEqual(plaintext);
  });

  it("refuses algorithms that do not serve a use", async () => {
    const keys = memoryKeys();
    for (const options of [
      { use: "checkpoint", alg: "ES256" },
      { use: "agree", alg: "Ed25519" },
      { use: "sign", alg: "X25519" },
      { use: "sign", alg: "X-Wing" },
      { use: "recovery", alg: "P-256" },
    ] as const) {
      await expect(keys.generate(options)).rejects.toMatchObject({
        code: "ERR_SIGNATURE_ALGORITHM",
      });
    }
    expect(keys.list()).toEqual([]);
  });

  it("disables the signers and agreements that it handed out when it closes", async () => {
    const keys = await filled();
    const [signer, agreement] = [keys.signer(), keys.agreement()];
    await keys.close();
    await keys.close();
    expect(() => keys.list()).toThrow("closed");
    expect(() => keys.signer()).toThrow("closed");
    await expect(signer.sign(bytes)).rejects.toMatchObject(keystore);
    await expect(agreement.unwrap(bytes, bytes)).rejects.toMatchObject(keystore);
    await expect(keys.generate({ use: "sign" })).rejects.toMatchObject(keystore);
  });
});
