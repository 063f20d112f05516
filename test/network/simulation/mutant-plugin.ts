import type { Plugin } from "vite";
import { networkMutants } from "./mutants.ts";

const MUTANT = /[?&]mutant=([a-z-]+)/;

/**
 * Loads a module that is imported as `NAME.ts?mutant=MUTANT`, and all that it imports of this project, once more
 * and with that mistake.
 */
export function mutantPlugin(root: string): Plugin {
  return {
    name: "healthledger-mutants",
    enforce: "pre",
    async resolveId(source, importer) {
      const name = MUTANT.exec(source)?.[1] ?? MUTANT.exec(importer ?? "")?.[1];
      if (name === undefined || !/^[.#]/.test(source)) return undefined;
      const [plain, from] = [source, importer].map((id) => id?.replace(/\?.*$/, ""));
      const resolved = await this.resolve(plain!, from, { skipSelf: true });
      if (
        resolved === null ||
        !resolved.id.startsWith(root) ||
        resolved.id.includes("node_modules")
      )
        return resolved;
      return { ...resolved, id: `${resolved.id}?mutant=${name}` };
    },
    transform(code, id) {
      const name = MUTANT.exec(id)?.[1];
      if (name === undefined) return undefined;
      const mutant = networkMutants.find((one) => one.name === name);
      if (mutant === undefined) throw new Error(`there is no mutant ${name}`);
      let changed = code;
      for (const { file, find, replace } of mutant.patches) {
        if (!id.startsWith(`${root}/src/${file}?`)) continue;
        if (changed.split(find).length !== 2)
          throw new Error(`the text of ${name} does not occur once in ${file}`);
        changed = changed.replace(find, () => replace);
      }
      return changed === code ? undefined : { code: changed, map: null };
    },
  };
}
