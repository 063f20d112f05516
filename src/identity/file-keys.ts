import { mkdir, open, readFile, rename, stat, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { randomBytes } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { toHex } from "../bytes/hex.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import {
  assertCost,
  deriveFileKey,
  MAX_KEY_FILE_BYTES,
  openKeyFile,
  sealKeyFile,
  type FileKey,
  type PassphraseCost,
} from "./key-file.ts";
import { keyStore, keyStoreError, type KeyStore, type StoredKey } from "./key-store.ts";

export { type FileShardKeys, fileShardKeys } from "./file-shards.ts";

export type { PassphraseCost };

/** What {@link fileKeys} takes. */
export interface FileKeysOptions {
  /** At least one character or byte; strings are normalised to NFC. */
  readonly passphrase: string | Uint8Array;
  /** Whether to make the file where there is none. Default false. */
  readonly create?: boolean;
  /** scrypt cost of a new file. Default N = 2^17, r = 8, p = 1: 128 MiB, about half a second. */
  readonly cost?: PassphraseCost;
  /** How long to wait for another process that is writing. Default 10,000. */
  readonly lockTimeoutMs?: number;
}

const DEFAULT_COST: PassphraseCost = { N: 2 ** 17, r: 8, p: 1 };

/**
 * Opens keys in a password-encrypted file (scrypt, ChaCha20-Poly1305). Each change is written to
 * a new file, flushed, and put in place atomically; several processes may change the same file.
 *
 * @param path - the file; beside it `<path>.lock` appears during a change
 * @throws {SignatureError} `ERR_SIGNATURE_KEYSTORE` when the file is missing (and `create` is not
 *   set), is no key file, was changed, or the passphrase is wrong
 */
export async function fileKeys(path: string, options: FileKeysOptions): Promise<KeyStore> {
  const file = resolve(path);
  const passphrase = passphraseBytes(options.passphrase);
  const cost = options.cost ?? DEFAULT_COST;
  assertCost(cost);
  const lockTimeout = options.lockTimeoutMs ?? 10_000;

  let opened = await load(file, (c, salt) => deriveFileKey(passphrase, c, salt));
  if (opened === undefined) {
    if (options.create !== true) throw keyStoreError("there is no key file at this path");
    const fileKey = deriveFileKey(passphrase, cost, randomBytes(32));
    await mkdir(dirname(file), { recursive: true });
    opened = await withLock(file, lockTimeout, async (assertHeld) => {
      // Another process may have been first.
      const present = await load(file, (c, salt) => deriveFileKey(passphrase, c, salt));
      if (present !== undefined) return present;
      await replace(file, sealKeyFile([], fileKey, randomBytes(32)), assertHeld);
      return { keys: [], fileKey };
    });
  }

  passphrase.fill(0);
  const { fileKey } = opened;
  return keyStore(
    opened.keys,
    (change) =>
      withLock(file, lockTimeout, async (assertHeld) => {
        const current = await load(file, (c, salt) => {
          if (!isSame(fileKey, c, salt))
            throw keyStoreError("another key file took the place of this");
          return fileKey;
        });
        if (current === undefined) throw keyStoreError("the key file has disappeared");
        const keys = change(current.keys);
        await replace(file, sealKeyFile(keys, fileKey, randomBytes(32)), assertHeld);
        return keys;
      }),
    () => fileKey.master.fill(0),
  );
}

interface Opened {
  readonly keys: readonly StoredKey[];
  readonly fileKey: FileKey;
}

async function load(
  file: string,
  unlock: (cost: PassphraseCost, salt: Uint8Array) => FileKey,
): Promise<Opened | undefined> {
  let bytes: Uint8Array;
  try {
    if ((await stat(file)).size > MAX_KEY_FILE_BYTES) throw keyStoreError("not a key file");
    bytes = await readFile(file);
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    if (codeOf(cause) === "ERR_SIGNATURE_KEYSTORE") throw cause;
    throw keyStoreError("the key file cannot be read", cause);
  }
  return openKeyFile(new Uint8Array(bytes), unlock);
}

function isSame(known: FileKey, cost: PassphraseCost, salt: Uint8Array): boolean {
  return (
    known.cost.N === cost.N &&
    known.cost.r === cost.r &&
    known.cost.p === cost.p &&
    equalBytes(known.salt, salt)
  );
}

// A crash leaves the old file or the new one, never a part of either.
async function replace(
  file: string,
  bytes: Uint8Array,
  assertHeld: () => Promise<void>,
): Promise<void> {
  const temporary = `${file}.${toHex(randomBytes(8))}.tmp`;
  try {
    const handle = await open(temporary, "wx", 0o600);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await assertHeld();
    await rename(temporary, file);
    await syncDirectory(dirname(file));
  } catch (cause) {
    await unlink(temporary).catch(() => {});
    if (codeOf(cause) === "ERR_SIGNATURE_KEYSTORE") throw cause;
    throw keyStoreError("the key file cannot be written", cause);
  }
}

async function syncDirectory(path: string): Promise<void> {
  // Windows opens no directories; there the rename itself is journalled.
  if (process.platform === "win32") return;
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function withLock<Result>(
  file: string,
  timeoutMs: number,
  work: (assertHeld: () => Promise<void>) => Promise<Result>,
): Promise<Result> {
  const lock = `${file}.lock`;
  const token = `${process.pid} ${hostname()} ${toHex(randomBytes(8))}\n`;
  const giveUpAt = performance.now() + timeoutMs;
  while (!(await takeLock(lock, token))) {
    if (performance.now() > giveUpAt) {
      throw keyStoreError(
        "the key file is locked by another process; see the .lock file beside it",
      );
    }
    if (!(await breakDeadLock(lock))) await sleep(5 + (randomBytes(1)[0]! % 20));
  }
  try {
    return await work(async () => {
      if ((await readToken(lock)) !== token) throw keyStoreError("the key file's lock was lost");
    });
  } finally {
    if ((await readToken(lock)) === token) await unlink(lock).catch(() => {});
  }
}

async function takeLock(lock: string, token: string): Promise<boolean> {
  try {
    const handle = await open(lock, "wx", 0o600);
    try {
      await handle.writeFile(token);
    } finally {
      await handle.close();
    }
    return true;
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") return false;
    throw keyStoreError("the key file cannot be locked", cause);
  }
}

// Removes the lock of a process of this machine that is gone. It is moved aside first, so that of
// several waiters only one removes it, and put back should it be another's by then.
async function breakDeadLock(lock: string): Promise<boolean> {
  const token = await readToken(lock);
  if (token === undefined) return true;
  const [pid, host] = token.trim().split(" ");
  if (host !== hostname() || !/^[0-9]{1,10}$/.test(pid ?? "") || isAlive(Number(pid))) return false;
  const aside = `${lock}.${toHex(randomBytes(8))}`;
  try {
    await rename(lock, aside);
  } catch {
    return true;
  }
  if ((await readToken(aside)) !== token) await rename(aside, lock).catch(() => {});
  else await unlink(aside).catch(() => {});
  return true;
}

async function readToken(lock: string): Promise<string | undefined> {
  try {
    return await readFile(lock, "utf8");
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return codeOf(cause) !== "ESRCH";
  }
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}

function passphraseBytes(passphrase: string | Uint8Array): Uint8Array {
  const bytes =
    typeof passphrase === "string" ? utf8ToBytes(passphrase.normalize("NFC")) : passphrase.slice();
  if (bytes.length === 0) throw new RangeError("the passphrase is empty");
  return bytes;
}
