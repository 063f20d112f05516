import { fromHex, toHex } from "../bytes/hex.ts";
import { InputError } from "../errors.ts";

/** Distinguishes kinds of ids for the compiler only. */
declare const kind: unique symbol;

/**
 * Id of a record, the same in all its versions: 64 lower-case hexadecimal characters.
 * {@link parseRecordId} makes one from a plain string.
 */
export type RecordId = string & { readonly [kind]: "record" };

/**
 * Id of an entry on a ledger: 64 lower-case hexadecimal characters. {@link parseEntryId} makes one
 * from a plain string.
 */
export type EntryId = string & { readonly [kind]: "entry" };

const ID = /^[0-9a-f]{64}$/;

/**
 * Checks that a string has the form of a record's id.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` unless it is 64 lower-case hexadecimal characters
 * @example
 * const content = await hl.read(parseRecordId(text));
 */
export function parseRecordId(text: string): RecordId {
  return checked(text, "a record's id") as RecordId;
}

/**
 * Checks that a string has the form of an entry's id.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` unless it is 64 lower-case hexadecimal characters
 * @example
 * const receipt = await hl.receipt(parseEntryId(text));
 */
export function parseEntryId(text: string): EntryId {
  return checked(text, "an entry's id") as EntryId;
}

/** Makes a record's id from the id bytes of the entry that created it. */
export const toRecordId = (id: Uint8Array): RecordId => toHex(id) as RecordId;

/** The id of the record that an entry created. */
export const recordCreatedBy = (entry: EntryId): RecordId => entry as string as RecordId;

/** Makes an entry's id from its 32 bytes. */
export const toEntryId = (id: Uint8Array): EntryId => toHex(id) as EntryId;

/**
 * The 32 bytes of a record's id, which are those of the entry that created it.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when an untyped caller passes anything else
 */
export const recordIdBytes = (id: RecordId): Uint8Array => fromHex(parseRecordId(id));

/**
 * The 32 bytes of an entry's id.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when an untyped caller passes anything else
 */
export const entryIdBytes = (id: EntryId): Uint8Array => fromHex(parseEntryId(id));

function checked(id: unknown, what: string): string {
  if (typeof id === "string" && ID.test(id)) return id;
  const but = id instanceof Uint8Array ? ", not bytes" : "";
  const form = `${what} must be a string of 64 lower-case hexadecimal characters${but}`;
  throw new InputError("ERR_INPUT_INVALID", form);
}
