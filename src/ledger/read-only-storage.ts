import { compareBytes } from "../bytes/compare.ts";
import { fromHex, toHex } from "../bytes/hex.ts";
import { StorageError } from "../errors.ts";
import type { StateEntry, StateStore } from "../storage/types.ts";
import type { LedgerStorage } from "./storage.ts";

/**
 * A storage that is never written to. Derived state is kept in memory instead while it is open; every other
 * write rejects.
 */
export function readOnlyStorage(beneath: LedgerStorage): LedgerStorage {
  const { chains, blobs } = beneath;
  const refuse = async (): Promise<never> => {
    throw new StorageError("ERR_STORAGE_FAILED", "this storage was opened read-only");
  };
  return {
    chains: {
      caps: chains.caps,
      head: (chain) => chains.head(chain),
      append: refuse,
      read: (chain, options) => chains.read(chain, options),
      ...(chains.tail && { tail: chains.tail.bind(chains) }),
      list: () => chains.list(),
      close: () => chains.close(),
    },
    blobs: {
      caps: blobs.caps,
      put: refuse,
      get: (cid) => blobs.get(cid),
      getMany: (cids) => blobs.getMany(cids),
      has: (cid) => blobs.has(cid),
      delete: refuse,
      list: () => blobs.list(),
      count: () => blobs.count(),
      close: () => blobs.close(),
    },
    state: overlay(beneath.state),
    commit: refuse,
    close: () => beneath.close(),
    [Symbol.asyncDispose]: () => beneath[Symbol.asyncDispose](),
  };
}

function overlay(beneath: StateStore): StateStore {
  /** By key in hexadecimal, which sorts like the keys. */
  const changed = new Map<string, Uint8Array | null>();

  /** Changed keys in the range, in order. */
  function changedWithin(gte: Uint8Array, lt: Uint8Array): string[] {
    const [from, to] = [toHex(gte), toHex(lt)];
    return [...changed.keys()].filter((key) => key >= from && key < to).sort();
  }

  async function* merged(gte: Uint8Array, lt: Uint8Array, reverse: boolean) {
    const own = changedWithin(gte, lt);
    if (reverse) own.reverse();
    let next = 0;
    const isBefore = (key: string, other: string) => (reverse ? key > other : key < other);
    function* ownBefore(other?: string): Iterable<StateEntry> {
      while (next < own.length && (other === undefined || isBefore(own[next]!, other))) {
        const key = own[next++]!;
        const value = changed.get(key);
        if (value != null) yield { key: fromHex(key), value: value.slice() };
      }
    }
    for await (const entry of beneath.scan({ gte, lt, reverse })) {
      const key = toHex(entry.key);
      yield* ownBefore(key);
      if (!changed.has(key)) yield entry;
    }
    yield* ownBefore();
  }

  return {
    caps: beneath.caps,
    async get(key) {
      const own = changed.get(toHex(key));
      return own === undefined ? beneath.get(key) : (own?.slice() ?? undefined);
    },
    async getMany(keys) {
      const found = await beneath.getMany(keys);
      return keys.map((key, i) => {
        const own = changed.get(toHex(key));
        return own === undefined ? found[i] : (own?.slice() ?? undefined);
      });
    },
    async batch(changes) {
      for (const { key, value } of changes) changed.set(toHex(key), value?.slice() ?? null);
    },
    async *scan({ gte, lt, limit = Infinity, reverse = false }) {
      if (limit <= 0 || compareBytes(gte, lt) >= 0) return;
      let left = limit;
      for await (const entry of merged(gte, lt, reverse)) {
        yield entry;
        if (--left <= 0) return;
      }
    },
    close: () => beneath.close(),
  };
}
