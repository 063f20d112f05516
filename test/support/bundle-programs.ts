import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/**
 * Bundles the programs of processes, each as `<its name>.mjs`: one that is killed again and again must start quickly.
 *
 * @param folder - where to write them; packages are found from there
 */
export async function bundlePrograms(programs: readonly URL[], folder: string): Promise<void> {
  await build({
    entryPoints: programs.map((program) => fileURLToPath(program)),
    ...{ outdir: folder, outExtension: { ".js": ".mjs" }, bundle: true, splitting: true },
    ...{ platform: "node", format: "esm", packages: "external", logLevel: "error" },
    conditions: ["healthledger-source"],
  });
  const packages = fileURLToPath(new URL("../../node_modules", import.meta.url));
  await symlink(packages, join(folder, "node_modules"));
}
