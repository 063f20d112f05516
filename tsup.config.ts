import { readFileSync } from "node:fs";
import { defineConfig } from "tsup";

const manifest = JSON.parse(readFileSync("package.json", "utf8")) as {
  imports: { "#crypto": { node: string; default: string } };
  exports: Record<string, string | { default: string }>;
};

/** One entry for each file that `package.json` names, at the same place below `src`. */
const built = [
  ...Object.values(manifest.exports).flatMap((target) =>
    typeof target === "string" ? [] : [target.default],
  ),
  manifest.imports["#crypto"].node,
  manifest.imports["#crypto"].default,
  // what the threads of nodeWorkers run
  "./dist/workers/thread.js",
];
const entry = Object.fromEntries(
  built.map((file) => {
    const name = file.replace(/^\.\/dist\//, "").replace(/\.js$/, "");
    return [name, `src/${name}.ts`];
  }),
);

export default defineConfig({
  entry,
  format: "esm",
  target: "es2022",
  platform: "neutral",
  // one copy of every class, so that `instanceof` holds across entry points
  splitting: true,
  clean: true,
  treeshake: false,
  sourcemap: false,
  external: ["#crypto", /^node:/],
  // scripts/build-types.mjs writes the declarations, in a tenth of the time
  dts: false,
});
