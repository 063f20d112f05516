/** Runs work that touches some keys after all earlier work that touches one of them. */
export type KeyOrder = <T>(keys: Iterable<string>, work: () => Promise<T>) => Promise<T>;

/**
 * Keeps the order of calls that change the same keys, which the connections of a pool would not;
 * other calls run in parallel.
 */
export function openKeyOrder(): KeyOrder {
  const last = new Map<string, Promise<unknown>>();
  return (keys, work) => {
    const own = [...keys];
    const before = new Set(own.flatMap((key) => last.get(key) ?? []));
    const call = before.size === 0 ? work() : Promise.allSettled(before).then(work);
    for (const key of own) last.set(key, call);
    const done = (): void => {
      for (const key of own) if (last.get(key) === call) last.delete(key);
    };
    call.then(done, done);
    return call;
  };
}
