import { equalBytes } from "../../bytes/compare.ts";
import { utf8ToBytes } from "../../bytes/utf8.ts";
import { sha256 } from "#crypto";
import { StorageError } from "../../errors.ts";
import { AppendConflict } from "../errors.ts";
import { chainNameOf, EMPTY_HEAD, sameHead } from "../guards.ts";
import type { ChainRecord, Head } from "../types.ts";
import { bytesIn, prepare, uintIn, type Row, type SqliteDatabase } from "./client.ts";

/** An append with checked and copied arguments. */
export interface Append {
  readonly chain: string;
  readonly expected: Head;
  readonly records: readonly Uint8Array[];
}

/** The chains of a store. Synchronous; the caller must hold a transaction for writes. */
export interface Chains {
  head(chain: string): Head;
  /**
   * Writes the records, unless they are present already.
   *
   * @returns whether they were present already
   * @throws {AppendConflict} before anything is written
   */
  append(append: Append): "appended" | "replayed";
  /** Caches the durable end of a chain, so that its hash need not be computed again. */
  remember(chain: string, head: Head): void;
  /** At most `limit` records from `from` on, in order and without gaps. */
  page(chain: string, from: number, limit: number): ChainRecord[];
  names(): string[];
  /**
   * @throws {StorageError} `ERR_STORAGE_CORRUPT` when records have no chain, or a chain no records
   */
  assertOwned(): void;
}

/** Most heads whose hash is cached. */
const MOST_HEADS = 1000;

/** Prepares the statements on chains. */
export function sqliteChains(database: SqliteDatabase): Chains {
  // Names are bound as bytes: not every client passes text with a NUL unchanged.
  const idOf = prepare(database, "SELECT id FROM hl_chains WHERE name = CAST(? AS TEXT)");
  const addName = prepare(database, "INSERT INTO hl_chains (name) VALUES (CAST(? AS TEXT))");
  const allNames = prepare(database, "SELECT CAST(name AS BLOB) AS name FROM hl_chains");
  const newest = prepare(
    database,
    "SELECT position FROM hl_records WHERE chain = ? ORDER BY position DESC LIMIT 1",
  );
  const recordAt = prepare(
    database,
    "SELECT record FROM hl_records WHERE chain = ? AND position = ?",
  );
  const range = prepare(
    database,
    "SELECT position, record FROM hl_records WHERE chain = ? AND position >= ?" +
      " ORDER BY position LIMIT ?",
  );
  const add = prepare(
    database,
    "INSERT INTO hl_records (chain, position, record) VALUES (?, ?, ?)",
  );
  // Jumps by the index from one chain's records to the next one's, however many each has.
  const strays = prepare(
    database,
    `WITH RECURSIVE owner (id) AS (
       SELECT min(chain) FROM hl_records
       UNION ALL
       SELECT (SELECT min(chain) FROM hl_records WHERE chain > owner.id)
       FROM owner WHERE owner.id IS NOT NULL
     )
     SELECT (SELECT count(*) FROM owner WHERE id IS NOT NULL AND id NOT IN (SELECT id FROM hl_chains))
       + (SELECT count(*) FROM hl_chains WHERE id NOT IN (SELECT id FROM owner WHERE id IS NOT NULL))
       AS strays`,
  );
  /** Hashes of newest records by chain; a chain of a given size has only one. */
  const heads = new Map<string, Head>();

  function remember(chain: string, head: Head): void {
    if (heads.size >= MOST_HEADS) heads.clear();
    heads.set(chain, head);
  }

  function find(chain: string): number | undefined {
    const row = idOf.get(utf8ToBytes(chain));
    return row === undefined ? undefined : uintIn(row, "id");
  }

  function record(id: number, position: number): Uint8Array | undefined {
    const row = recordAt.get(id, position) ?? undefined;
    return row && bytesIn(row, "record");
  }

  function headOf(chain: string, id: number | undefined): Head {
    const row = id === undefined ? undefined : newest.get(id);
    if (id === undefined) return EMPTY_HEAD;
    // A name is added with its first records.
    if (row === undefined) throw missing(0);
    const size = uintIn(row, "position") + 1;
    const known = heads.get(chain);
    if (known?.size === size) return known;
    const last = record(id, size - 1);
    if (last === undefined) throw missing(size - 1);
    return { size, hash: sha256(last) };
  }

  function isReplay(id: number | undefined, { expected, records }: Append): boolean {
    if (id === undefined) return false;
    const { size, hash } = expected;
    if (hash !== null) {
      const before = record(id, size - 1);
      if (before === undefined || !equalBytes(sha256(before), hash)) return false;
    }
    return records.every((bytes, i) => {
      const stored = record(id, size + i);
      return stored !== undefined && equalBytes(stored, bytes);
    });
  }

  return {
    head(chain) {
      const head = headOf(chain, find(chain));
      // Outside a transaction everything visible is durable.
      if (head.size > 0) remember(chain, head);
      return head;
    },
    remember,
    append(append) {
      const { chain, expected, records } = append;
      const id = find(chain);
      const head = headOf(chain, id);
      if (!sameHead(head, expected)) {
        if (isReplay(id, append)) return "replayed";
        throw new AppendConflict({ size: head.size, hash: head.hash && new Uint8Array(head.hash) });
      }
      if (id === undefined) addName.run(utf8ToBytes(chain));
      const to = id ?? find(chain)!;
      records.forEach((bytes, i) => add.run(to, head.size + i, bytes));
      return "appended";
    },
    page(chain, from, limit) {
      const id = find(chain);
      if (id === undefined) return [];
      return range.all(id, from, limit).map((row, i) => {
        if (uintIn(row, "position") !== from + i) throw missing(from + i);
        return { index: from + i, record: bytesIn(row, "record") };
      });
    },
    names: () => allNames.all().map((row) => chainNameOf(bytesIn(row, "name"))),
    assertOwned() {
      const row = strays.get() as Row | undefined;
      if (Number(row?.["strays"]) !== 0) throw strayRecordsError();
    },
  };
}

function strayRecordsError(): StorageError {
  return new StorageError("ERR_STORAGE_CORRUPT", "there are records that belong to no chain");
}

/** The error for a gap in a chain. */
export function missing(position: number): StorageError {
  return new StorageError("ERR_STORAGE_CORRUPT", `the chain lacks record ${position}`);
}
