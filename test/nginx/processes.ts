import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { SYNC_CALLS } from "../../src/testing/sync-probe.ts";
import { bundlePrograms } from "../support/bundle-programs.ts";
import type { Told } from "./party.ts";

/** One of the organisations' processes, which can be killed and started again. */
export interface Party {
  readonly told: Told;
  readonly isUp: boolean;
  /** Most anonymous memory that any of its runs was seen with, in MiB. */
  readonly memory: number;
  /** How often it was started. */
  readonly runs: number;
  /** Files with what strace wrote, one a run. */
  readonly traces: readonly string[];
  /** What it says must not happen. */
  readonly failures: readonly string[];
  start(): Promise<void>;
  kill(): Promise<void>;
  /** Has it do something, and gives what it answers. */
  ask<T>(word: string): Promise<T>;
  /** Ends it in order. */
  close(): Promise<void>;
}

/** MiB of old objects that a process may have. */
export const MOST_HEAP = 128;

/** Bundles the programs of the processes. */
export async function buildPrograms(folder: string): Promise<(name: string) => string> {
  const names = ["home", "member", "witness", "validator"].map((name) => `${name}-child`);
  await bundlePrograms(
    names.map((name) => new URL(`${name}.ts`, import.meta.url)),
    folder,
  );
  return (name) => join(folder, `${name}-child.mjs`);
}

/**
 * Prepares one.
 *
 * @param script - path of its program
 * @param traces - folder for what strace writes; not traced without
 */
export function prepareParty(script: string, told: Told, traces?: string): Party {
  const failures: string[] = [];
  const files: string[] = [];
  const answers = new Map<string, (line: string) => void>();
  let child: ChildProcess | undefined;
  let ended: Promise<unknown> = Promise.resolve();
  let [pid, memory, runs, isEnding] = [0, 0, 0, false];

  function hear(line: string): void {
    const [word = ""] = line.split(" ", 1);
    if (word === "failed") failures.push(`${told.name}: ${line}`);
    answers.get(word)?.(line.slice(word.length + 1));
    answers.delete(word);
  }

  function listen(word: string): Promise<string> {
    return new Promise((resolve) => answers.set(word, resolve));
  }

  async function watch(one: ChildProcess): Promise<void> {
    while (one.exitCode === null && one.signalCode === null) {
      if (pid !== 0) memory = Math.max(memory, anonymousMemory(pid));
      await pause(250);
    }
  }
  return {
    told,
    failures,
    traces: files,
    get isUp() {
      return pid !== 0;
    },
    get memory() {
      return memory;
    },
    get runs() {
      return runs;
    },
    async start() {
      runs++;
      isEnding = false;
      const under: string[] = [];
      if (traces !== undefined) {
        const file = join(traces, `${basename(told.folder)}-${runs}`);
        files.push(file);
        under.push("strace", "-f", "-y", "-qq", "--seccomp-bpf", "-s", "80");
        under.push("-e", SYNC_CALLS, "-o", file);
      }
      const heap = `--max-old-space-size=${MOST_HEAP}`;
      const [command, ...args] = [...under, process.execPath, heap, script, JSON.stringify(told)];
      const env = { ...process.env, UV_USE_IO_URING: "0" };
      const started = spawn(command!, args, { stdio: ["pipe", "pipe", "inherit"], env });
      child = started;
      started.stdin!.on("error", () => undefined);
      createInterface(started.stdout!).on("line", hear);
      const up = listen("up");
      ended = once(started, "exit").then(([code, signal]) => {
        pid = 0;
        if (!isEnding) failures.push(`${told.name} ended by itself: ${code ?? signal}`);
      });
      void ended.then(() => hear("up 0"));
      pid = Number(await up);
      void watch(started);
    },
    async kill() {
      isEnding = true;
      // Not strace, which then ends by itself and has written everything.
      process.kill(pid, "SIGKILL");
      await ended;
    },
    async ask<T>(word: string): Promise<T> {
      const answer = listen(word);
      child!.stdin!.write(`${word}\n`);
      const gone = ended.then(() => {
        throw new Error(failures.join("; ") || `${told.name} ended`);
      });
      return JSON.parse(await Promise.race([answer, gone])) as T;
    },
    async close() {
      isEnding = true;
      child?.stdin?.write("close\n");
      await ended;
    },
  };
}

/** Without pages of files, such as those of LMDB's map, which the system takes back when it wants. */
function anonymousMemory(pid: number): number {
  try {
    const [, kilobytes] = /^RssAnon:\s*(\d+) kB$/m.exec(
      readFileSync(`/proc/${pid}/status`, "utf8"),
    )!;
    return Number(kilobytes) / 1024;
  } catch {
    return 0;
  }
}
