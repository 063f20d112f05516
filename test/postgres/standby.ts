import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { program, startCluster, type Cluster } from "./cluster.ts";

/** Settings of a server that others may follow, whichever of them leads. */
export const REPLICATED: Readonly<Record<string, string>> = {
  wal_level: "replica",
  max_wal_senders: "10",
  hot_standby: "on",
  wal_keep_size: "1GB",
  wal_log_hints: "on",
  // Lost connections are noticed soon.
  wal_receiver_status_interval: "1",
  wal_retrieve_retry_interval: "100ms",
};

/** Where a standby finds its primary, and what it is called there. */
export const conninfo = (port: number, name: string): string =>
  `host=127.0.0.1 port=${port} user=postgres application_name=${name}`;

/** Starts a server that follows another one, under a name for `synchronous_standby_names`. */
export async function startStandby(primary: Cluster, name: string): Promise<Cluster> {
  return startCluster({
    settings: { ...REPLICATED, primary_conninfo: conninfo(primary.port, name) },
    make: async (data) => {
      const from = ["-h", "127.0.0.1", "-p", String(primary.port), "-U", "postgres"];
      await program("pg_basebackup", [...from, "-D", data, "-X", "stream", "-c", "fast"]);
      await writeFile(join(data, "standby.signal"), "");
    },
  });
}

/** Resolves when the condition holds. */
export async function until(
  condition: () => Promise<unknown>,
  what: string,
  tries = 3000,
): Promise<void> {
  for (let left = tries; left > 0; left--) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited in vain for: ${what}`);
}

/** Waits until so many synchronous standbys have what the primary has now. */
export async function followed(primary: Cluster, by: number): Promise<void> {
  const [row] = await primary.sql("SELECT pg_current_wal_insert_lsn()::text AS lsn");
  const { lsn } = row as { lsn: string };
  // Applied, not received: one that left the primary's history receives too, up to where it left.
  await until(async () => {
    const rows = await primary.sql(
      `SELECT 1 FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')
        AND state = 'streaming' AND replay_lsn >= $1::pg_lsn`,
      [lsn],
    );
    return rows.length >= by;
  }, `${by} synchronous standbys`);
}

/** Makes the server that has the most of the log the primary. */
export async function promoteBest(standbys: readonly Cluster[]): Promise<Cluster> {
  const received = await Promise.all(
    standbys.map(async (standby) => {
      const [row] = await standby.sql(
        "SELECT pg_last_wal_receive_lsn() - '0/0'::pg_lsn AS bytes, EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') AS receiving",
      );
      const { bytes, receiving } = row as { bytes: string; receiving: boolean };
      return { standby, bytes: BigInt(bytes), receiving };
    }),
  );
  // What comes in meanwhile would be missing from the comparison.
  if (received.some(({ receiving }) => receiving)) return promoteBest(standbys);
  const [best] = received.sort((a, b) => (a.bytes < b.bytes ? 1 : -1));
  await best!.standby.sql("SELECT pg_promote(true, 60)");
  return best!.standby;
}

/** Has a running standby follow another primary. */
export async function follow(standby: Cluster, primary: Cluster, name: string): Promise<void> {
  await standby.configure({ primary_conninfo: conninfo(primary.port, name) });
  await standby.sql("SELECT pg_reload_conf()");
}

/** Brings a server that was the primary back as a standby, without what only it has. */
export async function rejoin(old: Cluster, primary: Cluster, name: string): Promise<void> {
  // Until its first checkpoint a new primary's control file names the old timeline, and pg_rewind
  // before PostgreSQL 16 believes that there is nothing to rewind.
  await primary.sql("CHECKPOINT");
  const source = `host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres`;
  await program("pg_rewind", ["-D", old.data, "--source-server", source, "--no-sync"]);
  await writeFile(join(old.data, "standby.signal"), "");
  // The settings came from the new primary with everything else.
  await old.configure({ port: String(old.port), primary_conninfo: conninfo(primary.port, name) });
  await old.start();
}
