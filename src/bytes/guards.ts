/**
 * Checks that a caller passed bytes, and their exact length if one is given.
 *
 * @throws {TypeError} when the value is not a `Uint8Array`
 * @throws {RangeError} when its length differs from `length`
 */
export function assertBytes(
  value: unknown,
  name: string,
  length?: number,
): asserts value is Uint8Array {
  if (!(value instanceof Uint8Array)) throw new TypeError(`${name} must be a Uint8Array`);
  if (length !== undefined && value.length !== length) {
    throw new RangeError(`${name} must be ${length} bytes, got ${value.length}`);
  }
}

/**
 * Checks that a caller passed an unsigned safe integer no larger than `max`.
 *
 * @throws {TypeError} when the value is not an integer
 * @throws {RangeError} when it is negative, unsafe or above `max`
 */
export function assertUint(
  value: unknown,
  name: string,
  max: number = Number.MAX_SAFE_INTEGER,
): asserts value is number {
  if (typeof value !== "number" || !Number.isInteger(value)) {
    throw new TypeError(`${name} must be an integer`);
  }
  if (value < 0 || value > max) throw new RangeError(`${name} must be between 0 and ${max}`);
}

/** Longest time in ms for which the platform's timers wait; longer ones end at once. */
const MAX_MILLISECONDS = 2 ** 31 - 1;

/**
 * Checks that a caller passed a time to wait for, in ms.
 *
 * @throws {RangeError} when it is not a number above 0 that a timer can wait for
 */
export function assertMilliseconds(value: unknown, name: string): asserts value is number {
  if (typeof value === "number" && value > 0 && value <= MAX_MILLISECONDS) return;
  throw new RangeError(`${name} must be above 0 and at most ${MAX_MILLISECONDS} milliseconds`);
}

/**
 * Checks that a caller passed a finite number above 0.
 *
 * @throws {RangeError} when it is none
 */
export function assertPositive(value: unknown, name: string): asserts value is number {
  if (typeof value === "number" && value > 0 && value < Infinity) return;
  throw new RangeError(`${name} must be a number above 0`);
}

/** Whether a value is a JSON object: no array, not null. */
export function isJsonObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Whether everything that an object holds is its own and can be listed, as of one that was written
 * `{…}` or parsed: a map, a set, or what is of a class has more than its listed fields say.
 */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype === null || prototype === Object.prototype) return true;
  // The root of another realm.
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, "hasOwnProperty");
}
