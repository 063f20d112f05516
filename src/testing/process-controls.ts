import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { logStorage, type LogFlaws } from "./log-store.ts";
import { serveOnStdio, smallVolume, spawnStorage, spawnTraced } from "./child-process.ts";
import type { StorageControl } from "./storage-controls.ts";
import type { MakeStorage } from "./storage-subject.ts";

/**
 * Makes {@link logStorage}s for the kit, with another process and every other condition that it can
 * stage.
 *
 * @param script - path of a script that calls {@link serveLogStore}
 * @param execArgv - for Node.js, before the script
 * @example
 * const make = logSubjects("serve-log.mjs"); // which calls serveLogStore()
 * await runKit(processCases(), make, { features: [...ALL_FEATURES, "kill", "processes"] });
 */
export function logSubjects(
  script: string,
  flaws: LogFlaws = {},
  execArgv: readonly string[] = process.execArgv,
): MakeStorage {
  return async () => {
    const folder = await mkdtemp(join(tmpdir(), "healthledger-log-"));
    const ends: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true })];
    const open = async (path: string, limits = {}): ReturnType<typeof logStorage> => {
      const storage = await logStorage(path, flaws, limits);
      ends.push(() => storage.close());
      return storage;
    };
    const path = join(folder, "log");
    const spawned = { args: [path, JSON.stringify(flaws)], execArgv };
    return {
      open: (limits) => open(path, limits),
      async startProcess() {
        const started = spawnStorage(script, spawned);
        ends.push(() => started.kill());
        return started;
      },
      async startTraced() {
        const started = await spawnTraced(script, { ...spawned, store: path });
        ends.push(() => started.kill());
        return started;
      },
      async small() {
        const volume = await smallVolume(1 << 20);
        ends.push(() => volume.remove());
        return { open: () => open(join(volume.path, "log")), makeRoom: () => volume.grow() };
      },
      async dispose() {
        for (const end of ends.reverse()) await end();
      },
    };
  };
}

/**
 * Serves the store in the script of {@link logSubjects}.
 * @example
 * await serveLogStore(); // all that the script of logSubjects does
 */
export async function serveLogStore(): Promise<void> {
  const [path, flaws] = process.argv.slice(2) as [string, string];
  await serveOnStdio(() => logStorage(path, JSON.parse(flaws) as LogFlaws));
}

/**
 * Stores that each break a rule which only another process, a kill, a full disk, a trace or a count
 * of open files reveals.
 *
 * @param script - path of a script that calls {@link serveLogStore}
 * @example
 * for (const { name, fails, make } of processControls("serve-log.mjs")) {
 *   const features = [...ALL_FEATURES, "kill", "processes"] as const;
 *   const results = await runKit(processCases(), make, { features });
 *   const found = results.some((one) => one.outcome === "failed" && one.name.startsWith(fails));
 *   console.log(name, found ? "is noticed" : "is not noticed");
 * }
 */
export function processControls(script: string, execArgv?: readonly string[]): StorageControl[] {
  const control = (name: string, fails: string, flaws: LogFlaws): StorageControl => ({
    name,
    fails,
    make: logSubjects(script, flaws, execArgv),
  });
  return [
    control("no lock between processes", "processes: those that race", { unlocked: true }),
    control("acknowledged and then written", "processes: what one acknowledged", { early: true }),
    control("acknowledged, and killed before it was written", "crash:", { early: true }),
    control("a commit in three steps", "crash:", { torn: true }),
    control("written behind what a killed process left", "crash:", { uncut: true }),
    control("a full disk taken for success", "full:", { hidesFull: true }),
    control("a file that outlives its handle", "files: are closed", { leaks: "handle" }),
    control("a file that a read left open", "files: none stays", { leaks: "read" }),
    control("no sync", "sync: every", { sync: "none" }),
    control("a sync before the write", "sync: every", { sync: "before" }),
    control("a sync in the middle of the write", "sync: every", { sync: "middle" }),
    control("acknowledged before the sync", "sync: every", { sync: "late" }),
    control("a sync of another file", "sync: every", { sync: "another" }),
    control("a sync of appends alone", "sync: every", { sync: "appends" }),
    control("a sync of the first write alone", "sync: every", { sync: "once" }),
    control("no sync of the folder of a new file", "sync: a new", { sync: "folder" }),
  ];
}
