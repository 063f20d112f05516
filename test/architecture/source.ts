import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("../../src/", import.meta.url));

/** Every source file, by its path below `src/`. */
export function sourceFiles(): readonly { readonly path: string; readonly text: string }[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => path.endsWith(".ts"))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

export interface Import {
  readonly specifier: string;
  /** Path below `src/` for relative imports, else `undefined`. */
  readonly file: string | undefined;
  readonly typeOnly: boolean;
  /** Imported names; `*` for a namespace or a dynamic import. */
  readonly names: readonly string[];
}

const known = new Map<string, readonly Import[]>();

/** What a file imports: statically, by re-export, by `import()`, `require()` or an import type. */
export function importsOf(path: string, text: string): readonly Import[] {
  // Several rules ask about every file, and parsing takes a millisecond or more.
  const asked = `${path}\n${text}`;
  const found = known.get(asked) ?? parsed(path, text);
  known.set(asked, found);
  return found;
}

function parsed(path: string, text: string): readonly Import[] {
  const found: Import[] = [];
  const add = (literal: ts.Node | undefined, typeOnly: boolean, names: readonly string[]) => {
    if (literal === undefined) return;
    const specifier = ts.isStringLiteralLike(literal) ? literal.text : "(computed)";
    const relative = specifier.startsWith(".");
    const file = relative ? posix.normalize(posix.join(posix.dirname(path), specifier)) : undefined;
    found.push({ specifier, file, typeOnly, names });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      const clause = node.importClause;
      const bindings = clause?.namedBindings;
      const names: string[] = clause?.name === undefined ? [] : ["default"];
      if (bindings !== undefined && ts.isNamespaceImport(bindings)) names.push("*");
      let types = clause !== undefined && bindings !== undefined && clause.name === undefined;
      if (bindings !== undefined && ts.isNamedImports(bindings)) {
        for (const element of bindings.elements) {
          names.push((element.propertyName ?? element.name).text);
          types &&= element.isTypeOnly;
        }
      } else types = false;
      const typeOnly = clause?.phaseModifier === ts.SyntaxKind.TypeKeyword || types;
      add(node.moduleSpecifier, typeOnly, names);
    } else if (ts.isExportDeclaration(node)) {
      const clause = node.exportClause;
      if (clause !== undefined && ts.isNamedExports(clause)) {
        const names = clause.elements.map(({ propertyName, name }) => (propertyName ?? name).text);
        const types = clause.elements.every(({ isTypeOnly }) => isTypeOnly);
        add(node.moduleSpecifier, node.isTypeOnly || types, names);
      } else add(node.moduleSpecifier, node.isTypeOnly, ["*"]);
    } else if (ts.isImportTypeNode(node)) {
      add(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : node, true, ["*"]);
    } else if (ts.isCallExpression(node)) {
      const callee = node.expression;
      const isImport = callee.kind === ts.SyntaxKind.ImportKeyword;
      if (isImport || (ts.isIdentifier(callee) && callee.text === "require")) {
        add(node.arguments[0] ?? node, false, ["*"]);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
  return found;
}

/** Globals through which a clock, randomness, the environment or the outside world is reached. */
const FORBIDDEN: ReadonlySet<string> = new Set([
  "Bun",
  "Deno",
  "Date",
  "EventSource",
  "Function",
  "WebSocket",
  "XMLHttpRequest",
  "clearInterval",
  "clearTimeout",
  "console",
  "crypto",
  "eval",
  "fetch",
  "global",
  "globalThis",
  "indexedDB",
  "localStorage",
  "navigator",
  "performance",
  "process",
  "queueMicrotask",
  "self",
  "sessionStorage",
  "setImmediate",
  "setInterval",
  "setTimeout",
  "window",
]);
const RANDOM: ReadonlySet<string> = new Set(["randomBytes", "*", "default"]);

/** What in a file makes it depend on more than its arguments, one line each. */
export function impuritiesOf(path: string, text: string): readonly string[] {
  const found: string[] = [];
  for (const { specifier, typeOnly, names } of importsOf(path, text)) {
    if (typeOnly) continue;
    if (specifier.startsWith("node:")) found.push(`imports ${specifier}`);
    if (specifier === "(computed)") found.push("imports what is computed");
    if (specifier === "#crypto" && names.some((name) => RANDOM.has(name))) {
      found.push(`imports ${names.filter((name) => RANDOM.has(name)).join()} of #crypto`);
    }
  }
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const declared = declarationsOf(source);
  const visit = (node: ts.Node): void => {
    const isType = ts.isTypeNode(node) && !ts.isExpressionWithTypeArguments(node);
    if (isType || ts.isInterfaceDeclaration(node)) return;
    if (ts.isPropertyAccessExpression(node) || ts.isElementAccessExpression(node)) {
      const name = ts.isPropertyAccessExpression(node)
        ? node.name.text
        : ts.isStringLiteralLike(node.argumentExpression)
          ? node.argumentExpression.text
          : "(computed)";
      const on = ts.isIdentifier(node.expression) ? node.expression.text : "";
      if (on === "Date" && name === "UTC") return;
      if (on === "Math" && (name === "random" || name === "(computed)")) {
        found.push(`uses Math.${name}`);
      }
      if (name === "getRandomValues" || name === "randomUUID") found.push(`uses ${name}`);
    }
    if (ts.isIdentifier(node) && FORBIDDEN.has(node.text) && isReference(node)) {
      if (!declared.has(node.text)) found.push(`uses ${node.text}`);
    }
    if (ts.isVariableDeclaration(node) && node.initializer !== undefined) {
      // const { random } = Math
      const from = node.initializer;
      if (ts.isIdentifier(from) && from.text === "Math" && !ts.isIdentifier(node.name)) {
        found.push("takes Math apart");
      }
    }
    if (ts.isMetaProperty(node)) found.push("uses import.meta");
    ts.forEachChild(node, visit);
  };
  visit(source);
  return [...new Set(found)];
}

/** Whether an identifier stands for a value, not for a member's name. */
function isReference(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isQualifiedName(parent)) return false;
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
  if (ts.isBindingElement(parent)) return parent.propertyName !== node && parent.name !== node;
  if (ts.isImportSpecifier(parent) || ts.isExportSpecifier(parent)) return false;
  if (ts.isClassElement(parent) || ts.isTypeElement(parent)) return parent.name !== node;
  return true;
}

/** Names that a file declares or imports itself, at any depth. */
function declarationsOf(source: ts.SourceFile): ReadonlySet<string> {
  const names = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (
      (ts.isVariableDeclaration(node) ||
        ts.isParameter(node) ||
        ts.isBindingElement(node) ||
        ts.isFunctionDeclaration(node) ||
        ts.isImportSpecifier(node)) &&
      node.name !== undefined &&
      ts.isIdentifier(node.name)
    ) {
      names.add(node.name.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return names;
}

/**
 * Calls that pass a list as arguments, which stand on the stack: beyond some 100,000 items they
 * throw. Handing on one's own rest parameter is none of them.
 */
export function spreadArgumentsOf(path: string, text: string): readonly string[] {
  const found: string[] = [];
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const visit = (node: ts.Node, rest: ReadonlySet<string>): void => {
    let known = rest;
    if (ts.isFunctionLike(node)) {
      const own = node.parameters.filter(({ dotDotDotToken }) => dotDotDotToken !== undefined);
      known = new Set([...rest, ...own.map(({ name }) => name.getText())]);
    }
    if (ts.isCallExpression(node) || ts.isNewExpression(node)) {
      const { expression, arguments: given = [] } = node;
      const spreads = given.some(
        (one) => ts.isSpreadElement(one) && !known.has(one.expression.getText()),
      );
      const applies =
        ts.isPropertyAccessExpression(expression) &&
        expression.name.text === "apply" &&
        (given.length > 1 || expression.expression.getText() === "Reflect");
      if (spreads || applies) found.push(node.getText().replace(/\s+/g, " "));
    }
    ts.forEachChild(node, (child) => visit(child, known));
  };
  visit(source, new Set());
  return found;
}
