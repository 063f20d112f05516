import { execFile, spawn, type ChildProcess } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { appendFile, chmod, chown, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";

const run = promisify(execFile);

/** Where the server's programs are, or `undefined`. */
export const bin: string | undefined = findPrograms();

function findPrograms(): string | undefined {
  const own = process.env["HEALTHLEDGER_POSTGRES_BIN"];
  if (own !== undefined) return own;
  const root = "/usr/lib/postgresql";
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  return versions
    .map((version) => join(root, version, "bin"))
    .find((path) => existsSync(join(path, "postgres")));
}

/** The server refuses to run as root: then it is run by the user that Debian's package makes, or nobody. */
export const user: { readonly uid: number; readonly gid: number } | undefined = unprivileged();

function unprivileged(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const line = readFileSync("/etc/passwd", "utf8").match(/^postgres:[^:]*:(\d+):(\d+):/m);
  return { uid: Number(line?.[1] ?? 65534), gid: Number(line?.[2] ?? 65534) };
}

/** Runs a program of the server as the user it may run as. */
export async function program(name: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run(join(bin!, name), args, { ...user, cwd: "/", encoding: "utf8" });
  return stdout;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A server of its own in a temporary folder. */
export interface Cluster {
  readonly port: number;
  readonly data: string;
  /** Folder of the whole, with the data and the log in it. */
  readonly base: string;
  /** Of the postmaster. */
  readonly pid: number;
  /** Opens a pool; ended by {@link remove} at the latest. */
  pool(options?: pg.PoolConfig): pg.Pool;
  /** Runs statements on a connection of their own, as the superuser. */
  sql(text: string, values?: unknown[], database?: string): Promise<pg.QueryResult["rows"]>;
  /** Writes settings, for the next start. */
  configure(settings: Readonly<Record<string, string>>): Promise<void>;
  /** Changes settings and reloads. */
  set(settings: Readonly<Record<string, string>>): Promise<void>;
  start(): Promise<void>;
  /** SIGKILL to the postmaster and everything it started, at once. */
  crash(): Promise<void>;
  /** Shuts down, without waiting for who is connected. */
  stop(): Promise<void>;
  /** Stops it and removes its folder. */
  remove(): Promise<void>;
}

export interface ClusterOptions {
  readonly settings?: Readonly<Record<string, string>>;
  readonly initdb?: readonly string[];
  /** Whether what it begins with is synced, which takes a while. */
  readonly synced?: boolean;
  /** Folder for the data, else one in the system's folder for temporary files. */
  readonly parent?: string;
  /** Makes the data folder another way, from a running primary say. */
  readonly make?: (data: string) => Promise<void>;
}

/** Settings that make a test's server small and quiet, and keep it as durable as it is. */
const QUIET: Readonly<Record<string, string>> = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: "200",
  shared_buffers: "32MB",
  log_min_messages: "warning",
  wal_sync_method: "fdatasync",
  // Else recovery syncs a thousand files, one by one.
  recovery_init_sync_method: "syncfs",
};

/** Starts a server. Its folder goes with {@link Cluster.remove}. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const base = await mkdtemp(join(options.parent ?? tmpdir(), "healthledger-postgres-"));
  await chmod(base, 0o700);
  if (user) await chown(base, user.uid, user.gid);
  const data = join(base, "data");
  if (options.make) await options.make(data);
  else {
    const flags = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale"];
    if (!options.synced) flags.push("--no-sync");
    await program("initdb", ["-D", data, ...flags, ...(options.initdb ?? [])]);
  }
  const port = await freePort();
  await configure({ ...QUIET, ...options.settings, port: String(port) });
  const pools: pg.Pool[] = [];
  let server: ChildProcess | undefined;
  let ended: Promise<void> = Promise.resolve();

  async function configure(settings: Readonly<Record<string, string>>): Promise<void> {
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
    // The last of several lines about a setting counts.
    await appendFile(join(data, "postgresql.conf"), lines.join(""));
  }

  async function start(): Promise<void> {
    const log = join(base, "log");
    const child = spawn(join(bin!, "postgres"), ["-D", data], {
      ...user,
      cwd: "/",
      stdio: ["ignore", "ignore", "pipe"],
    });
    const lines: Buffer[] = [];
    child.stderr!.on("data", (chunk: Buffer) => {
      lines.push(chunk);
      if (lines.length > 200) lines.shift();
    });
    server = child;
    ended = new Promise((resolve) => child.once("exit", () => resolve()));
    void ended.then(() => writeFile(log, Buffer.concat(lines)).catch(() => {}));
    for (let tries = 0; ; tries++) {
      try {
        await sql("SELECT 1");
        return;
      } catch (error) {
        if (child.exitCode === null && child.signalCode === null && tries < 3000) {
          await new Promise((resolve) => setTimeout(resolve, 20));
          continue;
        }
        throw new Error(`the server does not start: ${Buffer.concat(lines).toString()}`, {
          cause: error,
        });
      }
    }
  }

  async function sql(
    text: string,
    values?: unknown[],
    database = "postgres",
  ): Promise<pg.QueryResult["rows"]> {
    const client = new pg.Client({ host: "127.0.0.1", port, user: "postgres", database });
    client.on("error", () => {});
    await client.connect();
    try {
      return (await client.query(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  async function crash(): Promise<void> {
    if (server?.pid === undefined) return;
    const children = await childrenOf(server.pid);
    server.kill("SIGKILL");
    for (const pid of children) kill(pid);
    await ended;
    for (const pid of children) {
      while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    server = undefined;
  }

  async function stop(): Promise<void> {
    server?.kill("SIGINT"); // fast shutdown
    await ended;
    server = undefined;
  }

  const cluster: Cluster = {
    port,
    data,
    base,
    get pid() {
      return server!.pid!;
    },
    pool(config = {}) {
      const pool = new pg.Pool({
        host: "127.0.0.1",
        port,
        user: "postgres",
        database: "postgres",
        ...config,
      });
      pool.on("error", () => {});
      pools.push(pool);
      return pool;
    },
    sql,
    configure,
    async set(settings) {
      await configure(settings);
      await sql("SELECT pg_reload_conf()");
      // The postmaster tells the others in its own time.
      await new Promise((resolve) => setTimeout(resolve, 200));
    },
    start,
    crash,
    stop,
    async remove() {
      await Promise.all(pools.filter((pool) => !pool.ended).map((pool) => pool.end()));
      server?.kill("SIGQUIT");
      await ended;
      await rm(base, { recursive: true, force: true });
    },
  };
  try {
    await start();
  } catch (error) {
    await rm(base, { recursive: true, force: true });
    throw error;
  }
  return cluster;
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.trim().split(/\s+/).filter(Boolean).map(Number);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it ended by itself
  }
}
