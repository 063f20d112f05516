// @ts-check
// Runs a measurement in a page of headless Chromium.
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { bundlePortable } from "./portable.mjs";

const EXECUTABLE = process.env["HEALTHLEDGER_CHROMIUM"] ?? "/usr/bin/chromium";

/**
 * The rows, or none with one line where Chromium is absent.
 *
 * @param {string} what
 * @param {readonly import("../run.mjs").Row[]} rows
 */
export function whereChromiumIs(what, rows) {
  try {
    accessSync(EXECUTABLE, constants.X_OK);
    return rows;
  } catch {
    console.log(`skipped: ${what}: no Chromium at ${EXECUTABLE}`);
    return [];
  }
}

/**
 * A row that a page measures.
 *
 * @param {string} name
 * @param {string} unit
 * @param {string} module - beside this file; exports `measure(options, library)`
 * @param {string} what - first argument of `measure`
 * @param {string} [said] - a note below the row
 * @returns {import("../run.mjs").Row}
 */
export function chromiumRow(name, unit, module, what, said) {
  return {
    name,
    unit,
    async run({ rounds, short, note }) {
      const measured = await inChromium(module, { what, rounds, short });
      if (said !== undefined) note(said);
      const { ours, floor, ...peers } = measured;
      return {
        value: /** @type {number} */ (ours),
        ...(floor === undefined ? {} : { floor }),
        ...(Object.keys(peers).length === 0 ? {} : { peers }),
      };
    },
  };
}

/**
 * @param {string} module
 * @param {{ what: string, rounds: number, short: boolean }} options
 * @returns {Promise<Record<string, number>>} the median rate of each side
 */
async function inChromium(module, options) {
  const folder = mkdtempSync(join(tmpdir(), "healthledger-chromium-"));
  const script = join(folder, "page.mjs");
  await bundlePortable(script, {
    contents: `
      import * as hl from "healthledger";
      import * as chain from "healthledger/chain";
      import * as envelope from "healthledger/envelope";
      import { indexeddbStorage } from "healthledger/storage/indexeddb";
      import { measure as run } from "./lib/${module}";
      export const measure = (options) => run(options, { hl, chain, envelope, indexeddbStorage });`,
  });
  const server = createServer(({ url }, response) => {
    const isScript = url === "/page.mjs";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? readFileSync(script) : "<!doctype html>");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const browser = await chromium.launchPersistentContext(join(folder, "profile"), {
    executablePath: EXECUTABLE,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--js-flags=--expose-gc",
    ],
  });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${port}/`);
    return await page.evaluate(async (given) => {
      // so that neither Node.js nor the bundler looks for it
      const path = "/page.mjs";
      const { measure } = await import(path);
      return measure(given);
    }, options);
  } finally {
    await browser.close();
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  }
}
