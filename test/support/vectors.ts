import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describeWith } from "./describe-with.ts";

const root =
  process.env["HEALTHLEDGER_VECTORS"] ??
  resolve(fileURLToPath(new URL("../../", import.meta.url)), "../shared/vectors");

/** The path of a vector file or folder, or `undefined` where the vectors are absent. */
export function vectorsPath(...segments: readonly string[]): string | undefined {
  const path = resolve(root, ...segments);
  return existsSync(path) ? path : undefined;
}

/** Reads a vector file as text. */
export function readVector(...segments: readonly string[]): string {
  return readFileSync(resolve(root, ...segments), "utf8");
}

/** A `describe` that is skipped, saying so, where the vectors are absent (in CI that fails). */
export function describeVectors(name: string, folder: string, body: (path: string) => void): void {
  const path = vectorsPath(folder);
  const missing = path === undefined ? `no vectors at ${resolve(root, folder)}` : undefined;
  describeWith(name, missing, () => body(path!));
}
