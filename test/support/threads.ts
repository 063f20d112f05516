import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build as esbuild, type BuildOptions } from "esbuild";

const SOURCE = fileURLToPath(new URL("../../src/workers/", import.meta.url));

/** Modules of `src/workers`, bundled as an application would bundle the package's. */
export interface Bundles {
  /** Bundles a module whose imports are relative to `src/workers`. */
  bundle(contents: string): Promise<URL>;
  /** What the threads of `nodeWorkers` run. */
  thread(): Promise<URL>;
  /**
   * A thread that does as the package's does, but for one job of a kind, counted from 1 in each thread.
   *
   * @param fault - statements instead; they may use `id`, `port`, and `given`, the right answer
   */
  faulty(kind: "describe" | "seal", at: number, fault: string): Promise<URL>;
  remove(): void;
}

export function openBundles(): Bundles {
  const folder = mkdtempSync(join(tmpdir(), "healthledger-threads-"));
  let count = 0;
  const build = async (entry: Pick<BuildOptions, "stdin" | "entryPoints">): Promise<URL> => {
    const outfile = join(folder, `${count++}.mjs`);
    await esbuild({
      ...entry,
      ...{ outfile, bundle: true, format: "esm", platform: "node", target: "node20" },
      conditions: ["healthledger-source"],
      logLevel: "error",
    });
    return pathToFileURL(outfile);
  };
  const bundle: Bundles["bundle"] = (contents) =>
    build({ stdin: { contents, resolveDir: SOURCE, loader: "ts" } });
  return {
    bundle,
    thread: () => build({ entryPoints: [join(SOURCE, "thread.ts")] }),
    faulty: (kind, at, fault) =>
      bundle(`
        import { parentPort as port, workerData } from "node:worker_threads";
        import { buffersOf, jobRunner } from "./job.ts";
        const run = jobRunner(workerData);
        let count = 0;
        port.on("message", async ({ id, job }) => {
          const isIt = job.job === "${kind}" && ++count === ${at};
          const given = await run(id, job);
          if (!isIt) port.postMessage(given, [...buffersOf(given)]);
          else { ${fault} }
        });
      `),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
