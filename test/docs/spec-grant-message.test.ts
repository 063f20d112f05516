import { createECDH, createHash, createPrivateKey, createPublicKey } from "node:crypto";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { decode, encode } from "cborg";
import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { CID } from "../../src/codec/cid.ts";
import { encode as encodeDagCbor } from "../../src/codec/dag-cbor.ts";
import { coseAlgorithm, encStructure, openCose, sealCose } from "../../src/crypto/cose-hpke.ts";
import { hpkeOpen, hpkeX25519Chacha } from "../../src/crypto/hpke.ts";
import { specPage } from "./spec-page.ts";

const page = specPage("grant-message.md");
const secret = fromHex(page.value("recipient's secret"));
const publicKey = fromHex(page.value("recipient's public key"));
const ephemeral = fromHex(page.value("ephemeral secret"));
const [plaintext, externalAad] = [page.hex("plaintext"), page.hex("external-aad")];

describe("docs/spec/grant-message.md", () => {
  it("has a message that cborg and the table take apart", () => {
    const options = { useMaps: true, tags: { 16: (item: () => unknown) => item() } };
    const [header, unprotected, ciphertext] = decode(page.hex("message"), options) as [
      Uint8Array,
      Map<number, Uint8Array>,
      Uint8Array,
    ];
    expect(decode(header, { useMaps: true })).toEqual(new Map([[1, 42]]));
    expect([...unprotected.keys()]).toEqual([-4]);
    expect(encode(["Encrypt0", header, externalAad])).toEqual(page.hex("enc-structure"));
    const opened = hpkeOpen(
      hpkeX25519Chacha,
      unprotected.get(-4)!,
      secret,
      new Uint8Array(0),
      page.hex("enc-structure"),
      ciphertext,
    );
    expect(toHex(opened!)).toBe(toHex(plaintext));
  });

  it("has the external data of the envelope and basis", () => {
    const envelope = CID.parse(page.value("envelope"));
    const basis = Uint8Array.from({ length: 32 }, (_, i) => 0x40 + i);
    expect(encodeDagCbor(["healthledger/grant/1", envelope, basis])).toEqual(externalAad);
    expect(encStructure(fromHex("a101182a"), externalAad)).toEqual(page.hex("enc-structure"));
  });

  it("has the message that the library seals and opens", () => {
    const message = sealCose({ alg: "X25519", publicKey }, plaintext, externalAad, ephemeral);
    expect(toHex(message)).toBe(toHex(page.hex("message")));
    expect(openCose("X25519", secret, page.hex("message"), externalAad)).toEqual(plaintext);
  });

  it("has messages to P-256 and X-Wing keys that the library seals and opens", () => {
    const ephemerals = Uint8Array.from({ length: 64 }, (_, i) => 0x60 + i);
    const cases = [
      ["P-256", "message-p256", fromHex(page.value("P-256 secret")), ephemeral, 45],
      ["X-Wing", "message-x-wing", secret, ephemerals, -91_258],
    ] as const;
    for (const [alg, name, own, drawn, id] of cases) {
      const { kem } = coseAlgorithm(alg).suite;
      const recipient = { alg, publicKey: kem.publicKey(own) };
      const message = sealCose(recipient, plaintext, externalAad, drawn);
      expect(toHex(message)).toBe(toHex(page.hex(name)));
      expect(openCose(alg, own, page.hex(name), externalAad)).toEqual(plaintext);
      const options = { useMaps: true, tags: { 16: (item: () => unknown) => item() } };
      const [header] = decode(page.hex(name), options) as [Uint8Array];
      expect(decode(header, { useMaps: true })).toEqual(new Map([[1, id]]));
    }
    expect(-65_536 - 0x647a).toBe(-91_258);
  });

  it("has the public keys that others derive", () => {
    const pair = createECDH("prime256v1");
    pair.setPrivateKey(page.value("P-256 secret"), "hex");
    expect(pair.getPublicKey("hex", "compressed")).toBe(page.value("P-256 public key"));
    const expanded = createHash("shake256", { outputLength: 96 }).update(secret).digest();
    const mlKem = ml_kem768.keygen(new Uint8Array(expanded.subarray(0, 64)));
    const x25519 = createPrivateKey({
      key: Buffer.concat([
        Buffer.from("302e020100300506032b656e04220420", "hex"),
        expanded.subarray(64),
      ]),
      format: "der",
      type: "pkcs8",
    });
    const { x } = createPublicKey(x25519).export({ format: "jwk" });
    const digest = createHash("sha256")
      .update(mlKem.publicKey)
      .update(Buffer.from(x!, "base64url"))
      .digest("hex");
    expect(digest).toBe(page.value("SHA-256 of X-Wing public key"));
  });
});
