import { InputError } from "../../src/errors.ts";
import type { JsonScanOptions, JsonSpan } from "../../src/fhir/json-text.ts";

/** A container that is not closed yet; an object if it has `keys`. */
interface Opened {
  readonly start: number;
  readonly keys?: Set<string>;
  readonly members?: Map<string, JsonSpan>;
  readonly items?: JsonSpan[];
}

const ELEMENT = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

/** As `scanJson`, written for the reader: what the fast one must agree with, to the message. */
export function scanSlowly(text: string, options: JsonScanOptions): JsonSpan {
  const path: (string | number)[] = [];
  /**
   * Characters of a string that need handling: quote, backslash, control characters, surrogates.
   */
  const special = /["\\\u0000-\u001f\ud800-\udfff]/g;
  let at = 0;

  const fail = (what: string): never => {
    throw new InputError(
      "ERR_INPUT_INVALID",
      `${renderPath(options.name, path)}: ${what} at ${at}`,
    );
  };

  const skipSpace = (): void => {
    for (;;) {
      const unit = text.charCodeAt(at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
      at++;
    }
  };

  const string = (): JsonSpan => {
    const start = at++;
    for (;;) {
      special.lastIndex = at;
      const found = special.exec(text);
      at = found === null ? text.length : found.index;
      const unit = text.charCodeAt(at);
      if (unit === 0x22) break;
      if (Number.isNaN(unit)) fail("unfinished string");
      if (unit < 0x20) fail("control character in a string");
      const code = unit === 0x5c ? escaped() : unit;
      if (code >= 0xd800 && code <= 0xdfff) surrogates(code, unit === 0x5c);
      else at++;
    }
    at++;
    return { kind: "string", start, end: at };
  };

  /** Leaves `at` on the escape's last unit. */
  const escaped = (): number => {
    const unit = text.charCodeAt(++at);
    if (unit === 0x75) {
      const hex = text.slice(at + 1, at + 5);
      if (!/^[0-9a-fA-F]{4}$/.test(hex)) fail("malformed escape");
      at += 4;
      return parseInt(hex, 16);
    }
    if (Number.isNaN(unit) || !'"\\/bfnrt'.includes(text[at]!)) fail("malformed escape");
    return 0;
  };

  const surrogates = (high: number, wasEscaped: boolean): void => {
    if (high > 0xdbff) fail("lone surrogate");
    at++;
    if ((text.charCodeAt(at) === 0x5c) !== wasEscaped) fail("lone surrogate");
    const low = wasEscaped ? escaped() : text.charCodeAt(at);
    if (!(low >= 0xdc00 && low <= 0xdfff)) fail("lone surrogate");
    at++;
  };

  const digits = (): void => {
    const start = at;
    while (isDigit(text.charCodeAt(at))) at++;
    if (at === start) fail("malformed number");
  };

  const number = (): JsonSpan => {
    const start = at;
    if (text.charCodeAt(at) === 0x2d) at++;
    if (text.charCodeAt(at) === 0x30) at++;
    else digits();
    if (text.charCodeAt(at) === 0x2e) {
      at++;
      digits();
    }
    if ((text.charCodeAt(at) | 0x20) === 0x65) {
      at++;
      const sign = text.charCodeAt(at);
      if (sign === 0x2b || sign === 0x2d) at++;
      digits();
    }
    return { kind: "number", start, end: at };
  };

  const another = (close: number): boolean => {
    skipSpace();
    const unit = text.charCodeAt(at);
    if (unit !== 0x2c && unit !== close) fail(`expected ',' or '${String.fromCharCode(close)}'`);
    at++;
    return unit === 0x2c;
  };

  const scalar = (unit: number): JsonSpan => {
    if (unit === 0x22) return string();
    if (unit === 0x2d || isDigit(unit)) return number();
    for (const literal of ["true", "false", "null"]) {
      if (text.startsWith(literal, at)) {
        at += literal.length;
        return { kind: "literal", start: at - literal.length, end: at };
      }
    }
    return fail(Number.isNaN(unit) ? "unexpected end" : "expected a value");
  };

  const opened: Opened[] = [];

  const open = (unit: number): Opened => {
    if (opened.length === options.maxDepth) fail(`more than ${options.maxDepth} levels`);
    const kept = opened.length < options.keepDepth;
    const container: Opened =
      unit === 0x7b
        ? { keys: new Set(), start: at++, ...(kept && { members: new Map<string, JsonSpan>() }) }
        : { start: at++, ...(kept && { items: [] }) };
    opened.push(container);
    return container;
  };

  const close = ({ keys, start, members, items }: Opened): JsonSpan => {
    opened.pop();
    const kind = keys === undefined ? "array" : "object";
    return { kind, start, end: at, ...(members && { members }), ...(items && { items }) };
  };

  /** Reads the name of the next member, and the colon. */
  const name = (keys: Set<string>): void => {
    skipSpace();
    if (text.charCodeAt(at) !== 0x22) fail("expected a name");
    const { start: from, end: to } = string();
    const raw = text.slice(from + 1, to - 1);
    const key = raw.includes("\\") ? (JSON.parse(text.slice(from, to)) as string) : raw;
    path.push(key);
    if (keys.has(key)) fail("duplicate name");
    keys.add(key);
    skipSpace();
    if (text.charCodeAt(at) !== 0x3a) fail("expected ':'");
    at++;
  };

  for (;;) {
    skipSpace();
    const unit = text.charCodeAt(at);
    let span: JsonSpan;
    if (unit === 0x7b || unit === 0x5b) {
      const container = open(unit);
      skipSpace();
      if (text.charCodeAt(at) !== unit + 2) {
        if (container.keys === undefined) path.push(0);
        else name(container.keys);
        continue;
      }
      at++;
      span = close(container);
    } else {
      span = scalar(unit);
    }
    // It may have been the last item of its container, and that the last of its own.
    for (;;) {
      const parent = opened.at(-1);
      if (parent === undefined) {
        skipSpace();
        if (at !== text.length) fail("text after the value");
        return span;
      }
      const step = path.pop()!;
      parent.members?.set(step as string, span);
      parent.items?.push(span);
      if (another(parent.keys === undefined ? 0x5d : 0x7d)) {
        if (parent.keys === undefined) path.push((step as number) + 1);
        else name(parent.keys);
        break;
      }
      span = close(parent);
    }
  }
}

function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}

/** Names that cannot be element names are not repeated in messages: they could be anything. */
function renderPath(name: string, path: readonly (string | number)[]): string {
  let text = name;
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += `.${ELEMENT.test(step) ? step : "?"}`;
  }
  return text;
}
