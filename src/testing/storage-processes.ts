import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { StorageAdapter } from "../storage/types.ts";
import { check, checkSame, pause } from "./kit.ts";
import { capsOf, peerOf, startPeer, withSubject, type Peer } from "./storage-peers.ts";
import {
  checkSteps,
  headOfSteps,
  kindsOf,
  stepOf,
  takeStep,
  tryStep,
  type Progress,
  type StepKind,
} from "./storage-steps.ts";
import {
  chainsOf,
  EMPTY,
  type MakeStorage,
  type StorageCase,
  type StorageSubject,
  seededNumbers,
} from "./storage-subject.ts";
import { syncCases } from "./storage-syncs.ts";

export interface ProcessCaseOptions {
  /** How often a process is killed in the crash cases; default 4. */
  readonly rounds?: number;
  /** Seed for the moments at which processes are killed; default 1. */
  readonly seed?: number;
}

/** Rounds after which a new store is begun, so that checking all of it stays cheap. */
const ROUNDS_PER_STORE = 8;

/** More bytes than fit into a small store. */
const MOST_BYTES = 1 << 27;

const settled = (acknowledged: number): Progress => ({ acknowledged });

/** Takes the steps of a writer in this process. */
async function takeSteps(
  storage: StorageAdapter,
  kinds: readonly StepKind[],
  writer: string,
  from: number,
  count: number,
): Promise<void> {
  let head = await headOfSteps(storage);
  for (let number = from; number < from + count; number++) {
    head = await takeStep(storage, stepOf(kinds, writer, number), head);
  }
}

/** Makes a process check what it sees. */
async function lookFrom(
  peer: Peer,
  kinds: readonly StepKind[],
  writers: ReadonlyMap<string, Progress>,
): Promise<void> {
  const before = peer.said("seen");
  peer.ask({ do: "look", kinds, writers: [...writers] });
  await peer.until(() => peer.said("seen") > before, "what it sees");
}

const PROCESS_CASES_OPTIONS: OptionsOf<ProcessCaseOptions> = { rounds: true, seed: true };

/**
 * Cases that need another process: several with one store open, killed processes, a full disk, and
 * syncs as the system sees them. The other process runs `serveStorage`.
 * @example
 * // each case that kills a process kills it forty times
 * const cases = [...storageCases, ...processCases({ rounds: 40 })];
 * await runKit(cases, make, { features: [...ALL_FEATURES, "kill", "processes"] });
 */
export function processCases(options: ProcessCaseOptions = {}): StorageCase[] {
  assertOptions(options, PROCESS_CASES_OPTIONS, "processCases");
  const { rounds = 4, seed = 1 } = options;
  return [
    {
      name: "processes: those that race lose nothing and write nothing twice",
      requires: ["processes"],
      run: (make) => withSubject(make, raceOfProcesses),
    },
    {
      name: "processes: what one acknowledged every other sees at once",
      requires: ["processes"],
      run: (make) => withSubject(make, seenByProcesses),
    },
    {
      name: "processes: tail gives what another process appends",
      requires: ["processes", "chains", "tail"],
      run: (make) => withSubject(make, tailOfProcesses),
    },
    {
      name: "processes: one that is killed does not stop another",
      requires: ["processes", "kill"],
      run: (make) => withSubject(make, (subject) => killedBeside(subject, seededNumbers(seed))),
    },
    {
      name: `crash: killed ${rounds} times, what was acknowledged is there and nothing is torn`,
      requires: ["kill"],
      run: (make) => killedRepeatedly(make, rounds, seededNumbers(seed)),
    },
    {
      name: "full: what does not fit is refused, the rest stays, and it goes on once there is room",
      requires: ["small"],
      run: (make) => withSubject(make, fullDisk),
    },
    ...syncCases,
  ];
}

async function raceOfProcesses(subject: StorageSubject): Promise<void> {
  const storage = await subject.open();
  check(capsOf(storage).multiProcess, "the caps do not say multiProcess");
  const kinds = kindsOf(storage);
  const peers = await Promise.all([startPeer(subject), startPeer(subject)]);
  const writers = new Map([["own", settled(20)]]);
  const done = peers.flatMap((peer, i) =>
    [`a${i}`, `b${i}`].map((writer) => {
      writers.set(writer, settled(20));
      peer.ask({ do: "write", kinds, writer, from: 0, count: 20 });
      return peer.until(() => peer.said(`done ${writer}`) > 0, "twenty steps");
    }),
  );
  await Promise.all([takeSteps(storage, kinds, "own", 0, 20), ...done]);
  peers.forEach((peer, i) =>
    checkSame([`a${i}`, `b${i}`].map(peer.acknowledged), [20, 20], "acknowledgements"),
  );
  await checkSteps(storage, kinds, writers);
}

async function seenByProcesses(subject: StorageSubject): Promise<void> {
  const storage = await subject.open();
  const kinds = kindsOf(storage);
  const peers = [await startPeer(subject), await startPeer(subject)];
  const writers = new Map<string, Progress>();
  for (let step = 0; step < 2 * kinds.length; step++) {
    await takeSteps(storage, kinds, "own", step, 1);
    writers.set("own", settled(step + 1));
    for (const peer of peers) await lookFrom(peer, kinds, writers);
    for (const [i, peer] of peers.entries()) {
      const writer = `peer${i}`;
      peer.ask({ do: "write", kinds, writer, from: step, count: 1 });
      await peer.until(() => peer.acknowledged(writer) > step, "a step");
      writers.set(writer, settled(step + 1));
      await checkSteps(storage, kinds, writers);
      await lookFrom(peers[1 - i]!, kinds, writers);
    }
  }
}

async function tailOfProcesses(subject: StorageSubject): Promise<void> {
  const storage = await subject.open();
  const [writing, following] = [await startPeer(subject), await startPeer(subject)];
  const kinds: readonly StepKind[] = ["append"];
  // Two records per step: eight before anybody reads, then twenty from each process.
  await takeSteps(storage, kinds, "own", 0, 4);
  const seen: number[] = [];
  const follow = async (): Promise<void> => {
    for await (const { index } of chainsOf(storage).tail!("steps", { from: 3 })) {
      seen.push(index);
      if (seen.length === 45) break;
    }
  };
  following.ask({ do: "tail", from: 3, count: 45 });
  writing.ask({ do: "write", kinds, writer: "other", from: 0, count: 10 });
  await Promise.all([
    follow(),
    takeSteps(storage, kinds, "own", 4, 10),
    following.until(() => following.said("done tail") > 0, "45 records"),
  ]);
  const wanted = Array.from({ length: 45 }, (_, i) => i + 3);
  checkSame(seen, wanted, "what tail gave here");
  checkSame(
    wanted.map((index) => following.said(`tail ${index}`)),
    wanted.map(() => 1),
    "how often tail gave each record there",
  );
}

async function killedBeside(subject: StorageSubject, next: () => number): Promise<void> {
  const storage = await subject.open();
  const kinds = kindsOf(storage);
  const survivor = await startPeer(subject);
  const writers = new Map<string, Progress>();
  const count = 60;
  survivor.ask({ do: "write", kinds, writer: "survivor", from: 0, count });
  for (let round = 0; round < 3; round++) {
    const victim = await startPeer(subject);
    const writer = `victim${round}`;
    victim.ask({ do: "write", kinds, writer, from: 0, count: 1_000_000 });
    await victim.until(() => victim.acknowledged(writer) > next() * 10, "steps");
    await pause(next() * 10);
    await victim.process.kill();
    writers.set(writer, { acknowledged: victim.acknowledged(writer), doubtful: 1 });
  }
  await takeSteps(storage, kinds, "own", 0, 5);
  writers.set("own", settled(5));
  await survivor.until(() => survivor.said("done survivor") > 0, `${count} steps`);
  writers.set("survivor", settled(count));
  await checkSteps(storage, kinds, writers);
}

async function killedRepeatedly(
  make: MakeStorage,
  rounds: number,
  next: () => number,
): Promise<void> {
  for (let round = 0; round < rounds; round += ROUNDS_PER_STORE) {
    await withSubject(make, async (subject) => {
      const writers = new Map<string, Progress>();
      const count = Math.min(ROUNDS_PER_STORE, rounds - round);
      for (let i = 0; i < count; i++) await killOnce(subject, round + i, writers, next);
    });
  }
}

/** Kills a process that opens the store or writes to it, and checks what it left. */
async function killOnce(
  subject: StorageSubject,
  round: number,
  writers: Map<string, Progress>,
  next: () => number,
): Promise<void> {
  const first = await subject.open();
  const kinds = kindsOf(first);
  check(capsOf(first).durability !== "none", "a store that promises nothing cannot be killed");
  await first.close();
  check(subject.startProcess, "the subject claims processes and cannot start one");
  const peer = peerOf(await subject.startProcess());
  const own = [0, 1, 2].map((i) => `round${round}-${i}`);
  if (round % 4 === 3) {
    await peer.until(() => peer.said("opening") > 0, "opening");
  } else {
    await peer.until(() => peer.said("ready") > 0, "opening");
    for (const writer of own) peer.ask({ do: "write", kinds, writer, from: 0, count: 1_000_000 });
    const wanted = Math.floor(next() * 40);
    await peer.until(() => own.some((writer) => peer.acknowledged(writer) >= wanted), "steps");
  }
  await pause(next() * 25);
  await peer.process.kill();
  for (const writer of own) {
    writers.set(writer, { acknowledged: peer.acknowledged(writer), doubtful: 1 });
  }
  const storage = await subject.open();
  for (const [writer, steps] of await checkSteps(storage, kinds, writers)) {
    writers.set(writer, settled(steps));
  }
  // And writing continues, from either process.
  await takeSteps(storage, kinds, `after${round}`, 0, kinds.length);
  writers.set(`after${round}`, settled(kinds.length));
  await checkSteps(storage, kinds, writers);
  await storage.close();
}

async function fullDisk(subject: StorageSubject): Promise<void> {
  check(subject.small, "the subject claims a small store and makes none");
  const small = await subject.small();
  let storage = await small.open();
  const kinds = kindsOf(storage).filter((kind) => kind !== "delete");
  let head = EMPTY;
  let taken = 0;
  let written = 0;
  const held = async (): Promise<unknown> =>
    checkSteps(storage, kinds, new Map([["own", settled(taken)]]));
  for (; ; taken++) {
    check(written < MOST_BYTES, `${written} bytes fitted`);
    const step = stepOf(kinds, "own", taken);
    for (const { length } of [...step.records, ...step.blobs.map((blob) => blob.bytes)]) {
      written += length;
    }
    try {
      head = await takeStep(storage, step, head);
    } catch (error) {
      const { code } = Object(error) as { code?: string };
      // A store that cannot tell a full disk from a failed sync may report an unknown outcome; that
      // nothing was written is checked below either way.
      const told = code === "ERR_STORAGE_FAILED" || code === "ERR_STORAGE_AMBIGUOUS";
      check(told, `code of the error when full: ${code} (${String(error)})`);
      break;
    }
  }
  check(taken > 0, "nothing fitted at all");
  await held();
  await small.makeRoom();
  try {
    head = await tryStep(storage, stepOf(kinds, "own", taken), head);
    taken++;
  } catch {
    // A handle may be unusable after such a failure; the store must not be.
  }
  await held();
  await storage.close();
  storage = await small.open();
  await held();
  await takeSteps(storage, kinds, "own", taken, 5);
  taken += 5;
  await held();
  await storage.close();
}
