import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { mkdir, readFile, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { randomBytes } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { fileSignedHeads } from "./file-heads.ts";
import {
  assertCost,
  deriveFileKey,
  MAX_KEY_FILE_BYTES,
  readKeyFile,
  sealKeyFile,
  type FileKey,
  type PassphraseCost,
} from "./key-file.ts";
import { keyStore, keyStoreError, type KeyStore, type StoredKey } from "./key-store.ts";
import { codeOf, withLockedFile } from "./file-lock.ts";

export { fileSignedHeads, type FileSignedHeadsOptions } from "./file-heads.ts";
export { type FileShardKeys, fileShardKeys } from "./file-shards.ts";

export type { PassphraseCost };

/** Options of {@link fileKeys}. */
export interface FileKeysOptions {
  /** At least one character or byte; strings are normalised to NFC. */
  readonly passphrase: string | Uint8Array;
  /** Whether to create the file if it does not exist. Default false. */
  readonly create?: boolean;
  /**
   * scrypt cost of a new file. Default N = 2^17, r = 8, p = 1: 128 MiB and about half a second on a
   * thread of its own.
   */
  readonly cost?: PassphraseCost;
  /** Milliseconds to wait while another process writes. Default 10,000. */
  readonly lockTimeout?: number;
}

const NAMES = { name: "the key file", fail: keyStoreError };
const DEFAULT_COST: PassphraseCost = { N: 2 ** 17, r: 8, p: 1 };

const FILE_KEYS_OPTIONS: OptionsOf<FileKeysOptions> = {
  ...{ passphrase: true, create: true, cost: true, lockTimeout: true },
};

/**
 * Opens keys in a password-encrypted file (scrypt, ChaCha20-Poly1305). Each change is written to
 * a new file, flushed, and put in place atomically; several processes may change the same file.
 *
 * The file `<path>.heads` beside it remembers what the keys have signed. The two belong together:
 * to move the keys to another machine, move both, and never keep copies on two machines.
 *
 * @param path - the file; `<path>.lock` exists beside it during a change
 * @throws {SignatureError} `ERR_SIGNATURE_KEYSTORE` when the file is missing (and `create` is not
 *   set), is not a key file or was altered, or when the passphrase is wrong
 * @example
 * const keys = await fileKeys("data/hospital.keys", { passphrase, create: true });
 * if (keys.list().length === 0) {
 *   for (const use of ["sign", "checkpoint", "agree"] as const) await keys.generate({ use });
 * }
 */
export async function fileKeys(path: string, options: FileKeysOptions): Promise<KeyStore> {
  assertOptions(options, FILE_KEYS_OPTIONS, "fileKeys");
  const file = resolve(path);
  const passphrase = passphraseBytes(options.passphrase);
  const cost = options.cost ?? DEFAULT_COST;
  assertCost(cost);
  const lockTimeout = options.lockTimeout ?? 10_000;

  let opened = await load(file, (c, salt) => deriveFileKey(passphrase, c, salt));
  if (opened === undefined) {
    if (options.create !== true)
      throw keyStoreError("there is no key file at this path; set `create` to make one");
    const fileKey = await deriveFileKey(passphrase, cost, randomBytes(32));
    await mkdir(dirname(file), { recursive: true });
    opened = await withLockedFile(file, lockTimeout, NAMES, async ({ replace }) => {
      // Another process may have created it first.
      const present = await load(file, (c, salt) => deriveFileKey(passphrase, c, salt));
      if (present !== undefined) return present;
      await replace(sealKeyFile([], fileKey, randomBytes(32)));
      return { keys: [], fileKey };
    });
  }

  passphrase.fill(0);
  const { fileKey } = opened;
  return keyStore(
    opened.keys,
    (change) =>
      withLockedFile(file, lockTimeout, NAMES, async ({ replace }) => {
        const current = await load(file, (c, salt) => {
          if (!isSame(fileKey, c, salt))
            throw keyStoreError("the key file was replaced by another one");
          return fileKey;
        });
        if (current === undefined) throw keyStoreError("the key file has disappeared");
        const keys = change(current.keys);
        await replace(sealKeyFile(keys, fileKey, randomBytes(32)));
        return keys;
      }),
    () => fileKey.master.fill(0),
    fileSignedHeads(`${file}.heads`, { lockTimeout }),
  );
}

interface Opened {
  readonly keys: readonly StoredKey[];
  readonly fileKey: FileKey;
}

async function load(
  file: string,
  unlock: (cost: PassphraseCost, salt: Uint8Array) => FileKey | Promise<FileKey>,
): Promise<Opened | undefined> {
  let bytes: Uint8Array;
  try {
    if ((await stat(file)).size > MAX_KEY_FILE_BYTES)
      throw keyStoreError("the file is not a key file");
    bytes = await readFile(file);
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    if (codeOf(cause) === "ERR_SIGNATURE_KEYSTORE") throw cause;
    throw keyStoreError("the key file could not be read", cause);
  }
  const read = readKeyFile(new Uint8Array(bytes));
  const fileKey = await unlock(read.cost, read.salt);
  return { keys: read.keysWith(fileKey), fileKey };
}

function isSame(known: FileKey, cost: PassphraseCost, salt: Uint8Array): boolean {
  return (
    known.cost.N === cost.N &&
    known.cost.r === cost.r &&
    known.cost.p === cost.p &&
    equalBytes(known.salt, salt)
  );
}

function passphraseBytes(passphrase: string | Uint8Array): Uint8Array {
  const bytes =
    typeof passphrase === "string" ? utf8ToBytes(passphrase.normalize("NFC")) : passphrase.slice();
  if (bytes.length === 0) throw new RangeError("the passphrase is empty");
  return bytes;
}
