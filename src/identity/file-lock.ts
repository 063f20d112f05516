import { fsync } from "node:fs";
import { open, readFile, rename, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { randomBytes } from "#crypto";
import { toHex } from "../bytes/hex.ts";

/** Makes the error to throw; `cause` is the platform's error. */
export type FileFailure = (message: string, cause?: unknown) => Error;

/** A locked file. */
export interface LockedFile {
  /**
   * Replaces the file's bytes durably. A crash leaves the old file or the new one, never a part of
   * either.
   */
  replace(bytes: Uint8Array): Promise<void>;
}

/**
 * Milliseconds after which a lock that names nobody is taken over. A living process writes its name at
 * once, and one that is held up for longer notices before it replaces the file.
 */
const UNSIGNED_MS = 1000;

/**
 * Changes a file while no other process that uses the same lock changes it. The lock left by a dead
 * process of this machine is taken over, and one that stays without a name: its process died, or the
 * machine lost power, before the name was written.
 *
 * @param file - `<file>.lock` exists beside it during the change
 * @param timeoutMs - how long to wait for another process
 * @param name - name of the file in messages, such as "the key file"
 */
export async function withLockedFile<Result>(
  file: string,
  timeoutMs: number,
  { name, fail }: { readonly name: string; readonly fail: FileFailure },
  work: (locked: LockedFile) => Promise<Result>,
): Promise<Result> {
  const lock = `${file}.lock`;
  const token = `${process.pid} ${hostname()} ${toHex(randomBytes(8))}\n`;
  const giveUpAt = performance.now() + timeoutMs;
  let unsignedSince: number | undefined;
  while (!(await takeLock(lock, token, (cause) => fail(`${name} could not be locked`, cause)))) {
    const now = performance.now();
    if (now > giveUpAt) {
      throw fail(`${name} is locked by another process; see the .lock file beside it`);
    }
    const found = await readToken(lock);
    unsignedSince = found === undefined || isWhole(found) ? undefined : (unsignedSince ?? now);
    const isAbandoned = unsignedSince !== undefined && now - unsignedSince >= UNSIGNED_MS;
    if (!(await breakDeadLock(lock, isAbandoned))) await sleep(5 + (randomBytes(1)[0]! % 20));
  }
  const locked: LockedFile = {
    async replace(bytes) {
      const isHeld = async (): Promise<boolean> => (await readToken(lock)) === token;
      let lost = false;
      try {
        await replaceFile(file, bytes, async () => {
          lost = !(await isHeld());
          return !lost;
        });
      } catch (cause) {
        throw fail(`${name} could not be written`, cause);
      }
      if (lost) throw fail(`the lock of ${name} was lost`);
    },
  };
  try {
    return await work(locked);
  } finally {
    if ((await readToken(lock)) === token) await unlink(lock).catch(() => {});
  }
}

/** The `code` of a platform's error. */
export function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}

/**
 * Flushes an open file or folder. Does not use `FileHandle.sync`, which the patched file systems of
 * package managers lack.
 */
export function syncFile({ fd }: { readonly fd: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    fsync(fd, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

/** Writes a file that only its owner can read, and syncs it. */
export async function writeSynced(
  path: string,
  flags: "w" | "wx",
  bytes: Uint8Array,
): Promise<void> {
  const file = await open(path, flags, 0o600);
  try {
    await file.writeFile(bytes);
    await syncFile(file);
  } finally {
    await file.close();
  }
}

async function replaceFile(
  file: string,
  bytes: Uint8Array,
  mayReplace: () => Promise<boolean>,
): Promise<void> {
  const temporary = `${file}.${toHex(randomBytes(8))}.tmp`;
  try {
    await writeSynced(temporary, "wx", bytes);
    if (!(await mayReplace())) {
      await unlink(temporary);
      return;
    }
    await rename(temporary, file);
    await syncDirectory(dirname(file));
  } catch (cause) {
    await unlink(temporary).catch(() => {});
    throw cause;
  }
}

async function syncDirectory(path: string): Promise<void> {
  // Windows does not open directories; there the rename itself is journalled.
  if (process.platform === "win32") return;
  const handle = await open(path, "r");
  try {
    await syncFile(handle);
  } finally {
    await handle.close();
  }
}

async function takeLock(
  lock: string,
  token: string,
  failed: (cause: unknown) => Error,
): Promise<boolean> {
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
    throw failed(cause);
  }
}

/** Whether a lock says whose it is: the token's end is written last. */
const isWhole = (token: string): boolean => token.endsWith("\n");

function isOfDeadProcess(token: string): boolean {
  const [pid, host] = token.trim().split(" ");
  return host === hostname() && /^[0-9]{1,10}$/.test(pid ?? "") && !isAlive(Number(pid));
}

// Removes the lock of a dead process of this machine, or one that is abandoned. The lock is first moved aside, so that only
// one of several waiters removes it, and is put back if it belongs to another process by then.
async function breakDeadLock(lock: string, isAbandoned: boolean): Promise<boolean> {
  const token = await readToken(lock);
  if (token === undefined) return true;
  if (!(isWhole(token) ? isOfDeadProcess(token) : isAbandoned)) return false;
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
