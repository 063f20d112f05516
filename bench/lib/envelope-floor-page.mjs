// @ts-check
// What sealing and opening cannot do without in a page, once with the primitives of noble and once
// with those of WebCrypto: no checks, no encoding, no names. Segments of a block are sealed and opened
// together, which WebCrypto does on other threads. See envelope-floor.mjs.
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { strongRandom } from "./page-rates.mjs";

const SEGMENT = 65_536;
const PER_BLOCK = 15;
const ZEROS = new Uint8Array(12);
const HEADER_BYTES = 310;
const GRANT_BYTES = 360;
/** `{cek}` in DAG-CBOR. */
const WRAPPED_BYTES = 39;
const ENVELOPE_HMACS = 4;
const HPKE_HMACS = 5;

/**
 * The primitives of one kind; each may be asynchronous.
 * @typedef {object} Primitives
 * @property {(key: Uint8Array, times: number) => any} hmacs - a chain of HMAC-SHA256
 * @property {(key: Uint8Array, plaintext: Uint8Array) => any} seal
 * @property {(key: Uint8Array, sealed: Uint8Array) => any} open
 * @property {(bytes: Uint8Array) => any} hash
 * @property {(bytes: Uint8Array) => any} sign
 * @property {(bytes: Uint8Array, signature: Uint8Array) => any} verify
 * @property {() => any} encapsulate - a new key pair and its shared secret with the recipient
 * @property {(enc: any) => any} decapsulate
 */

/** @returns {Primitives} */
export function noblePrimitives() {
  const author = strongRandom(32);
  const publicKey = ed25519.getPublicKey(author);
  const recipient = strongRandom(32);
  const recipientPublic = x25519.getPublicKey(recipient);
  return {
    hmacs(key, times) {
      let out = key;
      for (let i = 0; i < times; i++) out = hmac(sha256, out, ZEROS);
      return out;
    },
    seal: (key, plaintext) => chacha20poly1305(key, ZEROS).encrypt(plaintext),
    open: (key, sealed) => chacha20poly1305(key, ZEROS).decrypt(sealed),
    hash: (bytes) => sha256(bytes),
    sign: (bytes) => ed25519.sign(bytes, author),
    verify: (bytes, signature) => ed25519.verify(signature, bytes, publicKey),
    encapsulate() {
      const secret = strongRandom(32);
      const enc = x25519.getPublicKey(secret);
      return { enc, shared: x25519.getSharedSecret(secret, recipientPublic) };
    },
    decapsulate: (enc) => x25519.getSharedSecret(recipient, enc),
  };
}

/** With AES-256-GCM, since WebCrypto has no ChaCha20-Poly1305. @returns {Promise<Primitives>} */
export async function webPrimitives() {
  const { subtle } = crypto;
  const author = /** @type {CryptoKeyPair} */ (
    await subtle.generateKey("Ed25519", false, ["sign", "verify"])
  );
  const newPair = async () =>
    /** @type {CryptoKeyPair} */ (await subtle.generateKey("X25519", false, ["deriveBits"]));
  const recipient = await newPair();
  const gcm = { name: "AES-GCM", iv: ZEROS };
  /** @type {WeakMap<Uint8Array, Promise<CryptoKey>>} */
  const keys = new WeakMap();
  /** A key is imported once, however many segments it seals. @param {Uint8Array} key */
  const aesKey = (key) => {
    const known =
      keys.get(key) ?? subtle.importKey("raw", own(key), "AES-GCM", false, ["encrypt", "decrypt"]);
    keys.set(key, known);
    return known;
  };
  const shared = async (/** @type {CryptoKey} */ secret, /** @type {CryptoKey} */ theirs) =>
    new Uint8Array(await subtle.deriveBits({ name: "X25519", public: theirs }, secret, 256));
  return {
    async hmacs(key, times) {
      let out = key;
      for (let i = 0; i < times; i++) {
        const algorithm = { name: "HMAC", hash: "SHA-256" };
        const imported = await subtle.importKey("raw", own(out), algorithm, false, ["sign"]);
        out = new Uint8Array(await subtle.sign("HMAC", imported, ZEROS));
      }
      return out;
    },
    seal: async (key, plaintext) =>
      new Uint8Array(await subtle.encrypt(gcm, await aesKey(key), own(plaintext))),
    open: async (key, sealed) =>
      new Uint8Array(await subtle.decrypt(gcm, await aesKey(key), own(sealed))),
    hash: (bytes) => subtle.digest("SHA-256", own(bytes)),
    sign: async (bytes) =>
      new Uint8Array(await subtle.sign("Ed25519", author.privateKey, own(bytes))),
    verify: (bytes, signature) =>
      subtle.verify("Ed25519", author.publicKey, own(signature), own(bytes)),
    async encapsulate() {
      const pair = await newPair();
      const enc = await subtle.exportKey("raw", pair.publicKey);
      return { enc, shared: await shared(pair.privateKey, recipient.publicKey) };
    },
    async decapsulate(enc) {
      const theirs = await subtle.importKey("raw", enc, "X25519", true, []);
      return shared(recipient.privateKey, theirs);
    },
  };
}

/** @param {Uint8Array} bytes @returns {Uint8Array<ArrayBuffer>} */
const own = (bytes) => /** @type {Uint8Array<ArrayBuffer>} */ (bytes);

/**
 * The work of the envelope rows with nothing but these.
 *
 * @param {Primitives} p
 */
export function pageFloor(p) {
  /** @param {Uint8Array} content */
  async function seal(content) {
    const key = await p.hmacs(strongRandom(64), ENVELOPE_HMACS);
    const blocks = [];
    for (let at = 0; at < Math.max(1, content.length); at += SEGMENT * PER_BLOCK) {
      const end = Math.min(content.length, at + SEGMENT * PER_BLOCK);
      const sealing = [];
      for (let from = at; from < Math.max(end, at + 1); from += SEGMENT) {
        sealing.push(p.seal(key, content.subarray(from, Math.min(end, from + SEGMENT))));
      }
      const bytes = joined(await Promise.all(sealing), end - at + 16 * sealing.length);
      await p.hash(bytes);
      blocks.push(bytes);
    }
    const header = new Uint8Array(HEADER_BYTES + 41 * blocks.length).fill(1);
    const signature = await p.sign(header);
    await p.hash(header);
    return { key, blocks, header, signature, size: content.length };
  }

  /** @param {Uint8Array} key */
  async function grant(key) {
    const { enc, shared } = await p.encapsulate();
    const wrapped = await p.seal(await p.hmacs(shared, HPKE_HMACS), key);
    const bytes = new Uint8Array(GRANT_BYTES).fill(2);
    return { enc, wrapped, bytes, signature: await p.sign(bytes) };
  }

  /** @param {Awaited<ReturnType<typeof grant>>} made */
  async function openGrant({ enc, wrapped, bytes, signature }) {
    await p.verify(bytes, signature);
    return p.open(await p.hmacs(await p.decapsulate(enc), HPKE_HMACS), wrapped);
  }

  /** @param {Awaited<ReturnType<typeof seal>>} sealed */
  async function open({ key, blocks, header, signature, size }) {
    await p.hash(header);
    await p.verify(header, signature);
    await p.hmacs(key, ENVELOPE_HMACS);
    const plaintext = new Uint8Array(size);
    let at = 0;
    for (const block of blocks) {
      await p.hash(block);
      const opening = [];
      for (let from = 0; from < block.length; from += SEGMENT + 16) {
        opening.push(p.open(key, block.subarray(from, from + SEGMENT + 16)));
      }
      for (const opened of await Promise.all(opening)) {
        plaintext.set(opened, at);
        at += opened.length;
      }
    }
    return plaintext;
  }

  /** The last segment of what was sealed. @param {Awaited<ReturnType<typeof seal>>} sealed */
  async function range({ key, blocks, header, signature }) {
    await p.hash(header);
    await p.verify(header, signature);
    await p.hmacs(key, ENVELOPE_HMACS);
    const block = /** @type {Uint8Array} */ (blocks.at(-1));
    await p.hash(block);
    const from = Math.floor((block.length - 1) / (SEGMENT + 16)) * (SEGMENT + 16);
    return p.open(key, block.subarray(from));
  }

  /** @param {Uint8Array} key */
  const wrap = async (key) => p.seal(await p.hmacs(key, 1), new Uint8Array(WRAPPED_BYTES));

  return { seal, grant, openGrant, open, range, wrap };
}

/** @param {readonly Uint8Array[]} pieces @param {number} length */
function joined(pieces, length) {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
