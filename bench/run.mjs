#!/usr/bin/env node
// @ts-check
// Measures the built package beside its floors and peers: npm run bench -- [options]
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/**
 * What a row is given.
 * @typedef {object} Run
 * @property {(name: string) => string} folder - path of a folder of the row's own
 * @property {number} rounds - how often each side is measured
 * @property {boolean} short - a smoke run: figures mean nothing
 * @property {boolean} full - as large as the aims say, however long it takes
 * @property {number} window - batches under way at a time in `append/*`
 * @property {(text: string) => void} note - says something below the row
 */

/**
 * @typedef {object} Measured
 * @property {number} value
 * @property {number} [floor]
 * @property {Record<string, number>} [peers]
 * @property {{ name: string, unit: string, value: number }[]} [also] - what was seen on the way
 */

/**
 * @typedef {object} Row
 * @property {string} name
 * @property {string} unit
 * @property {boolean} [lessIsBetter]
 * @property {boolean} [onlyFull] - takes so long that it runs with `--full`, and smaller with `--short`, alone
 * @property {(run: Run) => Promise<Measured>} run
 */

const here = fileURLToPath(new URL(".", import.meta.url));
const { values: options } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    json: { type: "string" },
    short: { type: "boolean", default: false },
    full: { type: "boolean", default: false },
    rounds: { type: "string" },
    window: { type: "string" },
    dir: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

if (options.help) {
  console.log(`npm run bench -- [options]
  --only <prefix>   rows whose name begins so; may be given several times
  --json <file>     write [{name, unit, value, floor?, peers?}]
  --short           a smoke run of seconds, whose figures mean nothing
  --full            also what takes many minutes: ledgers of a million entries or blocks
  --rounds <n>      how often each side is measured (default 7)
  --window <n>      batches under way at a time in append/* (default 2)
  --dir <folder>    where stores are made (default: the system's folder for temporary files)`);
  process.exit();
}

const peers = [
  "hypercore",
  "age-encryption",
  "better-sqlite3",
  join("@cedar-policy", "cedar-wasm"),
  join("@aws-sdk", "client-s3"),
];
if (!peers.every((name) => existsSync(join(here, "node_modules", name)))) {
  const npm = spawnSync("npm", ["ci", "--prefix", here], {
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  if (npm.status !== 0) process.exit(npm.status ?? 1);
}

/** @type {Row[]} */
const rows = (
  await Promise.all(
    [
      ...[
        "append",
        "submit",
        "record",
        "ingest",
        "disclose",
        "blobs",
        "person",
        "loop",
        "verify",
        "sync",
        "proof",
        "light",
        "open",
        "erase",
        "envelope",
        "stream",
        "chromium",
        "consent",
      ],
      ...["memory", "lmdb", "sqlite", "postgres", "indexeddb", "s3"].map((one) => `storage-${one}`),
    ]
      .filter((name) => existsSync(join(here, "rows", `${name}.mjs`)))
      .map((name) => import(`./rows/${name}.mjs`)),
  )
).flatMap((module) => module.rows);

const { short, full } = options;
const wanted = rows.filter(
  ({ name, onlyFull }) =>
    (short || full || !onlyFull) &&
    (options.only?.some((prefix) => name.startsWith(prefix)) ?? true),
);
if (wanted.length === 0) {
  const which = full ? "row" : "row that runs without --full";
  console.error(`no ${which} begins with ${options.only?.join(" or ")}`);
  process.exit(2);
}

const base = mkdtempSync(join(options.dir ?? tmpdir(), "healthledger-bench-"));
const results = [];
console.log(
  `node ${process.version}, ${availableParallelism()} × ${cpus()[0]?.model ?? "cpu"}` +
    `${short ? "; a smoke run, its figures mean nothing" : ""}`,
);
try {
  for (const { name, unit, lessIsBetter = false, run } of wanted) {
    const folder = mkdtempSync(join(base, "row-"));
    /** @type {string[]} */
    const notes = [];
    const {
      value,
      floor,
      peers,
      also = [],
    } = await run({
      folder: (part) => join(folder, part),
      rounds: options.rounds ? Number(options.rounds) : short ? 1 : 7,
      ...{ short, full },
      window: options.window ? Number(options.window) : 2,
      note: (text) => notes.push(text),
    });
    rmSync(folder, { recursive: true, force: true });
    results.push({
      name,
      unit,
      value,
      ...(floor === undefined ? {} : { floor }),
      ...(peers === undefined ? {} : { peers }),
    });
    const beside = Object.entries({ ...(floor === undefined ? {} : { floor }), ...peers }).map(
      ([other, theirs]) =>
        `${ratio(lessIsBetter ? theirs / value : value / theirs)} × ${other} (${figure(theirs)})`,
    );
    console.log(`${name.padEnd(20)} ${`${figure(value)} ${unit}`.padEnd(20)} ${beside.join(", ")}`);
    for (const seen of also) {
      results.push(seen);
      console.log(`${seen.name.padEnd(20)} ${figure(seen.value)} ${seen.unit}`);
    }
    for (const text of notes) console.log(`${"".padEnd(20)} ${text}`);
  }
} finally {
  rmSync(base, { recursive: true, force: true });
}
if (options.json) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);

/** @param {number} number */
function figure(number) {
  return number >= 100 ? Math.round(number).toLocaleString("en") : number.toPrecision(3);
}

/** @param {number} number */
function ratio(number) {
  return number >= 10 ? number.toFixed(0) : number.toFixed(2);
}
