import { type JsonSpan, scanSteps } from "./json-text.ts";

/** UTF-16 units of JSON that are parsed in one piece; a millisecond or two. */
const AT_ONCE = 262_144;
/** Members that are added between two points at which parsing can be interrupted. */
const PIECES = 2048;
/** Nested containers that are parsed in pieces; large values below them are parsed in one piece. */
const LEVELS = 5;

/**
 * Parses a value of a JSON text as `JSON.parse` does, by steps: a large container in pieces.
 *
 * @param span - of a text that was scanned, and so is well-formed
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
      // Not by assignment, which would set the prototype for `__proto__`.
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
    // Parses neighbours together, since a call costs more than a small item.
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

/** The members or items of a container, at their positions in the whole text. */
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
