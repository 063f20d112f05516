import { InputError, StorageError } from "../../errors.ts";
import { numberOf } from "./wire.ts";
import type { Session } from "./session.ts";

/** Quotes the name of a schema, which need not be a plain identifier. */
export function quoted(schema: unknown): string {
  if (typeof schema !== "string") throw new TypeError("schema must be a string");
  const { length } = new TextEncoder().encode(schema);
  // PostgreSQL would truncate a longer name and use another schema.
  if (length < 1 || length > 63 || schema.includes("\0") || schema.startsWith("pg_")) {
    throw new RangeError("schema must be 1 to 63 bytes, without NUL, and not begin with pg_");
  }
  return `"${schema.replaceAll('"', '""')}"`;
}

/** Steps from one version of the schema to the next; the first one makes version 1. */
export type Migrations = readonly ((schema: string) => string)[];

/**
 * Content columns have no statistics: ANALYZE would keep samples of their bytes where no compaction
 * removes them. They are not compressed: ciphertext does not shrink.
 */
const VERSION_1 = (schema: string): string => `
  CREATE TABLE ${schema}.format (version integer NOT NULL);
  COMMENT ON TABLE ${schema}.format IS 'Version of this schema; one row.';

  CREATE TABLE ${schema}.chain (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name bytea NOT NULL UNIQUE,
    size bigint NOT NULL,
    hash bytea NOT NULL
  ) WITH (fillfactor = 50);
  COMMENT ON TABLE ${schema}.chain IS 'Where each chain ends.';
  COMMENT ON COLUMN ${schema}.chain.name IS 'UTF-8; text could not hold every name.';
  COMMENT ON COLUMN ${schema}.chain.hash IS 'SHA-256 of the last record.';

  CREATE TABLE ${schema}.record (
    chain integer NOT NULL,
    index bigint NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (chain, index)
  );
  COMMENT ON TABLE ${schema}.record IS 'The records of all chains, each numbered from 0.';
  ALTER TABLE ${schema}.record ALTER bytes SET STORAGE EXTERNAL, ALTER bytes SET STATISTICS 0;

  CREATE TABLE ${schema}.blob (cid bytea PRIMARY KEY, bytes bytea NOT NULL);
  COMMENT ON TABLE ${schema}.blob IS 'Values by CID, in its binary form.';
  ALTER TABLE ${schema}.blob ALTER bytes SET STORAGE EXTERNAL,
    ALTER bytes SET STATISTICS 0, ALTER cid SET STATISTICS 0;

  CREATE TABLE ${schema}.state (key bytea PRIMARY KEY, value bytea NOT NULL);
  COMMENT ON TABLE ${schema}.state IS 'Ordered keys and values.';
  ALTER TABLE ${schema}.state ALTER value SET STORAGE EXTERNAL,
    ALTER value SET STATISTICS 0, ALTER key SET STATISTICS 0;

  CREATE TABLE ${schema}.probe (id integer);
  COMMENT ON TABLE ${schema}.probe IS
    'Empty. A row comes and goes before compaction, to see whether deleted rows can be removed.';

  CREATE VIEW ${schema}.overview AS
    SELECT encode(name, 'escape') AS name, size, encode(hash, 'hex') AS hash FROM ${schema}.chain;
  COMMENT ON VIEW ${schema}.overview IS 'Chains, for people.';

  CREATE FUNCTION ${schema}.apply_batch(
    chain_name bytea, expected_size bigint, expected_hash bytea, records bytea[], new_hash bytea,
    channel text, cids bytea[], blobs bytea[], keys bytea[], vals bytea[],
    OUT outcome text, OUT head_size bigint, OUT head_hash bytea
  ) LANGUAGE plpgsql AS ${delimiter(schema)}
  #variable_conflict use_variable
  DECLARE
    chain_id integer;
    appended bigint := cardinality(records);
  BEGIN
    outcome := 'written';
    IF appended > 0 THEN
      IF expected_size = 0 THEN
        INSERT INTO ${schema}.chain AS c (name, size, hash)
          VALUES (chain_name, appended, new_hash)
          ON CONFLICT (name) DO NOTHING RETURNING c.id INTO chain_id;
      ELSE
        UPDATE ${schema}.chain AS c SET size = expected_size + appended, hash = new_hash
          WHERE c.name = chain_name AND c.size = expected_size AND c.hash = expected_hash
          RETURNING c.id INTO chain_id;
      END IF;
      IF chain_id IS NULL THEN
        SELECT c.id, c.size, c.hash INTO chain_id, head_size, head_hash
          FROM ${schema}.chain AS c WHERE c.name = chain_name;
        IF head_size >= expected_size + appended
          AND (expected_size = 0 OR EXISTS (
            SELECT FROM ${schema}.record AS r WHERE r.chain = chain_id
              AND r.index = expected_size - 1 AND sha256(r.bytes) = expected_hash))
          AND NOT EXISTS (
            SELECT FROM unnest(records) WITH ORDINALITY AS given (bytes, n)
              LEFT JOIN ${schema}.record AS r
                ON r.chain = chain_id AND r.index = expected_size + given.n - 1
              WHERE r.bytes IS DISTINCT FROM given.bytes)
        THEN outcome := 'replayed'; ELSE outcome := 'conflict'; END IF;
        RETURN;
      END IF;
      INSERT INTO ${schema}.record (chain, index, bytes)
        SELECT chain_id, expected_size + given.n - 1, given.bytes
        FROM unnest(records) WITH ORDINALITY AS given (bytes, n);
      PERFORM pg_notify(channel, encode(sha256(chain_name), 'hex'));
    END IF;
    IF chain_name IS NULL THEN
      -- COMMIT of what finds all as it is to be waits for nothing, though another's wait may not be over.
      PERFORM pg_logical_emit_message(true, 'healthledger', '');
    END IF;
    -- In order of the keys, so that two batches do not wait for each other.
    IF cardinality(cids) > 0 THEN
      INSERT INTO ${schema}.blob (cid, bytes)
        SELECT given.cid, given.bytes FROM unnest(cids, blobs) AS given (cid, bytes)
        ORDER BY given.cid ON CONFLICT (cid) DO NOTHING;
    END IF;
    IF cardinality(keys) > 0 THEN
      INSERT INTO ${schema}.state AS s (key, value)
        SELECT given.key, given.value FROM unnest(keys, vals) AS given (key, value)
        WHERE given.value IS NOT NULL
        ORDER BY given.key
        ON CONFLICT (key) DO UPDATE SET value = excluded.value
          WHERE s.value IS DISTINCT FROM excluded.value;
      DELETE FROM ${schema}.state AS s USING unnest(keys, vals) AS given (key, value)
        WHERE s.key = given.key AND given.value IS NULL;
    END IF;
  END ${delimiter(schema)};
`;

/** The beginning and end of a function's text, in which the schema's name occurs. */
function delimiter(schema: string): string {
  let tag = "body";
  while (schema.includes(`$${tag}`)) tag += "y";
  return `$${tag}$`;
}

/** Every version of the schema so far. */
export const MIGRATIONS: Migrations = [VERSION_1];

/**
 * Brings the schema to the version that this adapter knows. Changes nothing if it is already there,
 * so that a role without the right to make tables can open a schema that another role made.
 *
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` if a newer version of the adapter made it
 * @throws {StorageError} `ERR_STORAGE_FAILED` if the role may not make it, or its tables are not
 *   written to the log
 */
export async function prepareSchema(
  session: Session,
  name: string,
  migrations: Migrations = MIGRATIONS,
): Promise<void> {
  const schema = quoted(name);
  const version = await versionOf(session, name);
  if (version > migrations.length) throw tooNew(version, migrations.length);
  if (version < migrations.length) {
    await session.transaction({ durable: true }, async (query) => {
      // A second process waits here and then finds everything done.
      await query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [
        `healthledger ${name}`,
      ]);
      const now = await versionOf(session, name);
      if (now > migrations.length) throw tooNew(now, migrations.length);
      if (now === 0) {
        const found = await query("SELECT 1 FROM pg_namespace WHERE nspname = $1", [name]);
        if (found.length === 0) await query(`CREATE SCHEMA ${schema}`);
      }
      for (const step of migrations.slice(now)) await query(step(schema));
      if (now === 0) await query(`INSERT INTO ${schema}.format VALUES (${migrations.length})`);
      else if (now < migrations.length) {
        await query(`UPDATE ${schema}.format SET version = ${migrations.length}`);
      }
    });
  }
  const unlogged = await session.query(
    `SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relpersistence <> 'p'`,
    [name],
  );
  if (unlogged.length > 0) {
    throw new StorageError(
      "ERR_STORAGE_FAILED",
      "a table of the schema is UNLOGGED: a crash would empty it",
    );
  }
}

/** Queries the catalogue's tables: `to_regclass` may answer from a cache filled before a lock. */
async function versionOf({ query }: Session, name: string): Promise<number> {
  const there = await query(
    `SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = 'format'`,
    [name],
  );
  if (there.length === 0) return 0;
  const [row] = await query(`SELECT version FROM ${quoted(name)}.format`);
  return numberOf(row?.[0]);
}

function tooNew(found: number, known: number): InputError {
  return new InputError(
    "ERR_INPUT_UNSUPPORTED",
    `the schema has version ${found}, but this healthledger only knows ${known}: update it`,
  );
}
