import { StorageError } from "../../errors.ts";

/** The type `bytea` in PostgreSQL's catalogue. */
const BYTEA_OID = 17;

/**
 * An array of `bytea` in PostgreSQL's binary format: one copy of the bytes, whereas `pg` would
 * write each of them as four characters.
 *
 * @param items - `null` for NULL; copied
 * @see PostgreSQL, src/backend/utils/adt/arrayfuncs.c, array_recv
 */
export function byteaArray(items: readonly (Uint8Array | null)[]): Uint8Array {
  let length = 20;
  for (const item of items) length += 4 + (item?.length ?? 0);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, items.length === 0 ? 0 : 1); // dimensions
  view.setInt32(4, items.includes(null) ? 1 : 0);
  view.setInt32(8, BYTEA_OID);
  if (items.length === 0) return bytes.subarray(0, 12);
  view.setInt32(12, items.length);
  view.setInt32(16, 1); // index of the first
  let at = 20;
  for (const item of items) {
    view.setInt32(at, item === null ? -1 : item.length);
    at += 4;
    if (item === null) continue;
    bytes.set(item, at);
    at += item.length;
  }
  return bytes;
}

/** A `bytea` from its text, in either `bytea_output` format; newly allocated. */
export function bytesOf(text: string | null | undefined): Uint8Array {
  if (typeof text !== "string") throw corrupt();
  if (!text.startsWith("\\x")) return unescape(text);
  if (text.length % 2 !== 0) throw corrupt();
  const bytes = new Uint8Array((text.length - 2) / 2);
  const written = Buffer.from(bytes.buffer).write(text.slice(2), "hex");
  if (2 * written !== text.length - 2) throw corrupt();
  return bytes;
}

/** A count or index from its text. */
export function numberOf(text: string | null | undefined): number {
  const number = typeof text === "string" && text !== "" ? Number(text) : NaN;
  if (!Number.isSafeInteger(number)) throw corrupt();
  return number;
}

/** `bytea_output = escape`: octal after a backslash, a double backslash, else ASCII. */
function unescape(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    let byte = text.charCodeAt(i);
    if (byte === 0x5c && text[i + 1] === "\\") i++;
    else if (byte === 0x5c) {
      byte = parseInt(text.slice(i + 1, i + 4), 8);
      i += 3;
    }
    bytes[length++] = byte;
  }
  return bytes.slice(0, length);
}

function corrupt(): StorageError {
  return new StorageError("ERR_STORAGE_CORRUPT", "a value is not of its stored type");
}

export type Row = readonly (string | null)[];
