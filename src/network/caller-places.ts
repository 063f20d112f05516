import { MAX_WAIT } from "../transport/http.ts";
import { busy } from "./status.ts";

/** Places for requests that wait, of which each caller may have a part. */
export interface CallerPlaces {
  /**
   * Holds a place of a caller while it waits.
   *
   * @throws {Status} 429 when none is free
   */
  hold<T>(caller: string, wait: () => Promise<T>): Promise<T>;
}

export function callerPlaces({
  ofCaller,
  ofAll,
  retryAfter = MAX_WAIT,
}: {
  readonly ofCaller: number;
  readonly ofAll: number;
  /** Seconds after which a caller without a place may come again. Default: those of the longest wait. */
  readonly retryAfter?: number;
}): CallerPlaces {
  const taken = new Map<string, number>();
  let all = 0;
  return {
    async hold(caller, wait) {
      const own = taken.get(caller) ?? 0;
      if (own >= ofCaller || all >= ofAll) throw busy(retryAfter, 429);
      taken.set(caller, own + 1);
      all++;
      try {
        return await wait();
      } finally {
        all--;
        const left = taken.get(caller)! - 1;
        if (left === 0) taken.delete(caller);
        else taken.set(caller, left);
      }
    },
  };
}
