// @ts-check
// What sealing and opening cannot do without, as bare calls of node:crypto: no checks, no encoding,
// no copies, no names. What is hashed and signed is of the same length as ours.
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  randomBytes,
  sign,
  verify,
} from "node:crypto";

const SEGMENT = 65_536;
const PER_BLOCK = 15;
const ZEROS = Buffer.alloc(12);
/** Bytes of a header beside the CIDs of its blocks, and of a grant. */
const HEADER_BYTES = 310;
const GRANT_BYTES = 360;
/** HMACs of a key schedule: extract, part, segment key, commit; and of HPKE, without constants. */
const ENVELOPE_HMACS = 4;
const HPKE_HMACS = 5;

const author = generateKeyPairSync("ed25519");
const recipient = generateKeyPairSync("x25519");

/** @param {Uint8Array} key @param {number} times */
function hmacs(key, times) {
  let out = key;
  for (let i = 0; i < times; i++) out = createHmac("sha256", out).update(ZEROS).digest();
  return out;
}

/** @param {Uint8Array} key @param {Uint8Array} plaintext */
function seal(key, plaintext) {
  const cipher = createCipheriv("chacha20-poly1305", key, ZEROS, { authTagLength: 16 });
  const sealed = cipher.update(plaintext);
  cipher.final();
  return { sealed, tag: cipher.getAuthTag() };
}

/** @param {Uint8Array} key @param {{ sealed: Buffer, tag: Buffer }} one */
function open(key, { sealed, tag }) {
  const decipher = createDecipheriv("chacha20-poly1305", key, ZEROS, { authTagLength: 16 });
  decipher.setAuthTag(tag);
  const plaintext = decipher.update(sealed);
  decipher.final();
  return plaintext;
}

/** @param {Uint8Array} content */
export function floorSeal(content) {
  const key = hmacs(randomBytes(64), ENVELOPE_HMACS);
  const blocks = [];
  for (let at = 0; at < Math.max(1, content.length); at += SEGMENT * PER_BLOCK) {
    const segments = [];
    for (let i = 0; i < PER_BLOCK && at + i * SEGMENT < Math.max(1, content.length); i++) {
      const from = at + i * SEGMENT;
      segments.push(seal(key, content.subarray(from, from + SEGMENT)));
    }
    // A block is what is hashed: its segments have to stand in one piece.
    const bytes = Buffer.concat(segments.flatMap(({ sealed, tag }) => [sealed, tag]));
    hash("sha256", bytes, "buffer");
    blocks.push(bytes);
  }
  const header = Buffer.alloc(HEADER_BYTES + 41 * blocks.length, 1);
  const signature = sign(null, header, author.privateKey);
  hash("sha256", header, "buffer");
  return { key, blocks, header, signature, size: content.length };
}

/** @param {Uint8Array} key */
export function floorGrant(key) {
  // Faster than a private key from random bytes and its public key.
  const ephemeral = generateKeyPairSync("x25519");
  const enc = ephemeral.publicKey.export({ format: "der", type: "spki" });
  const shared = diffieHellman({
    privateKey: ephemeral.privateKey,
    publicKey: recipient.publicKey,
  });
  const wrapped = seal(hmacs(shared, HPKE_HMACS), key);
  const bytes = Buffer.alloc(GRANT_BYTES, 2);
  return { enc, wrapped, bytes, signature: sign(null, bytes, author.privateKey) };
}

/** @param {ReturnType<typeof floorGrant>} grant */
export function floorOpenGrant({ enc, wrapped, bytes, signature }) {
  verify(null, bytes, author.publicKey, signature);
  const publicKey = createPublicKey({ key: enc, format: "der", type: "spki" });
  const shared = diffieHellman({ privateKey: recipient.privateKey, publicKey });
  return open(hmacs(shared, HPKE_HMACS), wrapped);
}

/** @param {ReturnType<typeof floorSeal>} envelope */
export function floorOpen({ key, blocks, header, signature, size }) {
  hash("sha256", header, "buffer");
  verify(null, header, author.publicKey, signature);
  hmacs(key, ENVELOPE_HMACS);
  const plaintext = Buffer.allocUnsafe(size);
  let at = 0;
  for (const block of blocks) {
    hash("sha256", block, "buffer");
    for (let from = 0; from < block.length; from += SEGMENT + 16) {
      const end = Math.min(block.length, from + SEGMENT + 16);
      const sealed = block.subarray(from, end - 16);
      const opened = open(key, { sealed, tag: block.subarray(end - 16, end) });
      plaintext.set(opened, at);
      at += opened.length;
    }
  }
  return plaintext;
}

/** @param {Uint8Array} key @param {Uint8Array} content */
export function floorWrap(key, content) {
  return seal(hmacs(key, 1), content);
}
