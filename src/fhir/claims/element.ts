import { bytesToUtf8 } from "../../bytes/utf8.ts";
import { InputError } from "../../errors.ts";
import { type JsonSpan, scanJson } from "../json-text.ts";

/** One value of a resource, as it is written, and where it is: `Claim.item[0].net`. */
export interface Element {
  readonly path: string;
  readonly text: string;
  readonly span: JsonSpan;
}

const MOST_DEPTH = 64;
const MOST_VALUES = 262_144;
const MOST_CONTAINERS = 65_536;
const MOST_CHARACTERS = 256;

/**
 * Reads a resource of one type.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when it is not JSON; `ERR_INPUT_TOO_LARGE` beyond the limits;
 *   `ERR_INPUT_UNSUPPORTED` when it is another resource
 */
export function readElement(json: string | Uint8Array, type: string): Element {
  const text = typeof json === "string" ? json : bytesToUtf8(json);
  const span = scanJson(text, {
    name: type,
    maxDepth: MOST_DEPTH,
    keepDepth: MOST_DEPTH,
    maxContainers: MOST_CONTAINERS,
    maxValues: MOST_VALUES,
  });
  const element = { path: type, text, span };
  if (textOf(field(element, "resourceType")) !== type) throw unsupported(element, `is no ${type}`);
  return element;
}

/** Names the element, and nothing of what is in it. */
export const unsupported = ({ path }: Pick<Element, "path">, what: string): InputError =>
  new InputError("ERR_INPUT_UNSUPPORTED", `${path} ${what}`);

/** A field of an object, or `undefined` if it is absent. */
export function optional({ path, text, span }: Element, name: string): Element | undefined {
  if (span.kind !== "object") throw unsupported({ path }, "is no object");
  const found = span.members?.get(name);
  return found && { path: `${path}.${name}`, text, span: found };
}

/** A field that must be there. */
export function field(element: Element, name: string): Element {
  const found = optional(element, name);
  if (found === undefined) throw unsupported({ path: `${element.path}.${name}` }, "is missing");
  return found;
}

/** The items of a list that may be absent. */
export function listOf(element: Element, name: string): readonly Element[] {
  const list = optional(element, name);
  if (list === undefined) return [];
  if (list.span.kind !== "array") throw unsupported(list, "is no list");
  return (list.span.items ?? []).map((span, i) => ({
    path: `${list.path}[${i}]`,
    text: list.text,
    span,
  }));
}

/** A value of text. */
export function textOf({ path, text, span }: Element): string {
  if (span.kind !== "string") throw unsupported({ path }, "is no text");
  const value = JSON.parse(text.slice(span.start, span.end)) as string;
  if (value === "" || value.length > MOST_CHARACTERS) {
    throw unsupported({ path }, `has no 1 to ${MOST_CHARACTERS} characters`);
  }
  return value;
}

/** A field of text that may be absent. */
export const optionalText = (element: Element, name: string): string | undefined => {
  const found = optional(element, name);
  return found && textOf(found);
};

/** A value that is true or false. */
export function flagOf({ path, text, span }: Element): boolean {
  const value = text.slice(span.start, span.end);
  if (value !== "true" && value !== "false")
    throw unsupported({ path }, "is neither true nor false");
  return value === "true";
}

/** An exact decimal number: `digits · 10^-places`. */
export interface ExactDecimal {
  readonly digits: bigint;
  readonly places: number;
}

const MOST_DIGITS = 40;

/** A number, exactly as it is written. */
export function decimalOf({ path, text, span }: Element): ExactDecimal {
  const match = /^(-?\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$/.exec(
    text.slice(span.start, span.end),
  );
  if (span.kind !== "number" || match === null || span.end - span.start > MOST_DIGITS) {
    throw unsupported({ path }, "is no number of usual length");
  }
  const [, whole = "", fraction = "", exponent = "0"] = match;
  const places = fraction.length - Number(exponent);
  const digits = BigInt(whole + fraction);
  if (Math.abs(places) > MOST_DIGITS) throw unsupported({ path }, "is no number of usual length");
  return places < 0 ? { digits: digits * 10n ** BigInt(-places), places: 0 } : { digits, places };
}

/** A whole number from 1 on. */
export function countOf(element: Element): number {
  const { digits, places } = decimalOf(element);
  const whole = 10n ** BigInt(places);
  const count = digits / whole;
  if (digits % whole !== 0n || count < 1n || count > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw unsupported(element, "is no whole number from 1 on");
  }
  return Number(count);
}

/** The day of a `date` or `dateTime`, as it is written where it was written. */
export function dayOf(element: Element): string {
  const match = /^(\d{4}-\d\d-\d\d)(?:T.*)?$/.exec(textOf(element));
  if (match === null) throw unsupported(element, "names no day");
  return match[1]!;
}

/** The code of a CodeableConcept, as `system|code`; bare where it has no system. */
export function codeOf(element: Element): string {
  const [coding, ...others] = listOf(element, "coding");
  if (coding === undefined) throw unsupported(element, "has no coding");
  // Which of several a plan's tables are about cannot be known.
  if (others.length > 0) throw unsupported(element, "has several codings");
  const system = optionalText(coding, "system");
  const code = textOf(field(coding, "code"));
  return system === undefined ? code : `${system}|${code}`;
}

/** Whom or what a Reference names: the literal reference, else `system|value`. */
export function referenceOf(element: Element): string | undefined {
  const literal = optionalText(element, "reference");
  if (literal !== undefined) return literal;
  const identifier = optional(element, "identifier");
  return identifier && identifierOf(identifier);
}

/** An Identifier as `system|value`. */
export function identifierOf(element: Element): string {
  const system = optionalText(element, "system");
  const value = textOf(field(element, "value"));
  return system === undefined ? value : `${system}|${value}`;
}

/** A value as parsed JSON. */
export const copyOf = ({ text, span }: Element): unknown =>
  JSON.parse(text.slice(span.start, span.end));
