import { createDecipheriv, createHmac, createPrivateKey, sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { CID } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { unwrapFromCollection, wrapForCollection } from "../../src/envelope/collection.ts";
import { openMembership, sealMembership } from "../../src/envelope/membership.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { specPage } from "./spec-page.ts";

const page = specPage("collection.md");
const envelopes = specPage("envelope.md");
const input = (label: string): Uint8Array => fromHex(envelopes.value(label));
const range = (from: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => from + i);

const collection = { collection: range(0x80, 32), epoch: 1, key: range(0xa0, 32) };
const nonce = range(0xc0, 12);
const envelope = CID.parse("bafyreicbuh4ivqhhqaybcmfdnbw6wu47mymdyenv373l3onetdz2ugtmey");
const [basis, cek] = [input("basis"), input("CEK")];
const signer = memorySigner({ alg: "Ed25519", secret: input("author's secret") });
const agreement = memoryAgreement({ alg: "X25519", secret: input("recipient's secret") });

describe("docs/spec/collection.md", () => {
  it("derives the wrap key, and opens the wrap, as node:crypto does", () => {
    const info = concatBytes(
      utf8ToBytes("healthledger/wrap/1 chacha\0"),
      collection.collection,
      envelope.bytes,
      basis,
      Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1),
    );
    expect(toHex(info)).toBe(toHex(page.hex("wrap-info")));
    const key = createHmac("sha256", collection.key).update(info).update(Uint8Array.of(1)).digest();
    expect(key.toString("hex")).toBe(page.value("wrap key"));
    const wrap = decode(page.hex("wrap")) as { wrapped: Uint8Array };
    const { wrapped } = wrap;
    const decipher = createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
    decipher.setAuthTag(wrapped.subarray(-16));
    const plain = Buffer.concat([decipher.update(wrapped.subarray(0, -16)), decipher.final()]);
    expect(toHex(plain)).toBe(toHex(encode({ cek })));
    expect(wrap).toEqual({
      v: 1,
      collection: collection.collection,
      epoch: 1,
      envelope,
      basis,
      suite: "chacha",
      nonce,
      wrapped,
    });
  });

  it("has the wrap that the library makes and opens", () => {
    const options = { envelope, basis, keys: { cek }, random: () => nonce };
    expect(toHex(wrapForCollection(collection, options))).toBe(toHex(page.hex("wrap")));
    expect(unwrapFromCollection(collection, page.hex("wrap"), { envelope, basis })).toEqual({
      cek,
    });
  });

  it("has the membership that the library makes and opens, signed by node:crypto", async () => {
    const options = { key: collection, recipient: agreement, basis, signer };
    const random = (): Uint8Array => input("ephemeral secret");
    const made = await sealMembership({ ...options, random });
    expect(toHex(made)).toBe(toHex(page.hex("membership")));
    const opened = await openMembership({
      membership: page.hex("membership"),
      agreement,
      collection: collection.collection,
      basis,
      grantor: { actor: signer.actor, alg: "Ed25519", publicKey: signer.publicKey },
    });
    expect(opened).toEqual(collection);

    const { sig, ...unsigned } = decode(page.hex("membership")) as { sig: Uint8Array };
    const seed = concatBytes(fromHex("302e020100300506032b657004220420"), input("author's secret"));
    const key = createPrivateKey({ key: Buffer.from(seed), format: "der", type: "pkcs8" });
    const signed = concatBytes(utf8ToBytes("healthledger/membership/1\0"), encode(unsigned));
    expect(toHex(sig)).toBe(sign(null, signed, key).toString("hex"));
  });
});
