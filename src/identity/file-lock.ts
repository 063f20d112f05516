import { fsync } from "node:fs";
import { open, readFile, rename, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { randomBytes } from "#crypto";
import { toHex } from "../bytes/hex.ts";

/** Makes the error to throw; `cause` is what the platform said. */
export type FileFailure = (message: string, cause?: unknown) => Error;

/** What a change of a locked file does. */
export interface LockedFile {
  /**
   * Puts new bytes in the file's place, durably. A crash leaves the old file or the new one, never
   * a part of either.
   */
  replace(bytes: Uint8Array): Promise<void>;
}

/**
 * Changes a file while no other process does that uses the same lock. The lock of a process of
 * this machine that is gone is taken over.
 *
 * @param file - beside it `<file>.lock` appears meanwhile
 * @param timeoutMs - how long to wait for another process
 * @param name - what the file is called in messages: "the key file"
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
  while (!(await takeLock(lock, token, (cause) => fail(`${name} cannot be locked`, cause)))) {
    if (performance.now() > giveUpAt) {
      throw fail(`${name} is locked by another process; see the .lock file beside it`);
    }
    if (!(await breakDeadLock(lock))) await sleep(5 + (randomBytes(1)[0]! % 20));
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
        throw fail(`${name} cannot be written`, cause);
      }
      if (lost) throw fail(`${name}'s lock was lost`);
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

/** Flushes an open file or folder. Not by `FileHandle.sync`, which file systems of package managers lack. */
export function syncFile({ fd }: { readonly fd: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    fsync(fd, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

async function replaceFile(
  file: string,
  bytes: Uint8Array,
  mayReplace: () => Promise<boolean>,
): Promise<void> {
  const temporary = `${file}.${toHex(randomBytes(8))}.tmp`;
  try {
    const handle = await open(temporary, "wx", 0o600);
    try {
      await handle.writeFile(bytes);
      await syncFile(handle);
    } finally {
      await handle.close();
    }
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
  // Windows opens no directories; there the rename itself is journalled.
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
