/** What one caller may use, and all of them together. */
export interface Budget {
  /**
   * Takes one request of a caller.
   *
   * @returns 0 if it may be answered, otherwise the seconds after which the caller may ask again
   */
  take(caller: string, cost: number): number;
  /** Counts what was used already. */
  spend(caller: string, cost: number): void;
}

/** Callers of whom a count is kept; more share one. */
const MOST_CALLERS = 10_000;

interface Bucket {
  level: number;
  at: number;
}

/**
 * Counts what callers use, so that none of them uses up what all may.
 *
 * @param perMinute - what a caller may use in a minute, and at once after a quiet minute
 * @param now - clock in ms that never runs backwards
 */
export function callerBudget(perMinute: number, now: () => number): Budget {
  const buckets = new Map<string, Bucket>();
  const rate = perMinute / 60_000;
  const others: Bucket = { level: perMinute, at: now() };

  function bucketOf(caller: string): Bucket {
    const known = buckets.get(caller);
    if (known !== undefined) return known;
    if (buckets.size >= MOST_CALLERS) {
      // Whoever has a full budget again need not be remembered.
      for (const [name, bucket] of buckets) {
        if (bucket.level + (now() - bucket.at) * rate >= perMinute) buckets.delete(name);
      }
      if (buckets.size >= MOST_CALLERS) return others;
    }
    const bucket = { level: perMinute, at: now() };
    buckets.set(caller, bucket);
    return bucket;
  }

  /** The caller's bucket, filled up to now. */
  function filled(caller: string): Bucket {
    const bucket = bucketOf(caller);
    const at = now();
    bucket.level = Math.min(perMinute, bucket.level + (at - bucket.at) * rate);
    bucket.at = at;
    return bucket;
  }

  return {
    spend(caller, cost) {
      filled(caller).level -= cost;
    },
    take(caller, cost) {
      const bucket = filled(caller);
      // A request that costs more than a minute's budget is admitted when that is full.
      const needed = Math.min(cost, perMinute);
      if (bucket.level >= needed) {
        bucket.level -= cost;
        return 0;
      }
      return Math.max(1, Math.ceil((needed - bucket.level) / rate / 1000));
    },
  };
}
