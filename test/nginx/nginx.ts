import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

/** What Debian installs, with every default that it sets. */
const CONFIGURATION = "/etc/nginx/nginx.conf";
const PROGRAM = "/usr/sbin/nginx";
const GUIDE = new URL("../../docs/guide/two-organisations.md", import.meta.url);

export const hasNginx: boolean =
  spawnSync(PROGRAM, ["-v"]).status === 0 && spawnSync("test", ["-r", CONFIGURATION]).status === 0;

/** One `server` of the guide's page, with ports and folders of the test. */
export interface Site {
  /** Which of the guide's blocks: one lets every certificate be, one wants that of a member. */
  readonly kind: "plain" | "certificates";
  readonly listen: number;
  /** Path that is handed on, as the guide's `/ledger/`. */
  readonly path: string;
  readonly target: number;
}

/** An nginx of one's own, on 127.0.0.1. */
export interface Nginx {
  start(): Promise<void>;
  /** SIGKILL to the master and its workers at once. */
  kill(): Promise<void>;
  /** Reads its configuration again; workers that are busy end when they are done. */
  reload(): void;
  stop(): Promise<void>;
}

/**
 * Prepares an nginx: Debian's own configuration and the servers of the guide. Only where it writes and
 * listens is changed.
 *
 * @param certificates - folder in place of the guide's
 * @param limits - settings of the `http` block, to see that the suite notices them
 */
export async function prepareNginx(
  folder: string,
  sites: readonly Site[],
  certificates: string,
  limits = "",
): Promise<Nginx> {
  await mkdir(folder, { recursive: true });
  const blocks = await guideServers();
  const servers = sites.map((site) => serverOf(blocks[site.kind], site, certificates));
  await writeFile(join(folder, "servers.conf"), servers.join("\n"));
  const debian = await readFile(CONFIGURATION, "utf8");
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(" ");
  const configuration = debian
    .replace(/^user .*$/m, process.getuid?.() === 0 ? "user root;" : "")
    .replace(/^pid .*$/m, `pid ${folder}/pid;`)
    .replaceAll(/^(\s*)(error|access)_log .*$/gm, `$1$2_log ${folder}/$2.log;`)
    .replace(/include \/etc\/nginx\/conf\.d\/\*\.conf;/, `${paths} ${limits}`)
    .replace("/etc/nginx/sites-enabled/*", join(folder, "servers.conf"));
  const file = join(folder, "nginx.conf");
  await writeFile(file, configuration);
  // Debian's modules are named by paths below the prefix.
  await symlink("/usr/share/nginx/modules", join(folder, "modules"));
  let child: ChildProcess | undefined;
  let ended: Promise<unknown> = Promise.resolve();

  async function start(): Promise<void> {
    const args = ["-p", folder, "-c", file, "-e", join(folder, "error.log")];
    // In a group of its own, so that no worker outlives a killed master and keeps its port.
    child = spawn(PROGRAM, [...args, "-g", "daemon off;"], { stdio: "inherit", detached: true });
    ended = once(child, "exit");
    process.once("exit", killAtExit);
    for (const { listen } of sites) {
      while (!(await answers(listen))) {
        if (child.exitCode !== null) throw new Error("nginx did not start");
        await pause(20);
      }
    }
  }

  function killAtExit(): void {
    if (child?.pid !== undefined && isRunning(child)) process.kill(-child.pid, "SIGKILL");
  }

  async function signalAll(signal: NodeJS.Signals): Promise<void> {
    if (child?.pid === undefined || !isRunning(child)) return;
    process.off("exit", killAtExit);
    process.kill(-child.pid, signal);
    await ended;
  }
  return {
    start,
    kill: () => signalAll("SIGKILL"),
    reload: () => void child?.kill("SIGHUP"),
    stop: () => signalAll("SIGTERM"),
  };
}

const isRunning = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode === null && signalCode === null;

/** The two `server` blocks on the guide's page, so that what it recommends is what is tried. */
async function guideServers(): Promise<Record<Site["kind"], string>> {
  const page = await readFile(GUIDE, "utf8");
  const [, block = ""] = /```nginx\n(.*?)```/s.exec(page) ?? [];
  const servers = block.match(/^server \{.*?^\}/gms) ?? [];
  const find = (wanted: boolean): string => {
    const found = servers.filter((text) => text.includes("ssl_verify_client on;") === wanted);
    if (found.length !== 1) throw new Error("the guide's page has other servers than expected");
    return found[0]!;
  };
  return { plain: find(false), certificates: find(true) };
}

function serverOf(block: string, { listen, path, target }: Site, certificates: string): string {
  return block
    .replace(/listen \d+/, `listen 127.0.0.1:${listen}`)
    .replace("/ledger/", path)
    .replace(/127\.0\.0\.1:8080/, `127.0.0.1:${target}`)
    .replaceAll("/etc/nginx/ledger/", `${certificates}/`);
}

/** Whether somebody listens at a port. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (is: boolean): void => {
      socket.destroy();
      resolve(is);
    };
    socket.on("connect", () => end(true)).on("error", () => end(false));
  });
}
