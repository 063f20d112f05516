import { open, readFile, rename, unlink, type FileHandle } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { randomBytes } from "#crypto";
import { toHex } from "../bytes/hex.ts";
import { StorageError } from "../errors.ts";
import { syncFile, writeSynced } from "./file-lock.ts";
import type { ShardKeys } from "./shard-keys.ts";

/** {@link ShardKeys} in a file, locked by this process until closed. */
export interface FileShardKeys extends ShardKeys {
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Longest file accepted, in bytes. */
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * Keeps shard keys in a file of their own, which belongs on another disk or volume than the store,
 * and out of its backups. A replaced file is overwritten with zeros before its space is freed;
 * copies that a file system or an SSD keeps of it nevertheless are out of reach.
 *
 * Only one process holds the file at a time; the lock left by a dead process of this machine is
 * taken over.
 *
 * @throws {StorageError} `ERR_STORAGE_FAILED` when another process holds the file, or it cannot be
 *   locked
 * @example
 * const shardKeys = await fileShardKeys("/mnt/other-disk/shard-keys");
 * const hl = await openLedger({ storage, keys, genesis, shardKeys });
 */
export async function fileShardKeys(path: string): Promise<FileShardKeys> {
  const lock = `${path}.lock`;
  const token = `${process.pid} ${hostname()} ${toHex(randomBytes(8))}\n`;
  await takeLock(lock, token);
  let closed = false;
  let turn: Promise<unknown> = Promise.resolve();

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (closed) return Promise.reject(new StorageError("ERR_STORAGE_CLOSED", "closed"));
    const mine = turn.then(work);
    turn = mine.catch(() => undefined);
    return mine;
  }

  async function close(): Promise<void> {
    if (closed) return;
    closed = true;
    await turn;
    if ((await readText(lock)) === token) await unlink(lock).catch(() => undefined);
  }

  return {
    load: () =>
      inTurn(async () => {
        const file = await openOrAbsent(path, "r");
        if (file === undefined) return undefined;
        try {
          const { size } = await file.stat();
          if (size > MAX_BYTES) throw failed("the file of shard keys is too long");
          return new Uint8Array(await file.readFile());
        } finally {
          await file.close();
        }
      }),
    replace: (secret) =>
      inTurn(async () => {
        if ((await readText(lock)) !== token) throw failed("the lock of the shard keys was lost");
        await replaceFile(path, secret);
      }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function replaceFile(path: string, secret: Uint8Array): Promise<void> {
  const fresh = `${path}.new`;
  // Held open: after the rename nothing else leads to the old bytes.
  const old = await openOrAbsent(path, "r+");
  try {
    await wipeFile(fresh);
    await writeSynced(fresh, "w", secret);
    await rename(fresh, path);
    await syncFolder(dirname(path));
    if (old !== undefined) await zero(old);
  } catch (cause) {
    if (cause instanceof StorageError) throw cause;
    throw failed("the shard keys could not be replaced", cause);
  } finally {
    await old?.close();
  }
}

/** Wipes and removes the unfinished replacement that a killed process left. */
async function wipeFile(path: string): Promise<void> {
  const file = await openOrAbsent(path, "r+");
  if (file === undefined) return;
  try {
    await zero(file);
  } finally {
    await file.close();
  }
}

async function zero(file: FileHandle): Promise<void> {
  const { size } = await file.stat();
  await file.write(new Uint8Array(size), 0, size, 0);
  await syncFile(file);
}

async function syncFolder(path: string): Promise<void> {
  // Windows cannot flush a directory.
  const folder = await open(path, "r").catch(() => undefined);
  try {
    if (folder !== undefined) await syncFile(folder).catch(() => undefined);
  } finally {
    await folder?.close();
  }
}

async function takeLock(lock: string, token: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      const file = await open(lock, "wx", 0o600);
      try {
        await file.writeFile(token);
      } finally {
        await file.close();
      }
      return;
    } catch (cause) {
      if (codeOf(cause) !== "EEXIST") throw failed("the shard keys could not be locked", cause);
    }
    const held = await readText(lock);
    if (held === undefined) continue;
    const [pid, host] = held.trim().split(" ");
    // The lock is being written just now, or its writer was killed in between; trying again shows
    // which.
    if (held === "" && tries < 50) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      continue;
    }
    if (held !== "" && (host !== hostname() || isAlive(Number(pid)))) break;
    // Moved aside first, so that only one of several finders removes it.
    const aside = `${lock}.${toHex(randomBytes(8))}`;
    try {
      await rename(lock, aside);
    } catch {
      continue;
    }
    if ((await readText(aside)) === held) await unlink(aside).catch(() => undefined);
    else await rename(aside, lock).catch(() => undefined);
  }
  throw failed("another process holds the shard keys; see the .lock file beside them");
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return codeOf(cause) !== "ESRCH";
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return undefined;
  }
}

async function openOrAbsent(path: string, flags: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, flags);
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    throw failed("the shard keys could not be read", cause);
  }
}

const failed = (message: string, cause?: unknown): StorageError =>
  new StorageError("ERR_STORAGE_FAILED", message, { cause });

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}
