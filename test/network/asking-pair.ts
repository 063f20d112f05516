import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { toHex } from "../../src/bytes/hex.ts";
import { simulatedRandom } from "../../src/testing/simulation-random.ts";
import { bundlePrograms } from "../support/bundle-programs.ts";
import { serve } from "../support/serve.ts";
import type { GotAnswer } from "./simulation/custodians/programs.ts";
import { shaOf, type SentAnswer } from "./simulation/custodians/wire.ts";

export const NAMES = ["home", "clinic"] as const;
export type Name = (typeof NAMES)[number];

/** What is seen of two custodians that ask each other, from between them. */
export interface Seen {
  readonly sent: SentAnswer[];
  /** Asks that reached a process: SHA-256, by custodian. */
  readonly arrived: ReadonlyMap<string, Set<string>>;
  /** What each process told of an answer that it got. */
  readonly answers: ReadonlyMap<Name, GotAnswer[]>;
  /** Ids of entries that were acknowledged. */
  readonly done: ReadonlyMap<Name, Set<string>>;
  /** Ids of directives whose delivery was acknowledged. */
  readonly queued: ReadonlyMap<Name, Set<string>>;
  /** Lineages whose withdrawal was acknowledged when an ask was first seen. */
  readonly withdrawnBefore: ReadonlyMap<string, ReadonlySet<string>>;
  readonly kills: number;
}

/** A process by its name, whichever it is at the moment. */
interface Running {
  readonly child: ChildProcess;
  port: number | undefined;
  /** Answers that it got since its last start. */
  got: number;
  rests: boolean;
}

/** What a process writes, a line each. */
interface Said {
  readonly port?: number;
  readonly withdrawn?: string;
  readonly done?: string;
  readonly queued?: readonly string[];
  readonly got?: GotAnswer;
  readonly rests?: true;
}

const byName = <T>(make: () => T): ReadonlyMap<Name, T> =>
  new Map(NAMES.map((name) => [name, make()]));

/**
 * Runs two custodians that ask each other through a proxy, which kills one of them now and then while it passes on so
 * many asks; then both go on, come to rest and end in order. Their stores are in `folder`, under their names.
 */
export async function runKilledPair(
  folder: string,
  genesis: Uint8Array,
  most: number,
): Promise<Seen> {
  await bundlePrograms([new URL("asking-child.ts", import.meta.url)], folder);
  const random = simulatedRandom("kills");
  const running = new Map<Name, Running>();
  const sent: SentAnswer[] = [];
  const [arrived, done, queued] = [byName(newSet), byName(newSet), byName(newSet)];
  const answers = byName((): GotAnswer[] => []);
  const withdrawn = new Set<string>();
  const withdrawnBefore = new Map<string, ReadonlySet<string>>();
  let [kills, untilKill] = [0, 4];
  /** Whether a process ended that nobody killed. */
  let hasFailed = false;

  function start(name: Name): void {
    const args = [join(folder, "asking-child.mjs"), name, join(folder, name), proxy.url];
    const child = spawn(process.execPath, [...args, toHex(genesis)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const own: Running = { child, port: undefined, got: 0, rests: false };
    running.set(name, own);
    child.on("exit", (code) => (hasFailed ||= code !== null && code !== 0));
    createInterface(child.stdout).on("line", (line) => hear(name, own, JSON.parse(line) as Said));
  }

  function hear(name: Name, own: Running, said: Said): void {
    if (said.port !== undefined) own.port = said.port;
    if (said.withdrawn !== undefined) withdrawn.add(said.withdrawn);
    if (said.done !== undefined) done.get(name)!.add(said.done);
    for (const id of said.queued ?? []) queued.get(name)!.add(id);
    own.rests ||= said.rests === true;
    if (said.got === undefined) return;
    own.got++;
    answers.get(name)!.push(said.got);
  }

  /** Kills one of the two, if it is time; `true` if it was this one. Only progress brings the time nearer. */
  async function mayKill(name: Name): Promise<boolean> {
    if (withdrawnBefore.size >= most || --untilKill > 0) return false;
    untilKill = Infinity;
    const victim = random.pick(NAMES);
    const { child } = running.get(victim)!;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    kills++;
    start(victim);
    untilKill = random.between(6, 20);
    return victim === name;
  }

  const proxy = await serve(async (request) => {
    const { pathname, search } = new URL(request.url);
    const name = pathname.split("/")[1] as Name;
    const { port } = running.get(name)!;
    if (port === undefined) throw new Error("not there");
    const { method, signal } = request;
    const body = method === "POST" ? new Uint8Array(await request.arrayBuffer()) : undefined;
    const ask = pathname.endsWith("/ask") ? body : undefined;
    if (ask !== undefined) {
      const sha = shaOf(ask);
      arrived.get(name)!.add(sha);
      if (!withdrawnBefore.has(sha)) withdrawnBefore.set(sha, new Set(withdrawn));
    }
    // Before it arrives; and after it is answered, before anybody hears of it.
    if (body !== undefined && (await mayKill(name))) throw new Error("killed");
    const url = `http://127.0.0.1:${port}${pathname}${search}`;
    const response = await fetch(url, { method, signal, ...(body && { body }) });
    const bytes = new Uint8Array(await response.arrayBuffer());
    const [before, after] = (response.headers.get("x-sizes") ?? "0 0").split(" ").map(Number);
    if (ask !== undefined && response.status === 200) {
      sent.push({
        ...{ by: name, ask, at: [0, 0], sizes: [before!, after!, after!] },
        ...{ waiting: new Set(), body: bytes, isWhole: true },
      });
    }
    if (body !== undefined && (await mayKill(name))) throw new Error("killed");
    return new Response(response.status === 204 ? null : bytes, response);
  });

  async function until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (hasFailed) throw new Error("a process ended that nobody killed");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  const all = (holds: (one: Running) => boolean): boolean => [...running.values()].every(holds);
  try {
    for (const name of NAMES) start(name);
    await until(() => withdrawnBefore.size >= most && untilKill < Infinity);
    for (const own of running.values()) own.got = 0;
    await until(() => all(({ got }) => got >= 2));
    for (const { child } of running.values()) child.stdin!.write("rest\n");
    await until(() => all(({ rests }) => rests));
    // The one elsewhere first: what waits in its outbox needs the home.
    for (const name of NAMES.toReversed()) {
      const { child } = running.get(name)!;
      child.stdin!.write("end\n");
      await until(() => child.exitCode === 0);
    }
  } finally {
    for (const { child } of running.values()) child.kill("SIGKILL");
    await proxy.close();
  }
  return { sent, arrived, answers, done, queued, withdrawnBefore, kills };
}

const newSet = (): Set<string> => new Set<string>();
