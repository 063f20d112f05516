import { chown } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { postgresStorage } from "../../src/storage/postgres.ts";
import { smallVolume, spawnStorage, spawnTraced } from "../../src/testing/node.ts";
import type { MakeStorage, StorageProcess } from "../../src/testing/storage-kit.ts";
import { startCluster, user, type Cluster } from "./cluster.ts";

const SERVE = fileURLToPath(new URL("./serve.ts", import.meta.url));
const execArgv = ["--conditions=healthledger-source", "--import", "tsx"];
let stores = 0;

/** Makes stores for the kit, each in a schema of its own. */
export function postgresSubjects(
  cluster: () => Cluster,
  options: {
    /** What happens to the server when a process that uses it is killed. */
    readonly afterKill?: () => Promise<void>;
  } = {},
): MakeStorage {
  return async () => {
    const schema = `store ${stores++}`;
    const ends: (() => Promise<unknown>)[] = [
      () => cluster().sql(`DROP SCHEMA IF EXISTS "${schema}" CASCADE`),
    ];
    let processes = 0;
    return {
      async open(limits) {
        const pool = cluster().pool();
        const storage = await postgresStorage({ pool, schema, pollInterval: 60_000, ...limits });
        ends.push(async () => {
          await storage.close();
          await pool.end();
        });
        return storage;
      },
      async startProcess() {
        const name = `${schema} ${processes++}`;
        const started = spawnStorage(SERVE, {
          args: [String(cluster().port), schema, name],
          execArgv,
        });
        const child: StorageProcess = {
          ...started,
          async kill() {
            await started.kill();
            await options.afterKill?.();
            await forgotten(cluster(), name);
          },
        };
        ends.push(() => child.kill());
        return child;
      },
      async startTraced() {
        const traced = await spawnTraced(SERVE, {
          args: ["own", schema, "traced"],
          execArgv,
          // Tables are made anew from the log.
          transient: (path) => !path.includes("/pg_wal/"),
        });
        ends.push(() => traced.kill());
        return traced;
      },
      async small() {
        // Room for tables only: a server whose log does not fit stops, and is not what is tried here.
        const volume = await smallVolume(4 << 20);
        ends.push(() => volume.remove());
        if (user) await chown(volume.path, user.uid, user.gid);
        const own = await startCluster();
        ends.push(() => own.remove());
        await own.sql(`CREATE TABLESPACE small LOCATION '${volume.path}'`);
        return {
          open: () =>
            postgresStorage({ pool: own.pool({ options: "-c default_tablespace=small" }) }),
          makeRoom: () => volume.grow(),
        };
      },
      async dispose() {
        for (const end of ends.reverse()) await end();
      },
    };
  };
}

/** Waits until the server has settled what a process that is gone had asked for. */
async function forgotten(cluster: Cluster, name: string): Promise<void> {
  for (;;) {
    const rows = await cluster.sql("SELECT 1 FROM pg_stat_activity WHERE application_name = $1", [
      name,
    ]);
    if (rows.length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
