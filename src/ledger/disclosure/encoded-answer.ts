import type { EntryPlace } from "../../chain/make-receipt.ts";
import { cidOf, matchesCid, RAW, type CID } from "../../codec/cid.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import { entryIdBytes, recordIdBytes, toEntryId, toRecordId } from "../../codec/ids.ts";
import {
  expectArray,
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
} from "../../codec/shape.ts";
import { expectDecision } from "../../consent/model/expect-decision.ts";
import { MAX_GRANT_BYTES } from "../../envelope/grant-record.ts";
import { decodeSignedHeader, MAX_HEADER_BYTES, MAX_PARTS } from "../../envelope/header.ts";
import { EncodingError, InputError, StorageError } from "../../errors.ts";
import { REQUEST_REFUSALS, type RequestRefusal } from "./check-request.ts";
import type { DisclosureAnswer, DisclosureResult, ReleasedItem } from "./disclose.ts";

/** Maximum length of an encoded answer, in bytes. */
const MAX_ANSWER_BYTES: number = 64 * 1024 * 1024;
/** Maximum number of records, and of blocks of ciphertext, in one encoded answer. */
const MAX_ITEMS = 65_536;
/** Maximum overhead of each byte string, in bytes. */
const FRAME_BYTES = 64;

/** A decoded answer, with the ciphertext that came with it. */
export type DecodedAnswer =
  | {
      readonly ok: true;
      readonly answer: DisclosureAnswer;
      /** Gives the ciphertext that came with the answer: the `read` of `openAnswer`. */
      readonly read: (cid: CID) => Promise<Uint8Array | undefined>;
    }
  | { readonly ok: false; readonly reason: RequestRefusal };

/** Options of {@link encodeAnswer}. */
export interface EncodeAnswerOptions {
  /** Reads the custodian's own ciphertext: `(cid) => storage.blobs.get(cid)`. */
  readonly read: (cid: CID) => Promise<Uint8Array | undefined>;
}

/**
 * Encodes the result of `hl.disclose`, with the ciphertext of exactly the granted parts, to be sent to the
 * requester. If nothing is released, it holds no ciphertext.
 *
 * The format is provisional: a later version may write another format and not read this one. It is neither
 * signed nor encrypted. Each record is proved when it is opened, but nothing proves the decision, or that
 * nothing was left out, and anybody on the way can read the decision. Send it over a channel that
 * authenticates the custodian and keeps its content secret, such as TLS.
 *
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` above 64 MiB, or above 65,536 records or blocks of
 *   ciphertext: request less, or only the part `manifest`
 * @throws {StorageError} `ERR_STORAGE_MISSING` when ciphertext is missing, `ERR_STORAGE_CORRUPT` when it
 *   does not match its CID
 * @example
 * const result = await hl.disclose(request);
 * const bytes = await encodeAnswer(result, { read: (cid) => storage.blobs.get(cid) });
 */
export async function encodeAnswer(
  result: DisclosureResult,
  { read }: EncodeAnswerOptions,
): Promise<Uint8Array> {
  if (!result.ok) return encode({ v: 1, ok: false, reason: result.reason });
  const { access, decision, items } = result.answer;
  let budget = MAX_ANSWER_BYTES - FRAME_BYTES;
  const spend = (bytes: number): void => {
    budget -= bytes + FRAME_BYTES;
    if (budget < 0) throw tooLarge();
  };
  spend(encode(decision).length);
  if (items.length > MAX_ITEMS) throw tooLarge();
  const blobs = new Map<string, Uint8Array>();
  for (const { header, grant, parts } of items) {
    spend(header.length + grant.length + 64 * parts.length + 4 * FRAME_BYTES);
    for (const cid of ciphertextOf(header, parts)) {
      const name = cid.toString();
      if (blobs.has(name)) continue;
      if (blobs.size >= MAX_ITEMS) throw tooLarge();
      const bytes = await read(cid);
      if (bytes === undefined) {
        throw new StorageError("ERR_STORAGE_MISSING", `ciphertext is missing: ${name}`);
      }
      if (!matchesCid(cid, bytes)) {
        throw new StorageError("ERR_STORAGE_CORRUPT", `ciphertext is damaged: ${name}`);
      }
      spend(bytes.length);
      blobs.set(name, bytes);
    }
  }
  return encode({
    v: 1,
    ok: true,
    access: entryIdBytes(access),
    decision,
    items: items.map(({ record, entry, place, envelope, header, grant, parts }) => ({
      record: recordIdBytes(record),
      entry: entryIdBytes(entry),
      place: [place.height, place.transaction, place.entry],
      ...{ envelope, header, grant, parts },
    })),
    blobs: [...blobs.values()],
  });
}

/** CIDs of the blocks that hold the given parts of an envelope. */
function ciphertextOf(header: Uint8Array, parts: readonly string[]): readonly CID[] {
  return decodeSignedHeader(header)
    .header.parts.filter(({ id }) => parts.includes(id))
    .flatMap(({ data }) => data);
}

function tooLarge(): InputError {
  return new InputError("ERR_INPUT_TOO_LARGE", "the answer is too large to be encoded");
}

/**
 * Decodes the output of {@link encodeAnswer}, including refusals. Hostile bytes are refused within fixed
 * bounds. The result is only known to be well formed until `openAnswer` has opened it.
 *
 * @param bytes - copied
 * @throws {EncodingError} when the bytes are not an encoded answer, or exceed 64 MiB
 * @example
 * const decoded = decodeAnswer(received);
 * if (!decoded.ok) throw new Error(`refused: ${decoded.reason}`);
 * const answer = openAnswer(decoded.answer, {
 *   read: decoded.read,
 *   chain,
 *   checkpoint,
 *   custodian,
 *   agreement: clinic.agreement(),
 * });
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when an item has no envelope's signed header
 */
export function decodeAnswer(bytes: Uint8Array): DecodedAnswer {
  const value = decode(bytes, { maxBytes: MAX_ANSWER_BYTES, maxDepth: 6, maxItems: 4_000_000 });
  const given = value as { readonly ok?: unknown } | null;
  if (typeof given === "object" && given?.ok === false) {
    const map = expectMap(value, "answer", ["v", "ok", "reason"]);
    expectVersion(map["v"], "answer");
    return { ok: false, reason: expectOneOf(map["reason"], "answer.reason", REQUEST_REFUSALS) };
  }
  const map = expectMap(value, "answer", ["v", "ok", "access", "decision", "items", "blobs"]);
  expectVersion(map["v"], "answer");
  if (map["ok"] !== true) throw shape("answer.ok must be true or false");
  const items = expectArray(map["items"], "answer.items", MAX_ITEMS).map(expectItem);
  // Given twice under two names, one finding would look like two.
  if (new Set(items.map(({ entry }) => entry)).size < items.length) {
    throw shape("answer.items must be of distinct entries");
  }
  const wanted = new Set(
    items.flatMap(({ header, parts }) => ciphertextOf(header, parts).map(String)),
  );
  const blobs = new Map<string, Uint8Array>();
  for (const item of expectArray(map["blobs"], "answer.blobs", MAX_ITEMS)) {
    const blob = expectBytes(item, "answer.blobs");
    const name = cidOf(blob, RAW).toString();
    if (!wanted.has(name) || blobs.has(name)) {
      throw shape("answer.blobs must be the ciphertext of its items, each once");
    }
    blobs.set(name, blob);
  }
  return {
    ok: true,
    answer: {
      access: toEntryId(expectBytes(map["access"], "answer.access", 32)),
      decision: expectDecision(map["decision"]),
      items,
    },
    read: async (cid) => blobs.get(cid.toString())?.slice(),
  };
}

function expectItem(value: unknown): ReleasedItem {
  const fields = ["record", "entry", "place", "envelope", "header", "grant", "parts"];
  const map = expectMap(value, "item", fields);
  const header = expectBytes(map["header"], "item.header");
  if (header.length > MAX_HEADER_BYTES) throw shape("item.header is too long");
  const grant = expectBytes(map["grant"], "item.grant");
  if (grant.length > MAX_GRANT_BYTES) throw shape("item.grant is too long");
  return {
    record: toRecordId(expectBytes(map["record"], "item.record", 32)),
    entry: toEntryId(expectBytes(map["entry"], "item.entry", 32)),
    place: expectPlace(map["place"]),
    envelope: expectCid(map["envelope"], "item.envelope"),
    header,
    grant,
    parts: expectArray(map["parts"], "item.parts", MAX_PARTS).map((part) =>
      expectString(part, "item.parts", 64),
    ),
  };
}

function expectPlace(value: unknown): EntryPlace {
  const numbers = expectArray(value, "item.place", 3);
  if (numbers.length !== 3) throw shape("item.place must be three numbers");
  const [height, transaction, entry] = numbers.map((number) => expectUint(number, "item.place"));
  return { height: height!, transaction: transaction!, entry: entry! };
}

function shape(why: string): EncodingError {
  return new EncodingError("ERR_ENCODING_SHAPE", why);
}
