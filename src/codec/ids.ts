import { fromHex, toHex } from "../bytes/hex.ts";
import { InputError } from "../errors.ts";

/** Tells ids of one kind from those of another, for the compiler alone. */
declare const kind: unique symbol;

/**
 * Names a record through all its versions: 64 lower-case hexadecimal characters. Of text that comes
 * from elsewhere {@link parseRecordId} makes one.
 */
export type RecordId = string & { readonly [kind]: "record" };

/**
 * Names one entry on a ledger: 64 lower-case hexadecimal characters. Of text that comes from elsewhere
 * {@link parseEntryId} makes one.
 */
export type EntryId = string & { readonly [kind]: "entry" };

const ID = /^[0-9a-f]{64}$/;

/**
 * Checks that a string has the form of a record's id.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` unless it is 64 lower-case hexadecimal characters
 */
export function parseRecordId(text: string): RecordId {
  return checked(text, "a record's id") as RecordId;
}

/**
 * Checks that a string has the form of an entry's id.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` unless it is 64 lower-case hexadecimal characters
 */
export function parseEntryId(text: string): EntryId {
  return checked(text, "an entry's id") as EntryId;
}

/** Writes the id of the entry that created a record as the record's name. */
export const toRecordId = (id: Uint8Array): RecordId => toHex(id) as RecordId;

/** The name of the record that an entry created. */
export const recordCreatedBy = (entry: EntryId): RecordId => entry as string as RecordId;

/** Writes the 32 bytes of an entry's id as its name. */
export const toEntryId = (id: Uint8Array): EntryId => toHex(id) as EntryId;

/**
 * Reads a record's name as the 32 bytes of the id of the entry that created it.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when a caller without types passed anything else
 */
export const recordIdBytes = (id: RecordId): Uint8Array => fromHex(parseRecordId(id));

/**
 * Reads an entry's name as the 32 bytes of its id.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when a caller without types passed anything else
 */
export const entryIdBytes = (id: EntryId): Uint8Array => fromHex(parseEntryId(id));

function checked(id: unknown, what: string): string {
  if (typeof id === "string" && ID.test(id)) return id;
  const but = id instanceof Uint8Array ? ", not bytes" : "";
  const form = `${what} is a string of 64 lower-case hexadecimal characters${but}`;
  throw new InputError("ERR_INPUT_INVALID", form);
}
