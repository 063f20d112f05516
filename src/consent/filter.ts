import type { Decision } from "./model/decision.ts";
import type { CompiledConsent, EvaluateOptions } from "./evaluate.ts";
import type { ConsentRequest } from "./model/request.ts";
import type { ConsentResource } from "./model/resource.ts";

/** How {@link filter} pages through a list. */
export interface FilterOptions extends EvaluateOptions {
  /** Most items of one page. Default all. */
  readonly limit?: number;
  /** Where the page before this one ended. */
  readonly cursor?: string;
}

/** What a request may have of a list. Nothing in it tells how much was withheld. */
export interface FilteredPage<T extends ConsentResource> {
  readonly items: readonly { readonly item: T; readonly decision: Decision }[];
  /** Names the last item given, to go on behind it; `null` when there is nothing more. */
  readonly cursor: string | null;
  readonly complete: boolean;
}

/**
 * Keeps of a list what a request may have: exactly the items whose own evaluation permits. A page
 * is never empty while more follows, and `complete` is known at its end.
 *
 * @param list - in an order that stays; with `limit` or `cursor` every item needs an `id` (and a
 *   `versionId` where several versions are listed)
 * @param asOf - legal time, in milliseconds since 1970
 * @throws {RangeError} when the cursor names nothing in the list, or an item cannot be named
 */
export function filter<T extends ConsentResource>(
  compiled: CompiledConsent,
  request: ConsentRequest,
  list: Iterable<T>,
  asOf: number,
  options: FilterOptions = {},
): FilteredPage<T> {
  const { limit = Infinity, cursor } = options;
  if (!(limit >= 1)) throw new RangeError("limit must be at least 1");
  const prepared = compiled.prepare(request, asOf, options);
  const items: { item: T; decision: Decision }[] = [];
  let skipping = cursor !== undefined;
  for (const item of list) {
    if (skipping) {
      if (nameOf(item) === cursor) skipping = false;
      continue;
    }
    const decision = prepared.decide(item);
    if (decision.outcome !== "permit") continue;
    if (items.length >= limit) {
      return { items, cursor: nameOf(items.at(-1)!.item), complete: false };
    }
    items.push({ item, decision });
  }
  if (skipping) throw new RangeError("the cursor names nothing in this list");
  return { items, cursor: null, complete: true };
}

function nameOf(item: ConsentResource): string {
  if (item.id === undefined) throw new RangeError("an item without id cannot be a cursor");
  return JSON.stringify(item.versionId === undefined ? [item.id] : [item.id, item.versionId]);
}
