import { assertBytes, assertUint } from "../bytes/guards.ts";
import { compareBytes, equalBytes } from "../bytes/compare.ts";
import { bytesToUtf8, utf8ToBytes } from "../bytes/utf8.ts";
import { anyCidFromBytes, type CID } from "../codec/cid.ts";
import { InputError, StorageError } from "../errors.ts";
import {
  MAX_CHAIN_NAME_BYTES,
  MAX_STATE_KEY_BYTES,
  type Commit,
  type Head,
  type ScanOptions,
  type StateChange,
  type StorageCaps,
} from "./types.ts";

/** The head of an empty chain. */
export const EMPTY_HEAD: Head = { size: 0, hash: null };

/**
 * Whether two heads have the same size and hash.
 *
 * @example
 * const head = await storage.chains.head("log");
 * if (!sameHead(head, stored)) console.warn("the chain has grown, or is another one");
 */
export function sameHead(a: Head, b: Head): boolean {
  if (a.size !== b.size) return false;
  if (a.hash === null || b.hash === null) return a.hash === b.hash;
  return equalBytes(a.hash, b.hash);
}

/**
 * Checks the name of a chain: 1 to 256 bytes of well-formed Unicode.
 *
 * @returns its UTF-8
 * @throws {TypeError} when it is not a string
 * @throws {RangeError} when it is empty, too long or holds a lone surrogate
 * @example
 * const key = chainNameBytes("log");
 * chainNameOf(key); // "log"
 */
export function chainNameBytes(chain: unknown): Uint8Array {
  if (typeof chain !== "string") throw new TypeError("chain must be a string");
  const bytes = utf8ToBytes(chain);
  if (bytes.length < 1 || bytes.length > MAX_CHAIN_NAME_BYTES || /\p{Surrogate}/u.test(chain)) {
    throw new RangeError(`chain must be 1 to ${MAX_CHAIN_NAME_BYTES} bytes of Unicode`);
  }
  return bytes;
}

/**
 * Decodes a stored name of a chain, keeping every character, including a byte order mark, which
 * most decoders drop.
 *
 * @param bytes - UTF-8
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when it is not a valid name
 * @example
 * const name = chainNameOf(chainNameBytes("log")); // "log"
 */
export function chainNameOf(bytes: Uint8Array): string {
  try {
    const name = bytesToUtf8(bytes);
    chainNameBytes(name);
    return name;
  } catch (cause) {
    throw new StorageError("ERR_STORAGE_CORRUPT", "the name of a chain is damaged", { cause });
  }
}

/** Checks the shape of a head that a caller expects. */
export function assertHead(head: Head): void {
  if (typeof head !== "object" || head === null) throw new TypeError("expected must be a head");
  assertUint(head.size, "expected.size");
  if (head.size === 0) {
    if (head.hash !== null) throw new TypeError("expected.hash must be null for an empty chain");
  } else {
    assertBytes(head.hash, "expected.hash", 32);
  }
}

/**
 * Checks a key of a state store.
 *
 * @example
 * assertStateKey(key); // from here on, key is a Uint8Array
 */
export function assertStateKey(key: unknown, name = "key"): asserts key is Uint8Array {
  assertBytes(key, name);
  if (key.length < 1 || key.length > MAX_STATE_KEY_BYTES) {
    throw new RangeError(`${name} must be 1 to ${MAX_STATE_KEY_BYTES} bytes`);
  }
}

/** Largest codec in the name of a blob: stores keep it in 31 bits. */
const MAX_CODEC = 0x7fffffff;

/**
 * Checks that a blob store accepts a CID, and returns its bytes.
 *
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when it is not version 1 with SHA-256, or its codec
 *   has more than 31 bits
 * @example
 * const name = blobCidBytes(cid);
 * storedCid(name).equals(cid); // true
 */
export function blobCidBytes(cid: CID): Uint8Array {
  if (
    typeof cid !== "object" ||
    cid === null ||
    !(cid.bytes instanceof Uint8Array) ||
    typeof cid.multihash !== "object"
  ) {
    throw new TypeError("cid must be a CID");
  }
  if (cid.version !== 1 || cid.multihash.code !== 0x12 || cid.multihash.digest.length !== 32) {
    throw new InputError("ERR_INPUT_UNSUPPORTED", "the CID of a blob must be CIDv1 with SHA-256");
  }
  if (!(cid.code <= MAX_CODEC)) {
    throw new InputError(
      "ERR_INPUT_UNSUPPORTED",
      "the codec of a blob's CID must have at most 31 bits",
    );
  }
  return cid.bytes;
}

/**
 * Makes a blob's CID from its stored codec and digest; copies the digest.
 *
 * @param codec - any, of up to 31 bits
 * @param digest - 32 bytes
 * @example
 * const cid = blobCid(RAW, digest);
 */
export function blobCid(codec: number, digest: Uint8Array): CID {
  const start = [1];
  let rest = codec;
  for (; rest >= 0x80; rest >>>= 7) start.push((rest & 0x7f) | 0x80);
  start.push(rest, 0x12, digest.length);
  const bytes = new Uint8Array(start.length + digest.length);
  bytes.set(start);
  bytes.set(digest, start.length);
  return anyCidFromBytes(bytes);
}

/**
 * Decodes a stored CID of a blob.
 *
 * @param bytes - of a CID; copied
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when it is not the CID of a blob
 * @example
 * const cid = storedCid(blobCidBytes(blobCid(RAW, digest)));
 */
export function storedCid(bytes: Uint8Array): CID {
  try {
    const cid = anyCidFromBytes(copyBytes(bytes));
    blobCidBytes(cid);
    return cid;
  } catch (cause) {
    throw new StorageError("ERR_STORAGE_CORRUPT", "the name of a blob is damaged", { cause });
  }
}

/**
 * Makes a check that listed keys rise, each once. A damaged index may repeat itself, and paging by
 * the last key would then never end.
 *
 * @returns a function to call with each key in turn; throws if a key does not follow the one before
 * @example
 * const check = risingKeys();
 * for await (const { key } of storage.state.scan(options)) check(key);
 */
export function risingKeys(reverse = false): (key: Uint8Array) => void {
  let last: Uint8Array | undefined;
  return (key) => {
    const order = last === undefined ? 1 : compareBytes(key, last);
    if (reverse ? last !== undefined && order >= 0 : order <= 0) throw disordered();
    last = key;
  };
}

/**
 * The error for a list that repeats itself or is out of order.
 *
 * @example
 * if (listed.length !== new Set(listed).size) throw disordered();
 */
export function disordered(): StorageError {
  return new StorageError("ERR_STORAGE_CORRUPT", "a list is not in the order of its keys");
}

/**
 * Checks everything in a commit: types, ranges and the adapter's limits.
 *
 * @throws {StorageError} `ERR_STORAGE_LIMIT` beyond `maxBatch` or `maxAppendBytes`
 * @example
 * checkCommit(batch, caps); // before anything is written
 */
export function checkCommit(batch: Commit, caps: StorageCaps): void {
  let items = 0;
  let bytes = 0;
  const { append, blobs, state } = batch;
  if (append !== undefined) {
    chainNameBytes(append.chain);
    assertHead(append.expected);
    if (!Array.isArray(append.records)) throw new TypeError("records must be an array");
    if (append.records.length === 0) throw new RangeError("records must not be empty");
    items += append.records.length;
    for (const record of append.records) {
      assertBytes(record, "record");
      if (record.length === 0) throw new RangeError("a record must not be empty");
      bytes += record.length;
    }
  }
  if (blobs !== undefined) {
    items += blobs.length;
    for (const blob of blobs) {
      blobCidBytes(blob.cid);
      assertBytes(blob.bytes, "blob.bytes");
      bytes += blob.bytes.length;
    }
  }
  if (state !== undefined) {
    items += state.length;
    for (const { key, value } of state) {
      assertStateKey(key);
      bytes += key.length;
      if (value !== null) {
        assertBytes(value, "value");
        bytes += value.length;
      }
    }
  }
  if (items > caps.maxBatch) {
    throw new StorageError(
      "ERR_STORAGE_LIMIT",
      `${items} items in a batch, but the limit is ${caps.maxBatch}`,
    );
  }
  if (bytes > caps.maxAppendBytes) {
    throw new StorageError(
      "ERR_STORAGE_LIMIT",
      `${bytes} bytes in a batch, but the limit is ${caps.maxAppendBytes}`,
    );
  }
}

/**
 * Checks the options of a read and fills in the limit.
 *
 * @example
 * const { from, limit } = checkRead({ from: 0 });
 */
export function checkRead(options: { readonly from: number; readonly limit?: number }): {
  from: number;
  limit: number;
} {
  assertUint(options.from, "from");
  const limit = options.limit ?? Number.MAX_SAFE_INTEGER;
  assertUint(limit, "limit");
  return { from: options.from, limit };
}

/**
 * Checks the options of a scan and fills in the defaults.
 *
 * @example
 * const { reverse, limit } = checkScan(options);
 */
export function checkScan(options: ScanOptions): Required<ScanOptions> {
  const { gte, lt, limit = Number.MAX_SAFE_INTEGER, reverse = false } = options;
  assertBytes(gte, "gte");
  assertBytes(lt, "lt");
  if (Math.max(gte.length, lt.length) > MAX_STATE_KEY_BYTES) {
    throw new RangeError(`gte and lt must be at most ${MAX_STATE_KEY_BYTES} bytes`);
  }
  assertUint(limit, "limit");
  return { gte: copyBytes(gte), lt: copyBytes(lt), limit, reverse };
}

/**
 * Copies the bounds of a scan at the call, since an iterator runs only when its first item is asked
 * for. Invalid bounds are reported then.
 *
 * @example
 * const bounds = copyScan(options); // at the call, not when the first item is asked for
 */
export function copyScan(options: ScanOptions): ScanOptions {
  if (typeof options !== "object" || options === null) return options;
  const copied = (bytes: Uint8Array): Uint8Array =>
    bytes instanceof Uint8Array ? copyBytes(bytes) : bytes;
  return { ...options, gte: copied(options.gte), lt: copied(options.lt) };
}

/**
 * Copies bytes into a plain `Uint8Array`; `slice()` of a `Buffer` would give a view.
 *
 * @example
 * const kept = copyBytes(record); // the caller may change record from now on
 */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/**
 * Copies a head, including its hash.
 *
 * @example
 * const head = copyHead(stored); // the caller may change it
 */
export function copyHead({ size, hash }: Head): Head {
  return { size, hash: hash && copyBytes(hash) };
}

/**
 * Copies a change of one key.
 *
 * @example
 * const changes = (batch.state ?? []).map(copyChange);
 */
export function copyChange({ key, value }: StateChange): StateChange {
  return { key: copyBytes(key), value: value && copyBytes(value) };
}

/**
 * Copies byte arrays into one allocation, of which each copy is a view: many small arrays cost more
 * to allocate and collect than to copy. For arrays that are released together.
 */
export function copyTogether(parts: readonly Uint8Array[]): Uint8Array[] {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  return parts.map((part) => {
    all.set(part, end);
    return all.subarray(end, (end += part.length));
  });
}

/**
 * The error of every call after `close()`.
 *
 * @example
 * if (closed) throw closedError();
 */
export function closedError(): StorageError {
  return new StorageError("ERR_STORAGE_CLOSED", "the store is closed");
}
