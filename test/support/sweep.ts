import { spawn } from "node:child_process";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const CHILD = fileURLToPath(new URL("./sweep-child.ts", import.meta.url));
const FLAGS = ["--conditions=healthledger-source", "--import", "tsx", "--no-warnings"];
/** No call may take longer than this, all of a copy together. */
const PATIENCE = 60_000;

/** What each call gave: `= …` a value, `! …` a typed error, `? …` anything else. */
export type Told = Readonly<Record<string, string>>;
type Outcome = Told | "ended" | "hung";

/** What became of the damaged copies of a store. */
export interface Tally {
  copies: number;
  /** Every call gave what it gives of the undamaged store. */
  right: number;
  /** Some call was refused by name, and the others were right. */
  named: number;
  /** The process was ended by a signal. */
  ended: number;
  hung: number;
  /** Calls that gave something else, or an error without a type. */
  readonly wrong: string[];
}

/** Changes the bytes of a file in place. */
export type Damage = (bytes: Buffer, random: (below: number) => number) => Buffer;

const PAGE = 4096;
const pagesOf = (bytes: Buffer) => Math.floor(bytes.length / PAGE);

/** What happens to files on disks. */
export const DAMAGES: Readonly<Record<string, Damage>> = {
  "a bit flipped": (bytes, random) => {
    bytes[random(bytes.length)]! ^= 1 << random(8);
    return bytes;
  },
  "eight bits flipped": (bytes, random) => {
    for (let i = 0; i < 8; i++) bytes[random(bytes.length)]! ^= 1 << random(8);
    return bytes;
  },
  "a bit flipped in the first two pages": (bytes, random) => {
    bytes[random(2) * PAGE + random(200)]! ^= 1 << random(8);
    return bytes;
  },
  "a page zeroed": (bytes, random) => {
    const page = random(pagesOf(bytes));
    return bytes.fill(0, page * PAGE, (page + 1) * PAGE);
  },
  "two pages swapped": (bytes, random) => {
    const [a, b] = [random(pagesOf(bytes)) * PAGE, random(pagesOf(bytes)) * PAGE];
    const first = Buffer.from(bytes.subarray(a, a + PAGE));
    bytes.copyWithin(a, b, b + PAGE);
    bytes.set(first, b);
    return bytes;
  },
  "cut short": (bytes, random) => bytes.subarray(0, random(bytes.length)),
};

/** Numbers below a bound, the same every time. */
function numbers(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((x / 2 ** 32) * below);
  };
}

/** Makes a small ledger, and damages copies of one of its files. */
export async function sweep(options: {
  readonly kind: "lmdb" | "checked" | "sqlite";
  readonly folder: string;
  /** The file that is damaged, within the store's folder. */
  readonly file: string;
  /** Copies a kind of damage. */
  readonly copies: number;
  readonly damages?: Readonly<Record<string, Damage>>;
}): Promise<Readonly<Record<string, Tally>>> {
  const { kind, folder, file, copies, damages = DAMAGES } = options;
  const whole = join(folder, "whole");
  const [made] = await run(kind, "make", [whole]);
  if (typeof made !== "object") throw new Error(`no ledger was made: the process ${made}`);
  const right = made;
  const wrongAtFirst = Object.entries(right).filter(([, told]) => !told.startsWith("="));
  if (wrongAtFirst.length > 0) throw new Error(JSON.stringify(wrongAtFirst));
  const random = numbers(11);
  const tallies: Record<string, Tally> = {};
  for (const [name, damage] of Object.entries(damages)) {
    const paths = Array.from({ length: copies }, (_, i) => join(folder, `copy-${i}`));
    for (const path of paths) {
      cpSync(whole, path, { recursive: true });
      const bytes = readFileSync(join(path, file));
      writeFileSync(join(path, file), damage(bytes, random));
    }
    const tally: Tally = { copies, right: 0, named: 0, ended: 0, hung: 0, wrong: [] };
    for (const outcome of await run(kind, "look", paths)) count(tally, outcome, right);
    tallies[name] = tally;
    for (const path of paths) rmSync(path, { recursive: true });
  }
  return tallies;
}

function count(tally: Tally, outcome: Outcome, right: Told): void {
  if (typeof outcome === "string") {
    tally[outcome]++;
    return;
  }
  const others = Object.entries(outcome).filter(([call, told]) => told !== right[call]);
  const wrong = others.filter(([call, told]) => !told.startsWith("!") && !isNamed(call, told));
  if (wrong.length > 0)
    tally.wrong.push(...wrong.map(([call, told]) => `${call} ${told}`.slice(0, 200)));
  else if (others.length > 0) tally.named++;
  else tally.right++;
}

/** `verify`, `verifyBlobs` and `audit` say in their results what is wrong. */
function isNamed(call: string, told: string): boolean {
  if (call.startsWith("audit ")) return told.includes('"unreadable":"ERR_');
  return (call === "verify" && told === '= {"ok":false}') || (call === "blobs" && told !== "= 0");
}

/** Runs children until every path has its outcome; one that is ended costs the path it was at. */
async function run(kind: string, mode: string, paths: readonly string[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  while (outcomes.length < paths.length) {
    const args = [CHILD, mode, kind, ...paths.slice(outcomes.length)];
    const child = spawn(process.execPath, [...FLAGS, ...args], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let isHung = false;
    const hang = (): void => {
      isHung = true;
      child.kill("SIGKILL");
    };
    let timer = setTimeout(hang, PATIENCE);
    const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
    for await (const line of createInterface({ input: child.stdout })) {
      clearTimeout(timer);
      timer = setTimeout(hang, PATIENCE);
      outcomes.push(JSON.parse(line) as Told);
    }
    await closed;
    clearTimeout(timer);
    if (outcomes.length < paths.length) outcomes.push(isHung ? "hung" : "ended");
  }
  return outcomes;
}
