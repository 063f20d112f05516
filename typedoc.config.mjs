// @ts-check
// The API reference: a module for each import path, named as it is imported.
import { Converter, ReflectionKind } from "typedoc";
import { entryPoints } from "./scripts/entry-points.mjs";

const sources = entryPoints();
/** Import paths by the name that TypeDoc gives a module, which is its path below `src`. */
const paths = new Map(
  [...sources].map(([path, file]) => [
    file.replace(/^src\//, "").replace(/(\/index)?\.ts$/, ""),
    path,
  ]),
);

/** @param {import("typedoc").Application} app */
function nameModules(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const module of project.getReflectionsByKind(ReflectionKind.Module)) {
      const path = paths.get(module.name);
      if (path === undefined) throw new Error(`no import path leads to ${module.name}`);
      module.name = path;
    }
  });
}

/** @type {Partial<import("typedoc").TypeDocOptions>} */
const options = {
  tsconfig: "tsconfig.src.json",
  name: "healthledger",
  out: "docs/api",
  readme: "README.md",
  entryPoints: [...sources.values()],
  plugin: [nameModules],
  validation: {
    notExported: true,
    invalidLink: true,
    invalidPath: true,
    rewrittenLink: true,
    notDocumented: false,
    unusedMergeModuleWith: true,
  },
  treatWarningsAsErrors: false,
  treatValidationWarningsAsErrors: true,
  excludePrivate: true,
  excludeInternal: true,
  disableSources: true,
};

export default options;
