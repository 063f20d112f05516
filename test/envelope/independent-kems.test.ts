/**
 * A second implementation of the suite aes-gcm, of grants to P-256 and X-Wing keys, and of collection
 * keys, with cborg, node:crypto and ML-KEM only. Of ours it uses nothing but what makes the bytes to
 * be opened, or opens the bytes it has made.
 */
import * as nodeCrypto from "node:crypto";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import * as cborg from "cborg";
import { CID } from "multiformats/cid";
import { describe, expect, it } from "vitest";
import { unwrapFromCollection, wrapForCollection } from "../../src/envelope/collection.ts";
import { makeGrant, openGrant } from "../../src/envelope/grant.ts";
import { openMembership, sealMembership } from "../../src/envelope/membership.ts";
import { openEnvelope } from "../../src/envelope/open.ts";
import { sealEnvelope } from "../../src/envelope/seal.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { padByHand, unpadByHand } from "./padding-by-hand.ts";

// ---- bytes and records ----------------------------------------------------------------------------

const text = (value: string): Buffer => Buffer.from(value, "utf8");
const bytes = (value: Uint8Array): Uint8Array => new Uint8Array(value);
const random = (length: number): Uint8Array => bytes(nodeCrypto.randomBytes(length));
const join = (...parts: Uint8Array[]): Buffer => Buffer.concat(parts);
const sha256 = (...parts: Uint8Array[]): Buffer =>
  nodeCrypto
    .createHash("sha256")
    .update(join(...parts))
    .digest();
const hmac = (key: Uint8Array, ...parts: Uint8Array[]): Buffer =>
  nodeCrypto
    .createHmac("sha256", key)
    .update(join(...parts))
    .digest();

/** A CID in dag-cbor: tag 42 over 00 and the bytes. */
class Link {
  readonly bytes: Uint8Array;
  constructor(value: Uint8Array) {
    this.bytes = value;
  }
}
const linkTo = (content: Uint8Array, codec: number): Link =>
  new Link(bytes(join(Uint8Array.of(1, codec, 0x12, 0x20), sha256(content))));
const cidOf = (link: Link): CID => CID.decode(link.bytes) as unknown as CID;
const encode = (value: unknown): Uint8Array =>
  bytes(
    cborg.encode(value, {
      typeEncoders: {
        Object: (candidate: unknown) =>
          candidate instanceof Link
            ? [
                new cborg.Token(cborg.Type.tag, 42),
                new cborg.Token(cborg.Type.bytes, bytes(join(Uint8Array.of(0), candidate.bytes))),
              ]
            : null,
      },
    }),
  );
const decode = <T>(value: Uint8Array): T =>
  cborg.decode(value, {
    tags: { 42: (item: () => unknown) => new Link((item() as Uint8Array).subarray(1)) },
  }) as T;

// ---- ciphers and key derivation --------------------------------------------------------------------

type Cipher = "aes-256-gcm" | "chacha20-poly1305";
function aeadOpen(
  cipher: Cipher,
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  aad: Uint8Array = Buffer.alloc(0),
): Uint8Array {
  const options = { authTagLength: 16 };
  const decipher = nodeCrypto.createDecipheriv(cipher as "aes-256-gcm", key, nonce, options);
  decipher.setAAD(aad, { plaintextLength: sealed.length - 16 });
  decipher.setAuthTag(sealed.subarray(-16));
  return bytes(join(decipher.update(sealed.subarray(0, -16)), decipher.final()));
}
function aeadSeal(
  cipher: Cipher,
  key: Uint8Array,
  nonce: Uint8Array,
  plain: Uint8Array,
  aad: Uint8Array = Buffer.alloc(0),
): Uint8Array {
  const options = { authTagLength: 16 };
  const sealer = nodeCrypto.createCipheriv(cipher as "aes-256-gcm", key, nonce, options);
  sealer.setAAD(aad, { plaintextLength: plain.length });
  return bytes(join(sealer.update(plain), sealer.final(), sealer.getAuthTag()));
}

/** HKDF-Expand (RFC 5869 §2.3) to at most 32 bytes. */
const expand = (prk: Uint8Array, info: Uint8Array, length: number): Buffer =>
  hmac(prk, info, Uint8Array.of(1)).subarray(0, length);
const labelled = (suite: Uint8Array) => ({
  extract: (salt: Uint8Array, label: string, ikm: Uint8Array) =>
    hmac(salt, text("HPKE-v1"), suite, text(label), ikm),
  expand: (prk: Uint8Array, label: string, info: Uint8Array, length: number) =>
    expand(prk, join(Uint8Array.of(0, length), text("HPKE-v1"), suite, text(label), info), length),
});

/** RFC 9180 §5.1, base mode, with empty info. */
function hpkeKeys(ids: readonly [number, number, number], shared: Uint8Array) {
  const kdf = labelled(join(text("HPKE"), Buffer.from(ids.flatMap((id) => [id >> 8, id & 255]))));
  const none = Buffer.alloc(0);
  const context = join(
    Uint8Array.of(0),
    kdf.extract(none, "psk_id_hash", none),
    kdf.extract(none, "info_hash", none),
  );
  const secret = kdf.extract(shared, "secret", none);
  return {
    key: kdf.expand(secret, "key", context, 32),
    nonce: kdf.expand(secret, "base_nonce", context, 12),
  };
}

// ---- KEMs ------------------------------------------------------------------------------------------

interface Kem {
  readonly alg: "P-256" | "X-Wing";
  readonly cose: number;
  readonly header: string;
  readonly ids: readonly [number, number, number];
  readonly cipher: Cipher;
  readonly secret: Uint8Array;
  /** As the ledger carries it. */
  readonly publicKey: Uint8Array;
  encapsulate(): { readonly ek: Uint8Array; readonly shared: Uint8Array };
  decapsulate(ek: Uint8Array): Uint8Array;
}

/** DHKEM(P-256, HKDF-SHA256), RFC 9180 §4.1. */
function p256(): Kem {
  const pair = nodeCrypto.createECDH("prime256v1");
  pair.generateKeys();
  const full = pair.getPublicKey();
  const kdf = labelled(join(text("KEM"), Uint8Array.of(0x00, 0x10)));
  const derive = (dh: Uint8Array, ek: Uint8Array): Buffer =>
    kdf.expand(kdf.extract(Buffer.alloc(0), "eae_prk", dh), "shared_secret", join(ek, full), 32);
  return {
    alg: "P-256",
    cose: 45,
    header: "a101182d",
    ids: [0x0010, 0x0001, 0x0002],
    cipher: "aes-256-gcm",
    secret: bytes(join(Buffer.alloc(32), pair.getPrivateKey()).subarray(-32)),
    publicKey: bytes(pair.getPublicKey(null, "compressed")),
    encapsulate() {
      const own = nodeCrypto.createECDH("prime256v1");
      const ek = own.generateKeys();
      return { ek: bytes(ek), shared: derive(own.computeSecret(full), ek) };
    },
    decapsulate: (ek) => derive(pair.computeSecret(ek), ek),
  };
}

/** draft-connolly-cfrg-xwing-kem §5, with X25519 of node:crypto. */
function xWing(): Kem {
  const pkcs8 = (secret: Uint8Array): nodeCrypto.KeyObject =>
    nodeCrypto.createPrivateKey({
      key: join(Buffer.from("302e020100300506032b656e04220420", "hex"), secret),
      format: "der",
      type: "pkcs8",
    });
  const rawPublic = (key: nodeCrypto.KeyObject): Buffer =>
    Buffer.from(nodeCrypto.createPublicKey(key).export({ format: "jwk" }).x!, "base64url");
  const publicOf = (raw: Uint8Array): nodeCrypto.KeyObject =>
    nodeCrypto.createPublicKey({
      key: { kty: "OKP", crv: "X25519", x: Buffer.from(raw).toString("base64url") },
      format: "jwk",
    });
  const combine = (m: Uint8Array, x: Uint8Array, ct: Uint8Array, pk: Uint8Array): Buffer =>
    nodeCrypto
      .createHash("sha3-256")
      .update(join(m, x, ct, pk, text("\\.//^\\")))
      .digest();
  const seed = random(32);
  const expanded = nodeCrypto.createHash("shake256", { outputLength: 96 }).update(seed).digest();
  const mlKem = ml_kem768.keygen(bytes(expanded.subarray(0, 64)));
  const own = pkcs8(expanded.subarray(64));
  const ownPublic = rawPublic(own);
  return {
    alg: "X-Wing",
    cose: -91_258,
    header: "a1013a00016479",
    ids: [0x647a, 0x0001, 0x0003],
    cipher: "chacha20-poly1305",
    secret: seed,
    publicKey: bytes(join(mlKem.publicKey, ownPublic)),
    encapsulate() {
      const { cipherText, sharedSecret } = ml_kem768.encapsulate(mlKem.publicKey);
      const ephemeral = pkcs8(random(32));
      const ct = rawPublic(ephemeral);
      const x = nodeCrypto.diffieHellman({
        privateKey: ephemeral,
        publicKey: publicOf(ownPublic),
      });
      const shared = combine(sharedSecret, x, ct, ownPublic);
      return { ek: bytes(join(cipherText, ct)), shared };
    },
    decapsulate(ek) {
      const ct = ek.subarray(1088);
      const m = ml_kem768.decapsulate(ek.slice(0, 1088), mlKem.secretKey);
      const x = nodeCrypto.diffieHellman({ privateKey: own, publicKey: publicOf(ct) });
      return combine(m, x, ct, ownPublic);
    },
  };
}

/** COSE_Encrypt0 in HPKE integrated mode, draft-ietf-cose-hpke §3.2. */
function openMessage(kem: Kem, message: Uint8Array, externalAad: Uint8Array): Uint8Array {
  expect(message[0]).toBe(0xd0);
  const [header, unprotected, ciphertext] = cborg.decode(message.subarray(1), {
    useMaps: true,
  }) as [Uint8Array, Map<number, Uint8Array>, Uint8Array];
  expect(Buffer.from(header).toString("hex")).toBe(kem.header);
  expect([...unprotected.keys()]).toEqual([-4]);
  const { key, nonce } = hpkeKeys(kem.ids, kem.decapsulate(unprotected.get(-4)!));
  const aad = encode(["Encrypt0", header, externalAad]);
  return aeadOpen(kem.cipher, key, nonce, ciphertext, aad);
}
function sealMessage(kem: Kem, plain: Uint8Array, externalAad: Uint8Array): Uint8Array {
  const header = cborg.encode(new Map([[1, kem.cose]]));
  const { ek, shared } = kem.encapsulate();
  const { key, nonce } = hpkeKeys(kem.ids, shared);
  const sealed = aeadSeal(kem.cipher, key, nonce, plain, encode(["Encrypt0", header, externalAad]));
  return bytes(join(Uint8Array.of(0xd0), cborg.encode([header, new Map([[-4, ek]]), sealed])));
}

// ---- envelopes ---------------------------------------------------------------------------------------

interface Header {
  v: number;
  suite: string;
  ctx: { ledger: Link; author: string; kind: string };
  salt: Uint8Array;
  segment: number;
  parts: { id: string; size: number; commit: Uint8Array; data: Link[] }[];
}
function partKey({ suite, segment, ctx, salt }: Header, cek: Uint8Array, id: string): Buffer {
  const bound = sha256(encode({ suite, segment, ctx }));
  const info = join(text(`healthledger/part/1 ${id}`), Uint8Array.of(0), bound);
  return expand(hmac(salt, cek), info, 32);
}
const segmentNonce = (counter: number, final: boolean): Buffer =>
  join(Buffer.alloc(7), Buffer.from([0, 0, 0, counter]), Buffer.from([final ? 1 : 0]));

const pair = nodeCrypto.generateKeyPairSync("ed25519");
const jwk = pair.privateKey.export({ format: "jwk" });
const author = Buffer.from(jwk.x!, "base64url");
const signer = memorySigner({ alg: "Ed25519", secret: bytes(Buffer.from(jwk.d!, "base64url")) });
const keyId = bytes(sha256(encode(["Ed25519", bytes(author)])));
const sign = (what: string, record: Uint8Array): Uint8Array =>
  bytes(nodeCrypto.sign(null, join(text(`healthledger/${what}/1\0`), record), pair.privateKey));
const verify = (what: string, record: Uint8Array, sig: Uint8Array): boolean =>
  nodeCrypto.verify(null, join(text(`healthledger/${what}/1\0`), record), pair.publicKey, sig);

const ledger = linkTo(text("a ledger"), 0x71);
const basis = random(32);
const ctx = { ledger, author: signer.actor, kind: "record" };
const context = { ledger: cidOf(ledger), author: signer.actor, kind: "record" };
const authorKey = { alg: "Ed25519" as const, publicKey: bytes(author) };
const grantor = { actor: signer.actor, ...authorKey };
const content = random(2 * 65536 + 17);
const wrapInfo = (suite: string, collection: Uint8Array, envelope: Link, epoch: number): Buffer => {
  const count = Buffer.alloc(8);
  count.writeBigUInt64BE(BigInt(epoch));
  return join(text(`healthledger/wrap/1 ${suite}\0`), collection, envelope.bytes, basis, count);
};

describe.each([
  ["P-256", p256],
  ["X-Wing", xWing],
] as const)("an implementation with cborg and node:crypto, and %s", (alg, make) => {
  const kem = make();
  const agreement = memoryAgreement({ alg, secret: kem.secret });

  it("opens a grant and an aes-gcm envelope of ours", async () => {
    expect(agreement.publicKey).toEqual(kem.publicKey);
    const sealed = await sealEnvelope({
      context,
      parts: [{ id: "content", bytes: content }],
      signer,
      random,
      suite: "aes-gcm",
    });
    const recipient = { alg, publicKey: kem.publicKey };
    const keys = { cek: sealed.cek };
    const made = await makeGrant({ envelope: sealed.cid, basis, keys, recipient, signer, random });
    const { sig, ...grant } = decode<Record<string, unknown> & { sig: Uint8Array }>(made);
    expect(verify("grant", encode(grant), sig)).toBe(true);
    expect(grant["key"]).toEqual(keyId);
    const envelope = grant["envelope"] as Link;
    const aad = encode(["healthledger/grant/1", envelope, basis]);
    const { cek } = decode<{ cek: Uint8Array }>(
      openMessage(kem, grant["message"] as Uint8Array, aad),
    );

    expect(linkTo(sealed.header, 0x71).bytes).toEqual(envelope.bytes);
    const outer = decode<{ header: Uint8Array; sig: Uint8Array }>(sealed.header);
    expect(verify("envelope", outer.header, outer.sig)).toBe(true);
    const header = decode<Header>(outer.header);
    expect(header.suite).toBe("aes-gcm");
    const [part] = header.parts as [Header["parts"][number]];
    const secret = partKey(header, cek, part.id);
    expect(bytes(expand(secret, text("commit"), 32))).toEqual(part.commit);
    const block = sealed.blocks[0]!.bytes;
    expect(linkTo(block, 0x55).bytes).toEqual(part.data[0]!.bytes);
    const plain = [0, 1, 2].map((i) =>
      aeadOpen(
        "aes-256-gcm",
        expand(secret, text("key"), 32),
        segmentNonce(i, i === 2),
        block.subarray(i * 65552, (i + 1) * 65552),
      ),
    );
    expect(unpadByHand(join(...plain))).toEqual(content);
  });

  it("makes a grant and an aes-gcm envelope that ours opens", async () => {
    const cek = random(32);
    const header: Header = {
      v: 1,
      suite: "aes-gcm",
      ctx,
      salt: random(32),
      segment: 65536,
      parts: [],
    };
    const secret = partKey(header, cek, "content");
    const padded = padByHand(content);
    const block = bytes(
      join(
        ...[0, 1, 2].map((i) =>
          aeadSeal(
            "aes-256-gcm",
            expand(secret, text("key"), 32),
            segmentNonce(i, i === 2),
            padded.subarray(i * 65536, (i + 1) * 65536),
          ),
        ),
      ),
    );
    const commit = bytes(expand(secret, text("commit"), 32));
    const data = [linkTo(block, 0x55)];
    header.parts.push({ id: "content", size: padded.length, commit, data });
    const inner = encode(header);
    const outer = { header: inner, key: keyId, alg: "Ed25519", sig: sign("envelope", inner) };
    const signed = encode(outer);
    const envelope = linkTo(signed, 0x71);
    const aad = encode(["healthledger/grant/1", envelope, basis]);
    const message = sealMessage(kem, encode({ cek }), aad);
    const unsigned = {
      v: 1,
      envelope,
      basis,
      grantor: signer.actor,
      key: keyId,
      message,
      alg: "Ed25519",
    };
    const grant = encode({ ...unsigned, sig: sign("grant", encode(unsigned)) });

    const keys = await openGrant({ grant, agreement, envelope: cidOf(envelope), basis, grantor });
    expect(keys).toEqual({ cek });
    const opened = await openEnvelope({
      envelope: cidOf(envelope),
      header: signed,
      keys,
      context,
      author: authorKey,
      read: async () => block,
    });
    expect(Buffer.from(opened.parts.get("content")!).equals(Buffer.from(content))).toBe(true);
  });

  it.each([
    ["chacha", "chacha20-poly1305"],
    ["aes-gcm", "aes-256-gcm"],
  ] as const)(
    "shares a collection key and %s wraps with ours, both ways",
    async (suite, cipher) => {
      const collection = { collection: random(32), epoch: 3, key: random(32) };
      const cek = random(32);
      const envelope = linkTo(text("an envelope"), 0x71);
      const aad = encode(["healthledger/membership/1", collection.collection, 3, basis]);
      const wrapKey = expand(
        collection.key,
        wrapInfo(suite, collection.collection, envelope, 3),
        32,
      );

      // Ours to theirs.
      const recipient = { alg, publicKey: kem.publicKey };
      const made = await sealMembership({ key: collection, recipient, basis, signer, random });
      const { sig, ...membership } = decode<Record<string, unknown> & { sig: Uint8Array }>(made);
      expect(verify("membership", encode(membership), sig)).toBe(true);
      const opened = openMessage(kem, membership["message"] as Uint8Array, aad);
      expect(decode(opened)).toEqual({ collection: collection.key });
      const options = { envelope: cidOf(envelope), basis, keys: { cek }, random, suite };
      const wrap = decode<{ nonce: Uint8Array; wrapped: Uint8Array }>(
        wrapForCollection(collection, options),
      );
      const plain = aeadOpen(cipher, wrapKey, wrap.nonce, wrap.wrapped);
      expect(decode(plain)).toEqual({ cek });

      // Theirs to ours.
      const unsigned = {
        v: 1,
        collection: collection.collection,
        epoch: 3,
        basis,
        grantor: signer.actor,
        key: keyId,
        message: sealMessage(kem, encode({ collection: collection.key }), aad),
        alg: "Ed25519",
      };
      const theirs = encode({ ...unsigned, sig: sign("membership", encode(unsigned)) });
      const expected = { collection: collection.collection, basis, grantor };
      const key = await openMembership({ ...expected, membership: theirs, agreement });
      expect(key).toEqual(collection);
      const nonce = random(12);
      const theirWrap = encode({
        v: 1,
        collection: collection.collection,
        epoch: 3,
        envelope,
        basis,
        suite,
        nonce,
        wrapped: aeadSeal(cipher, wrapKey, nonce, encode({ cek })),
      });
      const named = { envelope: cidOf(envelope), basis };
      expect(unwrapFromCollection(key, theirWrap, named)).toEqual({ cek });
    },
  );
});
