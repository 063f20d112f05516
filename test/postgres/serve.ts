// A process of its own for the process cases: serve.ts <port> <schema> <application name>, with "own"
// for the port over a server that it starts itself, so that both are traced.
import { rmSync } from "node:fs";
import pg from "pg";
import { postgresStorage } from "../../src/storage/postgres.ts";
import { serveOnStdio } from "../../src/testing/node.ts";
import { startCluster } from "./cluster.ts";

const [where, schema, name] = process.argv.slice(2) as [string, string, string];

/** Told not to sync, which the adapter must not heed. */
async function ownServer(): Promise<number> {
  const cluster = await startCluster({ settings: { synchronous_commit: "off" }, synced: true });
  process.on("exit", () => {
    process.kill(cluster.pid, "SIGQUIT");
    rmSync(cluster.base, { recursive: true, force: true });
  });
  return cluster.port;
}

const port = where === "own" ? await ownServer() : Number(where);

await serveOnStdio(async () => {
  const pool = new pg.Pool({
    host: "127.0.0.1",
    port,
    user: "postgres",
    database: "postgres",
    application_name: name,
    allowExitOnIdle: true,
  });
  pool.on("error", () => {});
  return postgresStorage({ pool, schema, pollInterval: 60_000 });
});
