import { copyBytes } from "../storage/guards.ts";

/** What is read when its turn comes, and may be large: it stays the caller's until the call settles. */
const BORROWED: readonly string[] = ["source"];

/**
 * Copies bytes and plain data out of an argument, so that whoever called may change his own at once,
 * though the call goes on. What has functions of its own (a signer, a labeller, a stream) and what is of
 * a class is handed on as it is.
 */
export function takeArgument(
  value: unknown,
  taken: Map<object, unknown> = new Map<object, unknown>(),
): unknown {
  if (typeof value !== "object" || value === null) return value;
  // One that is met twice is copied once, also within itself.
  if (taken.has(value)) return taken.get(value);
  if (value instanceof Uint8Array) return copyBytes(value);
  if (Array.isArray(value)) {
    const copy: unknown[] = [];
    taken.set(value, copy);
    for (const item of value) copy.push(takeArgument(item, taken));
    return copy;
  }
  if (!isPlain(value)) return value;
  const copy: Record<string, unknown> = {};
  taken.set(value, copy);
  for (const [name, field] of Object.entries(value)) {
    // Not by assignment, which would take `__proto__` for the prototype.
    Object.defineProperty(copy, name, {
      value: BORROWED.includes(name) ? field : takeArgument(field, taken),
      ...{ configurable: true, enumerable: true, writable: true },
    });
  }
  return copy;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  if (Object.getOwnPropertySymbols(value).length > 0) return false;
  return Object.entries(Object.getOwnPropertyDescriptors(value)).every(
    ([name, { value: field }]) => typeof field !== "function" || name === "onProgress",
  );
}
