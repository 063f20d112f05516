// @ts-check
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
} from "node:fs";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import pg from "pg";

/** Where the server's programs are, or `undefined`. */
export const bin = (() => {
  const own = process.env["HEALTHLEDGER_POSTGRES_BIN"];
  if (own !== undefined) return own;
  const root = "/usr/lib/postgresql";
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  return versions
    .map((version) => join(root, version, "bin"))
    .find((path) => existsSync(join(path, "postgres")));
})();

/** The server refuses to run as root. */
const user = (() => {
  if (process.getuid?.() !== 0) return undefined;
  const line = readFileSync("/etc/passwd", "utf8").match(/^postgres:[^:]*:(\d+):(\d+):/m);
  return { uid: Number(line?.[1] ?? 65534), gid: Number(line?.[2] ?? 65534) };
})();

/** @param {string} name @param {readonly string[]} args */
function program(name, args) {
  execFileSync(join(String(bin), name), args, { ...user, cwd: "/", stdio: "ignore" });
}

/** @returns {Promise<number>} */
async function freePort() {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  server.close();
  await once(server, "close");
  return port;
}

/**
 * A server of the bench's own.
 * @typedef {object} Server
 * @property {number} port
 * @property {() => import("pg").Pool} pool
 * @property {(text: string) => Promise<any[]>} sql
 * @property {() => Promise<void>} stop - ends its pools too
 */

/**
 * Starts a server with its settings as they come, but for memory.
 *
 * @param {string} folder
 * @param {{ primary: Server, name: string }} [standby] - what it follows
 * @returns {Promise<Server>}
 */
export async function startServer(folder, standby) {
  mkdirSync(folder, { recursive: true });
  // The folders above belong to who runs the bench.
  for (let at = folder; at.includes("healthledger-bench-"); at = join(at, ".."))
    chmodSync(at, 0o711);
  if (user) chownSync(folder, user.uid, user.gid);
  const data = join(folder, "data");
  const port = await freePort();
  if (standby === undefined) {
    program("initdb", ["-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale"]);
  } else {
    const from = ["-h", "127.0.0.1", "-p", String(standby.primary.port), "-U", "postgres"];
    program("pg_basebackup", [...from, "-D", data, "-X", "stream", "-c", "fast"]);
    writeFileSync(join(data, "standby.signal"), "");
  }
  const settings = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    shared_buffers: "256MB",
    max_wal_size: "4GB",
    log_min_messages: "fatal",
    ...(standby && {
      primary_conninfo: `host=127.0.0.1 port=${standby.primary.port} user=postgres application_name=${standby.name}`,
    }),
  };
  appendFileSync(
    join(data, "postgresql.conf"),
    Object.entries(settings)
      .map(([name, value]) => `${name} = '${value}'\n`)
      .join(""),
  );
  const child = spawn(join(String(bin), "postgres"), ["-D", data], {
    ...user,
    cwd: "/",
    stdio: "ignore",
  });
  const quit = () => child.kill("SIGQUIT");
  process.once("exit", quit);
  /** @type {import("pg").Pool[]} */
  const pools = [];
  const config = { host: "127.0.0.1", port, user: "postgres", database: "postgres" };
  /** @param {string} text */
  const sql = async (text) => {
    const client = new pg.Client(config);
    await client.connect();
    try {
      return (await client.query(text)).rows;
    } finally {
      await client.end();
    }
  };
  for (let tries = 0; ; tries++) {
    try {
      await sql("SELECT 1");
      break;
    } catch (error) {
      if (tries === 1000 || child.exitCode !== null) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  return {
    port,
    sql,
    pool() {
      const pool = new pg.Pool(config);
      pool.on("error", () => {});
      pools.push(pool);
      return pool;
    },
    async stop() {
      for (const pool of pools) await pool.end();
      quit();
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      process.off("exit", quit);
    },
  };
}
