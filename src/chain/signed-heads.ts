import { equalBytes } from "../bytes/compare.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectBytes, expectMap, expectOneOf, expectUint, expectVersion } from "../codec/shape.ts";
import { EncodingError, ChainError } from "../errors.ts";
import {
  memoryError,
  type HeadUse,
  type KeptHead,
  type LedgerMemory,
  type SignedHead,
} from "../identity/signed-heads.ts";
import type { CID } from "multiformats/cid";
import type { ChainStore, Head } from "../storage/types.ts";
import { AppendConflict } from "../storage/errors.ts";
import { toHex } from "../bytes/hex.ts";

/**
 * Why a key signs nothing more: it met its own signature on a head beyond those that store and
 * memory remember, or on another head of the same size.
 */
export type Stop = "rolled-back" | "forked";

/** The heads that one key has signed, according to store and memory. */
export interface SignedBefore {
  /** The heads that store and memory know, each if present. */
  readonly all: readonly SignedHead[];
  /** The larger one, which is binding. */
  readonly newest: SignedHead | undefined;
  readonly stored: {
    readonly head: Head;
    readonly signed: SignedHead | undefined;
    readonly stopped: Stop | undefined;
  };
  readonly kept: KeptHead | undefined;
}

/** The heads that one key has signed in one ledger, kept in both store and memory. */
export interface HeadsOfKey {
  /**
   * @throws {ChainError} `ERR_CHAIN_MEMORY` when the store knows a head and the memory does not;
   *   `ERR_CHAIN_CHECKPOINT` when the head in the store is damaged
   */
  read(): Promise<SignedBefore>;
  /** Keeps a head in both; `false` if another process with the same key kept one meanwhile. */
  keep(before: SignedBefore, next: SignedHead): Promise<boolean>;
  /**
   * Keeps in both that the key had signed a head that neither remembered, and signs nothing more;
   * `false` as for `keep`.
   */
  stop(before: SignedBefore, met: SignedHead, why: Stop): Promise<boolean>;
  /** Ends a stop: the key goes on from this head. `false` as for `keep`. */
  resume(before: SignedBefore, from: SignedHead): Promise<boolean>;
  /** Copies the store's head into the memory, for a memory that was lost or restored. */
  adopt(): Promise<void>;
}

/** Opens the heads that one key has signed in one ledger. */
export function openSignedHeads(
  where: { readonly chains: ChainStore; readonly ledger: CID; readonly memory: LedgerMemory },
  key: Uint8Array,
  use: HeadUse,
): HeadsOfKey {
  const { chains, ledger, memory } = where;
  const name = headsChain(ledger, key, use);

  async function readStored(): Promise<SignedBefore["stored"]> {
    const head = await chains.head(name);
    if (head.size === 0) return { head, signed: undefined, stopped: undefined };
    for await (const { record } of chains.read(name, { from: head.size - 1, limit: 1 })) {
      const { stopped, ...signed } = decodeSignedHead(record);
      return { head, signed, stopped };
    }
    throw checkpointError("the signed head in the store is damaged");
  }

  async function readKept(): Promise<KeptHead | undefined> {
    const { heads } = await memory.read();
    return heads.find((one) => one.use === use && equalBytes(one.key, key));
  }

  async function append(head: Head, record: SignedHead & { stopped?: Stop }): Promise<boolean> {
    try {
      await chains.append(name, head, [encode({ v: 1, ...record })]);
      return true;
    } catch (error) {
      if (error instanceof AppendConflict) return false;
      throw error;
    }
  }

  async function remember(kept: KeptHead | undefined, { size, root }: SignedHead) {
    if (!memory.isKept || (kept?.size === size && equalBytes(kept.root, root))) return true;
    return memory.keepHead(kept, { key, use, size, root });
  }

  return {
    async read() {
      // Read the memory last, because it is written first.
      const stored = await readStored();
      const kept = await readKept();
      if (memory.isKept && stored.signed !== undefined && kept === undefined) {
        throw memoryError(
          "this key has signed a head that its memory of signed heads does not know",
        );
      }
      const all = [stored.signed, kept].filter((one) => one !== undefined);
      const newest = all.reduce<SignedHead | undefined>(
        (a, b) => (a === undefined || b.size > a.size ? b : a),
        undefined,
      );
      return { all, newest, stored, kept };
    },
    async keep({ stored, kept }, { size, root }) {
      if (!(await remember(kept, { size, root }))) return false;
      return stored.signed?.size === size || append(stored.head, { size, root });
    },
    async stop({ stored, kept }, { size, root }, why) {
      // The store first: if the process ends in between, the memory lacks what the store knows,
      // which stops a witness too.
      if (!(await append(stored.head, { size, root, stopped: why }))) return false;
      if (kept === undefined || kept.size <= size) await remember(kept, { size, root });
      return true;
    },
    async resume({ stored, kept }, { size, root }) {
      return (await remember(kept, { size, root })) && append(stored.head, { size, root });
    },
    async adopt() {
      const { signed } = await readStored();
      if (!memory.isKept || signed === undefined) return;
      const kept = await readKept();
      if (kept !== undefined && kept.size >= signed.size) return;
      await memory.keepHead(kept, { key, use, ...signed });
    },
  };
}

/**
 * Decodes a signed head of a chain store.
 *
 * @throws {ChainError} `ERR_CHAIN_CHECKPOINT` when the bytes are not a signed head
 */
export function decodeSignedHead(bytes: Uint8Array): SignedHead & { readonly stopped?: Stop } {
  try {
    const map = expectMap(decode(bytes), "signed head", ["v", "size", "root"], ["stopped"]);
    expectVersion(map["v"], "signed head");
    const head = {
      size: expectUint(map["size"], "signed head.size"),
      root: expectBytes(map["root"], "signed head.root", 32),
    };
    if (map["stopped"] === undefined) return head;
    const stopped = expectOneOf(map["stopped"], "signed head.stopped", STOPS);
    return { ...head, stopped };
  } catch (error) {
    if (error instanceof EncodingError)
      throw checkpointError("the signed head in the store is damaged");
    throw error;
  }
}

const STOPS: readonly Stop[] = ["rolled-back", "forked"];

const HEADS_CHAINS = { checkpoint: "checkpoints", cosignature: "cosigned" } as const;

export function headsChain(ledger: CID, key: Uint8Array, use: HeadUse): string {
  return `${ledger.toString()}/${HEADS_CHAINS[use]}/${toHex(key)}`;
}

export function checkpointError(why: string): ChainError {
  return new ChainError("ERR_CHAIN_CHECKPOINT", why);
}
