// @ts-check
// The sources that the subpaths of package.json's exports are built from.
import { readFileSync } from "node:fs";

/** @returns {Map<string, string>} for each import path, as `healthledger/chain`, its file below `src` */
export function entryPoints() {
  /** @type {{ name: string, exports: Record<string, string | { types: string }> }} */
  const { name, exports } = JSON.parse(readFileSync("package.json", "utf8"));
  return new Map(
    Object.entries(exports).flatMap(([subpath, target]) => {
      if (typeof target === "string") return [];
      const file = target.types.replace(/^\.\/dist\//, "src/").replace(/\.d\.ts$/, ".ts");
      return [[subpath.replace(/^\./, name), file]];
    }),
  );
}
