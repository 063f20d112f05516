// @ts-check
// Compares the public names of every import path with the lists in scripts/surface. Reads sources,
// so it needs no build. Fails where
//
// - a list differs: it holds kind, name and signature of each export; a declaration that an earlier
//   import path exports too is only referred to
// - an exported name is one that the platform declares globally, or is too bare to say what it works on
// - one name has different declarations under two import paths
//
// --write accepts the surface as it is; --examples lists the functions whose docstring has no
// @example; --table counts names by import path.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import ts from "typescript";
import { entryPoints } from "./entry-points.mjs";

const FOLDER = "scripts/surface";
const ACCEPT = "to accept the surface as it is: node scripts/surface.mjs --write";
/** Verbs that say nothing of what they work on where they are imported. */
const BARE = ["decode", "encode", "open", "parse", "read", "seal", "sign", "verify"];

/**
 * @typedef {object} Exported
 * @property {string} name
 * @property {ts.Symbol} symbol - what the name stands for, aliases followed
 * @property {readonly ts.Declaration[]} declarations
 * @property {boolean} isValue
 */

/** @param {ReadonlyMap<string, string>} sources - files by import path */
function readProgram(sources) {
  const { config, error } = ts.readConfigFile("tsconfig.src.json", ts.sys.readFile);
  if (error !== undefined) throw new Error(String(error.messageText));
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, process.cwd());
  return ts.createProgram([...sources.values()], options);
}

/** @param {ts.Program} program @param {string} file @returns {readonly Exported[]} by name */
function exportsOf(program, file) {
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(resolve(file));
  const module = source && checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`${file} is missing, or is no module`);
  return checker
    .getExportsOfModule(module)
    .map((exported) => {
      const symbol =
        exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
      const declarations = symbol.declarations ?? [];
      const isTypeOnly = (exported.declarations ?? []).some((node) =>
        ts.isTypeOnlyImportOrExportDeclaration(node),
      );
      const isValue = !isTypeOnly && (symbol.flags & ts.SymbolFlags.Value) !== 0;
      return { name: exported.name, symbol, declarations, isValue };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @type {Map<string, ts.SourceFile>} */
const declared = new Map();

/** The declarations of a source, without bodies and comments. */
/** @param {ts.SourceFile} source @param {ts.CompilerOptions} compilerOptions */
function declarationsOf({ fileName, text }, compilerOptions) {
  const known = declared.get(fileName);
  if (known !== undefined) return known;
  const { outputText } = ts.transpileDeclaration(text, {
    fileName,
    compilerOptions: { ...compilerOptions, noEmit: false, removeComments: true },
  });
  const parsed = ts.createSourceFile(fileName, outputText, ts.ScriptTarget.Latest, true);
  declared.set(fileName, parsed);
  return parsed;
}

/** @param {Exported} exported @param {ts.CompilerOptions} options @returns {string} */
function signatureOf({ name, declarations, symbol }, options) {
  const files = new Set(declarations.map((node) => node.getSourceFile()));
  const own = [...files].filter(({ fileName }) => !fileName.includes("/node_modules/"));
  // of a package: its version says the rest
  if (own.length === 0) return `${name} of another package`;
  const texts = own.flatMap((source) =>
    declarationsOf(source, options)
      .statements.filter((statement) => namesOf(statement).includes(symbol.name))
      .map((statement) => statement.getText()),
  );
  if (texts.length === 0) throw new Error(`no declaration of ${name}`);
  return texts
    .join("\n")
    .replaceAll(/^export (declare )?/gm, "")
    .replaceAll(/^ {4,}/gm, (indent) => " ".repeat(indent.length / 2));
}

/** @param {ts.Statement} statement @returns {string[]} */
function namesOf(statement) {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map(({ name }) => name.getText());
  }
  const { name } = /** @type {{ name?: ts.Node }} */ (/** @type {unknown} */ (statement));
  return name === undefined ? [] : [name.getText()];
}

/** Names that the libraries of the platform declare, as values or types. */
/** @param {ts.Program} program @param {string} name */
function isGlobal(program, name) {
  const { Value, Type } = ts.SymbolFlags;
  const found = /** @type {{ resolveName: Function }} */ (
    /** @type {unknown} */ (program.getTypeChecker())
  ).resolveName(name, undefined, Value | Type, false);
  return found !== undefined;
}

/** @param {Exported} exported */
function hasExample({ declarations }) {
  return declarations.some((node) =>
    ts.getJSDocTags(node).some(({ tagName }) => tagName.text === "example"),
  );
}

const sources = entryPoints();
const program = readProgram(sources);
const surface = new Map([...sources].map(([path, file]) => [path, exportsOf(program, file)]));

/** @type {string[]} */
const problems = [];
/** @type {Map<string, { path: string, symbol: ts.Symbol }>} */
const homes = new Map();
/** @type {Map<string, string>} */
const lists = new Map();
for (const [path, names] of surface) {
  const lines = names.map((exported) => {
    const { name, symbol, isValue } = exported;
    const home = homes.get(name);
    if (home === undefined) homes.set(name, { path, symbol });
    else if (home.symbol === symbol) return `${isValue ? "" : "type "}${name}: see ${home.path}`;
    else problems.push(`${name} is one thing in ${home.path} and another in ${path}`);
    if (isGlobal(program, name)) problems.push(`${path}: ${name} hides a global of the platform`);
    if (BARE.includes(name)) problems.push(`${path}: ${name} does not say what it works on`);
    return signatureOf(exported, program.getCompilerOptions());
  });
  const file = path.replace(/^[^/]+\/?/, "").replaceAll("/", "-") || "index";
  lists.set(`${file}.txt`, `${path}\n\n${lines.join("\n")}\n`);
}

if (process.argv.includes("--table")) {
  for (const [path, names] of surface) {
    const values = names.filter(({ isValue }) => isValue).length;
    console.log(`${path.padEnd(30)} ${values} values, ${names.length - values} types`);
  }
} else if (process.argv.includes("--examples")) {
  for (const [path, names] of surface) {
    for (const exported of names) {
      const { name, symbol, isValue } = exported;
      if (!isValue || homes.get(name)?.path !== path || hasExample(exported)) continue;
      const type = program.getTypeChecker().getTypeOfSymbol(symbol);
      if (type.getCallSignatures().length === 0) continue;
      console.log(`${path} ${name}`);
    }
  }
} else if (process.argv.includes("--write")) {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  for (const [file, text] of lists) writeFileSync(join(FOLDER, file), text);
} else {
  const kept = new Set(existsSync(FOLDER) ? readdirSync(FOLDER) : []);
  for (const [file, text] of lists) {
    const before = kept.delete(file) ? readFileSync(join(FOLDER, file), "utf8") : "";
    const had = new Set(before.split("\n"));
    const has = new Set(text.split("\n"));
    const gone = [...had].filter((line) => !has.has(line)).map((line) => `- ${line}`);
    const come = [...has].filter((line) => !had.has(line)).map((line) => `+ ${line}`);
    if (before !== text)
      problems.push([`${join(FOLDER, file)} differs`, ...gone, ...come].join("\n  "));
  }
  for (const file of kept) problems.push(`${join(FOLDER, file)} lists no import path`);
  if (problems.length > 0) problems.push(ACCEPT);
}
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;
