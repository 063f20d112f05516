// A process of its own for the process cases: serve.ts <port> <schema> <application name>
import pg from "pg";
import { postgresStorage } from "../../src/storage/postgres.ts";
import { serveOnStdio } from "../../src/testing/node.ts";

const [port, schema, name] = process.argv.slice(2) as [string, string, string];

await serveOnStdio(async () => {
  const pool = new pg.Pool({
    host: "127.0.0.1",
    port: Number(port),
    user: "postgres",
    database: "postgres",
    application_name: name,
    allowExitOnIdle: true,
  });
  pool.on("error", () => {});
  return postgresStorage({ pool, schema, pollInterval: 60_000 });
});
