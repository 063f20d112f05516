/** Whether something matches. Ordered, so that AND is the least and OR the greatest. */
export type Match = 0 | 1 | 2;
export const NO = 0;
export const UNKNOWN = 1;
export const YES = 2;

/** The greatest match over a list; stops at the first yes. */
export function anyMatch<T>(items: Iterable<T>, matchOf: (item: T) => Match): Match {
  let best: Match = NO;
  for (const item of items) {
    const match = matchOf(item);
    if (match > best) best = match;
    if (best === YES) break;
  }
  return best;
}
