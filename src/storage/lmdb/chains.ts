import { equalBytes } from "../../bytes/compare.ts";
import { concatBytes } from "../../bytes/concat.ts";
import { sha256 } from "#crypto";
import { AppendConflict } from "../errors.ts";
import { chainNameBytes, EMPTY_HEAD, sameHead } from "../guards.ts";
import type { Head } from "../types.ts";
import type { Environment } from "./environment.ts";
import { readUint64, uint64 } from "./keys.ts";

const LAST = /* @__PURE__ */ new Uint8Array(8).fill(255);

/** The first 16 bytes of SHA-256 of a chain's name. */
export function chainKey(chain: string): Uint8Array {
  return sha256(chainNameBytes(chain)).slice(0, 16);
}

/** The key of a record: the chain's, and the index in 8 bytes. */
export function recordKey(chain: Uint8Array, index: number): Uint8Array {
  return concatBytes(chain, uint64(index));
}

/**
 * Where a chain ends.
 *
 * @param durable - whether what is read is durable, so that its hash may be remembered
 */
export function headOf({ chains, heads }: Environment, chain: Uint8Array, durable = false): Head {
  const range = { start: concatBytes(chain, LAST), end: chain, reverse: true, limit: 1 };
  for (const { key, value } of chains.getRange(range)) {
    const size = readUint64(key, 16) + 1;
    const name = String.fromCharCode(...chain);
    const known = heads.get(name);
    if (known?.size === size) return known;
    const head = { size, hash: sha256(value) };
    if (durable) heads.set(name, head);
    return head;
  }
  return EMPTY_HEAD;
}

/** An append whose arguments were checked and copied. */
export interface Append {
  readonly key: Uint8Array;
  readonly name: Uint8Array;
  readonly expected: Head;
  readonly records: readonly Uint8Array[];
}

/**
 * Appends in the caller's write transaction.
 *
 * @throws {AppendConflict} when the chain ends elsewhere and this is no exact replay
 */
export function appendTo(
  environment: Environment,
  { key, name, expected, records }: Append,
): { head: Head; replayed: boolean } {
  const { chains, names } = environment;
  const head = headOf(environment, key);
  if (!sameHead(head, expected)) {
    if (!isReplay(environment, key, expected, records)) throw new AppendConflict(head);
    return {
      head: { size: expected.size + records.length, hash: sha256(records.at(-1)!) },
      replayed: true,
    };
  }
  if (head.size === 0) names.put(key, name);
  records.forEach((record, i) => chains.put(recordKey(key, head.size + i), record));
  return {
    head: { size: head.size + records.length, hash: sha256(records.at(-1)!) },
    replayed: false,
  };
}

function isReplay(
  { chains }: Environment,
  key: Uint8Array,
  expected: Head,
  records: readonly Uint8Array[],
): boolean {
  if (expected.hash !== null) {
    const before = chains.get(recordKey(key, expected.size - 1));
    if (before === undefined || !equalBytes(sha256(before), expected.hash)) return false;
  }
  return records.every((record, i) => {
    const stored = chains.get(recordKey(key, expected.size + i));
    return stored !== undefined && equalBytes(stored, record);
  });
}
