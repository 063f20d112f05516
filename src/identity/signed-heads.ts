import type { CID } from "multiformats/cid";
import { sha256 } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
} from "../codec/shape.ts";
import { ChainError, EncodingError } from "../errors.ts";

/**
 * Durable memory of what a party's keys have committed themselves to, kept where the keys are and
 * not in the ledger's storage: a storage that is put back to an older copy forgets what was signed
 * since, and a signer that forgets signs two histories.
 *
 * It holds one value, at most 1 MiB, whose content is the library's. Processes and machines that
 * share a key must share its memory.
 */
export interface SignedHeads {
  /** The value that was kept last, to be owned by the caller; `undefined` before the first. */
  read(): Promise<Uint8Array | undefined>;
  /**
   * Replaces the value if it is still the expected one, in one step. Resolves to `true` only when
   * the new value is durable, to `false` when the value is another by now.
   *
   * @param expected - bytes of the value as it was read; `undefined` when there was none; borrowed
   * @param next - borrowed
   */
  keep(expected: Uint8Array | undefined, next: Uint8Array): Promise<boolean>;
}

/** What a signer of checkpoints has committed itself to. */
export interface SignedHead {
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

/** What a head was signed as. */
export type HeadUse = "checkpoint" | "cosignature";

/** A head that one key signed. */
export interface KeptHead extends SignedHead {
  /** Id of the key. */
  readonly key: Uint8Array;
  readonly use: HeadUse;
}

/** What the memory holds of one ledger. */
export interface KeptLedger {
  readonly ledger: CID;
  readonly heads: readonly KeptHead[];
  /** How often each member's index was changed in what cannot be built again from the ledger. */
  readonly index: readonly { readonly member: string; readonly n: number }[];
}

/** What the memory of signed heads holds of one ledger, read and written. */
export interface LedgerMemory {
  /** Whether there is a memory beside the storage; without one nothing is kept and nothing found. */
  readonly isKept: boolean;
  /** All that is kept of this ledger. */
  read(): Promise<Omit<KeptLedger, "ledger">>;
  /**
   * Keeps a head in the place of the one that was read; `false` when that is another by now.
   *
   * @throws {RangeError} when it is smaller than the one it replaces
   */
  keepHead(expected: KeptHead | undefined, next: KeptHead): Promise<boolean>;
  /** The counter of a member's index; `undefined` when none was noted. */
  index(member: string): Promise<number | undefined>;
  /** Notes the counter of a member's index, durably. A smaller one than is noted changes nothing. */
  noteIndex(member: string, n: number): Promise<void>;
}

const MAX_BYTES = 1_048_576;
const MAX_LEDGERS = 4096;
const MAX_HEADS = 4096;
const TRIES = 256;

/**
 * Opens what the memory of signed heads holds of one ledger.
 *
 * @param signedHeads - `"store"` for none but the ledger's own storage
 * @throws {ChainError} `ERR_CHAIN_MEMORY`, by every call, when the memory is damaged
 */
export function memoryOf(signedHeads: SignedHeads | "store", ledger: CID): LedgerMemory {
  if (signedHeads === "store") {
    return {
      isKept: false,
      read: async () => NOTHING,
      keepHead: async () => true,
      index: async () => undefined,
      noteIndex: async () => {},
    };
  }
  const memory = signedHeads;
  let queue: Promise<unknown> = Promise.resolve();

  const ofLedger = (all: readonly KeptLedger[]): Omit<KeptLedger, "ledger"> =>
    all.find((one) => one.ledger.equals(ledger)) ?? NOTHING;

  /** Applies a change until nobody else changed the value meanwhile; `undefined` leaves it. */
  async function change(
    next: (kept: Omit<KeptLedger, "ledger">) => Omit<KeptLedger, "ledger"> | undefined,
  ): Promise<boolean> {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const bytes = await readAll(memory);
      const all = bytes === undefined ? [] : decodeSignedHeads(bytes);
      const changed = next(ofLedger(all));
      if (changed === undefined) return false;
      const others = all.filter((one) => !one.ledger.equals(ledger));
      const kept = await memory.keep(bytes, encodeSignedHeads([...others, { ledger, ...changed }]));
      if (kept) return true;
    }
    throw memoryError("the memory of signed heads is always changed by others");
  }

  /** One change at a time: a process must not race itself. */
  function inTurn(next: Parameters<typeof change>[0]): Promise<boolean> {
    const mine = queue.then(() => change(next));
    queue = mine.catch(() => undefined);
    return mine;
  }

  async function read(): Promise<Omit<KeptLedger, "ledger">> {
    const bytes = await readAll(memory);
    return bytes === undefined ? NOTHING : ofLedger(decodeSignedHeads(bytes));
  }

  return {
    isKept: true,
    read,
    keepHead(expected, next) {
      if (expected !== undefined && expected.size > next.size) {
        throw new RangeError("a signed head never shrinks");
      }
      return inTurn(({ heads, index }) => {
        const isIts = (one: KeptHead): boolean =>
          one.use === next.use && equalBytes(one.key, next.key);
        const now = heads.find(isIts);
        if (!sameHead(now, expected)) return undefined;
        return { heads: [...heads.filter((one) => !isIts(one)), next], index };
      });
    },
    index: async (member) => (await read()).index.find((one) => one.member === member)?.n,
    async noteIndex(member, n) {
      if (!Number.isSafeInteger(n) || n < 0) throw new RangeError("n must be a safe integer >= 0");
      await inTurn(({ heads, index }) => {
        const now = index.find((one) => one.member === member);
        if (now !== undefined && now.n >= n) return undefined;
        return { heads, index: [...index.filter((one) => one.member !== member), { member, n }] };
      });
    },
  };
}

/** A memory of signed heads that ends with the process, for tests and for keys in memory. */
export function memorySignedHeads(): SignedHeads {
  let held: Uint8Array | undefined;
  return {
    read: async () => held?.slice(),
    async keep(expected, next) {
      if (!sameValue(held, expected)) return false;
      held = next.slice();
      return true;
    },
  };
}

/** Whether two values of a memory, either of which may be absent, are the same. */
export function sameValue(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b);
}

/** Writes the value that a memory of signed heads keeps. */
export function encodeSignedHeads(ledgers: readonly KeptLedger[]): Uint8Array {
  const list = ledgers.map(({ ledger, heads, index }) => ({
    ledger,
    heads: heads.map(({ key, use, size, root }) => ({ key, use, size, root })),
    index: index.map(({ member, n }) => ({ member, n })),
  }));
  const bytes = encode({ v: 1, ledgers: list, sum: sha256(encode(list)) });
  if (bytes.length > MAX_BYTES) throw memoryError("the memory of signed heads is full");
  return bytes;
}

/**
 * Reads the value that a memory of signed heads keeps.
 *
 * @throws {ChainError} `ERR_CHAIN_MEMORY` when it is not one
 */
export function decodeSignedHeads(bytes: Uint8Array): KeptLedger[] {
  try {
    if (bytes.length > MAX_BYTES) throw memoryError("the memory of signed heads is too long");
    const map = expectMap(decode(bytes), "signed heads", ["v", "ledgers", "sum"]);
    expectVersion(map["v"], "signed heads");
    const list = expectArray(map["ledgers"], "ledgers", MAX_LEDGERS);
    if (!equalBytes(sha256(encode(map["ledgers"])), expectBytes(map["sum"], "sum", 32))) {
      throw damaged();
    }
    return list.map(readLedger);
  } catch (error) {
    if (error instanceof EncodingError) throw damaged(error);
    throw error;
  }
}

/** An error of the memory of signed heads. */
export function memoryError(message: string, cause?: unknown): ChainError {
  return new ChainError("ERR_CHAIN_MEMORY", message, cause === undefined ? undefined : { cause });
}

const NOTHING: Omit<KeptLedger, "ledger"> = /* @__PURE__ */ Object.freeze({ heads: [], index: [] });

async function readAll(memory: SignedHeads): Promise<Uint8Array | undefined> {
  const bytes: unknown = await memory.read();
  if (bytes === undefined) return undefined;
  if (!(bytes instanceof Uint8Array)) throw damaged();
  return bytes;
}

function readLedger(value: unknown): KeptLedger {
  const map = expectMap(value, "ledger", ["ledger", "heads", "index"]);
  return {
    ledger: expectCid(map["ledger"], "ledger"),
    heads: expectArray(map["heads"], "heads", MAX_HEADS).map((one) => {
      const head = expectMap(one, "head", ["key", "use", "size", "root"]);
      return {
        key: expectBytes(head["key"], "head.key", 32),
        use: expectOneOf(head["use"], "head.use", ["checkpoint", "cosignature"] as const),
        size: expectUint(head["size"], "head.size"),
        root: expectBytes(head["root"], "head.root", 32),
      };
    }),
    index: expectArray(map["index"], "index", MAX_HEADS).map((one) => {
      const index = expectMap(one, "index", ["member", "n"]);
      return {
        member: expectString(index["member"], "index.member"),
        n: expectUint(index["n"], "index.n"),
      };
    }),
  };
}

function sameHead(a: KeptHead | undefined, b: KeptHead | undefined): boolean {
  return a === undefined || b === undefined
    ? a === b
    : a.size === b.size && equalBytes(a.root, b.root);
}

function damaged(cause?: unknown): ChainError {
  return memoryError("the memory of signed heads is damaged", cause);
}
