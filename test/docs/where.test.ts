import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const page = readFileSync(`${root}docs/design/where.md`, "utf8");

interface Answer {
  readonly question: string;
  readonly path: string;
  readonly names: readonly string[];
}

const cells = (row: string): string[] => row.split("|").map((cell) => cell.trim());
const quoted = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, one]) => one!);

/** The rows of the page's tables, below their heads. */
function answersOf(text: string): Answer[] {
  return text
    .split("\n")
    .filter((line) => /^\| (?!Where is|-)/.test(line))
    .map((line) => {
      const [, question, path, names] = cells(line);
      return { question: question!, path: quoted(path!).join(), names: quoted(names!) };
    });
}

/** The names that a file declares: functions, variables, types; of JSON the names of its values. */
function namesIn(path: string, text: string): Set<string> {
  if (path.endsWith(".json")) return new Set(Object.keys(JSON.parse(text) as object));
  const names = new Set<string>();
  const visit = (node: ts.Node): void => {
    const declares =
      ts.isFunctionDeclaration(node) ||
      ts.isVariableDeclaration(node) ||
      ts.isInterfaceDeclaration(node) ||
      ts.isTypeAliasDeclaration(node) ||
      ts.isClassDeclaration(node);
    if (declares && node.name !== undefined && ts.isIdentifier(node.name))
      names.add(node.name.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest));
  return names;
}

const missingIn = (path: string, wanted: readonly string[]): string[] => {
  const declared = namesIn(path, readFileSync(`${root}${path}`, "utf8"));
  return wanted.filter((name) => !declared.has(name));
};

describe("docs/design/where.md", () => {
  const answers = answersOf(page);

  it("answers what a stranger asks first", () => {
    const questions = answers.map(({ question }) => question);
    for (const words of [
      "a grant opened",
      "break-the-glass decided",
      "patient's signature checked",
      "label rule added",
      "before its block is appended",
      "a record erased",
      "a FHIR Consent read",
      "`hl.decide` made",
      "two processes",
      "which heads a key has signed",
    ]) {
      expect(questions.filter((question) => question.includes(words))).toHaveLength(1);
    }
    expect(new Set(questions).size).toBe(questions.length);
  });

  it.each(answers)("$question $path", ({ path, names }) => {
    expect(existsSync(`${root}${path}`)).toBe(true);
    expect(names.length).toBeGreaterThan(0);
    expect(missingIn(path, names)).toEqual([]);
  });

  it("would notice a name that moved elsewhere", () => {
    expect(missingIn("src/envelope/grant.ts", ["openGrant", "openEnvelope"])).toEqual([
      "openEnvelope",
    ]);
    // imported there, and declared in another file
    expect(missingIn("src/ledger/open-ledger.ts", ["Ledger"])).toEqual(["Ledger"]);
  });
});

describe("pages that follow one thing through the code", () => {
  /** Names that a page gives with a file in brackets: `name` (`src/file.ts`). */
  const namedIn = (text: string): { name: string; path: string }[] =>
    [...text.matchAll(/`([A-Za-z]+)`[ ,\n]+\(?`(src\/[^`]+\.ts)`\)/g)].map(([, name, path]) => ({
      name: name!,
      path: path!,
    }));

  it.each(["from-consent-to-decision.md", "life-of-a-key.md", "life-of-an-entry.md"])(
    "%s names files and what they declare",
    (file) => {
      const text = readFileSync(`${root}docs/design/${file}`, "utf8");
      const paths = [...text.matchAll(/`(src\/[^`]+)`/g)].map(([, path]) => path!);
      expect(paths.length).toBeGreaterThan(10);
      expect(paths.filter((path) => !existsSync(`${root}${path}`))).toEqual([]);
      const names = namedIn(text);
      expect(names.length).toBeGreaterThan(0);
      expect(names.filter(({ name, path }) => missingIn(path, [name]).length > 0)).toEqual([]);
    },
  );
});
