import { bytesToUtf8, utf8ToBytes } from "../bytes/utf8.ts";
import { InputError } from "../errors.ts";

/** The position of one JSON value in a text; members and items only down to the requested depth. */
export interface JsonSpan {
  readonly kind: "object" | "array" | "string" | "number" | "literal" | "items";
  /** Offset of the value's first UTF-16 unit. */
  readonly start: number;
  /** Offset after its last unit. */
  readonly end: number;
  readonly members?: ReadonlyMap<string, JsonSpan>;
  readonly items?: readonly JsonSpan[];
}

export interface JsonScanOptions {
  /** The name of the text in messages. */
  readonly name: string;
  /** Deepest nesting of containers; deeper ones are refused. */
  readonly maxDepth: number;
  /** Containers down to this depth get `members` or `items`; deeper ones are only checked. */
  readonly keepDepth: number;
  /** Most objects and arrays, and most values at all; default any number. */
  readonly maxContainers?: number;
  readonly maxValues?: number;
  /**
   * Neighbouring items of an array are kept together as one span of kind `items` while they have so many units in
   * all; default each by itself.
   */
  readonly joinItems?: number;
}

/**
 * The state of a scan. It reads the text as UTF-8, since the engine reads bytes several times as
 * fast as the units of a string.
 *
 * The lists hold, by depth, what is known of the containers that are open.
 */
export interface Scan extends Pick<JsonScanOptions, "name" | "maxDepth" | "keepDepth"> {
  readonly joinItems: number;
  readonly text: string;
  readonly bytes: Uint8Array;
  /** Where the next value is expected. */
  at: number;
  /** How many more bytes than units were read. */
  extra: number;
  /** Whether the string that was read last has escapes. */
  hasEscape: boolean;
  /** Whether scanning was interrupted in a string, at `at`, that starts at `stringStart`. */
  isInString: boolean;
  stringStart: number;
  /** How many more containers, and other values, are accepted. */
  containersLeft: number;
  valuesLeft: number;
  /** Number of open containers. */
  depth: number;
  /** Whether a member or item of the innermost container is being read. */
  isInside: boolean;
  readonly isObject: boolean[];
  /** Their offsets in the text. */
  readonly opened: number[];
  /** Positions of the items that are being read. */
  readonly indexes: number[];
  /** The number of names that were kept before. */
  readonly bases: number[];
  /** Offsets of names in the bytes, with the quotes; the last of each container is the newest. */
  readonly starts: number[];
  readonly ends: number[];
  /** Number of those names. */
  top: number;
  /** All names of an object that has many, or one with an escape. */
  readonly names: (Set<string> | undefined)[];
  readonly members: (Map<string, JsonSpan> | undefined)[];
  readonly items: (JsonSpan[] | undefined)[];
}

// Written out: the engine makes objects of one form of it, and code that reads them faster.
export function startScan(
  text: string,
  {
    name,
    maxDepth,
    keepDepth,
    maxContainers = Infinity,
    maxValues = Infinity,
    joinItems = 0,
  }: JsonScanOptions,
): Scan {
  const bytes = utf8ToBytes(text);
  return {
    name,
    maxDepth,
    keepDepth,
    text,
    bytes,
    at: 0,
    extra: 0,
    hasEscape: false,
    isInString: false,
    stringStart: 0,
    joinItems,
    containersLeft: maxContainers,
    valuesLeft: maxValues,
    depth: 0,
    isInside: false,
    isObject: [],
    opened: [],
    indexes: [],
    bases: [],
    starts: [],
    ends: [],
    top: 0,
    names: [],
    members: [],
    items: [],
  };
}

export const QUOTE = 0x22;
export const BACKSLASH = 0x5c;
export const COMMA = 0x2c;
export const OBJECT = 0x7b;
export const ARRAY = 0x5b;

/** The byte at an offset, or -1 after the end. */
export const byteAt = (bytes: Uint8Array, at: number): number =>
  at < bytes.length ? bytes[at]! : -1;

/** The name of a member, by its number. */
export function nameAt({ text, bytes, extra, starts, ends }: Scan, i: number): string {
  const start = starts[i]!;
  const end = ends[i]!;
  // Without other characters than those of ASCII, offsets in bytes and text are the same.
  const raw = extra === 0 ? text.slice(start, end) : bytesToUtf8(bytes.subarray(start, end));
  return raw.includes("\\") ? (JSON.parse(raw) as string) : raw.slice(1, -1);
}

const ELEMENT = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

/** Refuses the text, saying where. */
export function fail(scan: Scan, what: string, at: number): never {
  const { depth, isInside, isObject, bases, indexes } = scan;
  let path = scan.name;
  for (let i = 0; i < (isInside ? depth : depth - 1); i++) {
    const name = (i + 1 < depth ? bases[i + 1]! : scan.top) - 1;
    path += isObject[i] === true ? `.${shown(nameAt(scan, name))}` : `[${indexes[i]}]`;
  }
  throw new InputError("ERR_INPUT_INVALID", `${path}: ${what} at ${at - scan.extra}`);
}

/** Names that cannot be element names are not repeated in messages: they could be anything. */
const shown = (name: string): string => (ELEMENT.test(name) ? name : "?");
