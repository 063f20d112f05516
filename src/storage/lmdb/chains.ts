import { equalBytes } from "../../bytes/compare.ts";
import { concatBytes } from "../../bytes/concat.ts";
import { sha256 } from "#crypto";
import { bytesToUtf8 } from "../../bytes/utf8.ts";
import { AppendConflict } from "../errors.ts";
import { chainNameBytes, EMPTY_HEAD, sameHead } from "../guards.ts";
import type { Head } from "../types.ts";
import { putBehind } from "./client.ts";
import type { Environment } from "./environment.ts";
import { corrupt } from "./errors.ts";
import { readUint64, uint64 } from "./keys.ts";

const LAST = /* @__PURE__ */ new Uint8Array(8).fill(255);

/** The first 16 bytes of SHA-256 of a chain's name. */
export function chainKey(chain: string): Uint8Array {
  return sha256(chainNameBytes(chain)).slice(0, 16);
}

/**
 * Decodes the name under a chain's key.
 *
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when it is the name of another chain
 */
export function chainOf(key: Uint8Array, name: Uint8Array): string {
  if (!equalBytes(sha256(name).subarray(0, 16), key)) {
    throw corrupt("the name of a chain is damaged");
  }
  return bytesToUtf8(name);
}

/** The key of a record: the chain's, and the index in 8 bytes. */
export function recordKey(chain: Uint8Array, index: number): Uint8Array {
  return concatBytes(chain, uint64(index));
}

/**
 * The end of a chain.
 *
 * @param durable - whether the data read is durable, so that its hash may be cached
 */
export function headOf({ chains, heads }: Environment, chain: Uint8Array, durable = false): Head {
  const range = { start: concatBytes(chain, LAST), end: chain, reverse: true, limit: 1 };
  for (const { key, value } of chains.getRange(range)) {
    const size = key.length === 24 ? readUint64(key, 16) + 1 : 0;
    if (!equalBytes(key.subarray(0, 16), chain) || !(size > 0 && size < Number.MAX_SAFE_INTEGER)) {
      throw corrupt("the records of the chains are out of order");
    }
    const name = String.fromCharCode(...chain);
    const known = heads.get(name);
    if (known?.size === size) return known;
    const head = { size, hash: sha256(value) };
    if (durable) heads.set(name, head);
    return head;
  }
  return EMPTY_HEAD;
}

/** An append with checked and copied arguments. */
export interface Append {
  readonly key: Uint8Array;
  readonly name: Uint8Array;
  readonly expected: Head;
  readonly records: readonly Uint8Array[];
}

/**
 * Compares the head that an append expects with the chain, in a write transaction.
 *
 * @returns whether the records are present already
 * @throws {AppendConflict} when the chain ends elsewhere and this is not an exact replay
 */
export function checkAppend(environment: Environment, append: Append): "fresh" | "replayed" {
  const head = headOf(environment, append.key);
  if (sameHead(head, append.expected)) return "fresh";
  if (isReplay(environment, append)) return "replayed";
  throw new AppendConflict({ size: head.size, hash: head.hash && new Uint8Array(head.hash) });
}

/** Writes the records of an append that {@link checkAppend} found fresh, in the same transaction. */
export function putRecords({ chains, names }: Environment, append: Append): void {
  const { key, name, expected, records } = append;
  if (expected.size === 0) names.putSync(key, name);
  // LMDB copies keys, so one buffer serves for all.
  const place = recordKey(key, expected.size);
  let behind = true;
  records.forEach((record, i) => {
    place.set(uint64(expected.size + i), key.length);
    // If one record has another chain after it, so have all records of this append.
    if (behind) behind = putBehind(chains, place, record);
    else chains.putSync(place, record);
  });
}

/** The head right after the records of an append. */
export function headAfter({ expected, records }: Append): Head {
  return { size: expected.size + records.length, hash: sha256(records.at(-1)!) };
}

function isReplay({ chains }: Environment, { key, expected, records }: Append): boolean {
  if (expected.hash !== null) {
    const before = chains.get(recordKey(key, expected.size - 1));
    if (before === undefined || !equalBytes(sha256(before), expected.hash)) return false;
  }
  return records.every((record, i) => {
    const stored = chains.get(recordKey(key, expected.size + i));
    return stored !== undefined && equalBytes(stored, record);
  });
}
