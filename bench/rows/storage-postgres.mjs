// @ts-check
import { postgresStorage } from "../lib/healthledger.mjs";
import { makeBlobs } from "../lib/ledger.mjs";
import { rates } from "../lib/measure.mjs";
import { bin, startServer } from "../lib/postgres.mjs";
import { storageRows } from "../lib/storage.mjs";

/**
 * PostgreSQL as one would use it by hand: a table of records by number, one of values by hash, one
 * INSERT from an array a call, values as `pg` reads them.
 *
 * @param {import("pg").Pool} pool
 * @returns {Promise<import("../lib/storage.mjs").Bare>}
 */
async function barePostgres(pool) {
  await pool.query("CREATE TABLE record (index bigint PRIMARY KEY, bytes bytea NOT NULL)");
  await pool.query("CREATE TABLE value (hash bytea PRIMARY KEY, bytes bytea NOT NULL)");
  let next = 0;
  return {
    async append(records) {
      await pool.query(
        "INSERT INTO record SELECT $1::bigint + n - 1, b FROM unnest($2::bytea[]) WITH ORDINALITY AS u (b, n)",
        [next, records],
      );
      next += records.length;
    },
    put: (blobs) =>
      pool.query("INSERT INTO value SELECT * FROM unnest($1::bytea[], $2::bytea[])", [
        blobs.map(({ digest }) => digest),
        blobs.map(({ bytes }) => bytes),
      ]),
    async get(digest) {
      const { rows } = await pool.query("SELECT bytes FROM value WHERE hash = $1", [digest]);
      return rows[0]?.bytes;
    },
    async scan(limit) {
      const page = 512;
      let found = 0;
      while (found < limit) {
        const { rows } = await pool.query(
          "SELECT index, bytes FROM record WHERE index >= $1 ORDER BY index LIMIT $2",
          [found, page],
        );
        for (const { bytes } of rows) if (bytes.length > 0) found++;
        if (rows.length < page) break;
      }
      return found;
    },
    close: async () => {},
  };
}

/**
 * @param {import("../lib/postgres.mjs").Server[]} servers - stopped when both sides are closed
 * @param {import("../lib/postgres.mjs").Server} primary
 * @returns {Promise<import("../lib/storage.mjs").Sides>}
 */
async function sidesOf(servers, primary) {
  const storage = await postgresStorage({ pool: primary.pool() });
  const bare = await barePostgres(primary.pool());
  let open = 2;
  const closed = async () => {
    if (--open === 0) for (const server of servers) await server.stop();
  };
  return {
    storage: { ...storage, close: () => storage.close().then(closed) },
    bare: { ...bare, close: closed },
  };
}

/** @type {import("../run.mjs").Row} */
const quorum = {
  name: "storage/postgres/quorum-1000",
  unit: "records/s",
  async run({ folder, rounds, short }) {
    const primary = await startServer(folder("primary"));
    const standby = await startServer(folder("standby"), { primary, name: "s1" });
    await primary.sql("ALTER SYSTEM SET synchronous_standby_names = 's1'");
    await primary.sql("SELECT pg_reload_conf()");
    for (;;) {
      const rows = await primary.sql("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'");
      if (rows.length > 0) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { storage, bare } = await sidesOf([standby, primary], primary);
    if (storage.chains?.caps.durability !== "quorum") throw new Error("no quorum");
    const { chains } = storage;
    const calls = short ? 2 : 12;
    let head = await chains.head("bench");
    /** @param {(records: Uint8Array[]) => Promise<unknown>} write */
    const side = (write) => ({
      prepare: () => Array.from({ length: calls }, () => makeBlobs(1000)),
      /** @param {Uint8Array[][]} made */
      round: async (made) => {
        for (const records of made) await write(records);
        return calls * 1000;
      },
    });
    const { ours = 0, floor = 0 } = await rates(
      [
        {
          name: "ours",
          ...side(async (records) => {
            head = await chains.append("bench", head, records);
          }),
        },
        { name: "floor", ...side((records) => bare.append(records)) },
      ],
      { rounds },
    );
    await Promise.all([storage.close(), bare.close()]);
    return { value: ours, floor };
  },
};

/** None where no server is installed. */
export const rows =
  bin === undefined
    ? []
    : [
        ...storageRows("postgres", {
          async open({ folder }) {
            const server = await startServer(folder("server"));
            return sidesOf([server], server);
          },
        }),
        quorum,
      ];
