import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { mkdir, open } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { codeOf, withLockedFile } from "./file-lock.ts";
import { memoryError, sameValue, type SignedHeads } from "./signed-heads.ts";

/** Options of {@link fileSignedHeads}. */
export interface FileSignedHeadsOptions {
  /** Milliseconds to wait while another process writes. Default 10,000. */
  readonly lockTimeout?: number;
}

/** Longest file accepted, in bytes. */
const MAX_BYTES = 1_048_576;

const FILE_SIGNED_HEADS_OPTIONS: OptionsOf<FileSignedHeadsOptions> = { lockTimeout: true };

/**
 * Makes a memory of signed heads in a file, for keys in an HSM or a KMS that one machine uses. Each
 * value is written to a new file, flushed, and put in place atomically; several processes of the
 * machine may share it. Keep the file out of the storage's backups: restored together with the
 * storage, it knows no more than the storage does.
 *
 * @param path - the file, created on the first write; `<path>.lock` exists beside it during a
 *   change
 * @throws {ChainError} `ERR_CHAIN_MEMORY`, by its calls, when the file cannot be read or written
 * @example
 * const signedHeads = fileSignedHeads("/var/lib/ehr/signed-heads");
 * const hl = await openLedger({ storage, keys, genesis, signedHeads });
 */
export function fileSignedHeads(path: string, options: FileSignedHeadsOptions = {}): SignedHeads {
  assertOptions(options, FILE_SIGNED_HEADS_OPTIONS, "fileSignedHeads");
  const file = resolve(path);
  const { lockTimeout = 10_000 } = options;
  const names = { name: "the file of signed heads", fail: memoryError };
  return {
    read: () => readWhole(file),
    async keep(expected, next) {
      await mkdir(dirname(file), { recursive: true }).catch((cause: unknown) => {
        throw memoryError("the folder of the file of signed heads could not be created", cause);
      });
      return withLockedFile(file, lockTimeout, names, async ({ replace }) => {
        if (!sameValue(await readWhole(file), expected)) return false;
        await replace(next);
        return true;
      });
    },
  };
}

async function readWhole(file: string): Promise<Uint8Array | undefined> {
  try {
    const handle = await open(file, "r");
    try {
      const { size } = await handle.stat();
      if (size > MAX_BYTES) throw memoryError("the file of signed heads is too long");
      return new Uint8Array(await handle.readFile());
    } finally {
      await handle.close();
    }
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    if (codeOf(cause) === "ERR_CHAIN_MEMORY") throw cause;
    throw memoryError("the file of signed heads could not be read", cause);
  }
}
