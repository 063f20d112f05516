// @ts-check
// Writes the declarations of every entry point and backend, and of the sources that these refer to, beside the
// JavaScript in dist. Each source is translated by itself, as `isolatedDeclarations` allows: nothing is type checked
// here, which `npm run typecheck` does.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";
import { entryPoints } from "./entry-points.mjs";

/** A relative import in a declaration, of a value or a type. */
const RELATIVE = /(from |import\()"(\.{1,2}\/[^"]+)\.ts"/g;
/** `Symbol.asyncDispose`, also for who compiles without it. */
const BANNER = '/// <reference lib="esnext.disposable" />\n';

const { config, error } = ts.readConfigFile("tsconfig.src.json", ts.sys.readFile);
if (error !== undefined) throw new Error(String(error.messageText));
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, process.cwd());
const compilerOptions = { ...options, noEmit: false };

/** @type {string[]} */
const problems = [];
const entries = new Set(entryPoints().values());
const found = new Set([
  ...entries,
  join("src", "crypto", "node.ts"),
  join("src", "crypto", "noble.ts"),
]);
// A set gives out what is added while it is walked.
for (const source of found) {
  const { outputText, diagnostics = [] } = ts.transpileDeclaration(readFileSync(source, "utf8"), {
    fileName: source,
    compilerOptions,
    reportDiagnostics: true,
  });
  for (const { messageText } of diagnostics) {
    problems.push(`${source}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`);
  }
  if (/(?:from |import\()"#/.test(outputText)) {
    problems.push(`${source}: a public type must not depend on the backend of cryptography`);
  }
  for (const [, , path] of outputText.matchAll(RELATIVE)) {
    found.add(join(dirname(source), `${path}.ts`));
  }
  const text = outputText.replace(RELATIVE, '$1"$2.js"');
  const target = source.replace(/^src/, "dist").replace(/\.ts$/, ".d.ts");
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, entries.has(source) ? BANNER + text : text);
}
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;
