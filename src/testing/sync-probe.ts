/** The system calls that {@link syncsOfTrace} needs, as `strace -e` takes them. */
export const SYNC_CALLS: string =
  "trace=" +
  [
    "open openat creat mkdir mkdirat link linkat symlink symlinkat",
    "rename renameat renameat2 unlink unlinkat rmdir mmap",
    "write writev pwrite64 pwritev pwritev2 ftruncate truncate fallocate",
    "copy_file_range sendfile fsync fdatasync msync sync syncfs",
  ]
    .join(" ")
    // Not every machine has all of them.
    .replaceAll(/\w+/g, "?$&")
    .replaceAll(" ", ",");

export interface SyncTrace {
  /** The output of `strace -f -y`, with at least the calls {@link SYNC_CALLS}. */
  readonly text: string;
  /**
   * The location of the store, if other files are written too: a path prefix of all its files and
   * folders.
   */
  readonly store?: string;
  /** Files that may be lost with the power: locks, and files that are rebuilt from others. */
  transient?(path: string): boolean;
}

export interface SyncMarks {
  /** A part of the line that is written after each acknowledged call. */
  readonly acknowledged: string;
  /**
   * A part of a line that is written before each; without it, every write since the last
   * acknowledgement counts.
   */
  readonly begin?: string;
  /** Whether the store is new: a file that is opened with `O_CREAT` is then a new one. */
  readonly fresh?: boolean;
}

/** The durability of a store when it acknowledged a call. */
export interface Acknowledgement {
  /** Number of syncs of its files that began after the call did. */
  readonly syncs: number;
  /**
   * Written files, and folders with a new name, without a completed sync that began after the
   * write.
   */
  readonly unsynced: readonly string[];
}

interface Call {
  readonly name: string;
  readonly args: string;
  /** The working directory of its process, as far as known. */
  readonly from: string | undefined;
  /** When it began: the number of its line. */
  readonly began: number;
}

const SYNCS = /^(f(data)?sync|msync|sync|syncfs)$/;
const WRITES = /^(p?writev?(64|2)?|ftruncate|truncate|fallocate|copy_file_range|sendfile)$/;
const DESCRIPTOR = /(\d+)<([^>]*)>(\(deleted\))?/g;

/**
 * Reads an strace of a process that writes a line after every acknowledged write, and tells what
 * was synced before each. A test that only reads data back cannot notice a sync that is missing,
 * too early or of another file.
 *
 * A file is synced by an `fsync`, `fdatasync` or `msync(MS_SYNC)` that began after the last write
 * to it and returned without error, or by being written with `O_SYNC` or `O_DSYNC`. A folder with a
 * new or renamed file or folder is synced by an `fsync` of it. `sync_file_range` does not count: it
 * does not cover the disk's cache or the file's size. Writes to memory that is shared with a file
 * are not seen, only whether there is some sync.
 * @example
 * const found = syncsOfTrace({ text, store: "/tmp/store" }, { acknowledged: "acknowledged" });
 * const early = found.filter(({ unsynced }) => unsynced.length > 0);
 */
export function syncsOfTrace(
  { text, store, transient = () => false }: SyncTrace,
  { acknowledged, begin, fresh = false }: SyncMarks,
): Acknowledgement[] {
  const found: Acknowledgement[] = [];
  /** Files and folders that are not synced, each with the time of its last change. */
  const dirty = new Map<string, number>();
  const known = new Set<string>();
  /** Descriptors whose writes are synchronous. */
  const synchronous = new Set<string>();
  const mapped: { from: bigint; to: bigint; path: string }[] = [];
  const under = new Map<string, Call>();
  const folders = new Map<string, string>();
  let [syncs, since] = [0, 0];

  const counts = (path: string): boolean =>
    path.startsWith("/") &&
    !/^\/(dev|proc|sys)\//.test(path) &&
    (store === undefined || path.startsWith(store) || store.startsWith(`${path}/`)) &&
    !transient(path);

  function change(path: string, at: number): void {
    if (counts(path)) dirty.set(path, at);
  }

  /** A name is new: so is the content of its folder. */
  function enter(path: string, at: number): void {
    known.add(path);
    if (counts(path)) dirty.set(folderOf(path), at);
  }

  function forget(path: string): void {
    dirty.delete(path);
    known.delete(path);
  }

  function synced(began: number, path?: string): void {
    if (path !== undefined && !counts(path) && !dirty.has(path)) return;
    for (const [each, at] of [...dirty]) {
      if ((path === undefined || each === path) && at < began) dirty.delete(each);
    }
    if (began > since) syncs++;
  }

  function move(from: string, to: string, at: number): void {
    forget(to);
    for (const [path, time] of [...dirty]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      dirty.delete(path);
      dirty.set(to + path.slice(from.length), time);
    }
    for (const path of [...known]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      known.delete(path);
      known.add(to + path.slice(from.length));
    }
    enter(to, at);
  }

  /** The descriptor that a call writes to: its last one if it has two, in the order of Linux. */
  function written({ name, args, from }: Call): { path: string; file: string } | undefined {
    if (name === "truncate") return { path: pathsIn(args, from)[0] ?? "", file: "" };
    const all = [...args.matchAll(DESCRIPTOR)];
    const one = name === "copy_file_range" ? all[1] : all[0];
    if (!one || one[3] !== undefined || one[2]!.endsWith(" (deleted)")) return undefined;
    return { path: one[2]!, file: one[1]! };
  }

  function started(call: Call, at: number): void {
    const { name, args } = call;
    if (!WRITES.test(name)) return;
    if (/^writev?$/.test(name) && args.includes(acknowledged)) {
      found.push({ syncs, unsynced: [...dirty.keys()] });
      [syncs, since] = [0, at];
    } else if (begin !== undefined && /^writev?$/.test(name) && args.includes(begin)) {
      [syncs, since] = [0, at];
    }
  }

  function ended(call: Call, result: string, at: number): void {
    const { name, args, began } = call;
    if (!/^(\d|0x)/.test(result)) return;
    if (SYNCS.test(name)) {
      if (name === "sync" || name === "syncfs") return synced(began);
      if (name !== "msync") return synced(began, written(call)?.path ?? "");
      const place = BigInt(/0x[0-9a-f]+/.exec(args)?.[0] ?? 0);
      const map = mapped.findLast(({ from, to }) => place >= from && place < to);
      if (map && /\bMS_SYNC\b/.test(args)) synced(began, map.path);
    } else if (WRITES.test(name)) {
      const target = written(call);
      // The content of a truncated file has been copied elsewhere by then, or is written again.
      if (/^f?truncate$/.test(name) && /, 0\)?$/.test(args)) return;
      if (!target || !counts(target.path)) return;
      const { path, file } = target;
      if (!synchronous.has(file) && !/\bRWF_D?SYNC\b/.test(args)) return change(path, at);
      if (dirty.get(path) === began) dirty.delete(path);
      if (began > since) syncs++;
    } else if (/^(open|openat|creat)$/.test(name)) {
      const [, file, path] = /^(\d+)<(.*?)>/.exec(result) ?? [];
      if (file === undefined || path === undefined) return;
      if (/\bO_D?SYNC\b/.test(args)) synchronous.add(file);
      else synchronous.delete(file);
      const creates = name === "creat" || /\bO_CREAT\b/.test(args);
      if (creates && !known.has(path) && (fresh || /\bO_EXCL\b/.test(args))) enter(path, at);
      if (name === "creat" || /\bO_TRUNC\b/.test(args)) change(path, at);
    } else if (name === "mmap") {
      const [, path] = /\d+<([^>]*)>/.exec(args) ?? [];
      if (path === undefined || !args.includes("MAP_SHARED")) return;
      const from = BigInt(result.split(" ")[0]!);
      mapped.push({ from, to: from + BigInt(/, (\d+),/.exec(args)?.[1] ?? 0), path });
    } else {
      const [one = "", two = ""] = pathsIn(args, call.from);
      if (name.startsWith("rename")) move(one, two, at);
      else if (name.startsWith("unlink") || name === "rmdir") forget(one);
      else enter(name.startsWith("mkdir") ? one : two, at);
    }
  }

  text.split("\n").forEach((line, at) => {
    const [, thread, rest] = /^(?:\[pid +)?(\d+)\]? +(.*)$/.exec(line) ?? [];
    if (thread === undefined || rest === undefined) return;
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest);
    const before = resumed ? under.get(thread) : undefined;
    if (resumed && !before) return;
    under.delete(thread);
    const whole = before ? `${before.name}(${before.args}${resumed![1]}` : rest;
    const [, name, args] = /^(\w+)\((.*)$/.exec(whole.replace(/ *<unfinished \.\.\.>$/, "")) ?? [];
    if (name === undefined || args === undefined) return;
    const [, folder] = /\bAT_FDCWD<([^>]*)>/.exec(args) ?? [];
    if (folder !== undefined) folders.set(thread, folder);
    const call: Call = { name, args, from: folders.get(thread), began: before?.began ?? at };
    if (!resumed) started(call, at);
    if (whole.endsWith("<unfinished ...>")) {
      under.set(thread, call);
      const target = WRITES.test(name) ? written(call) : undefined;
      // A sync that begins during a write does not sync it.
      if (target && !(synchronous.has(target.file) && dirty.has(target.path))) {
        change(target.path, at);
      }
      return;
    }
    const end = args.lastIndexOf(" = ");
    if (end >= 0) ended({ ...call, args: args.slice(0, end) }, args.slice(end + 3), at);
  });
  return found;
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf("/")));
}

/** The absolute paths in a call; those without a descriptor are relative to `from`. */
function pathsIn(args: string, from = ""): string[] {
  return [...args.matchAll(/(?:<([^>]*)>, )?"((?:[^"\\]|\\.)*)"/g)].map(([, folder, path]) =>
    path!.startsWith("/") ? path! : `${folder ?? from}/${path!}`,
  );
}
