import { decode, encode } from "cborg";
import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { CID } from "../../src/codec/cid.ts";
import { encode as encodeDagCbor } from "../../src/codec/dag-cbor.ts";
import { encStructure, openCose, sealCose } from "../../src/crypto/cose-hpke.ts";
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
});
