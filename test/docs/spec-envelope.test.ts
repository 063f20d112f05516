import {
  createCipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  hkdfSync,
  sign,
} from "node:crypto";
import { describe, expect, it } from "vitest";
import { x25519PublicKey } from "#crypto";
import { concatBytes } from "../../src/bytes/concat.ts";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { CID, cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { makeGrant, openGrant } from "../../src/envelope/grant.ts";
import { openEnvelope } from "../../src/envelope/open.ts";
import { sealEnvelope } from "../../src/envelope/seal.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { paddedSize } from "../../src/envelope/padding.ts";
import { padByHand, sizeByHand } from "../envelope/padding-by-hand.ts";
import { specPage } from "./spec-page.ts";

const page = specPage("envelope.md");
const input = (label: string): Uint8Array => fromHex(page.value(label));

const signer = memorySigner({ alg: "Ed25519", secret: input("author's secret") });
const ledger = CID.parse(page.value("ledger"));
const context = { ledger, author: page.value("author"), kind: "record" };
const author = { alg: signer.alg, publicKey: signer.publicKey };
const header = page.hex("signed-header");
/** The page shows both ends of the block; its CID fixes the rest. */
const block = sealedByNode("chacha20-poly1305", input("key"));
const grant = page.hex("grant");
const envelope = cidOf(header, DAG_CBOR);

describe("docs/spec/envelope.md", () => {
  it("takes its keys from where it says", () => {
    // RFC 8032 §7.1 test 1, RFC 7748 §6.1.
    expect(toHex(signer.publicKey)).toBe(
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    );
    expect(toHex(x25519PublicKey(input("recipient's secret")))).toBe(
      "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    );
    expect(signer.actor).toBe(context.author);
  });

  it("shows sizes that Padmé and the steps give", () => {
    const rows = page.text.matchAll(/^\| (\d+) +\| (\d+) +\| (\d+) +\|$/gm);
    const sizes = [...rows].map((row) => row.slice(1).map(Number) as [number, number, number]);
    expect(sizes).toHaveLength(9);
    for (const [length, stepped, uniform] of sizes) {
      expect([sizeByHand(length), sizeByHand(length, "uniform")]).toEqual([stepped, uniform]);
      expect(paddedSize(length, "stepped")).toBe(stepped);
      expect(paddedSize(length, "uniform")).toBe(uniform);
    }
  });

  it("shows how the ciphertext that node:crypto makes of padded bytes begins and ends", () => {
    expect(block).toHaveLength(3088);
    expect(block.subarray(0, 32)).toEqual(page.hex("block-begin"));
    expect(block.subarray(-32)).toEqual(page.hex("block-end"));
    const gcm = sealedByNode("aes-256-gcm", input("aes-gcm key"));
    expect(gcm.subarray(0, 32)).toEqual(page.hex("aes-gcm-block-begin"));
    expect(gcm.subarray(-32)).toEqual(page.hex("aes-gcm-block-end"));
    expect(String(cidOf(gcm, RAW))).toBe(page.value("aes-gcm block CID"));
  });

  it("derives keys as node:crypto's HKDF does", () => {
    const expand = (prk: Uint8Array, info: Uint8Array): string => {
      // HKDF-Expand for one block: HMAC(prk, info ‖ 01).
      return createHmacHex(prk, concatBytes(info, Uint8Array.of(1)));
    };
    const prk = createHmacHex(input("salt"), input("CEK"));
    expect(prk).toBe(page.value("PRK"));
    const bound = createHash("sha256")
      .update(encode({ suite: "chacha", segment: 65536, ctx: context }))
      .digest("hex");
    expect(bound).toBe(page.value("bound"));
    const info = concatBytes(utf8ToBytes("healthledger/part/1 content\0"), fromHex(bound));
    expect(expand(fromHex(prk), info)).toBe(page.value("P(content)"));
    // Extract and Expand in one call.
    const both = hkdfSync("sha256", input("CEK"), input("salt"), info, 32);
    expect(Buffer.from(both).toString("hex")).toBe(page.value("P(content)"));
    expect(expand(input("P(content)"), utf8ToBytes("key"))).toBe(page.value("key"));
    expect(expand(input("P(content)"), utf8ToBytes("commit"))).toBe(page.value("commit"));
  });

  it("shows the same header inside the signed header, and the CIDs of both records", () => {
    const outer = decode(header) as { header: Uint8Array; sig: Uint8Array };
    expect(outer.header).toEqual(page.hex("header"));
    const inner = decode(outer.header) as { parts: { data: CID[]; commit: Uint8Array }[] };
    expect(inner.parts[0]!.data[0]!.equals(cidOf(block, RAW))).toBe(true);
    expect(toHex(inner.parts[0]!.commit)).toBe(page.value("commit"));
    expect(page.text).toContain(`\`${cidOf(block, RAW)}\``);
    expect(page.text).toContain(`\`${envelope}\``);
    const seed = concatBytes(fromHex("302e020100300506032b657004220420"), input("author's secret"));
    const key = createPrivateKey({ key: Buffer.from(seed), format: "der", type: "pkcs8" });
    const message = concatBytes(utf8ToBytes("healthledger/envelope/1\0"), outer.header);
    expect(toHex(outer.sig)).toBe(sign(null, message, key).toString("hex"));
  });

  it("shows what sealing and granting with these inputs give", async () => {
    const random = [input("CEK"), input("salt")];
    const sealed = await sealEnvelope({
      context,
      parts: [{ id: "content", bytes: utf8ToBytes("hello") }],
      signer,
      random: () => random.shift()!,
    });
    expect(toHex(sealed.header)).toBe(toHex(header));
    expect(toHex(sealed.blocks[0]!.bytes)).toBe(toHex(block));
    const made = await makeGrant({
      envelope,
      basis: input("basis"),
      keys: { cek: input("CEK") },
      recipient: { alg: "X25519", publicKey: x25519PublicKey(input("recipient's secret")) },
      signer,
      random: () => input("ephemeral secret"),
    });
    expect(toHex(made)).toBe(toHex(grant));
  });

  it("shows what the other suite makes of the same inputs", async () => {
    const bound = createHash("sha256")
      .update(encode({ suite: "aes-gcm", segment: 65536, ctx: context }))
      .digest("hex");
    expect(bound).toBe(page.value("aes-gcm bound"));
    const info = concatBytes(utf8ToBytes("healthledger/part/1 content\0"), fromHex(bound));
    const partKey = hkdfSync("sha256", input("CEK"), input("salt"), info, 32);
    expect(Buffer.from(partKey).toString("hex")).toBe(page.value("aes-gcm P(content)"));
    for (const name of ["key", "commit"]) {
      const derived = createHmacHex(input("aes-gcm P(content)"), utf8ToBytes(`${name}\x01`));
      expect(derived).toBe(page.value(`aes-gcm ${name}`));
    }
    const random = [input("CEK"), input("salt")];
    const parts = [{ id: "content", bytes: utf8ToBytes("hello") }];
    const options = { context, parts, signer, random: () => random.shift()! };
    const sealed = await sealEnvelope({ ...options, suite: "aes-gcm" });
    expect(String(sealed.blocks[0]!.cid)).toBe(page.value("aes-gcm block CID"));
    expect(String(sealed.cid)).toBe(page.value("aes-gcm envelope"));
  });

  it("shows a grant that opens the envelope", async () => {
    const keys = await openGrant({
      grant,
      agreement: memoryAgreement({ alg: "X25519", secret: input("recipient's secret") }),
      envelope,
      basis: input("basis"),
      grantor: { actor: signer.actor, ...author },
    });
    const { parts } = await openEnvelope({
      envelope,
      header,
      keys,
      context,
      author,
      read: async () => block,
    });
    expect(parts.get("content")).toEqual(utf8ToBytes("hello"));
  });
});

/** The only segment of `hello`, padded. */
function sealedByNode(algorithm: "chacha20-poly1305" | "aes-256-gcm", key: Uint8Array): Uint8Array {
  const nonce = fromHex("000000000000000000000001");
  const cipher =
    algorithm === "aes-256-gcm"
      ? createCipheriv(algorithm, key, nonce)
      : createCipheriv(algorithm, key, nonce, { authTagLength: 16 });
  const padded = padByHand(utf8ToBytes("hello"));
  return new Uint8Array(
    Buffer.concat([cipher.update(padded), cipher.final(), cipher.getAuthTag()]),
  );
}

function createHmacHex(key: Uint8Array, message: Uint8Array): string {
  return createHmac("sha256", key).update(message).digest("hex");
}
