import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Bundles the example with the sources in the place of the package, which may not be built. */
async function bundled(folder: string): Promise<string> {
  const { exports } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
    exports: Record<string, { default: string }>;
  };
  const outfile = join(folder, "check.mjs");
  await build({
    entryPoints: [join(root, "examples/check-file-storage.mjs")],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    conditions: ["healthledger-source"],
    logLevel: "error",
    plugins: [
      {
        name: "self",
        setup: ({ onResolve }) =>
          onResolve({ filter: /^healthledger(\/|$)/ }, ({ path }) => {
            const target = exports[path.replace("healthledger", ".")]!.default;
            return { path: join(root, target.replace("dist", "src").replace(/\.js$/, ".ts")) };
          }),
      },
    ],
  });
  return outfile;
}

describe("the example adapter", () => {
  it("has fewer than 150 lines", async () => {
    const text = await readFile(join(root, "examples/file-storage.mjs"), "utf8");
    expect(text.split("\n").length - 1).toBeLessThan(150);
  });

  it("passes the kit, killed twice too", async () => {
    const folder = await mkdtemp(join(root, "node_modules", ".example-"));
    try {
      const run = promisify(execFile);
      const { stdout } = await run(process.execPath, [await bundled(folder), "2"], { cwd: folder });
      expect(stdout).toMatch(/passed {2}crash: killed 2 times/);
      expect(stdout).toMatch(/cases, 0 failed$/m);
    } finally {
      await rm(folder, { recursive: true });
    }
  }, 300_000);
});
