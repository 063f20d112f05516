import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { execFile } from "node:child_process";

const run = promisify(execFile);
const TOOLS = ["ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw"];

export interface Radosgw {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Ends every process of it with SIGKILL, and starts them again on what they left. */
  killAndRestart(): Promise<void>;
  /** Ends it and removes what it stored. */
  stop(): Promise<void>;
}

/** The tools that are not installed; Debian has them as `radosgw ceph-mon ceph-osd`. */
export function missingTools(): string[] {
  return TOOLS.filter((tool) => spawnSync(tool, ["--version"]).status !== 0);
}

/**
 * Starts Ceph's S3 gateway over a cluster of one monitor and one disk, whose file it syncs as it
 * would a disk. Everything stands in a temporary folder and listens on 127.0.0.1.
 */
export async function startRadosgw(): Promise<Radosgw> {
  const folder = await mkdtemp(join(tmpdir(), "healthledger-s3-"));
  const [monitor, gateway] = [await freePort(), await freePort()];
  const conf = join(folder, "ceph.conf");
  const keyring = join(folder, "keyring");
  const osd = join(folder, "osd");
  const [accessKeyId, secretAccessKey] = ["healthledger", "a-key-of-the-suite"];
  const endpoint = `http://127.0.0.1:${gateway}`;
  let running: ChildProcess[] = [];
  const said = new Map<string, string>();

  const daemon = (name: string, args: readonly string[]): void => {
    const child = spawn(name, ["-c", conf, ...args, "-f"], { stdio: ["ignore", "pipe", "pipe"] });
    const keep = (chunk: unknown): void =>
      void said.set(name, `${said.get(name) ?? ""}${String(chunk)}`.slice(-4000));
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("error", keep);
    running.push(child);
  };

  function startMonitor(): void {
    daemon("ceph-mon", ["-i", "a"]);
  }

  async function startRest(): Promise<void> {
    daemon("ceph-osd", ["-i", "0", "--keyring", join(osd, "keyring")]);
    daemon("radosgw", ["-n", "client.admin"]);
    for (let tries = 0; ; tries++) {
      try {
        await fetch(endpoint);
        return;
      } catch (error) {
        const ended = running.find(({ exitCode }) => exitCode !== null);
        if (tries === 600 || ended !== undefined) {
          throw new Error(`the gateway does not answer: ${JSON.stringify([...said])}`, {
            cause: error,
          });
        }
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
  }

  async function kill(): Promise<void> {
    await Promise.all(
      running.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGKILL");
        await ended;
      }),
    );
    running = [];
  }

  const onExit = (): void => running.forEach((child) => child.kill("SIGKILL"));
  process.once("exit", onExit);

  async function stop(): Promise<void> {
    process.removeListener("exit", onExit);
    await kill();
    await rm(folder, { recursive: true, force: true });
  }

  try {
    for (const name of ["mon", "osd", "rgw", "run"]) await mkdir(join(folder, name));
    const [fsid, osdId] = [crypto.randomUUID(), crypto.randomUUID()];
    await writeFile(conf, configuration({ folder, fsid, monitor, gateway, keyring }));
    const map = join(folder, "monmap");
    const address = `[v2:127.0.0.1:${monitor}]`;
    await run("monmaptool", ["--create", "--fsid", fsid, "--addv", "a", address, map]);
    const all = (...parts: readonly string[]): string[] =>
      parts.flatMap((part) => ["--cap", part, "allow *"]);
    const make = ["--gen-key", "-n"];
    await run("ceph-authtool", [keyring, "-C", ...make, "mon.", ...all("mon")]);
    await run("ceph-authtool", [keyring, ...make, "client.admin", ...all("mon", "osd", "mgr")]);
    await run("ceph-mon", ["-c", conf, "--mkfs", "-i", "a", "--monmap", map, "--keyring", keyring]);
    startMonitor();
    const ceph = (...args: readonly string[]) =>
      run("ceph", ["-c", conf, ...args], { timeout: 60_000 });
    await ceph("osd", "new", osdId);
    const grants = ["mon", "allow *", "osd", "allow *", "-o", join(osd, "keyring")];
    await ceph("auth", "get-or-create", "osd.0", ...grants);
    const own = ["--osd-uuid", osdId, "--keyring", join(osd, "keyring")];
    await run("ceph-osd", ["-c", conf, "-i", "0", "--mkfs", ...own]);
    await startRest();
    const user = ["--uid=suite", "--display-name=suite"];
    const keys = [`--access-key=${accessKeyId}`, `--secret-key=${secretAccessKey}`];
    await run("radosgw-admin", ["-c", conf, "user", "create", ...user, ...keys]);
  } catch (error) {
    await stop();
    throw error;
  }

  return {
    endpoint,
    accessKeyId,
    secretAccessKey,
    async killAndRestart() {
      await kill();
      startMonitor();
      await startRest();
    },
    stop,
  };
}

interface Places {
  readonly folder: string;
  readonly fsid: string;
  readonly monitor: number;
  readonly gateway: number;
  readonly keyring: string;
}

function configuration({ folder, fsid, monitor, gateway, keyring }: Places): string {
  return `[global]
fsid = ${fsid}
mon host = v2:127.0.0.1:${monitor}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = ${keyring}
run dir = ${folder}/run
admin socket = ${folder}/run/$name.$pid.asok
log file = ${folder}/$name.log
mon cluster log to file = false
mon data = ${folder}/mon
mon data avail warn = 1
mon data avail crit = 1
mon allow pool size one = true
mon max pg per osd = 1000
osd data = ${folder}/osd
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd memory target = 1073741824
bluestore cache autotune = false
bluestore cache size = 134217728
bluestore block create = true
bluestore block size = 4294967296
rgw frontends = beast endpoint=127.0.0.1:${gateway} tcp_nodelay=1
rgw data = ${folder}/rgw
rgw enable lc threads = false
rgw enable usage log = false
rgw thread pool size = 32
`;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
