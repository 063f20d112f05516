import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../../", import.meta.url));

/**
 * Bundles an example with the sources in the place of the package, which may not be built.
 *
 * @param folder - where to write it; other packages are found from there
 * @param platform - where it runs
 * @returns the program's file
 */
export async function bundleExample(
  entry: string,
  folder: string,
  external: readonly string[] = [],
  platform: "node" | "browser" = "node",
): Promise<string> {
  const { exports } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
    exports: Record<string, { default: string }>;
  };
  const outfile = join(folder, `${entry}.bundled.mjs`);
  await build({
    entryPoints: [join(root, `examples/${entry}.mjs`)],
    outfile,
    bundle: true,
    format: "esm",
    platform,
    conditions: ["healthledger-source"],
    external: [...external],
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
