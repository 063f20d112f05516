import {
  MAX_BLOCK_TRANSACTIONS,
  MAX_TRANSACTION_BYTES,
  MAX_TRANSACTION_ENTRIES,
} from "../block/limits.ts";
import { transactionHash, type TransactionWithEntries } from "../block/transaction.ts";
import { equalBytes } from "../bytes/compare.ts";
import { concatBytes } from "../bytes/concat.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectMap,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
} from "../codec/shape.ts";
import { SIGNATURE_ALGS } from "../crypto/signing-input.ts";
import { EncodingError, InputError } from "../errors.ts";
import type { SubmitOutcome } from "./types.ts";

/** Most bytes of a request with several transactions: proxies refuse longer ones unless told. */
export const MAX_BATCH_BYTES: number = 1024 * 1024;
/** Most transactions of one request. */
export const MAX_BATCH = 1000;
/** Longest encoded transaction: with the most bytes of entries, and what stands around each. */
export const MAX_SUBMITTED_BYTES: number = MAX_TRANSACTION_BYTES + 64 * 1024;
/** Seconds for which the other side may wait until all is durable. */
export const SUBMIT_WAIT = 25;

/** Bytes of the length before each transaction. */
const PREFIX = 4;

/** Transactions of one request, encoded. */
export interface SubmitBatch {
  readonly transactions: readonly TransactionWithEntries[];
  readonly body: Uint8Array;
}

/**
 * Divides transactions into requests, in order. One that fits into no batch has a request of its own.
 *
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` for a transaction that no block could hold
 */
export function* submitBatches(
  transactions: readonly TransactionWithEntries[],
): Iterable<SubmitBatch> {
  let batch: TransactionWithEntries[] = [];
  let frames: Uint8Array[] = [];
  let bytes = 0;
  const take = (): SubmitBatch => {
    const body = new Uint8Array(bytes);
    let at = 0;
    for (const frame of frames) {
      body.set(frame, at);
      at += frame.length;
    }
    return { transactions: batch, body };
  };
  for (const transaction of transactions) {
    const frame = encodeFrame(transaction);
    if (
      batch.length > 0 &&
      (bytes + frame.length > MAX_BATCH_BYTES || batch.length === MAX_BATCH)
    ) {
      yield take();
      batch = [];
      frames = [];
      bytes = 0;
    }
    batch.push(transaction);
    frames.push(frame);
    bytes += frame.length;
  }
  if (batch.length > 0) yield take();
}

function encodeFrame({ tx, alg, sig, entries }: TransactionWithEntries): Uint8Array {
  const bytes = encode({ v: 1, tx, alg, sig, entries });
  if (bytes.length > MAX_SUBMITTED_BYTES) {
    throw new InputError("ERR_INPUT_TOO_LARGE", "no block can hold a transaction of this size");
  }
  const prefix = new Uint8Array(PREFIX);
  new DataView(prefix.buffer).setUint32(0, bytes.length);
  return concatBytes(prefix, bytes);
}

/** Thrown for a request with more than is admitted. */
export class BatchTooLarge extends Error {
  override readonly name: string = "BatchTooLarge";
}

/**
 * Reads the transactions of a request. Their signatures and the ledger's rules are judged by whoever
 * records them.
 *
 * @param take - gives so many bytes of the body, or `undefined` at its end
 * @param reserve - called with the bytes read so far and those of the next transaction, before these are read
 * @throws {BatchTooLarge} before anything beyond the limits is read
 * @throws {EncodingError} when a transaction is not in its canonical form
 */
export async function readSubmitted(
  take: (length: number) => Promise<Uint8Array | undefined>,
  reserve: (bytes: number) => void,
): Promise<readonly TransactionWithEntries[]> {
  const transactions: TransactionWithEntries[] = [];
  let bytes = 0;
  for (;;) {
    const prefix = await take(PREFIX);
    if (prefix === undefined) return transactions;
    const length = new DataView(prefix.buffer, prefix.byteOffset).getUint32(0);
    bytes += PREFIX + length;
    const isOnly = transactions.length === 0 && length <= MAX_SUBMITTED_BYTES;
    if (transactions.length === MAX_BATCH || (bytes > MAX_BATCH_BYTES && !isOnly)) {
      throw new BatchTooLarge("more than a request may hold");
    }
    reserve(bytes);
    const encoded = await take(length);
    if (encoded === undefined) throw new EncodingError("ERR_ENCODING_MALFORMED", "cut short");
    transactions.push(decodeSubmitted(encoded));
  }
}

function decodeSubmitted(bytes: Uint8Array): TransactionWithEntries {
  const limits = { maxBytes: MAX_SUBMITTED_BYTES, maxDepth: 2, borrow: true };
  const map = expectMap(
    decode(bytes, { ...limits, maxItems: MAX_TRANSACTION_ENTRIES + 16 }),
    "submitted transaction",
    ["v", "tx", "alg", "sig", "entries"],
  );
  expectVersion(map["v"], "submitted transaction");
  return {
    tx: expectBytes(map["tx"], "submitted transaction.tx"),
    alg: expectOneOf(map["alg"], "submitted transaction.alg", SIGNATURE_ALGS),
    sig: expectBytes(map["sig"], "submitted transaction.sig", 64),
    entries: expectArray(map["entries"], "entries", MAX_TRANSACTION_ENTRIES).map((entry) =>
      expectBytes(entry, "entries"),
    ),
  };
}

/** Bytes of an answer about so many transactions, at most. */
export const outcomesBytes = (count: number): number => 64 + 256 * count;

/** Writes the answer to a request: an outcome beside the hash of each transaction. */
export function encodeOutcomes(
  transactions: readonly TransactionWithEntries[],
  outcomes: readonly SubmitOutcome[],
): Uint8Array {
  return encode({
    v: 1,
    outcomes: outcomes.map((outcome, i) => {
      const { ok: _, ...fields } = outcome;
      return { tx: transactionHash(transactions[i]!.tx), ...fields };
    }),
  });
}

/**
 * Reads the answer to a request.
 *
 * @throws {EncodingError} when it is not canonical, or not about exactly these transactions
 */
export function decodeOutcomes(
  bytes: Uint8Array,
  transactions: readonly TransactionWithEntries[],
): SubmitOutcome[] {
  const { length } = transactions;
  const map = expectMap(
    decode(bytes, { maxBytes: outcomesBytes(length), maxDepth: 3, maxItems: 16 + 10 * length }),
    "outcomes",
    ["v", "outcomes"],
  );
  expectVersion(map["v"], "outcomes");
  const list = expectArray(map["outcomes"], "outcomes", length);
  if (list.length < length) throw notTheirs();
  return list.map((item, i) => {
    const isDurable = typeof item === "object" && item !== null && Object.hasOwn(item, "height");
    const fields = isDurable
      ? expectMap(item, "outcome", ["tx", "height", "transaction"])
      : expectMap(item, "outcome", ["tx", "reason"], ["entry", "code"]);
    const tx = expectBytes(fields["tx"], "outcome.tx", 32);
    if (!equalBytes(tx, transactionHash(transactions[i]!.tx))) throw notTheirs();
    if (isDurable) {
      return {
        ok: true,
        height: expectUint(fields["height"], "outcome.height"),
        transaction: expectUint(
          fields["transaction"],
          "outcome.transaction",
          MAX_BLOCK_TRANSACTIONS - 1,
        ),
      };
    }
    const reason = expectWords(fields["reason"], "outcome.reason", /^[a-z]+(-[a-z]+)*$/);
    const { entry, code } = fields;
    return {
      ...{ ok: false, reason },
      ...(entry === undefined
        ? {}
        : { entry: expectUint(entry, "outcome.entry", MAX_TRANSACTION_ENTRIES - 1) }),
      ...(code === undefined
        ? {}
        : { code: expectWords(code, "outcome.code", /^[a-z][a-z0-9-]*$/) }),
    };
  });
}

function expectWords(value: unknown, what: string, form: RegExp): string {
  const words = expectString(value, what, 64);
  if (form.test(words)) return words;
  throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must be words with hyphens`);
}

const notTheirs = (): EncodingError =>
  new EncodingError("ERR_ENCODING_SHAPE", "the outcomes are not of the transactions submitted");
