import { sha256 } from "#crypto";
import { toHex } from "../bytes/hex.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { holdTurns } from "../loop/give-turn.ts";
import type { StorageAdapter } from "../storage/types.ts";
import { simulationClock } from "./simulation-clock.ts";
import { checkedFaults, type NetworkFaults } from "./simulation-faults.ts";
import { never, simulationLinks, type Life } from "./simulation-links.ts";
import { simulatedRandom, type SimulatedRandom } from "./simulation-random.ts";
import { livingStorage } from "./simulation-storage.ts";

export interface SimulationOptions {
  /** Decides everything that happens by chance. */
  readonly seed: number | string;
  /** Milliseconds since 1970 at which the simulation starts. Default: the first of January 2026. */
  readonly start?: number;
  /** What goes wrong. Default: nothing. */
  readonly faults?: Partial<NetworkFaults>;
}

/** What a program has of the machine that it runs on, from its start until it crashes. */
export interface SimulatedMachine {
  /** Milliseconds since the simulation began: the argument `now` of peers, handlers and copies. */
  now(): number;
  /** Milliseconds since 1970: the argument `now` of ledgers, sequencers and witnesses. */
  wallClock(): number;
  /** Waits so many ms, or until the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Random bytes, which the seed determines. */
  random(length: number): Uint8Array;
  /** Sends a request to another machine, at `http://NAME.invalid/`. */
  fetch(url: string, init?: RequestInit): Promise<Response>;
  /** Answers requests to this machine. */
  serve(handler: (request: Request) => Promise<Response>): void;
  /** Wraps a storage that survives crashes: the program before a crash reaches it no more after it. */
  storage(storage: StorageAdapter): StorageAdapter;
  /** Ends the program at this moment; the machine starts again after a while. */
  crash(): void;
}

/** A machine by its name, whatever program runs on it. */
export interface SimulatedNode {
  readonly name: string;
  /** Address of the machine's root. */
  readonly url: string;
  readonly isUp: boolean;
  /** How often it was started. */
  readonly starts: number;
  crash(): void;
}

/** Machines and the network between them, on a clock of their own. */
export interface SimulatedNetwork {
  /** Milliseconds since the simulation began. */
  readonly now: number;
  /** For what the scenario itself leaves to chance. */
  readonly random: SimulatedRandom;
  /**
   * Adds a machine, which starts as soon as time passes.
   *
   * @param start - the program: called at each start, and again after each crash. If it throws, the machine
   *   crashes
   */
  node(name: string, start: (machine: SimulatedMachine) => unknown): SimulatedNode;
  /** From now on, nothing gets through from one machine to another; the other way it may. */
  part(from: string, to: string): void;
  /** Ends all partitions. */
  join(): void;
  /** What goes wrong from now on; what is not given does not. */
  setFaults(faults: Partial<NetworkFaults>): void;
  /** Lets time pass. */
  run(ms: number): Promise<void>;
  /**
   * Lets time pass until a condition holds, which is asked after everything that happens.
   *
   * @returns whether it held within so many ms
   */
  until(condition: () => boolean | Promise<boolean>, within: number): Promise<boolean>;
  /** What happened, line by line: the same for the same seed. */
  readonly trace: readonly string[];
  /** Of the trace, hexadecimal SHA-256. */
  traceHash(): string;
  /** What programs threw at their start. */
  readonly failures: readonly { readonly node: string; readonly error: unknown }[];
}

const OPTIONS: OptionsOf<SimulationOptions> = { seed: true, start: true, faults: true };

/**
 * Simulates machines and the network between them: the same seed, the same trace. Nothing sleeps really; the
 * clock jumps from one event to the next, once nothing goes on by itself.
 *
 * What runs on a machine must take clock, waits and random bytes from it, and must not wait for anything
 * else but its storage.
 *
 * @throws {RangeError} for what is no probability or no range
 * @example
 * const network = simulateNetwork({ seed: 7, faults: { lose: 0.1, flip: 0.05 } });
 * network.node("hospital-a", ({ serve, now, sleep }) => {
 *   serve(ledgerHandler({ source, reads: "public", now, sleep }));
 * });
 * const data = memoryData(); // survives crashes
 * network.node("hospital-b", async ({ fetch, now, sleep, storage }) => {
 *   const from = { url: "http://hospital-a.invalid/", did: hospitalA };
 *   const peers = [httpPeer({ ...from, fetch, now, sleep })];
 *   const disk = storage(memoryStorage({ data }));
 *   const replica = await openReplica({ genesis, storage: disk, peers, now, sleep });
 *   await replica.follow();
 * });
 * await network.run(60_000);
 */
export function simulateNetwork(options: SimulationOptions): SimulatedNetwork {
  assertOptions(options, OPTIONS, "simulateNetwork");
  const { start: startsAt = Date.UTC(2026, 0, 1) } = options;
  const seed = String(options.seed);
  let faults = checkedFaults(options.faults ?? {});
  const clock = simulationClock(() => links.flush());
  const trace: string[] = [];
  const parted = new Set<string>();
  const lives = new Map<string, RunningLife>();
  const failures: { readonly node: string; readonly error: unknown }[] = [];
  const note = (line: string): void => void trace.push(`${clock.now} ${line}`);
  const links = simulationLinks({
    ...{ clock, seed, trace: note, faults: () => faults },
    isParted: (from, to) => parted.has(`${from}>${to}`),
    lifeOf: (name) => lives.get(name),
  });

  interface RunningLife extends Life {
    handler: Life["handler"];
    isOver: boolean;
    end(): void;
  }

  function newLife(name: string): RunningLife {
    const ends = new Set<() => void>();
    return {
      ...{ name, handler: undefined, isOver: false },
      onEnd(call) {
        ends.add(call);
        return () => void ends.delete(call);
      },
      end() {
        this.isOver = true;
        for (const call of ends) call();
      },
    };
  }

  function node(name: string, start: (machine: SimulatedMachine) => unknown): SimulatedNode {
    if (!/^[a-z0-9-]+$/.test(name))
      throw new RangeError("a machine's name has a-z, 0-9 and hyphens");
    const random = simulatedRandom(`${seed}/${name}`);
    const chance = simulatedRandom(`${seed}/${name} breaks`);
    let starts = 0;

    function crash(life: RunningLife | undefined): void {
      if (life === undefined || life.isOver) return;
      note(`${name} crashed`);
      lives.delete(name);
      life.end();
      clock.at(clock.now + chance.between(...faults.down), name, boot);
    }

    function boot(): void {
      const life = newLife(name);
      lives.set(name, life);
      starts++;
      note(`${name} starts`);
      const machine = machineOf(life, () => crash(life), random, chance);
      void (async () => start(machine))().catch((error: unknown) => {
        if (life.isOver) return;
        failures.push({ node: name, error });
        note(`${name} failed: ${codeOf(error)}`);
        crash(life);
      });
    }

    clock.at(clock.now, name, boot);
    return {
      ...{ name, url: `http://${name}.invalid/`, crash: () => crash(lives.get(name)) },
      get isUp() {
        return lives.has(name);
      },
      get starts() {
        return starts;
      },
    };
  }

  function machineOf(
    life: RunningLife,
    crash: () => void,
    random: SimulatedRandom,
    chance: SimulatedRandom,
  ): SimulatedMachine {
    const { name } = life;
    /** Resolves at a moment of the clock, unless the life is over by then. */
    const wait = (ms: number): { readonly over: Promise<void>; readonly cancel: () => void } => {
      let cancel!: () => void;
      const over = new Promise<void>((resolve) => {
        cancel = clock.at(clock.now + ms, name, () => {
          if (!life.isOver) resolve();
        });
      });
      return { over, cancel };
    };
    const still = <T>(value: T): T | Promise<T> => (life.isOver ? never<T>() : value);
    const rethrown = async (error: unknown): Promise<never> => {
      if (life.isOver) return never();
      throw error;
    };

    return {
      now: () => clock.now,
      wallClock: () => startsAt + clock.now,
      random: (length) => random.bytes(length),
      crash,
      sleep(ms, signal) {
        if (life.isOver) return never();
        if (signal?.aborted === true) return Promise.resolve();
        const { over, cancel } = wait(ms);
        return new Promise((resolve) => {
          const abort = (): void => {
            cancel();
            if (!life.isOver) resolve();
          };
          void over.then(() => {
            signal?.removeEventListener("abort", abort);
            resolve();
          });
          signal?.addEventListener("abort", abort, { once: true });
        });
      },
      fetch: (url, init = {}) => links.fetch(life, url, init),
      serve(handler) {
        life.handler = handler;
      },
      storage: (storage) =>
        livingStorage(storage, {
          async read(call) {
            if (life.isOver) return never();
            return clock.working(call()).then(still, rethrown);
          },
          async write(call) {
            if (life.isOver) return never();
            const begun = clock.now;
            // Those that are under way at once may overtake one another: who needs an order waits.
            const written = begun + chance.between(...faults.disk);
            if (chance.chance(faults.crashInWrite)) {
              clock.at(chance.between(begun, written), name, crash);
            }
            let isDone = false;
            const stopEnd = life.onEnd(() => {
              // What was under way when the power failed is on the disk, or it is not.
              if (!isDone && chance.chance(0.5)) void clock.working(call()).catch(() => undefined);
            });
            await wait(written - begun).over;
            isDone = true;
            stopEnd();
            return clock.working(call()).then(still, rethrown);
          },
        }),
    };
  }

  async function until(
    condition: () => boolean | Promise<boolean>,
    within: number,
  ): Promise<boolean> {
    const end = clock.now + within;
    const release = holdTurns();
    try {
      await clock.settle();
      for (;;) {
        if (await clock.working(Promise.resolve(condition()))) return true;
        if (!(await clock.step(end))) return false;
      }
    } finally {
      release();
    }
  }

  return {
    get now() {
      return clock.now;
    },
    random: simulatedRandom(seed),
    node,
    part: (from, to) => void parted.add(`${from}>${to}`),
    join: () => parted.clear(),
    setFaults(given) {
      faults = checkedFaults(given);
    },
    async run(ms) {
      await until(() => false, ms);
    },
    until,
    trace,
    traceHash: () => toHex(sha256(utf8ToBytes(trace.join("\n")))),
    failures,
  };
}

function codeOf(error: unknown): string {
  const { code, name } = Object(error) as { code?: unknown; name?: unknown };
  return String(code ?? name ?? error);
}
