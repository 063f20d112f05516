import type { CID } from "../codec/cid.ts";
import {
  expectArray,
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectString,
  expectUint,
  type Fields,
} from "../codec/shape.ts";
import { expectActor } from "../block/key.ts";
import { EncodingError } from "../errors.ts";

/** The form of one value that a call shows in clear, other than a list. */
export type ItemSchema =
  /** An integer from 0 to `max`, at most 2^53 − 1. */
  | { readonly type: "uint"; readonly max?: number }
  /** Bytes of exactly this length, 1 to 1,024. */
  | { readonly type: "bytes"; readonly length: number }
  | { readonly type: "cid" }
  /** The did:key of a member or of anybody else. */
  | { readonly type: "actor" }
  /** One of the words listed, in lower case. */
  | { readonly type: "word"; readonly of: readonly string[] };

/** The form of one field of a call. */
export type FieldSchema =
  ItemSchema | { readonly type: "list"; readonly of: ItemSchema; readonly most: number };

/** The fields of an action's call. All must be there, and no other. */
export type CallSchema = Readonly<Record<string, FieldSchema>>;

/** The value that an item's schema describes. */
export type ItemOf<S> = S extends { readonly type: "uint" }
  ? number
  : S extends { readonly type: "bytes" }
    ? Uint8Array
    : S extends { readonly type: "cid" }
      ? CID
      : S extends { readonly type: "actor" }
        ? string
        : S extends { readonly type: "word"; readonly of: readonly (infer Word)[] }
          ? Word
          : never;

/** The call that a schema describes. */
export type CallOf<S extends CallSchema> = {
  readonly [Name in keyof S]: S[Name] extends { readonly type: "list"; readonly of: infer Item }
    ? readonly ItemOf<Item>[]
    : ItemOf<S[Name]>;
};

/** Most fields of one action's call. */
const MAX_FIELDS = 32;
/** Most items of a list. */
const MAX_LIST = 1024;
const MAX_WORDS = 256;
const MAX_BYTES = 1024;

/** Reads a name of an action, a field, a role or a word: lower-case letters, digits and hyphens. */
export function expectName(value: unknown, what: string): string {
  const name = expectString(value, what, 32);
  if (/^[a-z][a-z0-9-]*$/.test(name)) return name;
  throw wrong(`${what} must be lower-case words`);
}

/** Reads a decoded schema. */
export function expectCallSchema(value: unknown, what: string): CallSchema {
  const fields = Object.entries(expectMapOf(value, what, MAX_FIELDS));
  return Object.fromEntries(
    fields.map(([name, field]) => {
      const at = `${what}.${expectName(name, what)}`;
      if (typeOf(field) !== "list") return [name, expectItemSchema(field, at)];
      const list = expectMap(field, at, ["type", "of", "most"]);
      const of = expectItemSchema(list["of"], `${at}.of`);
      return [name, { type: "list", of, most: expectUint(list["most"], `${at}.most`, MAX_LIST) }];
    }),
  );
}

function expectItemSchema(value: unknown, what: string): ItemSchema {
  const type = expectOneOf(typeOf(value), `${what}.type`, [
    ...(["uint", "bytes", "cid", "actor", "word"] as const),
  ]);
  switch (type) {
    case "uint": {
      const { max } = expectMap(value, what, ["type"], ["max"]);
      return max === undefined ? { type } : { type, max: expectUint(max, `${what}.max`) };
    }
    case "bytes": {
      const length = expectUint(
        expectMap(value, what, ["type", "length"])["length"],
        what,
        MAX_BYTES,
      );
      if (length === 0) throw wrong(`${what}.length must be at least 1`);
      return { type, length };
    }
    case "word": {
      const words = expectArray(expectMap(value, what, ["type", "of"])["of"], what, MAX_WORDS);
      const of = words.map((word) => expectName(word, `${what}.of`));
      if (new Set(of).size < of.length) throw wrong(`${what}.of must be distinct`);
      return { type, of };
    }
    default:
      expectMap(value, what, ["type"]);
      return { type };
  }
}

/**
 * Checks that a call has the form that its action's schema says.
 *
 * @throws {EncodingError} `ERR_ENCODING_SHAPE`, which names the field
 */
export function expectCall(schema: CallSchema, call: unknown, what: string): Fields {
  const fields = expectMap(call, what, Object.keys(schema));
  for (const [name, field] of Object.entries(schema)) {
    const at = `${what}.${name}`;
    const value = fields[name];
    if (field.type === "list") {
      for (const item of expectArray(value, at, field.most)) expectItem(field.of, item, at);
    } else {
      expectItem(field, value, at);
    }
  }
  return fields;
}

function expectItem(schema: ItemSchema, value: unknown, what: string): void {
  switch (schema.type) {
    case "uint":
      expectUint(value, what, schema.max);
      break;
    case "bytes":
      expectBytes(value, what, schema.length);
      break;
    case "cid":
      expectCid(value, what);
      break;
    case "actor":
      expectActor(value, what);
      break;
    case "word":
      expectOneOf(value, what, schema.of);
  }
}

/** Reads a map with any keys, up to a number of them. */
export function expectMapOf(value: unknown, what: string, most: number): Fields {
  const keys = typeof value === "object" && value !== null ? Object.keys(value) : [];
  if (keys.length > most) throw wrong(`${what} must have at most ${most} fields`);
  return expectMap(value, what, keys);
}

const typeOf = (value: unknown): unknown =>
  typeof value === "object" && value !== null && "type" in value ? value.type : undefined;

const wrong = (message: string) => new EncodingError("ERR_ENCODING_SHAPE", message);
