// @ts-check
// Fails where the docs and the package tell different things. Wants a build for the code blocks.
//
// - every error code of src/errors.ts is explained in docs/errors.md, thrown somewhere and tested;
//   a code whose section says "Reserved" is thrown nowhere yet
// - the subpaths that README.md and docs name are those of package.json, and each is named
// - CONTRIBUTING.md has a line for every script of package.json, and for nothing else
// - relative links lead to files
// - every decision record has the head and sections of the others, and docs/design/README.md lists it
//   with its title and status
// - code blocks fenced as `ts check` compile, and those fenced as `js run` run, in an empty folder;
//   a block fenced as `js then` goes on where the one before it on the page ended
// - every public function has an `@example`, and every `@example` of the sources compiles; doc-examples.mjs lists what examples take as given
// - the first example of README.md is examples/first-lines.mjs, which also compiles as strict TypeScript,
//   resolved as Node.js does and as bundlers do
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import ts from "typescript";
import { writeExamples } from "./doc-examples.mjs";

/** @type {string[]} */
const problems = [];

/** @param {string} folder @param {RegExp} wanted @returns {string[]} */
function filesIn(folder, wanted) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((path) => join(folder, path))
    .filter((path) => wanted.test(path))
    .sort();
}

/** The string literals of a file's code: not of its types, nor of its comments. */
/** @param {string} path @returns {Set<string>} */
function literalsOf(path) {
  const literals = new Set();
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isTypeNode(node) && !ts.isExpressionWithTypeArguments(node)) return;
    if (ts.isStringLiteralLike(node)) literals.add(node.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest));
  return literals;
}

function checkErrors() {
  const defined = new Set(readFileSync("src/errors.ts", "utf8").match(/\bERR_[A-Z]+_[A-Z_]+\b/g));
  const page = readFileSync("docs/errors.md", "utf8");
  const sections = new Map(
    page
      .split(/^### /m)
      .slice(1)
      .map((section) => [/^`(ERR_[A-Z_]+)`/.exec(section)?.[1] ?? section.slice(0, 40), section]),
  );
  const sources = filesIn("src", /\.ts$/).filter((path) => path !== join("src", "errors.ts"));
  const thrown = new Set(sources.flatMap((path) => [...literalsOf(path)]));
  const tests = filesIn("test", /\.ts$/)
    .map((path) => readFileSync(path, "utf8"))
    .join("\n");
  for (const code of sections.keys()) {
    if (!defined.has(code)) problems.push(`docs/errors.md explains ${code}, which does not exist`);
  }
  for (const code of defined) {
    const section = sections.get(code);
    if (section === undefined) {
      problems.push(`docs/errors.md does not explain ${code}`);
      continue;
    }
    const reserved = /^Reserved/m.test(section);
    if (reserved && thrown.has(code)) problems.push(`${code} is thrown, but called reserved`);
    if (!reserved && !thrown.has(code)) problems.push(`${code} is thrown nowhere`);
    if (!reserved && !tests.includes(code)) problems.push(`${code} occurs in no test`);
  }
}

/** @param {string[]} pages */
function checkSubpaths(pages) {
  const manifest = JSON.parse(readFileSync("package.json", "utf8"));
  const existing = new Set(
    Object.keys(manifest.exports).map((subpath) => subpath.replace(/^\./, "healthledger")),
  );
  existing.delete("healthledger/package.json");
  const named = new Set();
  for (const page of pages) {
    const text = readFileSync(page, "utf8");
    const imports = text.matchAll(/(?:from|import\(?)\s*["'](healthledger(?:\/[a-z0-9/-]+)?)["']/g);
    for (const [, subpath] of imports) {
      named.add(subpath);
      if (!existing.has(String(subpath))) problems.push(`${page} imports ${subpath}`);
    }
    for (const [, subpath] of text.matchAll(/`(healthledger(?:\/[a-z0-9-]+)*)`/g))
      named.add(subpath);
  }
  for (const subpath of existing) {
    if (!named.has(subpath)) problems.push(`no page names ${subpath}`);
  }
}

function checkScripts() {
  const { scripts } = JSON.parse(readFileSync("package.json", "utf8"));
  const rows = readFileSync("CONTRIBUTING.md", "utf8").matchAll(
    /^\| `npm (?:run )?([a-z0-9:-]+)` +\| +(\S.*?) +\|$/gm,
  );
  const described = new Set([...rows].map(([, name]) => String(name)));
  for (const name of Object.keys(scripts)) {
    if (!described.has(name)) problems.push(`CONTRIBUTING.md has no line for npm run ${name}`);
  }
  for (const name of described) {
    if (!Object.hasOwn(scripts, name)) problems.push(`CONTRIBUTING.md describes npm run ${name}`);
  }
}

/** @param {string[]} pages */
function checkLinks(pages) {
  for (const page of pages) {
    const text = readFileSync(page, "utf8").replace(/^```[\s\S]*?^```/gm, "");
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      const path = String(target).split("#")[0] ?? "";
      if (path === "" || /^[a-z]+:/.test(path)) continue;
      if (!existsSync(resolve(dirname(page), path))) problems.push(`${page} links to ${target}`);
    }
  }
}

function checkDecisions() {
  const sections = ["Context", "Decision", "Alternatives considered", "Consequences"];
  const index = readFileSync("docs/design/README.md", "utf8").replace(/ +/g, " ");
  for (const page of filesIn("docs/design/decisions", /\.md$/)) {
    const file = basename(page);
    const text = readFileSync(page, "utf8");
    const head =
      /^# (\d{4}): (.+)\n\n- Date: \d{4}-\d\d-\d\d\n- Status: (accepted|(?:amended|superseded) by [^]+?)\n\n/.exec(
        text,
      );
    if (head === null) {
      problems.push(`${page} lacks the head "# NNNN: Title", "- Date: …", "- Status: …"`);
      continue;
    }
    const [, number, title, status] = head.map(String);
    if (!file.startsWith(`${number}-`)) problems.push(`${page} calls itself ${number}`);
    const found = [...text.matchAll(/^## (.+)$/gm)].map(([, name]) => name);
    if (found.join() !== sections.join()) problems.push(`${page} has the sections ${found}`);
    const others = [...(status ?? "").matchAll(/\[(\d{4})\]/g)].map(([, other]) => other);
    const short = [/^(?:amended|superseded) by|accepted/.exec(status ?? ""), others.join(", ")];
    const row = `| [${number}](decisions/${file}) | ${title} | ${short.join(" ").trim()} |`;
    if (!index.includes(row)) problems.push(`docs/design/README.md lacks the row ${row}`);
  }
}

/** @param {string[]} pages */
async function checkBlocks(pages) {
  const folder = ".docs-check";
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  try {
    /** @type {Map<string, string>} */
    const compiled = new Map();
    let ran = 0;
    for (const page of pages) {
      let number = 0;
      /** @type {{ file: string, where: string, code: string }[]} */
      const programs = [];
      const text = readFileSync(page, "utf8");
      for (const [, language, mark, code] of text.matchAll(
        /^```(ts|js) (check|run|then)\n([\s\S]*?)^```$/gm,
      )) {
        const name = `${page.replace(/[^a-z0-9]+/gi, "-")}-${++number}`;
        const where = `${page}, block ${number}`;
        const file = resolve(folder, `${name}.${language === "ts" ? "mts" : "mjs"}`);
        if (mark === "check") {
          writeFileSync(file, `${code}\nexport {};\n`);
          compiled.set(file, where);
        } else if (mark === "run") {
          programs.push({ file, where, code: String(code) });
        } else {
          const program = programs.at(-1);
          if (program === undefined) problems.push(`${where} goes on from no block`);
          else program.code += code;
        }
      }
      for (const { file, where, code } of programs) {
        writeFileSync(file, code);
        run(file, where);
        ran++;
      }
    }
    const examples = await writeExamples(folder);
    compile(new Map([...compiled, ...examples]));
    checkFirstLines(folder);
    console.log(`code blocks: ${compiled.size} compiled, ${ran} programs run`);
    console.log(`@examples: ${examples.size} compiled`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function checkExamples() {
  const listed = execFileSync(process.execPath, ["scripts/surface.mjs", "--examples"], {
    encoding: "utf8",
  });
  for (const line of listed.split("\n")) {
    if (line !== "") problems.push(`${line} has no @example`);
  }
}

/** @param {string} file @param {string} where */
function run(file, where) {
  try {
    execFileSync(process.execPath, [file], {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 60_000,
      cwd: dirname(file),
    });
  } catch (error) {
    const { stderr } = /** @type {{ stderr?: Buffer }} */ (error);
    problems.push(
      `${where} fails: ${String(stderr ?? error)
        .trim()
        .split("\n")
        .slice(0, 8)
        .join(" | ")}`,
    );
  }
}

/** @param {string} folder */
function checkFirstLines(folder) {
  const example = join("examples", "first-lines.mjs");
  const [mark, ...lines] = readFileSync(example, "utf8").split("\n");
  const program = lines.join("\n");
  if (mark !== "// @ts-check") problems.push(`${example} is not checked`);
  const [, first] =
    /^```[jt]s[^\n]*\n([\s\S]*?)^```$/m.exec(readFileSync("README.md", "utf8")) ?? [];
  if (first !== program) problems.push(`the first example of README.md is not ${example}`);
  const { NodeNext, ESNext } = ts.ModuleKind;
  const { NodeNext: nodeNext, Bundler: bundler } = ts.ModuleResolutionKind;
  for (const [module, moduleResolution] of /** @type {const} */ ([
    [NodeNext, nodeNext],
    [ESNext, bundler],
  ])) {
    const file = resolve(folder, `first-lines-${moduleResolution}.mts`);
    writeFileSync(file, program);
    const where = `${example} as TypeScript, resolved by ${ts.ModuleResolutionKind[moduleResolution]}`;
    compile(new Map([[file, where]]), {
      ...{ module, moduleResolution, skipLibCheck: false },
      ...{ noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true },
    });
  }
}

/** @param {Map<string, string>} files @param {ts.CompilerOptions} [options] */
function compile(files, options) {
  if (files.size === 0) return;
  const program = ts.createProgram([...files.keys()], {
    target: ts.ScriptTarget.ES2022,
    lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts", "lib.dom.d.ts"],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ["node"],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    ...options,
  });
  for (const { file, start, messageText } of ts.getPreEmitDiagnostics(program)) {
    const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start ?? 0).line + 1;
    const where = files.get(resolve(file?.fileName ?? "")) ?? file?.fileName ?? "?";
    problems.push(`${where}, line ${line}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`);
  }
}

const pages = [
  ...["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "UPGRADING.md"].filter(
    (page) => existsSync(page),
  ),
  ...filesIn("docs", /\.md$/).filter((page) => !page.startsWith(join("docs", "api"))),
];
checkErrors();
checkSubpaths(pages);
checkScripts();
checkLinks(pages);
checkDecisions();
checkExamples();
await checkBlocks(pages);
for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? "docs agree with the package" : `${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
