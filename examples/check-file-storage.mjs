// @ts-check
// Runs the conformance kit on the adapter of file-storage.mjs, without a test runner:
//   node examples/check-file-storage.mjs [rounds]
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processCases, runKit, storageCases } from "healthledger/testing";
import { canMount, canTrace, fileCases, smallVolume } from "healthledger/testing/node";
import { serveOnStdio, spawnStorage, spawnTraced } from "healthledger/testing/node";
import { fileStorage } from "./file-storage.mjs";

const script = /** @type {string} */ (process.argv[1]);
const [first = "4", served = ""] = process.argv.slice(2);
const traced = first !== "serve" && canTrace();

/** A new, empty store for each case. @type {import("healthledger/testing").MakeStorage} */
async function make() {
  const folder = await mkdtemp(join(tmpdir(), "file-storage-"));
  const path = join(folder, "store");
  const args = ["serve", path];
  /** @type {(() => Promise<unknown>)[]} What was opened and started, to be ended at last. */
  const ends = [() => rm(folder, { recursive: true })];
  const open = async (/** @type {Parameters<typeof fileStorage>[0]} */ options) => {
    const storage = await fileStorage(options);
    ends.push(() => storage.close());
    return storage;
  };
  return {
    notTried: traced ? [] : ["traced"],
    open: (limits) => open({ path, ...limits }),
    async startProcess() {
      const started = spawnStorage(script, { args });
      ends.push(() => started.kill());
      return started;
    },
    async startTraced() {
      const started = await spawnTraced(script, { args, store: path });
      ends.push(() => started.kill());
      return started;
    },
    async small() {
      const volume = await smallVolume(2 << 20);
      ends.push(() => volume.remove());
      return { open: () => open({ path: join(volume.path, "store") }), makeRoom: volume.grow };
    },
    async dispose() {
      for (const end of ends.reverse()) await end();
    },
  };
}

async function main() {
  /** @type {import("healthledger/testing").StorageFeature[]} */
  const features = ["chains", "blobs", "state", "commit", "tail", "reopen", "kill"];
  if (await canMount()) features.push("small");
  if (traced) features.push("traced");
  const cases = [...storageCases, ...processCases({ rounds: Number(first) }), ...fileCases];
  const results = await runKit(cases, make, { features, timeout: 600_000 });
  for (const result of results) {
    const why = result.outcome === "skipped" ? ` (not offered: ${result.lacks.join(", ")})` : "";
    console.log(`${result.outcome}  ${result.name}${why}`);
    if (result.outcome === "failed") console.log(result.error);
  }
  const failed = results.filter(({ outcome }) => outcome === "failed").length;
  console.log(`${results.length} cases, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

if (first === "serve") await serveOnStdio(() => fileStorage({ path: served }));
else await main();
