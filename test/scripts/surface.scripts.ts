import { spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const SCRIPT = fileURLToPath(new URL("../../scripts/surface.mjs", import.meta.url));

/** A package of two import paths, written by hand. */
const PACKAGE = {
  "package.json": JSON.stringify({
    name: "pkg",
    exports: {
      ".": { types: "./dist/index.d.ts" },
      "./tools": { types: "./dist/tools/index.d.ts" },
      "./package.json": "./package.json",
    },
  }),
  "tsconfig.src.json": JSON.stringify({
    compilerOptions: {
      ...{ target: "es2022", module: "esnext", moduleResolution: "bundler", strict: true },
      ...{ lib: ["es5"], types: [], allowImportingTsExtensions: true, noEmit: true },
    },
    include: ["src"],
  }),
  "src/shared.ts": "export interface Shared {\n  /** Not listed. */\n  readonly size: number;\n}\n",
  "src/index.ts": `export type { Shared } from "./shared.ts";
/** Doubles. */
export function double(value: number): number {
  return 2 * value;
}
`,
  "src/tools/index.ts": `export type { Shared } from "../shared.ts";
/**
 * Halves.
 *
 * @example
 * halve(2);
 */
export const halve = (value: number): number => value / 2;
`,
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "surface-"));
  for (const [path, text] of Object.entries(PACKAGE)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function surface(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, ...args], {
    cwd: folder,
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

const append = (path: string, text: string): void => appendFileSync(join(folder, path), text);

describe("surface.mjs", () => {
  it("takes a surface that was accepted, whatever its bodies and comments become", () => {
    expect(surface("--write").status).toBe(0);
    const text = PACKAGE["src/index.ts"].replace("Doubles.", "Twice.").replace("2 * value", "0");
    writeFileSync(join(folder, "src/index.ts"), text);
    expect(surface()).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  it("refuses a name more, a name less and another signature, and says what accepts them", () => {
    append("src/index.ts", "export const less = 1;\n");
    surface("--write");
    append("src/tools/index.ts", "export type More = string;\n");
    writeFileSync(
      join(folder, "src/index.ts"),
      PACKAGE["src/index.ts"].replace("value: number", "value: any"),
    );
    const { status, stderr } = surface();
    expect(status).toBe(1);
    expect(stderr.split("\n")).toEqual([
      "scripts/surface/index.txt differs",
      "  - function double(value: number): number;",
      "  - const less = 1;",
      "  + function double(value: any): number;",
      "scripts/surface/tools.txt differs",
      "  + type More = string;",
      "to accept the surface as it is: node scripts/surface.mjs --write",
      "",
    ]);
  });

  it("refuses names that hide or mean two things, even where they were written down", () => {
    append("src/index.ts", "export const parseInt = 1;\nexport interface PromiseLike {}\n");
    append("src/tools/index.ts", "export const decode = 1;\nexport const double = 2;\n");
    const problems = [
      "pkg: PromiseLike hides a global of the platform",
      "pkg: parseInt hides a global of the platform",
      "pkg/tools: decode does not say what it works on",
      "double is one thing in pkg and another in pkg/tools",
      "",
    ];
    const written = surface("--write");
    expect(written.status).toBe(1);
    expect(written.stderr.split("\n")).toEqual(problems);
    expect(surface().status).toBe(1);
  });

  it("lists the functions that have no example", () => {
    append("src/tools/index.ts", "export const third = (value: number): number => value / 3;\n");
    append("src/tools/index.ts", "export const LIMIT = 3;\nexport class Wrong extends Error {}\n");
    expect(surface("--examples").stdout).toBe("pkg double\npkg/tools third\n");
  });

  it("counts values and types by import path", () => {
    append("src/index.ts", "export const LIMIT = 3;\n");
    const { stdout } = surface("--table");
    expect(stdout).toMatch(/^pkg +2 values, 1 types$/m);
    expect(stdout).toMatch(/^pkg\/tools +1 values, 1 types$/m);
  });
});
