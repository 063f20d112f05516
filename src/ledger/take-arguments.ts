import { copyBytes } from "../storage/guards.ts";

/** Fields that are read late and may be large: the caller must not change them until the call settles. */
const BORROWED: readonly string[] = ["source"];

/**
 * Copies bytes and plain data out of an argument, so that the caller may change the original while the call
 * runs. Objects with functions of their own (a signer, a labeller, a stream) and instances of classes are
 * passed on as they are.
 */
export function takeArgument(
  value: unknown,
  taken: Map<object, unknown> = new Map<object, unknown>(),
): unknown {
  if (typeof value !== "object" || value === null) return value;
  // An object that occurs twice is copied once, also when it contains itself.
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
    // Not by assignment, which would set the prototype for `__proto__`.
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
