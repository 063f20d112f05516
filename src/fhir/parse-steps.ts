import { type JsonSpan, scanSteps } from "./json-text.ts";

/** UTF-16 units of JSON that are parsed in one piece; a millisecond or two. */
export const AT_ONCE = 262_144;
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
  if (isLarge && span.kind === "string") return yield* parseString(json, span);
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
  const array: unknown[] = [];
  for (const item of items ?? []) {
    if (item.kind === "items") {
      for (const one of JSON.parse(`[${json.slice(item.start, item.end)}]`) as unknown[]) {
        array.push(one);
      }
    } else array.push(yield* parseSteps(json, item, levels - 1));
    yield;
  }
  return array;
}

/** Parses a long string piece by piece. */
function* parseString(json: string, { start, end }: JsonSpan): Generator<void, string, void> {
  let value = "";
  for (let from = start + 1; from < end - 1;) {
    const to = Math.min(end - 1, outsideEscape(json, from, from + AT_ONCE));
    value += JSON.parse(`"${json.slice(from, to)}"`) as string;
    from = to;
    yield;
  }
  return value;
}

/** The last offset up to `most` that is not inside an escape. */
function outsideEscape(json: string, from: number, most: number): number {
  // An escape has six units at most, so it began in the last five or not at all.
  for (let at = most - 1; at >= Math.max(from, most - 5); at--) {
    if (json[at] !== "\\") continue;
    let before = at;
    while (before > from && json[before - 1] === "\\") before--;
    // Of each two backslashes in a row the second one is escaped.
    const isEscape = (at - before) % 2 === 0;
    const length = json[at + 1] === "u" ? 6 : 2;
    return isEscape && at + length > most ? at : most;
  }
  return most;
}

/** The members or items of a container, at their positions in the whole text. */
function* childrenOf(
  json: string,
  { start, end }: JsonSpan,
): Generator<void, Pick<JsonSpan, "members" | "items">, void> {
  const slice = json.slice(start, end);
  const found = yield* scanSteps(slice, {
    ...{ name: "value", maxDepth: Infinity, keepDepth: 1, joinItems: AT_ONCE },
  });
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
