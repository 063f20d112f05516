import {
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  scryptSync,
  sign,
  verify,
} from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode, encode } from "cborg";
import { base58btc } from "multiformats/bases/base58";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { p256Sign } from "../../src/crypto/noble.ts";
import { signingInput, verifySignature } from "../../src/crypto/sign.ts";
import { actorFromKey, keyId } from "../../src/identity/actor.ts";
import { fileKeys } from "../../src/identity/file-keys.ts";
import { deriveFileKey, sealKeyFile } from "../../src/identity/key-file.ts";
import { specPage } from "./spec-page.ts";

const page = specPage("keys-and-signatures.md");
const edSecret = fromHex(page.value("Ed25519 secret"));
const esSecret = fromHex(page.value("ES256 secret"));
const edPublic = page.hex("ed25519-public-key");
const esPublic = page.hex("es256-public-key");
const der = (prefix: string, raw: Uint8Array) => Buffer.concat([Buffer.from(prefix, "hex"), raw]);

describe("docs/spec/keys-and-signatures.md", () => {
  it("names keys and actors as the text says", () => {
    const id = (alg: string, key: Uint8Array) =>
      new Uint8Array(
        createHash("sha256")
          .update(encode([alg, key]))
          .digest(),
      );
    expect(page.hex("ed25519-key-id")).toEqual(id("Ed25519", edPublic));
    expect(page.hex("es256-key-id")).toEqual(id("ES256", esPublic));
    expect(keyId("ES256", esPublic)).toEqual(page.hex("es256-key-id"));
    const did = (code: string, key: Uint8Array) =>
      `did:key:${base58btc.encode(concatBytes(fromHex(code), key))}`;
    expect(page.value("Ed25519 actor")).toBe(did("ed01", edPublic));
    expect(page.value("ES256 actor")).toBe(did("8024", esPublic));
    expect(actorFromKey("ES256", esPublic)).toBe(page.value("ES256 actor"));
    expect(actorFromKey("Ed25519", edPublic)).toBe(page.value("Ed25519 actor"));
  });

  it("has signatures that node:crypto makes and verifies", () => {
    const input = page.hex("input");
    const seed = der("302e020100300506032b657004220420", edSecret);
    const key = createPrivateKey({ key: seed, format: "der", type: "pkcs8" });
    expect(sign(null, input, key).toString("hex")).toBe(toHex(page.hex("ed25519-signature")));
    const spki = der("3039301306072a8648ce3d020106082a8648ce3d030107032200", esPublic);
    const point = createPublicKey({ key: spki, format: "der", type: "spki" });
    const signature = page.hex("es256-signature");
    expect(verify("sha256", input, { key: point, dsaEncoding: "ieee-p1363" }, signature)).toBe(
      true,
    );
  });

  it("has the input and signatures that the library makes and accepts", () => {
    const bytes = encode({ v: 1 });
    expect(signingInput("request", bytes)).toEqual(page.hex("input"));
    expect(p256Sign(page.hex("input"), esSecret)).toEqual(page.hex("es256-signature"));
    for (const [alg, publicKey, signature] of [
      ["Ed25519", edPublic, page.hex("ed25519-signature")],
      ["ES256", esPublic, page.hex("es256-signature")],
    ] as const) {
      expect(verifySignature({ alg, publicKey, signature, what: "request", bytes })).toBe(true);
    }
  });

  it("has a key file that opens by the formulas, without this library", () => {
    const file = decode(page.hex("key-file")) as {
      scrypt: { N: number; r: number; p: number; salt: Uint8Array };
      check: Uint8Array;
      nonce: Uint8Array;
      sealed: Uint8Array;
    };
    const { N, r, p, salt } = file.scrypt;
    const master = scryptSync("correct horse battery staple", salt, 32, { N, r, p });
    const expand = (info: Uint8Array) =>
      createHmac("sha256", master).update(info).update(Uint8Array.of(1)).digest();
    const check = expand(utf8ToBytes("healthledger/keys/1 check")).subarray(0, 16);
    expect(toHex(file.check)).toBe(check.toString("hex"));
    const key = expand(concatBytes(utf8ToBytes("healthledger/keys/1 content"), file.nonce));
    const nonce = new Uint8Array(12);
    const decipher = createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
    const { sealed, ...rest } = file;
    const length = sealed.length - 16;
    decipher.setAAD(encode(rest), { plaintextLength: length });
    decipher.setAuthTag(sealed.subarray(length));
    const content = Buffer.concat([decipher.update(sealed.subarray(0, length)), decipher.final()]);
    expect(content.toString("hex")).toBe(toHex(page.hex("key-file-content")));
    expect(decode(content)).toEqual({
      v: 1,
      keys: [
        {
          use: "sign",
          alg: "Ed25519",
          secret: edSecret,
          retired: false,
          actor: page.value("Ed25519 actor"),
        },
      ],
    });
  });

  it("has the key file that the library writes and opens", async () => {
    const salt = Uint8Array.from({ length: 32 }, (_, i) => i);
    const nonce = Uint8Array.from({ length: 32 }, (_, i) => 0x20 + i);
    const passphrase = "correct horse battery staple";
    const cost = { N: 2 ** 14, r: 8, p: 1 };
    const fileKey = await deriveFileKey(utf8ToBytes(passphrase), cost, salt);
    const actor = page.value("Ed25519 actor");
    const stored = {
      use: "sign",
      alg: "Ed25519",
      secret: edSecret,
      actor,
      retired: false,
    } as const;
    expect(sealKeyFile([stored], fileKey, nonce)).toEqual(page.hex("key-file"));
    const folder = await mkdtemp(join(tmpdir(), "healthledger-keys-"));
    try {
      await writeFile(join(folder, "keys"), page.hex("key-file"));
      const keys = await fileKeys(join(folder, "keys"), { passphrase });
      expect(keys.list().map(({ key }) => key)).toEqual([page.hex("ed25519-key-id")]);
      await keys.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
