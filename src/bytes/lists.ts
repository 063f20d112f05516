// Spread arguments go on the stack: `push(...list)` and `Math.max(...list)` throw a RangeError
// beyond some 100,000 items. These functions take lists of any length.

/** Appends every item of one list to another. */
export function appendTo<T>(list: T[], items: Iterable<T>): void {
  for (const item of items) list.push(item);
}

/** The smallest of some numbers; `Infinity` if there are no numbers. */
export function least(numbers: Iterable<number>): number {
  let found = Infinity;
  for (const number of numbers) found = Math.min(found, number);
  return found;
}

/** The largest of some numbers; `-Infinity` if there are no numbers. */
export function greatest(numbers: Iterable<number>): number {
  let found = -Infinity;
  for (const number of numbers) found = Math.max(found, number);
  return found;
}
