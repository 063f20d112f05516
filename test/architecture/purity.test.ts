import { describe, expect, it } from "vitest";
import { impuritiesOf, sourceFiles } from "./source.ts";

/** Folders whose functions depend on their arguments only. */
const PURE = [
  ...["bytes", "codec", "merkle", "block", "chain", "consent", "contract", "fhir", "verify"],
];

describe("pure folders", () => {
  it("use no clock, no randomness, no environment and no I/O", () => {
    for (const folder of PURE) {
      const files = sourceFiles().filter(({ path }) => path.startsWith(`${folder}/`));
      expect(files.length, folder).toBeGreaterThan(0);
      const found = files.flatMap(({ path, text }) =>
        impuritiesOf(path, text).map((impurity) => `${path}: ${impurity}`),
      );
      expect(found).toEqual([]);
    }
  });

  it.each([
    "const now = Date.now();",
    "const now = new Date();",
    "const now = +new Date(0);",
    'const now = Date["now"]();',
    "const clock = Date;",
    "export const f = (now = Date.now) => now();",
    "const x = Math.random();",
    'const x = Math["random"]();',
    "const x = Math[name]();",
    "const { random } = Math;",
    "performance.now();",
    "const { now } = performance;",
    'process.env["TZ"];',
    "setTimeout(() => {}, 1);",
    "queueMicrotask(f);",
    "crypto.getRandomValues(new Uint8Array(1));",
    "x.crypto.getRandomValues(y);",
    "globalThis.fetch(url);",
    "await fetch(url);",
    "console.log(1);",
    'eval("1");',
    "const x = { process };",
    "class X extends EventSource {}",
    "import.meta.url;",
    'import { randomBytes } from "#crypto";',
    'import { sha256, randomBytes as r } from "#crypto";',
    'import * as c from "#crypto";',
    'import { readFileSync } from "node:fs";',
    'await import("node:fs");',
    "await import(name);",
    'require("node:fs");',
    'export * from "node:path";',
  ])("catch what is planted: %s", (text) => {
    expect(impuritiesOf("merkle/planted.ts", text).length).toBeGreaterThan(0);
  });

  it.each([
    "const t = Date.UTC(2024, 0, 1);",
    "const x = Math.floor(1.5);",
    "interface X { readonly process: number; fetch(): void; date: Date }",
    "const y = x.process + x.fetch();",
    "const y = { process: 1, fetch() { return 1; } };",
    "export function f({ now, performance }: Input) { return now + performance; }",
    "// Date.now() is not used",
    'const s = "Date.now()";',
    'import type { Stats } from "node:fs";',
    'import { sha256 } from "#crypto";',
  ])("leave alone: %s", (text) => {
    expect(impuritiesOf("merkle/planted.ts", text)).toEqual([]);
  });
});
