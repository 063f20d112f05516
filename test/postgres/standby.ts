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

/** Waits until so many synchronous standbys follow. */
export async function followed(primary: Cluster, by: number): Promise<void> {
  await until(async () => {
    const rows = await primary.sql(
      "SELECT 1 FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum') AND state = 'streaming'",
    );
    return rows.length >= by;
  }, `${by} synchronous standbys`);
}
