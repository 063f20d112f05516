import { concatBytes } from "../../bytes/concat.ts";
import { utf8ToBytes } from "../../bytes/utf8.ts";
import { MAX_TRANSACTION_BYTES, MAX_TRANSACTION_ENTRIES } from "../../block/limits.ts";
import type { TransactionWithEntries } from "../../block/transaction.ts";
import type { CID } from "../../codec/cid.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectMap,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
} from "../../codec/shape.ts";
import { SIGNATURE_ALGS } from "../../crypto/signing-input.ts";
import { LedgerError } from "../../errors.ts";
import type { StateChange, StateStore } from "../../storage/types.ts";

/** What the outbox remembers of a transaction until its block is here. */
export interface OutboxRow {
  readonly signed: TransactionWithEntries;
  /** Changes of state that become durable with the block. */
  readonly withBlock: readonly StateChange[];
  /** When it was submitted, in ms since 1970. */
  readonly since: number;
  /** Why the home's rules refuse it, for good. */
  readonly refused?: string;
  /** Whether whoever submitted it knows that it was refused. */
  readonly told: boolean;
}

/** The outbox of one ledger in a state store: rows in the order in which they are sent. */
export interface OutboxRows {
  keyOf(order: number): Uint8Array;
  /** Writes a row, and beside it that there is one. */
  put(order: number, row: OutboxRow): readonly StateChange[];
  remove(order: number): readonly StateChange[];
  /** In order; one that cannot be read, or is lost, has no row. */
  list(): Promise<readonly { readonly order: number; readonly row: OutboxRow | undefined }[]>;
}

const PREFIX = "outbox/";
/** Says of each row that there is one, so that none can be lost by itself. */
const KEPT = "outbox-kept/";
const HERE = Uint8Array.of(1);
/** Beyond the entries' bytes: signature, transaction, changes of state. */
const ROOM = 4 * 1024 * 1024;

/** The rows of a ledger. */
export function outboxRows(state: StateStore, ledger: CID): OutboxRows {
  const [rows, kept] = [PREFIX, KEPT].map((name) => utf8ToBytes(`${name}${ledger.toString()}/`));
  const named = (prefix: Uint8Array, order: number): Uint8Array => {
    const number = new Uint8Array(8);
    new DataView(number.buffer).setBigUint64(0, BigInt(order));
    return concatBytes(prefix, number);
  };
  const keyOf = (order: number): Uint8Array => named(rows!, order);
  async function* below(prefix: Uint8Array) {
    const lt = concatBytes(prefix, new Uint8Array(9).fill(0xff));
    for await (const { key, value } of state.scan({ gte: prefix, lt })) {
      if (key.length !== prefix.length + 8) continue;
      const number = new DataView(key.buffer, key.byteOffset + prefix.length).getBigUint64(0);
      yield { order: Number(number), value };
    }
  }
  return {
    keyOf,
    put: (order, row) => [
      { key: keyOf(order), value: encodeRow(row) },
      { key: named(kept!, order), value: HERE },
    ],
    remove: (order) => [
      { key: keyOf(order), value: null },
      { key: named(kept!, order), value: null },
    ],
    async list() {
      const found = new Map<number, OutboxRow | undefined>();
      for await (const { order } of below(kept!)) found.set(order, undefined);
      for await (const { order, value } of below(rows!)) found.set(order, readRow(value));
      return [...found].toSorted(([a], [b]) => a - b).map(([order, row]) => ({ order, row }));
    },
  };
}

function encodeRow({ signed, withBlock, since, refused, told }: OutboxRow): Uint8Array {
  const { tx, alg, sig, entries } = signed;
  return encode({
    ...{ v: 1, tx, alg, sig, entries, since, told, refused: refused ?? null },
    state: withBlock.map(({ key, value }) => [key, value]),
  });
}

function readRow(bytes: Uint8Array): OutboxRow | undefined {
  try {
    return decodeRow(bytes);
  } catch (error) {
    if (error instanceof LedgerError) return undefined;
    throw error;
  }
}

function decodeRow(bytes: Uint8Array): OutboxRow {
  const what = "outbox";
  const map = expectMap(decode(bytes, { maxBytes: MAX_TRANSACTION_BYTES + ROOM }), what, [
    ...["v", "tx", "alg", "sig", "entries", "since", "told", "refused", "state"],
  ]);
  expectVersion(map["v"], what);
  const withBlock = expectArray(map["state"], what, 65_536).map((change): StateChange => {
    const [key, value] = expectArray(change, what, 2);
    return { key: expectBytes(key, what), value: value === null ? null : expectBytes(value, what) };
  });
  return {
    signed: {
      tx: expectBytes(map["tx"], what),
      alg: expectOneOf(map["alg"], what, SIGNATURE_ALGS),
      sig: expectBytes(map["sig"], what, 64),
      entries: expectArray(map["entries"], what, MAX_TRANSACTION_ENTRIES).map((entry) =>
        expectBytes(entry, what),
      ),
    },
    withBlock,
    since: expectUint(map["since"], what),
    ...(map["refused"] === null ? {} : { refused: expectString(map["refused"], what) }),
    told: map["told"] === true,
  };
}
