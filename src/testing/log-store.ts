import { createHash } from "node:crypto";
import { closeSync, constants, openSync } from "node:fs";
import { open as openFile, type FileHandle } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { CID } from "../codec/cid.ts";
import { StorageError } from "../errors.ts";
import { blobCidBytes, checkCommit, closedError, copyBytes, sameHead } from "../storage/guards.ts";
import { memoryStorage } from "../storage/memory.ts";
import type { Commit, FullStorage, Head, StorageCaps } from "../storage/types.ts";
import type { StorageLimits } from "./storage-subject.ts";

/** The faults of a {@link logStorage}; none when empty. */
export interface LogFlaws {
  /** No lock: processes compare and write concurrently. */
  readonly unlocked?: boolean;
  /**
   * Faults of syncing. There are `none`; each comes `before` the write, in the `middle` of it or
   * `late`, after the acknowledgement; it syncs `another` file; only `appends`, or only the first
   * write (`once`), are synced; the `folder` of a new file is not synced.
   */
  readonly sync?: "none" | "before" | "middle" | "late" | "another" | "appends" | "once" | "folder";
  /** Writes are acknowledged before they are made. */
  readonly early?: boolean;
  /** A commit is written in three steps. */
  readonly torn?: boolean;
  /** An incomplete frame of a killed process is not cut off before the next write. */
  readonly uncut?: boolean;
  /** Files stay open: one more per `handle`, or per `read` that is left early. */
  readonly leaks?: "handle" | "read";
  /** A write to a full disk counts as successful. */
  readonly hidesFull?: boolean;
}

interface Change extends Commit {
  readonly deleted?: readonly CID[];
}

const HEADER = 36;

/**
 * A store in one file that several processes may open. Each change is a frame, `length (4) ‖
 * SHA-256 (32) ‖ JSON`, synced before it is applied in memory. It is small and slow, and locks on
 * Linux only. It exists to be broken by {@link LogFlaws}, so that the kit's process cases can be
 * seen to fail.
 *
 * @param path - of the file
 * @example
 * // acknowledges before it has written: the kit must notice
 * const flawed = await logStorage("/tmp/store", { early: true });
 * await flawed.close();
 */
export async function logStorage(
  path: string,
  flaws: LogFlaws = {},
  limits: StorageLimits = {},
): Promise<FullStorage> {
  const memory = memoryStorage(limits);
  const caps: StorageCaps = { ...memory.chains.caps, durability: "power", multiProcess: true };
  const file = await openFile(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  if (flaws.sync !== "folder") await syncFolder(dirname(path));
  const other = flaws.sync === "another" ? await openFile(`${path}.other`, "a", 0o600) : undefined;
  if (other) await syncFolder(dirname(path));
  const { blobs, chains, state } = memory;
  let synced = 0;
  let offset = 0;
  const sound = flaws.sync === undefined || flaws.sync === "folder";
  let closing: Promise<void> | undefined;
  let last: Promise<unknown> = Promise.resolve();

  /** Runs one thing after another. */
  function turn<T>(action: () => Promise<T>): Promise<T> {
    if (closing) return Promise.reject(closedError());
    const result = last.then(action);
    last = result.catch(() => {});
    return result;
  }

  /** Loads later frames, once they are durable. */
  async function catchUp(): Promise<void> {
    const { size } = await file.stat();
    if (size <= offset) return;
    const bytes = Buffer.alloc(size - offset);
    await file.read(bytes, 0, bytes.length, offset);
    const found = [...framesIn(bytes)];
    if (found.length > 0 && sound) await file.datasync();
    for (const { change, end } of found) {
      await apply(change);
      offset += end;
    }
  }

  async function apply({ deleted, ...commit }: Change): Promise<void> {
    if (deleted) return blobs.delete(deleted);
    // Without a lock two processes may have appended at one position; the second append is dropped.
    await memory.commit(commit).catch(() => {});
  }

  /** Syncs, or does what the fault demands instead. */
  async function sync(moment: "before" | "middle" | "after", append: boolean): Promise<void> {
    const flaw = flaws.sync;
    if (flaw === "before" || flaw === "middle") {
      if (flaw === moment) await file.datasync();
    } else if (moment !== "after" || flaw === "none") return;
    else if (flaw === "late") void pause(20).then(() => file.datasync().catch(() => {}));
    else if (flaw === "another") await other!.write("x").then(() => other!.datasync());
    else if (sound || (flaw === "appends" && append) || (flaw === "once" && synced === 0)) {
      await file.datasync();
      synced++;
    }
  }

  async function write(parts: readonly Uint8Array[], append: boolean): Promise<void> {
    for (const part of parts) {
      const { size } = await file.stat();
      if (size > offset && !flaws.uncut && !flaws.unlocked) await file.truncate(offset);
      const at = flaws.uncut || flaws.unlocked ? size : offset;
      const half = part.length >> 1;
      try {
        await sync("before", append);
        await writeAll(file, part.subarray(0, half), at);
        await sync("middle", append);
        // So that a kill in the middle is not rare.
        if (flaws.uncut) await pause(2);
        await writeAll(file, part.subarray(half), at + half);
        await sync("after", append);
      } catch (cause) {
        if (flaws.hidesFull) return;
        await file.truncate(at);
        throw new StorageError("ERR_STORAGE_FAILED", "the file cannot be written", { cause });
      }
      await catchUp();
      if (parts.length > 1) await pause(3);
    }
  }

  function change(what: Change, signal?: AbortSignal): Promise<Head | undefined> {
    if (closing) return Promise.reject(closedError());
    const parts = frames(what, flaws.torn ?? false);
    // From the frame: the caller may change its own arguments.
    const copies = parts.flatMap((part) => [...framesIn(part)]);
    const append = copies.find(({ change: copy }) => copy.append)?.change.append;
    const held = (): Promise<Head | undefined> =>
      locked(path, flaws.unlocked ?? false, async () => {
        signal?.throwIfAborted();
        await catchUp();
        // So that the other process is often between comparing and writing, too.
        if (flaws.unlocked) await pause(3);
        const head = append && (await chains.head(append.chain));
        if (head && !sameHead(head, append.expected)) return memory.commit({ append });
        await write(parts, append !== undefined);
        return append && chains.head(append.chain);
      });
    if (!flaws.early || append) return turn(held);
    void pause(10)
      .then(() => turn(held))
      .catch(() => {});
    return Promise.resolve(undefined);
  }

  function fresh<T>(action: () => T | Promise<T>): Promise<T> {
    return turn(async () => {
      await catchUp();
      return action();
    });
  }

  async function* freshly<T>(source: () => AsyncIterable<T>): AsyncGenerator<T> {
    await fresh(() => {});
    const opened = flaws.leaks === "read" ? openSync(path, "r") : undefined;
    for await (const item of source()) {
      if (closing) throw closedError();
      yield item;
    }
    if (opened !== undefined) closeSync(opened);
  }

  async function commit(
    batch: Commit,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<Head | undefined> {
    if (closing) throw closedError();
    checkCommit(batch, caps);
    signal?.throwIfAborted();
    return change(batch, signal);
  }

  function close(): Promise<void> {
    if (flaws.leaks === "handle") openSync(path, "r");
    closing ??= last.then(() => Promise.all([file.close(), other?.close()])).then(() => {});
    return closing;
  }

  return {
    chains: {
      caps,
      head: (chain) => fresh(() => chains.head(chain)),
      append: async (chain, expected, records, options) =>
        (await commit({ append: { chain, expected, records } }, options))!,
      read(chain, { ...options }) {
        return freshly(() => chains.read(chain, options));
      },
      async *tail(chain, { from, signal }) {
        if (closing) throw closedError();
        for (let next = from; !closing; await pause(5)) {
          signal?.throwIfAborted();
          for await (const item of freshly(() => chains.read(chain, { from: next }))) {
            next++;
            yield item;
          }
        }
      },
      list: () => freshly(() => chains.list()),
      close,
    },
    blobs: {
      caps,
      put: async (list) => void (await commit({ blobs: list })),
      async get(cid) {
        const copy = copyCid(cid);
        return fresh(() => blobs.get(copy));
      },
      async getMany(cids) {
        const copies = cids.map(copyCid);
        return fresh(() => blobs.getMany(copies));
      },
      async has(cid) {
        const copy = copyCid(cid);
        return fresh(() => blobs.has(copy));
      },
      delete: async (cids) => void (await change({ deleted: [...cids] })),
      list: () => freshly(() => blobs.list()),
      count: () => fresh(() => blobs.count()),
      close,
    },
    state: {
      caps,
      get(key) {
        const copy = copyBytes(key);
        return fresh(() => state.get(copy));
      },
      getMany(keys) {
        const copies = keys.map(copyBytes);
        return fresh(() => state.getMany(copies));
      },
      batch: async (changes) => void (await commit({ state: changes })),
      scan({ ...options }) {
        const [gte, lt] = [copyBytes(options.gte), copyBytes(options.lt)];
        return freshly(() => state.scan({ ...options, gte, lt }));
      },
      close,
    },
    commit,
    compact: () =>
      turn(async () => {
        const { size } = await file.stat();
        return { before: size, after: size };
      }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

const copyCid = (cid: CID): CID => CID.decode(copyBytes(blobCidBytes(cid)));
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function syncFolder(path: string): Promise<void> {
  const folder = await openFile(path);
  await folder.sync().finally(() => folder.close());
}

/** Runs work while no other process does: an abstract socket disappears with its process. */
async function locked<T>(path: string, free: boolean, action: () => Promise<T>): Promise<T> {
  if (free) return action();
  const name = `\0healthledger-${createHash("sha256").update(path).digest("hex")}`;
  for (;;) {
    const server = createServer();
    const got = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen({ path: name }, () => resolve(true));
    });
    if (!got) {
      await pause(1);
      continue;
    }
    try {
      return await action();
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const fromBase64 = (text: string): Uint8Array => copyBytes(Buffer.from(text, "base64"));

function frames({ append, blobs, state, deleted }: Change, torn: boolean): Uint8Array[] {
  const a = append && {
    chain: append.chain,
    size: append.expected.size,
    hash: append.expected.hash && base64(append.expected.hash),
    records: append.records.map(base64),
  };
  const b = blobs?.map(({ cid, bytes }) => [String(cid), base64(bytes)]);
  const s = state?.map(({ key, value }) => [base64(key), value && base64(value)]);
  const d = deleted?.map(String);
  const whole = torn ? [{ b }, { s }, { d }, { a }] : [{ a, b, s, d }];
  // The append comes last: it decides whether there is a conflict.
  const some = whole.filter((part) => Object.values(part).some((value) => value !== undefined));
  return (some.length > 0 ? some : [{}]).map((part) => {
    const payload = Buffer.from(JSON.stringify(part));
    const frame = Buffer.alloc(HEADER + payload.length);
    frame.writeUInt32BE(payload.length);
    createHash("sha256").update(payload).digest().copy(frame, 4);
    payload.copy(frame, HEADER);
    return frame;
  });
}

/** The complete frames from the beginning on, each with its length. */
function* framesIn(bytes: Uint8Array): Iterable<{ change: Change; end: number }> {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + HEADER <= all.length;) {
    const end = HEADER + all.readUInt32BE(at);
    const payload = all.subarray(at + HEADER, at + end);
    const digest = createHash("sha256").update(payload).digest();
    if (payload.length !== end - HEADER || !digest.equals(all.subarray(at + 4, at + HEADER)))
      return;
    const { a, b, s, d } = JSON.parse(payload.toString()) as {
      a?: { chain: string; size: number; hash: string | null; records: string[] };
      b?: [string, string][];
      s?: [string, string | null][];
      d?: string[];
    };
    const change: Change = {
      ...(a && {
        append: {
          chain: a.chain,
          expected: { size: a.size, hash: a.hash === null ? null : fromBase64(a.hash) },
          records: a.records.map(fromBase64),
        },
      }),
      ...(b && {
        blobs: b.map(([cid, text]) => ({ cid: CID.parse(cid), bytes: fromBase64(text) })),
      }),
      ...(s && {
        state: s.map(([key, value]) => ({
          key: fromBase64(key),
          value: value === null ? null : fromBase64(value),
        })),
      }),
      ...(d && { deleted: d.map((cid) => CID.parse(cid)) }),
    };
    yield { change, end };
    at += end;
  }
}
