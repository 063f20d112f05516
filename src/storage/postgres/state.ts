import { assertStateKey, checkScan, copyBytes, copyScan, risingKeys } from "../guards.ts";
import type { ScanOptions, StateEntry, StateStore } from "../types.ts";
import type { SessionCalls } from "./calls.ts";
import { lookUp } from "./look-up.ts";
import { bytesOf } from "./wire.ts";

/** Entries read per query while scanning. */
const PAGE = 512;
const PAGE_BYTES = 1 << 20;

/**
 * Reads the state of a store.
 *
 * @param schema - its quoted name
 */
export function postgresState(
  calls: SessionCalls,
  schema: string,
): Pick<StateStore, "get" | "getMany" | "scan"> {
  async function getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    for (const key of keys) assertStateKey(key);
    return lookUp({ calls, schema }, "state", keys);
  }

  async function* scan(options: ScanOptions): AsyncGenerator<StateEntry> {
    calls.assertOpen();
    const { gte, lt, limit, reverse } = checkScan(options);
    let [low, high] = [gte, lt];
    const follows = risingKeys(reverse);
    for (let left = limit, first = true; left > 0; first = false) {
      const above = first || reverse ? ">=" : ">";
      const order = reverse ? "DESC" : "ASC";
      const rows = await calls.use(({ query }) =>
        query(
          `SELECT key, value FROM (
            SELECT key, value, octet_length(value) AS length,
              sum(octet_length(value)) OVER (ORDER BY key ${order}) AS upto
            FROM (
              SELECT key, value FROM ${schema}.state WHERE key ${above} $1 AND key < $2
              ORDER BY key ${order} LIMIT $3
            ) AS s
          ) AS p WHERE upto - length < ${PAGE_BYTES} ORDER BY key ${order}`,
          [low, high, Math.min(PAGE, left)],
        ),
      );
      for (const [key, value] of rows) {
        calls.assertOpen();
        const entry = { key: bytesOf(key), value: bytesOf(value) };
        follows(copyBytes(entry.key));
        if (reverse) high = copyBytes(entry.key);
        else low = copyBytes(entry.key);
        left--;
        yield entry;
      }
      if (rows.length === 0) return;
    }
  }

  return {
    async get(key) {
      return (await getMany([key]))[0];
    },
    getMany,
    scan: (range) => scan(copyScan(range)),
  };
}
