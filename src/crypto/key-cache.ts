/** A bounded map that forgets entries that were not read recently. */
export interface KeyCache<Value> {
  get(key: string): Value | undefined;
  set(key: string, value: Value): void;
}

/**
 * Makes a cache of between `capacity` and twice as many values, in two generations: cheaper per hit
 * than reordering on each access, and as good at keeping values that are in use.
 */
export function keyCache<Value>(capacity: number): KeyCache<Value> {
  let young = new Map<string, Value>();
  let old = new Map<string, Value>();
  const set = (key: string, value: Value): void => {
    if (young.size >= capacity) {
      old = young;
      young = new Map();
    }
    young.set(key, value);
  };
  return {
    get(key) {
      const value = young.get(key);
      if (value !== undefined) return value;
      const kept = old.get(key);
      if (kept !== undefined) set(key, kept);
      return kept;
    },
    set,
  };
}
