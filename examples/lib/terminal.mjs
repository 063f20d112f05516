// @ts-check
// What the examples print with, and how they look into files.
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

/**
 * Prints steps and results: in colour and with a progress bar on a terminal, in plain lines elsewhere.
 *
 * @param {NodeJS.WriteStream} out
 */
export function terminal(out) {
  const rich = out.isTTY === true && process.env["NO_COLOR"] === undefined;
  /** @param {number} code @param {string} text */
  const paint = (code, text) => (rich ? `\u001b[${code}m${text}\u001b[0m` : text);
  let steps = 0;
  /** @param {string} text */
  const print = (text) => void out.write(`${text}\n`);
  return {
    /** @param {string} title */
    step: (title) => print(`\n${paint(1, `${++steps}. ${title}`)}`),
    /** @param {...string} texts */
    line: (...texts) => print(`   ${texts.join("  ")}`),
    /** @param {string} text */
    note: (text) => print(`   ${paint(2, text)}`),
    /** @param {string} text */
    good: (text) => print(`   ${paint(32, "✓")} ${text}`),
    /** @param {string} text */
    bad: (text) => print(`   ${paint(31, "✗")} ${text}`),
    /**
     * Says that a promise of this library was broken, and ends the run.
     *
     * @param {string} text
     * @returns {never}
     */
    fail(text) {
      print(`   ${paint(31, "FAILED")} ${text}`);
      process.exit(1);
    },
    /**
     * A callback for `onProgress`.
     *
     * @param {string} label
     * @returns {(progress: { done: number, total?: number }) => void}
     */
    progress:
      (label) =>
      ({ done, total = done }) => {
        if (!rich || total === 0) return;
        const width = Math.round((30 * done) / total);
        const bar = "█".repeat(width) + "░".repeat(30 - width);
        out.write(`\r   ${bar} ${done}/${total} ${label}${done === total ? "\r\u001b[K" : ""}`);
      },
  };
}

/** @param {number} count @param {string} one @param {string} [many] */
export function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/**
 * One line about a FHIR resource.
 *
 * @param {any} resource
 */
export function show(resource) {
  const concept =
    resource?.code ??
    resource?.vaccineCode ??
    resource?.medicationCodeableConcept ??
    resource?.type?.[0] ??
    resource?.type;
  const text = concept?.text ?? concept?.coding?.[0]?.display ?? "";
  const { value, unit } = resource?.valueQuantity ?? {};
  return `${resource?.resourceType}${text === "" ? "" : `: ${text}`}${value === undefined ? "" : ` = ${value} ${unit ?? ""}`}`;
}

/**
 * Every file below a folder.
 *
 * @param {string} folder
 * @returns {Promise<string[]>}
 */
export async function filesUnder(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/**
 * How often byte strings occur in the files below a folder.
 *
 * @param {string} folder
 * @param {readonly Uint8Array[]} needles
 */
export async function findInFiles(folder, needles) {
  let found = 0;
  for (const file of await filesUnder(folder)) {
    const bytes = await readFile(file);
    // Short values occur by chance.
    for (const needle of needles.filter(({ length }) => length >= 16)) {
      for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) found++;
    }
  }
  return found;
}

/**
 * The size of a folder's files, for people.
 *
 * @param {string} folder
 */
export async function size(folder) {
  let bytes = 0;
  for (const file of await filesUnder(folder)) bytes += (await stat(file)).size;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
