import { type JsonSpan, scanSteps } from "./json-text.ts";

/** UTF-16 units of JSON that are parsed at once; a millisecond or two. */
const AT_ONCE = 262_144;
/** Members that are placed between two places where parsing can be interrupted. */
const PIECES = 2048;
/** Containers inside one another that are taken apart; what is large below them is parsed at once. */
const LEVELS = 5;

/**
 * Parses a value of a JSON text as `JSON.parse` does, by steps: a large container piece by piece.
 *
 * @param span - of a text that was scanned, so that it is well-formed
 */
export function* parseSteps(
  json: string,
  span: JsonSpan,
  levels: number = LEVELS,
): Generator<void, unknown, void> {
  const isLarge = span.end - span.start > AT_ONCE;
  if (!isLarge || levels === 0 || (span.kind !== "object" && span.kind !== "array")) {
    return JSON.parse(json.slice(span.start, span.end)) as unknown;
  }
  const { members, items } =
    span.members === undefined && span.items === undefined ? yield* childrenOf(json, span) : span;
  if (members !== undefined) {
    const object: Record<string, unknown> = {};
    for (const [name, member] of members) {
      const value = yield* parseSteps(json, member, levels - 1);
      // Not by assignment, which would take `__proto__` for the prototype.
      Object.defineProperty(object, name, {
        value,
        ...{ configurable: true, enumerable: true, writable: true },
      });
      yield;
    }
    return object;
  }
  const all = items ?? [];
  const array: unknown[] = [];
  for (let from = 0; from < all.length;) {
    // Neighbours together, since each call costs more than a small item does.
    let to = from + 1;
    while (to < all.length && all[to]!.end - all[from]!.start <= AT_ONCE) to++;
    if (to === from + 1) array.push(yield* parseSteps(json, all[from]!, levels - 1));
    else {
      const some = json.slice(all[from]!.start, all[to - 1]!.end);
      for (const item of JSON.parse(`[${some}]`) as unknown[]) array.push(item);
    }
    from = to;
    yield;
  }
  return array;
}

/** What stands in a container, at its places in the whole text. */
function* childrenOf(
  json: string,
  { start, end }: JsonSpan,
): Generator<void, Pick<JsonSpan, "members" | "items">, void> {
  const slice = json.slice(start, end);
  const found = yield* scanSteps(slice, { name: "value", maxDepth: Infinity, keepDepth: 1 });
  const placed = ({ kind, start: from, end: to }: JsonSpan): JsonSpan => ({
    kind,
    start: from + start,
    end: to + start,
  });
  const { members, items } = found;
  if (members === undefined) return { items: (items ?? []).map(placed) };
  const all = new Map<string, JsonSpan>();
  for (const [name, child] of members) {
    if (all.size % PIECES === PIECES - 1) yield;
    all.set(name, placed(child));
  }
  return { members: all };
}
