import { StorageError } from "../../errors.ts";
import type { Compaction } from "../types.ts";
import { sqlState } from "./errors.ts";
import type { Query, Session } from "./session.ts";
import { numberOf } from "./wire.ts";

const TABLES = ["chain", "record", "blob", "state"];
const TRIES = 50;
const PAUSE = 200;

/**
 * Rewrites every table and index with only the visible rows. Locks each table exclusively
 * meanwhile. The session's settings are changed, so the session must not be reused.
 *
 * @throws {StorageError} `ERR_STORAGE_FAILED` if an open transaction still needs deleted rows, or
 *   the role does not own the tables
 */
export async function compactTables(
  { query, promise }: Session,
  schema: string,
): Promise<Compaction> {
  const [own] = await query(
    "SELECT pg_catalog.pg_has_role(relowner, 'usage') FROM pg_catalog.pg_class WHERE oid = $1::regclass",
    [`${schema}.blob`],
  );
  // VACUUM would only warn. From version 17 on the privilege MAINTAIN also suffices.
  if (own?.[0] !== "t" && promise.version < 170_000) {
    throw new StorageError("ERR_STORAGE_FAILED", "not compacted: the role does not own the tables");
  }
  for (const name of ["statement_timeout", "lock_timeout"]) await query(`SET ${name} = 0`);
  await query("SET default_transaction_read_only = off");
  await query("SET default_transaction_isolation = 'read committed'");
  const before = await bytesOnDisk(query, schema);
  await waitForReaders(query, schema);
  for (const table of TABLES) await query(`VACUUM (FULL) ${schema}.${table}`);
  // Until then the old files still exist, empty but for what the file system keeps of them.
  await query("CHECKPOINT").catch((error: unknown) => {
    if (sqlState(error) !== "42501") throw error;
  });
  return { before, after: await bytesOnDisk(query, schema) };
}

/**
 * VACUUM FULL also copies deleted rows while an open transaction may still see them, and does not
 * report it. A row just deleted from a table of its own reveals this.
 */
async function waitForReaders(query: Query, schema: string): Promise<void> {
  await query(`INSERT INTO ${schema}.probe VALUES (1)`);
  await query(`DELETE FROM ${schema}.probe`);
  for (let left = TRIES; left > 0; left--) {
    await query(`VACUUM (FULL) ${schema}.probe`);
    const [size] = await query("SELECT pg_relation_size($1::regclass)", [`${schema}.probe`]);
    if (numberOf(size?.[0]) === 0) return;
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  throw new StorageError(
    "ERR_STORAGE_FAILED",
    "not compacted: an open transaction, a replication slot or a standby's query keeps deleted rows",
  );
}

async function bytesOnDisk(query: Query, schema: string): Promise<number> {
  // Not as literals: with standard_conforming_strings off, a backslash would end the literal.
  const names = TABLES.map((_, i) => `pg_total_relation_size($${i + 1}::regclass)`);
  const [row] = await query(
    `SELECT ${names.join(" + ")}`,
    TABLES.map((table) => `${schema}.${table}`),
  );
  return numberOf(row?.[0]);
}
