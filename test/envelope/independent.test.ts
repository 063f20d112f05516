/**
 * A second implementation of grants and envelopes with cborg and node:crypto only. Of ours it uses
 * nothing but what makes the bytes to be opened, or opens the bytes it has made.
 */
import * as nodeCrypto from "node:crypto";
import * as cborg from "cborg";
import { CID } from "multiformats/cid";
import { describe, expect, it } from "vitest";
import { makeGrant, openGrant } from "../../src/envelope/grant.ts";
import { openEnvelope } from "../../src/envelope/open.ts";
import { sealEnvelope } from "../../src/envelope/seal.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { padByHand, unpadByHand } from "./padding-by-hand.ts";

// ---- primitives ---------------------------------------------------------------------------------

const text = (value: string): Buffer => Buffer.from(value, "utf8");
const sha256 = (...parts: Uint8Array[]): Buffer =>
  nodeCrypto.createHash("sha256").update(Buffer.concat(parts)).digest();
const hmac = (key: Uint8Array, ...parts: Uint8Array[]): Buffer =>
  nodeCrypto.createHmac("sha256", key).update(Buffer.concat(parts)).digest();

/** RFC 5869 §2.3. */
function hkdfExpand(prk: Uint8Array, info: Uint8Array, length: number): Buffer {
  let block: Buffer = Buffer.alloc(0);
  const out: Buffer[] = [];
  for (let i = 1; out.length * 32 < length; i++) {
    block = hmac(prk, block, info, Uint8Array.of(i));
    out.push(block);
  }
  return Buffer.concat(out).subarray(0, length);
}

function chachaOpen(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  aad?: Uint8Array,
): Buffer {
  const decipher = nodeCrypto.createDecipheriv("chacha20-poly1305", key, nonce, {
    authTagLength: 16,
  });
  if (aad !== undefined) decipher.setAAD(aad, { plaintextLength: sealed.length - 16 });
  decipher.setAuthTag(sealed.subarray(sealed.length - 16));
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
}

function chachaSeal(
  key: Uint8Array,
  nonce: Uint8Array,
  plain: Uint8Array,
  aad?: Uint8Array,
): Buffer {
  const cipher = nodeCrypto.createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  if (aad !== undefined) cipher.setAAD(aad, { plaintextLength: plain.length });
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

const b64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
const fromB64 = (value: string): Buffer => Buffer.from(value, "base64url");

const x25519Public = (publicKey: Uint8Array): nodeCrypto.KeyObject =>
  nodeCrypto.createPublicKey({
    key: { kty: "OKP", crv: "X25519", x: b64(publicKey) },
    format: "jwk",
  });

function keyPair(type: "x25519" | "ed25519"): {
  secret: Buffer;
  publicKey: Buffer;
  key: nodeCrypto.KeyObject;
} {
  const { privateKey } = nodeCrypto.generateKeyPairSync(type as "x25519");
  const jwk = privateKey.export({ format: "jwk" });
  return { secret: fromB64(jwk.d!), publicKey: fromB64(jwk.x!), key: privateKey };
}

// ---- dag-cbor and CIDs, with cborg alone --------------------------------------------------------

class Link {
  readonly bytes: Buffer;
  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes);
  }
  get digest(): Buffer {
    return this.bytes.subarray(4);
  }
}
const linkTo = (bytes: Uint8Array, codec: number): Link =>
  new Link(Buffer.concat([Uint8Array.of(1, codec, 0x12, 32), sha256(bytes)]));
const cidOf = (link: Link): CID => CID.decode(new Uint8Array(link.bytes));

const encode = (value: unknown): Uint8Array =>
  cborg.encode(value, {
    typeEncoders: {
      Object: (item: unknown) =>
        item instanceof Link
          ? [
              new cborg.Token(cborg.Type.tag, 42),
              new cborg.Token(cborg.Type.bytes, Buffer.concat([Uint8Array.of(0), item.bytes])),
            ]
          : null,
    },
  });
const decode = <T>(bytes: Uint8Array): T =>
  cborg.decode(bytes, {
    strict: true,
    tags: {
      42: (inner) => new Link((inner() as Uint8Array).subarray(1)),
      16: (inner) => inner() as unknown,
    },
    useMaps: false,
  }) as T;

// ---- HPKE base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305 (RFC 9180) --------

const KEM = Buffer.concat([text("KEM"), Uint8Array.of(0x00, 0x20)]);
const HPKE = Buffer.concat([text("HPKE"), Uint8Array.of(0x00, 0x20, 0x00, 0x01, 0x00, 0x03)]);
const labeledExtract = (
  suite: Uint8Array,
  salt: Uint8Array,
  label: string,
  ikm: Uint8Array,
): Buffer =>
  hmac(salt.length === 0 ? Buffer.alloc(32) : salt, text("HPKE-v1"), suite, text(label), ikm);
const labeledExpand = (
  suite: Uint8Array,
  prk: Uint8Array,
  label: string,
  info: Uint8Array,
  length: number,
): Buffer =>
  hkdfExpand(
    prk,
    Buffer.concat([
      Uint8Array.of(length >> 8, length & 255),
      text("HPKE-v1"),
      suite,
      text(label),
      info,
    ]),
    length,
  );

function hpkeKeys(
  dh: Uint8Array,
  enc: Uint8Array,
  recipient: Uint8Array,
): { key: Buffer; nonce: Buffer } {
  const none = Buffer.alloc(0);
  const prk = labeledExtract(KEM, none, "eae_prk", dh);
  const shared = labeledExpand(KEM, prk, "shared_secret", Buffer.concat([enc, recipient]), 32);
  const context = Buffer.concat([
    Uint8Array.of(0),
    labeledExtract(HPKE, none, "psk_id_hash", none),
    labeledExtract(HPKE, none, "info_hash", none),
  ]);
  const secret = labeledExtract(HPKE, shared, "secret", none);
  return {
    key: labeledExpand(HPKE, secret, "key", context, 32),
    nonce: labeledExpand(HPKE, secret, "base_nonce", context, 12),
  };
}

// ---- the records ---------------------------------------------------------------------------------

interface Header {
  v: 1;
  suite: string;
  ctx: { ledger: Link; author: string; kind: string };
  salt: Uint8Array;
  segment: number;
  parts: { id: string; size: number; commit: Uint8Array; data: Link[] }[];
}

const signed = (what: string, bytes: Uint8Array): Buffer =>
  Buffer.concat([text(`healthledger/${what}/1`), Uint8Array.of(0), bytes]);
const idOfKey = (alg: string, publicKey: Uint8Array): Buffer =>
  sha256(encode([alg, new Uint8Array(publicKey)]));

function partKey(header: Header, cek: Uint8Array, id: string): Buffer {
  const { suite, segment, ctx } = header;
  const prk = hmac(header.salt, cek);
  const bound = sha256(encode({ suite, segment, ctx }));
  return hkdfExpand(
    prk,
    Buffer.concat([text("healthledger/part/1 "), text(id), Uint8Array.of(0), bound]),
    32,
  );
}

function segmentNonce(counter: number, final: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(counter, 7);
  nonce[11] = final ? 1 : 0;
  return nonce;
}

function coseAad(header: Uint8Array, envelope: Link, basis: Uint8Array): Uint8Array {
  return encode(["Encrypt0", header, encode(["healthledger/grant/1", envelope, basis])]);
}

// ---- who takes part --------------------------------------------------------------------------------

const author = keyPair("ed25519");
const reader = keyPair("x25519");
const ledger = linkTo(text("a ledger"), 0x71);
const basis = new Uint8Array(32).fill(0x5a);
const content = nodeCrypto.randomBytes(16 * 65536 + 17);
const manifest = text('{"resourceType":"Observation"}');
const signer = memorySigner({ alg: "Ed25519", secret: new Uint8Array(author.secret) });
const ctx = { ledger, author: signer.actor, kind: "record" };
const context = { ledger: cidOf(ledger), author: signer.actor, kind: "record" };
const random = (length: number): Uint8Array => new Uint8Array(nodeCrypto.randomBytes(length));

describe("an implementation with cborg and node:crypto", () => {
  it("opens a grant and an envelope of ours", async () => {
    const sealed = await sealEnvelope({
      context,
      parts: [
        { id: "manifest", bytes: new Uint8Array(manifest) },
        { id: "content", bytes: new Uint8Array(content) },
      ],
      signer,
      random,
    });
    const grantBytes = await makeGrant({
      envelope: sealed.cid,
      basis,
      keys: { cek: sealed.cek },
      recipient: { alg: "X25519", publicKey: new Uint8Array(reader.publicKey) },
      signer,
      random,
    });

    // The grant: its signature, then its message.
    const { sig, ...grant } = decode<{
      v: number;
      envelope: Link;
      basis: Uint8Array;
      grantor: string;
      key: Uint8Array;
      message: Uint8Array;
      alg: string;
      sig: Uint8Array;
    }>(grantBytes);
    expect(Buffer.from(grant.key)).toEqual(idOfKey("Ed25519", author.publicKey));
    const publicKey = nodeCrypto.createPublicKey(author.key);
    expect(nodeCrypto.verify(null, signed("grant", encode(grant)), publicKey, sig)).toBe(true);
    expect(grant.message[0]).toBe(0xd0);
    const [protectedHeader, unprotected, wrapped] = cborg.decode(grant.message.subarray(1), {
      useMaps: true,
    }) as [Uint8Array, Map<number, Uint8Array>, Uint8Array];
    expect(Buffer.from(protectedHeader).toString("hex")).toBe("a101182a"); // {1: 42}
    expect([...unprotected.keys()]).toEqual([-4]);
    const enc = unprotected.get(-4)!;
    const dh = nodeCrypto.diffieHellman({ privateKey: reader.key, publicKey: x25519Public(enc) });
    const { key, nonce } = hpkeKeys(dh, enc, reader.publicKey);
    const aad = coseAad(protectedHeader, grant.envelope, basis);
    const { cek } = decode<{ cek: Uint8Array }>(chachaOpen(key, nonce, wrapped, aad));

    // The header: its name, its signature, its keys.
    expect(linkTo(sealed.header, 0x71).bytes).toEqual(grant.envelope.bytes);
    const outer = decode<{ header: Uint8Array; key: Uint8Array; alg: string; sig: Uint8Array }>(
      sealed.header,
    );
    expect(nodeCrypto.verify(null, signed("envelope", outer.header), publicKey, outer.sig)).toBe(
      true,
    );
    const header = decode<Header>(outer.header);
    expect([header.v, header.suite, header.segment]).toEqual([1, "chacha", 65536]);

    // The ciphertext.
    const blocks = new Map(sealed.blocks.map(({ cid, bytes }) => [cid.toString(), bytes]));
    const opened = header.parts.map(({ id, size, commit, data }) => {
      const secret = partKey(header, cek, id);
      expect(hkdfExpand(secret, text("commit"), 32)).toEqual(Buffer.from(commit));
      const stream = Buffer.concat(
        data.map((link) => {
          const bytes = blocks.get(cidOf(link).toString())!;
          expect(sha256(bytes)).toEqual(link.digest);
          return bytes;
        }),
      );
      const plain: Buffer[] = [];
      const count = Math.ceil(size / 65536);
      for (let i = 0; i < count; i++) {
        const segment = stream.subarray(i * 65552, (i + 1) * 65552);
        plain.push(
          chachaOpen(
            hkdfExpand(secret, text("key"), 32),
            segmentNonce(i, i === count - 1),
            segment,
          ),
        );
      }
      return [id, Buffer.from(unpadByHand(Buffer.concat(plain)))] as const;
    });
    expect(opened.map(([id]) => id)).toEqual(["manifest", "content"]);
    expect(opened[0]![1].equals(manifest)).toBe(true);
    expect(opened[1]![1].equals(content)).toBe(true);
  });

  it("makes a grant and an envelope that ours opens", async () => {
    const cek = nodeCrypto.randomBytes(32);
    const unsealed: Header = {
      v: 1,
      suite: "chacha",
      ctx,
      salt: new Uint8Array(nodeCrypto.randomBytes(32)),
      segment: 65536,
      parts: [],
    };
    const blocks = new Map<string, Uint8Array>();
    for (const [id, unpadded] of [
      ["manifest", manifest],
      ["content", content],
      ["empty", Buffer.alloc(0)],
    ] as const) {
      const plain = padByHand(unpadded);
      const secret = partKey(unsealed, cek, id);
      const count = Math.ceil(plain.length / 65536);
      const sealed = Array.from({ length: count }, (_, i) =>
        chachaSeal(
          hkdfExpand(secret, text("key"), 32),
          segmentNonce(i, i === count - 1),
          plain.subarray(i * 65536, (i + 1) * 65536),
        ),
      );
      const data: Link[] = [];
      for (let i = 0; i < count; i += 15) {
        const bytes = Buffer.concat(sealed.slice(i, i + 15));
        const link = linkTo(bytes, 0x55);
        data.push(link);
        blocks.set(cidOf(link).toString(), new Uint8Array(bytes));
      }
      const commit = new Uint8Array(hkdfExpand(secret, text("commit"), 32));
      unsealed.parts.push({ id, size: plain.length, commit, data });
    }
    const headerBytes = encode(unsealed);
    const key = idOfKey("Ed25519", author.publicKey);
    const headerSig = nodeCrypto.sign(null, signed("envelope", headerBytes), author.key);
    const header = encode({ header: headerBytes, key, alg: "Ed25519", sig: headerSig });
    const envelope = linkTo(header, 0x71);

    const ephemeral = keyPair("x25519");
    const dh = nodeCrypto.diffieHellman({
      privateKey: ephemeral.key,
      publicKey: x25519Public(reader.publicKey),
    });
    const hpke = hpkeKeys(dh, ephemeral.publicKey, reader.publicKey);
    const protectedHeader = cborg.encode(new Map([[1, 42]]));
    const wrapped = chachaSeal(
      hpke.key,
      hpke.nonce,
      encode({ cek }),
      coseAad(protectedHeader, envelope, basis),
    );
    const message = Buffer.concat([
      Uint8Array.of(0xd0),
      cborg.encode([protectedHeader, new Map([[-4, ephemeral.publicKey]]), wrapped]),
    ]);
    const unsigned = { v: 1, envelope, basis, grantor: signer.actor, key, message, alg: "Ed25519" };
    const sig = nodeCrypto.sign(null, signed("grant", encode(unsigned)), author.key);
    const grant = encode({ ...unsigned, sig });

    const authorKey = { alg: "Ed25519" as const, publicKey: new Uint8Array(author.publicKey) };
    const keys = await openGrant({
      grant: new Uint8Array(grant),
      agreement: memoryAgreement({ alg: "X25519", secret: new Uint8Array(reader.secret) }),
      envelope: cidOf(envelope),
      basis,
      grantor: { actor: signer.actor, ...authorKey },
    });
    expect(keys).toEqual({ cek: new Uint8Array(cek) });
    const opened = await openEnvelope({
      envelope: cidOf(envelope),
      header: new Uint8Array(header),
      keys,
      context,
      author: authorKey,
      read: async (cid) => blocks.get(cid.toString()),
    });
    expect(Buffer.from(opened.parts.get("manifest")!).equals(manifest)).toBe(true);
    expect(Buffer.from(opened.parts.get("content")!).equals(content)).toBe(true);
    expect(opened.parts.get("empty")!.length).toBe(0);
  });
});
