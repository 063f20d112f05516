import { chachaOpen, chachaSeal, hkdfExpand, scrypt } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { concatBytes } from "../bytes/concat.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectMap,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
} from "../codec/shape.ts";
import { parseActor } from "./actor.ts";
import { assertUsable, keyStoreError, type StoredKey } from "./key-store.ts";

/** Cost of turning a passphrase into a key: 128·N·r bytes of memory. */
export interface PassphraseCost {
  /** A power of two from 2^14 to 2^20. */
  readonly N: number;
  /** From 8 to 16. */
  readonly r: number;
  /** From 1 to 4. */
  readonly p: number;
}

/** The key that unlocks a key file; held while the file is open, so that scrypt runs only once. */
export interface FileKey {
  readonly cost: PassphraseCost;
  readonly salt: Uint8Array;
  /** 32 bytes derived with scrypt. */
  readonly master: Uint8Array;
}

/** Longest key file accepted, in bytes. */
export const MAX_KEY_FILE_BYTES = 1_048_576;
const MAX_KEYS = 4096;
const TYPE = "healthledger/keys";
const SALT_BYTES = 32;
const CHECK_BYTES = 16;
const ZERO_NONCE = /* @__PURE__ */ new Uint8Array(12);

interface Header {
  readonly cost: PassphraseCost;
  readonly salt: Uint8Array;
  readonly check: Uint8Array;
  readonly nonce: Uint8Array;
}

/** Derives the key that unlocks a file. */
export async function deriveFileKey(
  passphrase: Uint8Array,
  cost: PassphraseCost,
  salt: Uint8Array,
): Promise<FileKey> {
  assertCost(cost);
  return { cost, salt, master: await scrypt(passphrase, salt, { ...cost, length: 32 }) };
}

/**
 * Writes a key file.
 *
 * @param nonce - 32 random bytes, fresh for each write: this write's key derives from them
 */
export function sealKeyFile(
  keys: readonly StoredKey[],
  fileKey: FileKey,
  nonce: Uint8Array,
): Uint8Array {
  const header = { cost: fileKey.cost, salt: fileKey.salt, check: checkOf(fileKey), nonce };
  const plaintext = encode({
    v: 1,
    keys: keys.map(({ use, alg, secret, actor, retired }) => ({
      use,
      alg,
      secret,
      retired,
      ...(actor === undefined ? {} : { actor }),
    })),
  });
  const contentKey = contentKeyOf(fileKey, nonce);
  try {
    const sealed = chachaSeal(contentKey, ZERO_NONCE, plaintext, encode(fieldsOf(header)));
    return encode({ ...fieldsOf(header), sealed });
  } finally {
    plaintext.fill(0);
    contentKey.fill(0);
  }
}

/** A key file that was read and whose bounds were checked, but which is not decrypted yet. */
export interface ReadKeyFile {
  /** The cost that the file states for its passphrase. */
  readonly cost: PassphraseCost;
  readonly salt: Uint8Array;
  /**
   * Decrypts the keys.
   *
   * @throws {SignatureError} `ERR_SIGNATURE_KEYSTORE` when the passphrase is wrong or the content
   *   was altered
   */
  keysWith(fileKey: FileKey): readonly StoredKey[];
}

/**
 * Reads a key file.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEYSTORE` when the bytes are not a key file
 */
export function readKeyFile(bytes: Uint8Array): ReadKeyFile {
  const { header, sealed } = readFile(bytes);
  return {
    cost: header.cost,
    salt: header.salt,
    keysWith(fileKey) {
      if (!equalBytes(checkOf(fileKey), header.check)) {
        throw keyStoreError("wrong passphrase for this key file");
      }
      const contentKey = contentKeyOf(fileKey, header.nonce);
      const plaintext = chachaOpen(contentKey, ZERO_NONCE, sealed, encode(fieldsOf(header)));
      contentKey.fill(0);
      if (plaintext === undefined) throw keyStoreError("the key file is damaged or was altered");
      try {
        return readKeys(plaintext);
      } finally {
        plaintext.fill(0);
      }
    },
  };
}

/**
 * Checks that a cost is neither too low to protect the file nor too high to compute.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEYSTORE`
 */
export function assertCost({ N, r, p }: PassphraseCost): void {
  const bounded = (value: number, least: number, most: number) =>
    Number.isInteger(value) && value >= least && value <= most;
  if (
    !bounded(N, 2 ** 14, 2 ** 20) ||
    (N & (N - 1)) !== 0 ||
    !bounded(r, 8, 16) ||
    !bounded(p, 1, 4)
  ) {
    throw keyStoreError("the key file's scrypt parameters are out of bounds");
  }
}

function readFile(bytes: Uint8Array): { readonly header: Header; readonly sealed: Uint8Array } {
  let header: Header;
  let sealed: Uint8Array;
  try {
    const limits = { maxBytes: MAX_KEY_FILE_BYTES, maxDepth: 2, maxItems: 32 };
    const fields = ["type", "v", "scrypt", "check", "nonce", "sealed"];
    const file = expectMap(decode(bytes, limits), "file", fields);
    expectOneOf(file["type"], "file.type", [TYPE]);
    expectVersion(file["v"], "file");
    const kdf = expectMap(file["scrypt"], "file.scrypt", ["N", "r", "p", "salt"]);
    header = {
      cost: {
        N: expectUint(kdf["N"], "N"),
        r: expectUint(kdf["r"], "r"),
        p: expectUint(kdf["p"], "p"),
      },
      salt: expectBytes(kdf["salt"], "salt", SALT_BYTES),
      check: expectBytes(file["check"], "check", CHECK_BYTES),
      nonce: expectBytes(file["nonce"], "nonce", 32),
    };
    sealed = expectBytes(file["sealed"], "sealed");
  } catch (cause) {
    throw keyStoreError("the file is not a key file", cause);
  }
  assertCost(header.cost);
  return { header, sealed };
}

function readKeys(plaintext: Uint8Array): readonly StoredKey[] {
  try {
    const content = expectMap(decode(plaintext), "content", ["v", "keys"]);
    expectVersion(content["v"], "content");
    return expectArray(content["keys"], "keys", MAX_KEYS).map((value) => {
      const fields = expectMap(value, "key", ["use", "alg", "secret", "retired"], ["actor"]);
      const use = expectOneOf(fields["use"], "use", ["sign", "agree", "checkpoint", "recovery"]);
      const alg = expectOneOf(fields["alg"], "alg", [
        "Ed25519",
        "ES256",
        "X25519",
        "P-256",
        "X-Wing",
      ]);
      assertUsable(use, alg);
      const actor = fields["actor"] === undefined ? undefined : readActor(fields["actor"]);
      if (typeof fields["retired"] !== "boolean") throw new TypeError("retired must be a boolean");
      const secret = expectBytes(fields["secret"], "secret", 32).slice();
      return { use, alg, secret, actor, retired: fields["retired"] };
    });
  } catch (cause) {
    throw keyStoreError("the key file holds data that this version cannot read", cause);
  }
}

function readActor(value: unknown): string {
  const actor = expectString(value, "actor", 64);
  parseActor(actor);
  return actor;
}

function fieldsOf({ cost, salt, check, nonce }: Header): Record<string, unknown> {
  const { N, r, p } = cost;
  return { type: TYPE, v: 1, scrypt: { N, r, p, salt }, check, nonce };
}

function checkOf({ master }: FileKey): Uint8Array {
  return hkdfExpand(master, utf8ToBytes(`${TYPE}/1 check`), CHECK_BYTES);
}

function contentKeyOf({ master }: FileKey, nonce: Uint8Array): Uint8Array {
  return hkdfExpand(master, concatBytes(utf8ToBytes(`${TYPE}/1 content`), nonce), 32);
}
