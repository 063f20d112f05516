/**
 * A folder to publish a ledger in, for a static host to serve (Node.js).
 *
 * @module
 */
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { StorageError } from "../errors.ts";
import type { PublishTarget } from "./publish-target.ts";

export type { PublishTarget } from "./publish-target.ts";

const PATH =
  /^(?:[a-z0-9]+(?:\.[a-z0-9]+)*(?:\/[a-z0-9]+(?:\.[a-z0-9]+)*)*|state(?:\/[A-Za-z0-9][A-Za-z0-9:-]*)+)$/;

/**
 * Publishes into a folder. Only one process at a time may do so.
 *
 * @param root - made if it is not there
 * @example
 * const { size } = await publishLedger(source, folderTarget("/var/www/ledger"));
 */
export function folderTarget(root: string): PublishTarget {
  const fileOf = (path: string): string => {
    if (!PATH.test(path)) throw new RangeError("not a path of a published file");
    return join(root, path);
  };

  /** Makes a folder, and makes its name durable in the one above. */
  async function makeFolder(folder: string): Promise<void> {
    const first = await mkdir(folder, { recursive: true });
    if (first === undefined) return;
    for (let made = folder; made.length >= first.length; made = dirname(made)) {
      await syncFolder(dirname(made));
    }
  }

  return {
    put: (path, bytes) =>
      refusable(async () => {
        const file = fileOf(path);
        await makeFolder(dirname(file));
        const unfinished = `${file}.new`;
        const handle = await open(unfinished, "w");
        try {
          for await (const part of bytes) await handle.writeFile(part);
          await handle.sync();
        } finally {
          await handle.close();
        }
        await rename(unfinished, file);
        await syncFolder(dirname(file));
      }),
    get: (path, most) =>
      refusable(async () => {
        const handle = await open(fileOf(path), "r").catch(ifAbsent);
        if (handle === undefined) return undefined;
        try {
          const { size } = await handle.stat();
          if (size > most) {
            throw new StorageError("ERR_STORAGE_CORRUPT", "a published file is too long");
          }
          return new Uint8Array(await handle.readFile());
        } finally {
          await handle.close();
        }
      }),
    has: (path) =>
      refusable(async () => (await stat(fileOf(path)).catch(ifAbsent))?.isFile() === true),
    delete: (path) => refusable(() => rm(fileOf(path), { force: true })),
  };
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function ifAbsent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

/** Turns errors of the file system into those of a store; what a source of bytes throws stays as it is. */
async function refusable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code, syscall } = Object(error) as NodeJS.ErrnoException;
    if (code === undefined || syscall === undefined) throw error;
    throw new StorageError("ERR_STORAGE_FAILED", `the file system refused: ${code}`, {
      cause: error,
    });
  }
}
