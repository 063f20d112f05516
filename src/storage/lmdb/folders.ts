import { closeSync, fsyncSync, mkdirSync, openSync } from "node:fs";
import { dirname, resolve } from "node:path";

/** Makes a folder that only its owner may use, and those above it that are missing, durably. */
export function makeFolder(path: string): void {
  const first = mkdirSync(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  const topmost = dirname(resolve(first));
  for (let made = resolve(path); ; made = dirname(made)) {
    syncFolder(made);
    if (made === topmost || made === dirname(made)) return;
  }
}

/** Makes the names in a folder durable. */
export function syncFolder(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
