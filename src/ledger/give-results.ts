import { anyCidFromBytes, CID } from "../codec/cid.ts";
import { copyBytes } from "../storage/guards.ts";

/**
 * Copies bytes, CIDs and plain data in a call's result, so that the caller may change all of it without
 * affecting later decisions. Frozen data ({@link freezeData}) and instances of other classes are returned
 * as they are.
 */
export function giveResult(
  value: unknown,
  given: Map<object, unknown> = new Map<object, unknown>(),
): unknown {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  // An object that occurs twice is copied once: a record's newest entry is also part of its history.
  const known = given.get(value);
  if (known !== undefined) return known;
  let copy: unknown;
  if (value instanceof Uint8Array) {
    copy = copyBytes(value);
  } else if (Array.isArray(value)) {
    const items: unknown[] = [];
    given.set(value, items);
    for (const item of value) items.push(giveResult(item, given));
    return items;
  } else if (isPlain(value)) {
    const fields: Record<string, unknown> = { ...value };
    given.set(value, fields);
    for (const name in fields) {
      const field = fields[name];
      if (typeof field === "object" && field !== null) fields[name] = giveResult(field, given);
    }
    return fields;
  } else {
    const cid = CID.asCID(value);
    copy = cid === null ? value : anyCidFromBytes(copyBytes(cid.bytes));
  }
  given.set(value, copy);
  return copy;
}

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

/** Freezes plain data deeply and returns it; bytes and instances of classes stay as they are. */
export function freezeData<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  if (!Array.isArray(value) && !isPlain(value)) return value;
  for (const field of Object.values(value)) freezeData(field);
  return Object.freeze(value);
}
