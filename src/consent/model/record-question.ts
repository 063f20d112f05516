import type { DataFilter, Effect } from "./model.ts";

/**
 * A question about a record alone, as data: whether it is within one attribute of a rule with this
 * effect, or within one bound of a directive. Exactly one of the last three is present.
 */
export interface RecordQuestion {
  /** Permits and denies read the same attribute differently. */
  readonly effect: Effect;
  /** In what zone dates are read; `null` where the engine that asked did not know it. */
  readonly zone: string | null;
  /** With a single attribute. */
  readonly data?: DataFilter;
  readonly controller?: string;
  readonly jurisdictions?: readonly string[];
}
