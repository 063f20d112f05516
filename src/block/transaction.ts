import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { CID } from "multiformats/cid";
import { sha256 } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectUint,
  expectVersion,
} from "../codec/shape.ts";
import { SIGNATURE_ALGS, type SignatureAlg } from "../crypto/signing-input.ts";
import { ownKeyOf, signWith, type Signer } from "../identity/signer.ts";
import { leafHash } from "../merkle/hash.ts";
import { treeRoot } from "../merkle/tree.ts";
import { InputError } from "../errors.ts";
import { expectActor } from "./key.ts";
import { MAX_TIME, MAX_TRANSACTION_ENTRIES } from "./limits.ts";

/** An author's atomic list of entries, without the entries themselves. */
export interface Transaction {
  readonly v: 1;
  readonly ledger: CID;
  /** did:key of the author. */
  readonly author: string;
  /** Id of the key that signs. */
  readonly key: Uint8Array;
  /** Sequence numbers increase per key and lane. */
  readonly lane: number;
  readonly seq: number;
  /** Author's clock, in ms since 1970. */
  readonly time: number;
  /** RFC 6962 root of the entries. */
  readonly entries: Uint8Array;
  readonly count: number;
}

/** A transaction's bytes and its author's signature over them. */
export interface SignedTransaction {
  readonly tx: Uint8Array;
  readonly alg: SignatureAlg;
  readonly sig: Uint8Array;
}

/** A signed transaction together with the bytes of its entries. */
export interface TransactionWithEntries extends SignedTransaction {
  readonly entries: readonly Uint8Array[];
}

/**
 * Writes a transaction as canonical bytes.
 *
 * @example
 * const bytes = encodeTransaction(decodeTransaction(tx)); // equal to tx
 */
export function encodeTransaction(transaction: Transaction): Uint8Array {
  return encode(transaction);
}

/**
 * Reads a transaction.
 *
 * @throws {EncodingError} when the bytes are not the canonical form of a transaction
 * @example
 * const { author, lane, seq } = decodeTransaction(tx);
 */
export function decodeTransaction(bytes: Uint8Array): Transaction {
  const map = expectMap(
    decode(bytes, { maxBytes: 1024, maxDepth: 2, maxItems: 32 }),
    "transaction",
    ["v", "ledger", "author", "key", "lane", "seq", "time", "entries", "count"],
  );
  return {
    v: expectVersion(map["v"], "transaction"),
    ledger: expectCid(map["ledger"], "transaction.ledger"),
    author: expectActor(map["author"], "transaction.author"),
    key: expectBytes(map["key"], "transaction.key", 32),
    lane: expectUint(map["lane"], "transaction.lane"),
    seq: expectUint(map["seq"], "transaction.seq"),
    time: expectUint(map["time"], "transaction.time", MAX_TIME),
    entries: expectBytes(map["entries"], "transaction.entries", 32),
    count: expectUint(map["count"], "transaction.count", MAX_TRANSACTION_ENTRIES),
  };
}

/**
 * Writes a signed transaction: the leaf of its block's tree.
 *
 * @example
 * const bytes = encodeSignedTransaction(transaction); // without the entries
 */
export function encodeSignedTransaction(signed: SignedTransaction): Uint8Array {
  return encode({ tx: signed.tx, alg: signed.alg, sig: signed.sig });
}

/**
 * Decodes a signed transaction without verifying its signature.
 *
 * @throws {EncodingError} when the bytes are not the canonical form of a signed transaction
 * @example
 * const { tx } = decodeSignedTransaction(received);
 * const { author, lane, seq } = decodeTransaction(tx); // as claimed: nothing is verified yet
 */
export function decodeSignedTransaction(bytes: Uint8Array): SignedTransaction {
  const map = expectMap(
    decode(bytes, { maxBytes: 2048, maxDepth: 2, maxItems: 8 }),
    "signed transaction",
    ["tx", "alg", "sig"],
  );
  return {
    tx: expectBytes(map["tx"], "signed transaction.tx"),
    alg: expectOneOf(map["alg"], "signed transaction.alg", SIGNATURE_ALGS),
    sig: expectBytes(map["sig"], "signed transaction.sig", 64),
  };
}

/**
 * Hash that identifies a transaction wherever it is submitted: SHA-256 of its bytes.
 *
 * @example
 * const hash = transactionHash(transaction.tx);
 */
export function transactionHash(tx: Uint8Array): Uint8Array {
  return sha256(tx);
}

/**
 * RFC 6962 root over entries.
 *
 * @example
 * const root = entriesRoot(transaction.entries); // as the transaction commits to
 */
export function entriesRoot(entries: readonly Uint8Array[]): Uint8Array {
  return treeRoot(entries.map(leafHash));
}

/** What {@link signTransaction} knows of a transaction that it made. */
interface MadeHere {
  readonly root: Uint8Array;
  /** Copies, since the caller may write to the transaction's own. */
  readonly tx: Uint8Array;
  readonly sig: Uint8Array;
  /** The key under which the signature is valid, if that is known without a check. */
  readonly publicKey: Uint8Array | undefined;
}

// Half of the bytes that a sequencer hashes are entries that its own process has just hashed, and
// checking a signature takes three times as long as making it.
const madeHere = /* @__PURE__ */ new WeakMap<TransactionWithEntries, MadeHere>();

/** {@link entriesRoot} of a transaction; cached if {@link signTransaction} made the transaction. */
export function rootOfSigned(signed: TransactionWithEntries): Uint8Array {
  return madeHere.get(signed)?.root ?? entriesRoot(signed.entries);
}

/**
 * Whether this library's own code just signed exactly these bytes with exactly this key, so that
 * the signature need not be checked.
 */
export function isSignedHere(signed: TransactionWithEntries, publicKey: Uint8Array): boolean {
  const made = madeHere.get(signed);
  return (
    made?.publicKey !== undefined &&
    equalBytes(made.publicKey, publicKey) &&
    equalBytes(made.sig, signed.sig) &&
    equalBytes(made.tx, signed.tx)
  );
}

const SIGN_TRANSACTION_OPTIONS: OptionsOf<NonNullable<Parameters<typeof signTransaction>[1]>> = {
  ...{ ledger: true, lane: true, seq: true, time: true, entries: true },
};

/**
 * Builds and signs a transaction.
 *
 * @param options.entries - encoded entries; copied
 * @returns a frozen object; callers must not change the bytes of its entries either
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` for no entries, or more than a transaction may hold
 * @example
 * const transaction = await signTransaction(signer, {
 *   ...{ ledger: chain.ledger, lane: 0, seq: 0, time: Date.now() },
 *   entries: [entry],
 * });
 */
export async function signTransaction(
  signer: Signer,
  options: {
    readonly ledger: CID;
    readonly lane: number;
    readonly seq: number;
    readonly time: number;
    readonly entries: readonly Uint8Array[];
  },
): Promise<TransactionWithEntries> {
  assertOptions(options, SIGN_TRANSACTION_OPTIONS, "signTransaction");
  const { ledger, lane, seq, time } = options;
  const { length } = options.entries;
  if (length === 0 || length > MAX_TRANSACTION_ENTRIES) {
    throw new InputError(
      "ERR_INPUT_TOO_LARGE",
      `a transaction must hold 1 to ${MAX_TRANSACTION_ENTRIES} entries; split larger ones`,
    );
  }
  const entries = Object.freeze(copyTogether(options.entries));
  const root = entriesRoot(entries);
  const tx = encodeTransaction({
    v: 1,
    ledger,
    author: signer.actor,
    key: signer.key,
    lane,
    seq,
    time,
    entries: root,
    count: length,
  });
  const { alg } = signer;
  const publicKey = ownKeyOf(signer);
  const sig = await signWith(signer, "transaction", tx);
  const signed = Object.freeze({ tx, alg, sig, entries });
  madeHere.set(signed, { root, tx: tx.slice(), sig: sig.slice(), publicKey });
  return signed;
}

/** Copies arrays into one buffer, which is far cheaper than a buffer for each. */
function copyTogether(arrays: readonly Uint8Array[]): Uint8Array[] {
  let size = 0;
  for (const { length } of arrays) size += length;
  const together = new Uint8Array(size);
  let at = 0;
  return arrays.map((bytes) => {
    together.set(bytes, at);
    return together.subarray(at, (at += bytes.length));
  });
}
