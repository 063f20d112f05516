import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { Decision } from "./model/decision.ts";
import type { CompiledConsent, EvaluateOptions } from "./evaluate.ts";
import type { ConsentRequest } from "./model/request.ts";
import type { ConsentResource } from "./model/resource.ts";

/** Options of {@link filter}. */
export interface FilterOptions extends EvaluateOptions {
  /** Most items per page. Default: all. */
  readonly limit?: number;
  /** The cursor that the previous page returned. */
  readonly cursor?: string;
}

/** The items of a list that a request may have. The page does not tell how many were withheld. */
export interface FilteredPage<T extends ConsentResource> {
  readonly items: readonly { readonly item: T; readonly decision: Decision }[];
  /** Names the last item of the page, to continue after it; `null` at the end of the list. */
  readonly cursor: string | null;
  readonly complete: boolean;
}

const FILTER_OPTIONS: OptionsOf<FilterOptions> = {
  limit: true,
  cursor: true,
  supportedObligations: true,
};

/**
 * Returns the items of a list that a request may have: exactly those whose own evaluation permits.
 * A page is never empty while more items follow; `complete` is true on the last page only.
 *
 * @param list - in a stable order; with `limit` or `cursor` every item needs an `id` (and a
 *   `versionId` if several versions are listed)
 * @param asOf - legal time, in milliseconds since 1970
 * @throws {RangeError} when the cursor names no item of the list, or an item has no `id` to name it
 *   by
 * @example
 * const compiled = compileDirectives(snapshot);
 * const first = filter(compiled, request, resources, asOf, { limit: 50 });
 * if (first.cursor !== null) {
 *   const next = filter(compiled, request, resources, asOf, { limit: 50, cursor: first.cursor });
 * }
 */
export function filter<T extends ConsentResource>(
  compiled: CompiledConsent,
  request: ConsentRequest,
  list: Iterable<T>,
  asOf: number,
  options: FilterOptions = {},
): FilteredPage<T> {
  assertOptions(options, FILTER_OPTIONS, "filter");
  const { limit = Infinity, cursor } = options;
  if (!(limit >= 1)) throw new RangeError("limit must be at least 1");
  const prepared = compiled.prepare(request, asOf, options);
  const items: { item: T; decision: Decision }[] = [];
  let skipping = cursor !== undefined;
  for (const item of list) {
    if (skipping) {
      if (cursorOf(item) === cursor) skipping = false;
      continue;
    }
    const decision = prepared.decide(item);
    if (decision.outcome !== "permit") continue;
    if (items.length >= limit) {
      return { items, cursor: cursorOf(items.at(-1)!.item), complete: false };
    }
    items.push({ item, decision });
  }
  if (skipping) throw new RangeError("the cursor names no item of this list");
  return { items, cursor: null, complete: true };
}

function cursorOf(item: ConsentResource): string {
  if (item.id === undefined)
    throw new RangeError(
      "an item without an id cannot be a cursor: with limit or cursor every item needs one",
    );
  return JSON.stringify(item.versionId === undefined ? [item.id] : [item.id, item.versionId]);
}
