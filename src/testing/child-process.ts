import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { execFile, spawn, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import type { StorageAdapter } from "../storage/types.ts";
import { serveStorage } from "./storage-child.ts";
import type { StorageProcess, TracedProcess } from "./storage-subject.ts";
import { SYNC_CALLS } from "./sync-probe.ts";

const run = promisify(execFile);

/**
 * Runs `serveStorage` over the standard streams of this process, which {@link spawnStorage}
 * started. Ends the process when it is asked to close or when the parent process is gone. Nothing
 * else may write to standard output.
 *
 * @param open - opens a handle on the store; called several times
 * @example
 * // the script that spawnStorage starts
 * await serveOnStdio(() => lmdbStorage({ path: "/tmp/store" }));
 */
export async function serveOnStdio(open: () => Promise<StorageAdapter>): Promise<void> {
  const input = createInterface({ input: process.stdin });
  input.on("close", () => process.exit(0));
  await serveStorage(open, {
    send: (line) => void process.stdout.write(`${line}\n`),
    onLine: (listener) => void input.on("line", listener),
  });
  input.close();
}

export interface SpawnOptions {
  /** Arguments of the script. */
  readonly args?: readonly string[];
  /** Options of Node.js, before the script; default: those of this process. */
  readonly execArgv?: readonly string[];
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

const SPAWN_STORAGE_OPTIONS: OptionsOf<SpawnOptions> = { args: true, execArgv: true, env: true };

/**
 * Starts a script that calls {@link serveOnStdio} in its own Node.js process, for
 * `StorageSubject.startProcess`.
 *
 * @param script - path of the script
 * @example
 * const started = spawnStorage("serve-store.mjs", { args: ["/tmp/store"] });
 * await started.kill();
 */
export function spawnStorage(script: string, options: SpawnOptions = {}): StorageProcess {
  assertOptions(options, SPAWN_STORAGE_OPTIONS, "spawnStorage");
  return start(process.execPath, argumentsOf(script, options), options.env);
}

export interface TraceOptions extends SpawnOptions, Pick<TracedProcess, "store" | "transient"> {}

const SPAWN_TRACED_OPTIONS: OptionsOf<TraceOptions> = {
  ...{ args: true, execArgv: true, env: true, store: true, transient: true },
};

/**
 * As {@link spawnStorage}, under strace; for `StorageSubject.startTraced`.
 * @example
 * const args = ["/tmp/store"];
 * const started = await spawnTraced("serve-store.mjs", { args, store: "/tmp/store" });
 * await started.kill();
 * const text = await started.trace();
 */
export async function spawnTraced(
  script: string,
  options: TraceOptions = {},
): Promise<TracedProcess> {
  assertOptions(options, SPAWN_TRACED_OPTIONS, "spawnTraced");
  const folder = await mkdtemp(join(tmpdir(), "healthledger-trace-"));
  const file = join(folder, "trace");
  const flags = ["-f", "-y", "-qq", "-s", "80", "-e", SYNC_CALLS, "-o", file];
  const command = [...flags, process.execPath, ...argumentsOf(script, options)];
  // Calls through io_uring are not separate system calls.
  const started = start("strace", command, { ...options.env, UV_USE_IO_URING: "0" });
  return {
    ...started,
    ...(options.store !== undefined && { store: options.store }),
    ...(options.transient && { transient: options.transient }),
    async trace() {
      await started.ended;
      const text = await readFile(file, "utf8");
      await rm(folder, { recursive: true });
      return text;
    },
  };
}

/**
 * Whether {@link spawnTraced} works here: strace is installed and allowed to trace.
 * @example
 * const features = canTrace() ? [...ALL_FEATURES, "traced"] : ALL_FEATURES;
 */
export function canTrace(): boolean {
  return spawnSync("strace", ["-f", "-qq", "-o", "/dev/null", "true"]).status === 0;
}

/** A small file system of its own. */
export interface SmallVolume {
  /** Path at which it is mounted. */
  readonly path: string;
  /** Makes it eight times as large. */
  grow(): Promise<void>;
  /** Unmounts it and discards its content. */
  remove(): Promise<void>;
}

/**
 * Whether {@link smallVolume} works here: on Linux, with the right to mount.
 * @example
 * const features = (await canMount()) ? [...ALL_FEATURES, "small"] : ALL_FEATURES;
 */
export async function canMount(): Promise<boolean> {
  try {
    await (await smallVolume(1 << 20)).remove();
    return true;
  } catch {
    return false;
  }
}

/**
 * Mounts a tmpfs of the given size in bytes in a temporary folder, for `StorageSubject.small`.
 *
 * @throws {Error} when mounting is not allowed
 * @example
 * const volume = await smallVolume(2 << 20);
 * const small = await lmdbStorage({ path: `${volume.path}/store` });
 * await volume.grow(); // what was refused for lack of room is written now
 * await small.close();
 * await volume.remove();
 */
export async function smallVolume(size: number): Promise<SmallVolume> {
  const path = await mkdtemp(join(tmpdir(), "healthledger-volume-"));
  try {
    await run("mount", ["-t", "tmpfs", "-o", `size=${size},mode=700`, "tmpfs", path]);
  } catch (error) {
    await rm(path, { recursive: true });
    throw error;
  }
  return {
    path,
    async grow() {
      await run("mount", ["-o", `remount,size=${8 * size}`, path]);
    },
    async remove() {
      await run("umount", [path]);
      await rm(path, { recursive: true });
    },
  };
}

function argumentsOf(
  script: string,
  { args = [], execArgv = process.execArgv }: SpawnOptions,
): string[] {
  return [...execArgv, script, ...args];
}

function start(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): StorageProcess {
  const child = spawn(command, args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  let errors = "";
  child.stderr.on("data", (chunk) => (errors += String(chunk)));
  // Writing to an ended process is not an error here: `ended` reports it.
  child.stdin.on("error", () => {});
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(String(error)));
    child.once("close", (code, signal) => resolve(`with ${signal ?? code}; ${errors.trim()}`));
  });
  const waiting: string[] = [];
  let listener = (line: string): void => void waiting.push(line);
  createInterface({ input: child.stdout }).on("line", (line) => listener(line));
  return {
    send: (line) => void child.stdin.write(`${line}\n`),
    onLine(wanted) {
      listener = wanted;
      for (const line of waiting.splice(0)) wanted(line);
    },
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
    ended,
  };
}
