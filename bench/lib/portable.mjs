// @ts-check
// The built package as a browser gets it: in one file, on the portable backend. What a page loads, and
// what Node.js runs as "ours (pure noble)".
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { dist } from "./healthledger.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));

/**
 * Bundles the core, `healthledger/chain` and `healthledger/envelope` as `{ hl, chain, envelope }`, or another module that imports
 * what it measures from this package by name.
 *
 * @param {string} outfile
 * @param {{ contents?: string }} [options]
 */
export async function bundlePortable(outfile, { contents } = {}) {
  await build({
    stdin: {
      contents:
        contents ??
        'export * as hl from "healthledger"; export * as chain from "healthledger/chain"; export * as envelope from "healthledger/envelope";',
      resolveDir: join(root, "bench"),
    },
    outfile,
    bundle: true,
    // an optional peer, asked for by what is not measured
    external: contents === undefined ? ["jose"] : [],
    format: "esm",
    platform: "browser",
    target: "es2022",
    logLevel: "error",
    plugins: [
      {
        name: "self",
        setup({ onResolve }) {
          const { exports } = createRequire(import.meta.url)("../../package.json");
          onResolve({ filter: /^healthledger(\/|$)/ }, ({ path }) => ({
            path: fileURLToPath(
              new URL(
                exports[path.replace("healthledger", ".")].default.replace("./dist/", ""),
                dist,
              ),
            ),
          }));
          onResolve({ filter: /^#crypto$/ }, () => ({
            path: fileURLToPath(new URL("crypto/noble.js", dist)),
          }));
        },
      },
    ],
  });
}

/** @type {Promise<import("./envelope-work.mjs").Library> | undefined} */
let loaded;

/** The package on the portable backend, in this process. */
export function loadPortable() {
  loaded ??= (async () => {
    const folder = mkdtempSync(join(tmpdir(), "healthledger-portable-"));
    try {
      const file = join(folder, "portable.mjs");
      await bundlePortable(file);
      return await import(pathToFileURL(file).href);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  })();
  return loaded;
}
