/** Distinct values, in the order in which they came. */
export interface Distinct<T> {
  readonly all: readonly T[];
  has(value: T): boolean;
  /** Adds a value, unless an equal one is there; returns whether it was added. */
  add(value: T): boolean;
}

/** Most values that are compared one by one. */
const FEW = 16;

/**
 * Collects distinct values. Few are compared one by one, which takes no memory; many by keys.
 *
 * @param isSame - whether two values are equal
 * @param keyOf - the same text for equal values only
 */
export function distinct<T>(
  isSame: (one: T, other: T) => boolean,
  keyOf: (value: T) => string,
): Distinct<T> {
  const all: T[] = [];
  let keys: Set<string> | undefined;
  const has = (value: T): boolean => {
    if (keys !== undefined) return keys.has(keyOf(value));
    for (let at = 0; at < all.length; at++) if (isSame(all[at]!, value)) return true;
    return false;
  };
  return {
    all,
    has,
    add(value) {
      if (has(value)) return false;
      all.push(value);
      if (keys !== undefined) keys.add(keyOf(value));
      else if (all.length > FEW) keys = new Set(all.map(keyOf));
      return true;
    },
  };
}
