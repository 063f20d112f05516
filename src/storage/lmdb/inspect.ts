import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from "node:fs";
import { endianness } from "node:os";
import { join } from "node:path";
import { StorageError } from "../../errors.ts";
import { corrupt } from "./errors.ts";
import { decodeTree, newestOf, walkTree, type Tree } from "./walk.ts";

/** How much of an environment is inspected: the roots of its trees, or all pages. */
export type InspectionDepth = "roots" | "all";

const META_BYTES = 168;
const HEADER_BYTES = 24;
const MAGIC = 0xbeefc0de;
const VERSION = 2;
const META_PAGE = 0x08;
/**
 * Flags for a fixed map address and for encryption: LMDB would honour them, and this library sets
 * none.
 */
const FOREIGN_FLAGS = 0x2001;
const TRIES = 16;

/** A meta page: the roots of an environment's two trees as of a transaction. */
interface Meta {
  readonly pageSize: number;
  /** Bytes that LMDB maps: at least up to the last page. */
  readonly mapSize: number;
  readonly lastPage: number;
  readonly transaction: number;
  readonly free: Tree;
  readonly main: Tree;
}

/**
 * Inspects an environment before LMDB opens it: LMDB maps its file and trusts it, and ends the
 * process on a truncated or foreign file. A missing file passes.
 *
 * @param path - the environment's folder
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when LMDB must not open it, `ERR_STORAGE_FAILED`
 *   when it cannot be read
 */
export function inspectEnvironment(path: string, depth: InspectionDepth): void {
  assertKind(path, "folder");
  assertKind(join(path, "lock.mdb"), "file");
  const file = join(path, "data.mdb");
  if (!assertKind(file, "file")) return;
  // 32-bit and big-endian machines have another layout, on which this is untested.
  if (endianness() !== "LE" || ["arm", "ia32", "mipsel"].includes(process.arch)) return;
  let fd: number;
  try {
    fd = openSync(file, constants.O_RDONLY);
  } catch (cause) {
    throw new StorageError("ERR_STORAGE_FAILED", "the store cannot be opened", { cause });
  }
  try {
    inspectFile(fd, depth);
  } catch (cause) {
    if (cause instanceof StorageError) throw cause;
    throw new StorageError("ERR_STORAGE_FAILED", "the store cannot be read", { cause });
  } finally {
    closeSync(fd);
  }
}

/**
 * @returns whether it exists
 * @throws {StorageError} when the path is something else, including a link: a compaction would
 *   remove the link and leave the erased data at its target
 */
function assertKind(path: string, kind: "folder" | "file"): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (kind === "folder" ? !found.isDirectory() : !found.isFile()) {
    throw corrupt(`the store has something else where a ${kind} must be`);
  }
  return true;
}

function inspectFile(fd: number, depth: InspectionDepth): void {
  // LMDB treats an empty file like a missing one, and creates an environment.
  if (fstatSync(fd).size === 0) return;
  for (let left = TRIES; ; left--) {
    const before = readMetas(fd);
    let found: unknown;
    try {
      assertSound(fd, before, depth);
      return;
    } catch (error) {
      found = error;
    }
    // Another process may be writing: a finding counts only if nothing was written meanwhile.
    if (readMetas(fd).equals(before)) throw found;
    if (left === 0) return;
  }
}

/** The bytes of both meta pages, as far as the file has them. */
function readMetas(fd: number): Buffer {
  const first = readAt(fd, 0, META_BYTES);
  const pageSize = first.length === META_BYTES ? first.readUInt32LE(HEADER_BYTES + 24) : 0;
  return Buffer.concat([first, readAt(fd, pageSize, META_BYTES)]);
}

function readAt(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const count = readSync(fd, bytes, 0, length, position);
  return bytes.subarray(0, count);
}

function assertSound(fd: number, bytes: Buffer, depth: InspectionDepth): void {
  const metas = [decodeMeta(bytes, 0), decodeMeta(bytes, 1)] as const;
  if (metas[0].pageSize !== metas[1].pageSize)
    throw corrupt("the meta pages contradict each other");
  // They are written in turn, so one is exactly one transaction older than the other.
  const [even, odd] = metas.map(({ transaction }) => transaction) as [number, number];
  const isNew = even === 0 && odd === 0;
  if (!isNew && (even % 2 !== 0 || odd % 2 !== 1 || Math.abs(even - odd) !== 1)) {
    throw corrupt("the meta pages are not of consecutive transactions");
  }
  const meta = even >= odd ? metas[0] : metas[1];
  const { size } = fstatSync(fd);
  const pages = Math.floor(size / meta.pageSize);
  // LMDB maps this size whatever the file has.
  if (meta.lastPage < 1 || (meta.lastPage + 1) * meta.pageSize > meta.mapSize) {
    throw corrupt("a meta page is damaged");
  }
  // The last pages may be missing if they were never written: then nothing may refer to them.
  const whole = pages > meta.lastPage;
  const all = depth === "all" || !whole;
  const walk = { fd, pageSize: meta.pageSize, pages: Math.min(pages, meta.lastPage + 1), all };
  // Every transaction rewrites at least one of the two roots. Otherwise this meta page claims to be
  // newer than it is, and its pages may have been reused since.
  if (!isNew && newestOf(walk, meta.free, meta.main) !== meta.transaction) {
    throw corrupt("the newest meta page refers to an older transaction");
  }
  const visited = new Map<number, number>();
  walkTree(walk, meta.free, visited, meta.transaction);
  walkTree(walk, meta.main, visited, meta.transaction);
}

function decodeMeta(bytes: Buffer, page: 0 | 1): Meta {
  const at = page * META_BYTES;
  const meta = at + HEADER_BYTES;
  if (bytes.length < at + META_BYTES) throw corrupt("the file is too short to be a store");
  const pageSize = bytes.readUInt32LE(meta + 24);
  const isPage =
    bytes.readBigUInt64LE(at) === BigInt(page) &&
    (bytes.readUInt16LE(at + 18) & META_PAGE) !== 0 &&
    bytes.readUInt32LE(meta) === MAGIC;
  if (!isPage) throw corrupt("the file is not an LMDB file, or its beginning is damaged");
  if ((bytes.readUInt32LE(meta + 4) & 0xffff) !== VERSION) {
    throw corrupt("the file is of another version of LMDB");
  }
  const isSize = pageSize >= 512 && pageSize <= 65_536 && (pageSize & (pageSize - 1)) === 0;
  if (!isSize || (bytes.readUInt16LE(meta + 28) & FOREIGN_FLAGS) !== 0) {
    throw corrupt("a meta page is damaged");
  }
  return {
    pageSize,
    mapSize: Number(bytes.readBigUInt64LE(meta + 16)),
    lastPage: Number(bytes.readBigUInt64LE(meta + 120)),
    transaction: Number(bytes.readBigUInt64LE(meta + 128)),
    free: decodeTree(bytes, meta + 24),
    main: decodeTree(bytes, meta + 72),
  };
}
