// @ts-check
// What recording a resource cannot do without, as bare calls of node:crypto and lmdb: nothing is checked,
// encoded, described, labelled or remembered. What is hashed, sealed and signed is as long as ours.
import {
  createCipheriv,
  createHmac,
  generateKeyPairSync,
  hash,
  randomFillSync,
  sign,
} from "node:crypto";
import { openFloor } from "./floor.mjs";

/** The padded size of a manifest, and of most resources. */
const PART_BYTES = 3072;
const HEADER_BYTES = 340;
const SIGNED_HEADER_BYTES = 554;
const ENTRY_BYTES = 128;
const TRANSACTION_BYTES = 240;
/** The bytes of the row of a content key and of an id, and what the index holds of an entry. */
const KEY_BYTES = 32;
const ID_BYTES = 32;
const ITEM_BYTES = 600;
const TAG_BYTES = 16;
const NAME_BYTES = 55;
const NONCE = Buffer.alloc(12);
const DERIVED = Buffer.alloc(64, 1);

/** @param {Uint8Array} key @param {Uint8Array} bytes */
const hmac = (key, bytes) => createHmac("sha256", key).update(bytes).digest();

/** @param {Uint8Array} key @param {Uint8Array} bytes */
function seal(key, bytes) {
  const cipher = createCipheriv("chacha20-poly1305", key, NONCE, { authTagLength: TAG_BYTES });
  const sealed = Buffer.allocUnsafe(bytes.length + TAG_BYTES);
  sealed.set(cipher.update(bytes));
  cipher.final();
  sealed.set(cipher.getAuthTag(), bytes.length);
  return sealed;
}

const author = generateKeyPairSync("ed25519");

/** @param {string} path */
export function openRecordFloor(path) {
  const store = openFloor(path);
  const [root, subject] = [Buffer.alloc(32, 2), Buffer.alloc(32, 3)];

  /** @param {Buffer} text */
  function sealOne(text) {
    const random = randomFillSync(Buffer.allocUnsafe(96));
    const [cek, salt] = [random.subarray(0, 32), random.subarray(32, 64)];
    const extracted = hmac(salt, cek);
    const header = Buffer.alloc(HEADER_BYTES, 1);
    const parts = [text.subarray(0, 430), text].map((bytes) => {
      const part = hmac(extracted, DERIVED);
      header.set(hmac(part, NONCE));
      const padded = Buffer.alloc(PART_BYTES);
      padded.set(bytes);
      return seal(hmac(part, NONCE), padded);
    });
    const signed = Buffer.alloc(SIGNED_HEADER_BYTES, 1);
    signed.set(header);
    signed.set(sign(null, header, author.privateKey), HEADER_BYTES);
    const entry = Buffer.alloc(ENTRY_BYTES, 1);
    entry.set(random.subarray(64, 80));
    entry.set(hmac(subject, entry), 16);
    // Names of the rows, which also have an HMAC each, or a digest.
    const [key, id] = [hmac(root, entry), hmac(root, entry)];
    hmac(root, entry);
    const item = Buffer.alloc(ITEM_BYTES, 1);
    item.set(hash("sha256", item.subarray(0, 110), "buffer"));
    const rows = [
      {
        key: Buffer.concat([key, salt], NAME_BYTES),
        value: seal(root, cek.subarray(0, KEY_BYTES)),
      },
      { key: Buffer.concat([id, salt], NAME_BYTES), value: seal(root, item.subarray(0, ID_BYTES)) },
    ];
    return { blobs: [signed, ...parts], rows, entry, item };
  }

  return {
    /**
     * Seals each resource of a bundle, and makes all of it durable in one commit.
     *
     * @param {string} text
     */
    async record(text) {
      const sealed = JSON.parse(text).entry.map((/** @type {any} */ { resource }) =>
        sealOne(Buffer.from(JSON.stringify(resource))),
      );
      /** @type {Buffer[]} */
      const entries = sealed.map((/** @type {{ entry: Buffer }} */ { entry }) => entry);
      hashTree(entries);
      // The entries' ids.
      for (const entry of entries) hash("sha256", entry, "buffer");
      const transaction = Buffer.alloc(TRANSACTION_BYTES, 1);
      // The transaction's and the block's.
      for (let i = 0; i < 2; i++) transaction.set(sign(null, transaction, author.privateKey));
      const items = Buffer.concat(sealed.map((/** @type {{ item: Buffer }} */ { item }) => item));
      const page = {
        key: Buffer.concat([hmac(root, transaction)], NAME_BYTES),
        value: seal(root, items),
      };
      await store.append(
        sealed.flatMap((/** @type {{ blobs: Buffer[] }} */ { blobs }) => blobs),
        [...sealed.flatMap((/** @type {{ rows: any[] }} */ { rows }) => rows), page],
      );
    },
    close: () => store.close(),
  };
}

/** @param {readonly Uint8Array[]} leaves */
function hashTree(leaves) {
  /** @type {Uint8Array[]} */
  let level = leaves.map((leaf) => hash("sha256", leaf, "buffer"));
  while (level.length > 1) {
    /** @type {Uint8Array[]} */
    const above = [];
    for (let i = 0; i < level.length; i += 2) {
      const pair = level.slice(i, i + 2);
      above.push(hash("sha256", Buffer.concat(pair), "buffer"));
    }
    level = above;
  }
  return level[0];
}
