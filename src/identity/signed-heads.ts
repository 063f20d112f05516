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
 * Durable memory of the heads that a party's keys have signed, kept with the keys and not in the
 * ledger's storage. A storage restored from an older copy forgets what was signed since, and a
 * signer that forgets may sign two histories.
 *
 * It holds one value of at most 1 MiB, whose content is internal to this library. Processes and
 * machines that share a key must share its memory.
 */
export interface SignedHeads {
  /** The newest value; the caller owns it. `undefined` before the first. */
  read(): Promise<Uint8Array | undefined>;
  /**
   * Replaces the value atomically if it still is the expected one. Must resolve to `true` only once
   * the new value is durable, and to `false` if the value has changed.
   *
   * @param expected - bytes of the value as it was read; `undefined` if there was no value;
   *   borrowed
   * @param next - borrowed
   */
  keep(expected: Uint8Array | undefined, next: Uint8Array): Promise<boolean>;
}

/** A tree head that a signer of checkpoints has committed itself to. */
export interface SignedHead {
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

/** Kind of signature over a head. */
export type HeadUse = "checkpoint" | "cosignature";

/** A head that one key signed. */
export interface KeptHead extends SignedHead {
  /** Id of the key. */
  readonly key: Uint8Array;
  readonly use: HeadUse;
}

/** The content of a memory for one ledger. */
export interface KeptLedger {
  readonly ledger: CID;
  readonly heads: readonly KeptHead[];
  /**
   * For each member's index, the number of changes to data that cannot be rebuilt from the ledger.
   */
  readonly index: readonly { readonly member: string; readonly n: number }[];
}

/** Reads and writes the memory of signed heads for one ledger. */
export interface LedgerMemory {
  /**
   * Whether there is a memory outside the storage; without one, nothing is kept and nothing found.
   */
  readonly isKept: boolean;
  /** Everything kept for this ledger. */
  read(): Promise<Omit<KeptLedger, "ledger">>;
  /**
   * Replaces the head that was read by a new one; `false` if the head has changed since.
   *
   * @throws {RangeError} when the new head is smaller than the one it replaces
   */
  keepHead(expected: KeptHead | undefined, next: KeptHead): Promise<boolean>;
  /** The counter of a member's index; `undefined` if it was never noted. */
  index(member: string): Promise<number | undefined>;
  /**
   * Notes the counter of a member's index durably. A counter smaller than the noted one changes
   * nothing.
   */
  noteIndex(member: string, n: number): Promise<void>;
}

const MAX_BYTES = 1_048_576;
const MAX_LEDGERS = 4096;
const MAX_HEADS = 4096;
const TRIES = 256;

/**
 * Opens the memory of signed heads for one ledger.
 *
 * @param signedHeads - `"store"` to keep no memory outside the ledger's own storage
 * @throws {ChainError} `ERR_CHAIN_MEMORY`, by every call, when the memory is damaged
 * @example
 * const memory = memoryOf(fileSignedHeads("/var/lib/ehr/signed-heads"), chain.ledger);
 * const checkpointer = createCheckpointer({ chain, chains: storage.chains, signer, memory });
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

  /**
   * Retries a change until no other process changes the value meanwhile; a change that returns
   * `undefined` leaves it.
   */
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
    throw memoryError("other processes kept changing the memory of signed heads");
  }

  /** Runs one change at a time, so that a process does not race itself. */
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
        throw new RangeError("a signed head must not shrink");
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

/** Makes a memory of signed heads that ends with the process, for tests and for keys in memory. */
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

/** Whether two values of a memory are the same; either may be absent. */
export function sameValue(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b);
}

/** Encodes the value of a memory of signed heads. */
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
 * Decodes the value of a memory of signed heads.
 *
 * @throws {ChainError} `ERR_CHAIN_MEMORY` when the bytes are not such a value
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

/** Makes an error of the memory of signed heads. */
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
