import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Plugin } from "vite";
import { sourceChanges, type SourceMutant } from "./mutants.ts";

const MUTANT = /[?&]mutant=([a-z-]+)/;
/** What a module needs while it runs; `import type` is gone by then. */
const IMPORT = /^(?:import|export)\s(?!type\s)[^;]*?"(\.[^"]+\.ts)";/gm;

/**
 * Loads a module that is imported as `NAME.ts?mutant=MUTANT` with that mistake. What imports the mistaken file, in however
 * many steps, is loaded once more; the rest is shared.
 */
export function mutantPlugin(root: string): Plugin {
  const needs = new Map<string, readonly string[]>();

  function neededBy(file: string): readonly string[] {
    let found = needs.get(file);
    if (found === undefined) {
      const text = readFileSync(file, "utf8");
      found = [...text.matchAll(IMPORT)].map(([, to]) => resolve(dirname(file), to!));
      needs.set(file, found);
    }
    return found;
  }

  /** Whether a module is mistaken, or needs one that is. */
  function isTouched(file: string, { patches }: SourceMutant): boolean {
    const wrong = new Set(patches.map((patch) => `${root}/src/${patch.file}`));
    const seen = new Set([file]);
    for (const one of seen) {
      if (wrong.has(one)) return true;
      for (const needed of neededBy(one)) seen.add(needed);
    }
    return false;
  }

  return {
    name: "healthledger-mutants",
    enforce: "pre",
    async resolveId(source, importer) {
      const name = MUTANT.exec(source)?.[1] ?? MUTANT.exec(importer ?? "")?.[1];
      if (name === undefined || !source.startsWith(".")) return undefined;
      const [plain, from] = [source, importer].map((id) => id?.replace(/\?.*$/, ""));
      const resolved = await this.resolve(plain!, from, { skipSelf: true });
      if (resolved === null || !isTouched(resolved.id, mutantNamed(name))) return resolved;
      return { ...resolved, id: `${resolved.id}?mutant=${name}` };
    },
    transform(code, id) {
      const name = MUTANT.exec(id)?.[1];
      if (name === undefined) return undefined;
      let changed = code;
      for (const { file, find, replace } of mutantNamed(name).patches) {
        if (!id.startsWith(`${root}/src/${file}?`)) continue;
        if (changed.split(find).length !== 2)
          throw new Error(`the text of ${name} does not occur once in ${file}`);
        changed = changed.replace(find, () => replace);
      }
      return changed === code ? undefined : { code: changed, map: null };
    },
  };
}

function mutantNamed(name: string): SourceMutant {
  const found = sourceChanges.find((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no mutant ${name}`);
  return found;
}
