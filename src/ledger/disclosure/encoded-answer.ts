import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import { MAX_TRANSACTION_ENTRIES } from "../../block/limits.ts";
import type { TransactionWithEntries } from "../../block/transaction.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { sha256 } from "#crypto";
import { assertBytes } from "../../bytes/guards.ts";
import { toHex } from "../../bytes/hex.ts";
import type { Steps } from "../../bytes/steps.ts";
import { matchesCid, type CID } from "../../codec/cid.ts";
import { decodeSteps, encode } from "../../codec/dag-cbor.ts";
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
  type Fields,
} from "../../codec/shape.ts";
import { SIGNATURE_ALGS } from "../../crypto/signing-input.ts";
import { expectDecision } from "../../consent/model/expect-decision.ts";
import { MAX_GRANT_BYTES } from "../../envelope/grant-record.ts";
import {
  decodeSignedHeader,
  MAX_HEADER_BYTES,
  MAX_PARTS,
  type EnvelopeHeader,
} from "../../envelope/header.ts";
import { TAG_BYTES } from "../../envelope/part-cipher.ts";
import { SEGMENT_BYTES, SEGMENTS_PER_BLOCK } from "../../envelope/suite.ts";
import { EncodingError, InputError, StorageError } from "../../errors.ts";
import { bySlices } from "../../loop/give-turn.ts";
import { copyBytes } from "../../storage/guards.ts";
import { isAttachmentPart } from "../records/attachments.ts";
import { REQUEST_REFUSALS, type RequestRefusal } from "./check-request.ts";
import type { DisclosureAnswer, DisclosureResult, ReleasedItem } from "./disclose.ts";

/** Maximum length of an encoded answer, in bytes. */
const MAX_ANSWER_BYTES: number = 64 * 1024 * 1024;
/** Maximum number of records, and of blocks of ciphertext, in one encoded answer. */
const MAX_ITEMS = 65_536;
/** Most blocks of ciphertext, sent or not, that the headers of one encoded answer name together. */
const MAX_NAMED = 262_144;
/** Longest block of ciphertext. */
export const MAX_BLOB_BYTES: number = SEGMENTS_PER_BLOCK * (SEGMENT_BYTES + TAG_BYTES);
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

const ENCODE_ANSWER_OPTIONS: OptionsOf<EncodeAnswerOptions> = { read: true };

/**
 * Encodes the result of `hl.disclose`, with the ciphertext of exactly the granted parts, to be sent to the
 * requester. If nothing is released, it holds no ciphertext.
 *
 * The format is provisional: a later version may write another format and not read this one. It is neither
 * signed nor encrypted. Each record is proved when it is opened, but nothing proves the decision, or that
 * nothing was left out, and anybody on the way can read the decision. Send it over a channel that
 * authenticates the custodian and keeps its content secret, such as TLS.
 *
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` above 64 MiB, above 65,536 records or blocks of ciphertext, or
 *   when the records' envelopes have more than 262,144 blocks in all (240 GiB): request less, or only the
 *   part `manifest`
 * @throws {StorageError} `ERR_STORAGE_MISSING` when ciphertext is missing, `ERR_STORAGE_CORRUPT` when it
 *   does not match its CID
 * @example
 * const result = await hl.disclose(request);
 * const bytes = await encodeAnswer(result, { read: (cid) => storage.blobs.get(cid) });
 */
export async function encodeAnswer(
  result: DisclosureResult,
  options: EncodeAnswerOptions,
): Promise<Uint8Array> {
  assertOptions(options, ENCODE_ANSWER_OPTIONS, "encodeAnswer");
  const { read } = options;
  if (!result.ok) return encode({ v: 1, ok: false, reason: result.reason });
  const { access, decision, items, pending } = result.answer;
  let budget = MAX_ANSWER_BYTES - FRAME_BYTES;
  const spend = (bytes: number): void => {
    budget -= bytes + FRAME_BYTES;
    if (budget < 0) throw tooLarge();
  };
  spend(encode(decision).length);
  if (items.length > MAX_ITEMS) throw tooLarge();
  const blobs = new Map<string, Uint8Array>();
  let named = 0;
  for (const { header, grant, parts } of items) {
    spend(header.length + grant.length + 64 * parts.length + 4 * FRAME_BYTES);
    const blocks = blocksOf(header, parts);
    if ((named += blocks.named) > MAX_NAMED) throw tooLarge();
    for (const cid of blocks.granted) {
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
    items: items.map(itemFields),
    blobs: [...blobs.values()],
    ...(pending === undefined ? {} : { pending: transactionFields(pending) }),
  });
}

const transactionFields = ({ tx, alg, sig, entries }: TransactionWithEntries): unknown => ({
  ...{ tx, alg, sig, entries },
});

/** Reads a signed transaction with its entries; nothing of it is verified. */
export function expectTransaction(value: unknown, what: string): TransactionWithEntries {
  const map = expectMap(value, what, ["tx", "alg", "sig", "entries"]);
  return {
    tx: expectBytes(map["tx"], what),
    alg: expectOneOf(map["alg"], what, SIGNATURE_ALGS),
    sig: expectBytes(map["sig"], what, 64),
    entries: expectArray(map["entries"], what, MAX_TRANSACTION_ENTRIES).map((entry) =>
      expectBytes(entry, what),
    ),
  };
}

/** The encoded fields of an item. */
export const itemFields = (item: ReleasedItem): Record<string, unknown> => {
  const { record, entry, place, envelope, header, grant, parts } = item;
  return {
    record: recordIdBytes(record),
    entry: entryIdBytes(entry),
    place: [place.height, place.transaction, place.entry],
    ...{ envelope, header, grant, parts },
  };
};

/** Longest attachment, as it is padded, whose ciphertext stands in an answer: longer ones are fetched when read. */
const MAX_INLINE: number = 256 * 1024;

/** Whether the answer to an ask leaves out the ciphertext of a part. */
export const isLeftOut = ({ id, size }: EnvelopeHeader["parts"][number]): boolean =>
  isAttachmentPart(id) && size > MAX_INLINE;

/**
 * CIDs of the blocks that hold the given parts of an envelope, of those that stand in the answer to an ask, and the
 * number of those of all parts.
 */
export function blocksOf(
  bytes: Uint8Array,
  parts: readonly string[],
): {
  readonly granted: readonly CID[];
  readonly inline: readonly CID[];
  readonly named: number;
} {
  const all = decodeSignedHeader(bytes).header.parts;
  const granted = all.filter(({ id }) => parts.includes(id));
  return {
    granted: granted.flatMap(({ data }) => data),
    inline: granted.filter((part) => !isLeftOut(part)).flatMap(({ data }) => data),
    named: all.reduce((sum, { data }) => sum + data.length, 0),
  };
}

function tooLarge(): InputError {
  return new InputError("ERR_INPUT_TOO_LARGE", "the answer is too large to be encoded");
}

/**
 * Decodes the output of {@link encodeAnswer}, including refusals. Hostile bytes are refused within fixed
 * bounds, and a large answer leaves turns to other work. The result is only known to be well formed until
 * `openAnswer` has opened it.
 *
 * @param bytes - copied before the call returns
 * @throws {EncodingError} when the bytes are not an encoded answer, or exceed what `encodeAnswer` writes
 * @example
 * const decoded = await decodeAnswer(received);
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
export async function decodeAnswer(bytes: Uint8Array): Promise<DecodedAnswer> {
  assertBytes(bytes, "bytes");
  // Also refused by the decoder, but a copy would be made first.
  if (bytes.length > MAX_ANSWER_BYTES) {
    throw new EncodingError("ERR_ENCODING_LIMIT", `an answer is at most ${MAX_ANSWER_BYTES} bytes`);
  }
  return bySlices(answerSteps(copyBytes(bytes)));
}

/** @param bytes - kept: byte strings of the answer are views of it */
function* answerSteps(bytes: Uint8Array): Steps<DecodedAnswer> {
  const value = yield* decodeSteps(bytes, { maxDepth: 6, maxItems: 4_000_000, borrow: true });
  const given = value as { readonly ok?: unknown } | null;
  if (typeof given === "object" && given?.ok === false) {
    const map = expectMap(value, "answer", ["v", "ok", "reason"]);
    expectVersion(map["v"], "answer");
    return { ok: false, reason: expectOneOf(map["reason"], "answer.reason", REQUEST_REFUSALS) };
  }
  const fields = ["v", "ok", "access", "decision", "items", "blobs"];
  const map = expectMap(value, "answer", fields, ["pending"]);
  expectVersion(map["v"], "answer");
  if (map["ok"] !== true) throw shape("answer.ok must be true or false");
  const decision = yield* expectDecision(map["decision"]);
  const items: ReleasedItem[] = [];
  const entries = new Set<string>();
  const wanted = new Set<string>();
  let named = 0;
  for (const given of expectArray(map["items"], "answer.items", MAX_ITEMS)) {
    const item = expectItem(expectMap(given, "item", ITEM_FIELDS));
    // Given twice under two names, one finding would look like two.
    if (entries.has(item.entry)) throw shape("answer.items must be of distinct entries");
    entries.add(item.entry);
    items.push(item);
    const blocks = blocksOf(item.header, item.parts);
    if ((named += blocks.named) > MAX_NAMED) throw tooManyNamed();
    yield;
    for (const [i, cid] of blocks.granted.entries()) {
      wanted.add(nameOf(cid));
      if (i % 1024 === 1023) yield;
    }
  }
  const blobs = new Map<string, Uint8Array>();
  for (const item of expectArray(map["blobs"], "answer.blobs", MAX_ITEMS)) {
    const blob = expectBytes(item, "answer.blobs");
    // A longer one is nobody's ciphertext, and would take long to hash.
    const name = blob.length > MAX_BLOB_BYTES ? "" : toHex(sha256(blob));
    if (!wanted.has(name) || blobs.has(name)) {
      throw shape("answer.blobs must be the ciphertext of its items, each once");
    }
    blobs.set(name, blob);
    yield;
  }
  return {
    ok: true,
    answer: {
      access: toEntryId(expectBytes(map["access"], "answer.access", 32)),
      decision,
      items,
      ...(map["pending"] === undefined
        ? {}
        : { pending: expectTransaction(map["pending"], "answer.pending") }),
    },
    read: async (cid) => blobs.get(nameOf(cid))?.slice(),
  };
}

/** A block's name in an answer. Its text form would take ten times as long to make. */
const nameOf = (cid: CID): string => toHex(cid.multihash.digest);

function tooManyNamed(): EncodingError {
  return new EncodingError("ERR_ENCODING_LIMIT", `the headers name more than ${MAX_NAMED} blocks`);
}

/** Names of the fields of an item. */
export const ITEM_FIELDS: readonly string[] = [
  ...["record", "entry", "place", "envelope", "header", "grant", "parts"],
];

/** Reads the fields of an item. */
export function expectItem(map: Fields): ReleasedItem {
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
