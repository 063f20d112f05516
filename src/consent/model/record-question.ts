import type { DataFilter, Effect } from "./model.ts";

/**
 * A question about a record alone, as data: whether the record is within one attribute of a rule
 * with this effect, or within one bound of a directive. Exactly one of the last three fields is
 * present.
 */
export interface RecordQuestion {
  /** Permits and denies read the same attribute differently. */
  readonly effect: Effect;
  /** The zone that dates are read in; `null` if the engine that asked did not know it. */
  readonly zone: string | null;
  /** Has a single attribute. */
  readonly data?: DataFilter;
  readonly controller?: string;
  readonly jurisdictions?: readonly string[];
}
