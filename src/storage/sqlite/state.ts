import { concatBytes } from "../../bytes/concat.ts";
import { equalBytes } from "../../bytes/compare.ts";
import { sha256 } from "#crypto";
import { StorageError } from "../../errors.ts";
import type { StateChange, StateEntry } from "../types.ts";
import { bytesIn, prepare, type SqliteDatabase } from "./client.ts";

/** Part of a scan: the keys between two, the first inclusive or not, the last exclusive. */
export interface StateRange {
  readonly low: Uint8Array;
  readonly high: Uint8Array;
  readonly afterLow: boolean;
  readonly reverse: boolean;
  readonly limit: number;
}

/** The state of a store. Synchronous; the caller must hold a transaction for writes. */
export interface State {
  get(key: Uint8Array): Uint8Array | undefined;
  change(change: StateChange): void;
  page(range: StateRange): StateEntry[];
}

const CHECKSUM_BYTES = 8;

/**
 * Records are chained and blobs are named by their hash, so readers notice if a disk changed them.
 * For state, only this checksum shows that.
 */
function checksum(key: Uint8Array, value: Uint8Array): Uint8Array {
  return sha256(concatBytes(Uint8Array.of(key.length >> 8, key.length), key, value)).slice(
    0,
    CHECKSUM_BYTES,
  );
}

function valueIn(row: unknown, key: Uint8Array): Uint8Array {
  const value = bytesIn(row, "value");
  if (!equalBytes(checksum(key, value), bytesIn(row, "checksum"))) {
    throw new StorageError(
      "ERR_STORAGE_CORRUPT",
      "a state entry is damaged: its checksum does not match",
    );
  }
  return value;
}

/** Prepares the statements on state. */
export function sqliteState(database: SqliteDatabase): State {
  const get = prepare(database, "SELECT value, checksum FROM hl_state WHERE key = ?");
  const put = prepare(
    database,
    "INSERT INTO hl_state (key, value, checksum) VALUES (?, ?, ?) ON CONFLICT (key)" +
      " DO UPDATE SET value = excluded.value, checksum = excluded.checksum",
  );
  const remove = prepare(database, "DELETE FROM hl_state WHERE key = ?");
  const select = (low: string, order: string): string =>
    `SELECT key, value, checksum FROM hl_state WHERE key ${low} ? AND key < ?` +
    ` ORDER BY key ${order} LIMIT ?`;
  const from = prepare(database, select(">=", "ASC"));
  const after = prepare(database, select(">", "ASC"));
  const down = prepare(database, select(">=", "DESC"));
  return {
    get(key) {
      const row = get.get(key) ?? undefined;
      return row && valueIn(row, key);
    },
    change({ key, value }) {
      if (value === null) remove.run(key);
      else put.run(key, value, checksum(key, value));
    },
    page({ low, high, afterLow, reverse, limit }) {
      const statement = reverse ? down : afterLow ? after : from;
      return statement.all(low, high, limit).map((row) => {
        const key = bytesIn(row, "key");
        return { key, value: valueIn(row, key) };
      });
    },
  };
}
