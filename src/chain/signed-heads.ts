import { equalBytes } from "../bytes/compare.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectBytes, expectMap, expectUint, expectVersion } from "../codec/shape.ts";
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

/** The heads that one key has signed, according to store and memory. */
export interface SignedBefore {
  /** The heads that store and memory know, each if present. */
  readonly all: readonly SignedHead[];
  /** The larger one, which is binding. */
  readonly newest: SignedHead | undefined;
  readonly stored: { readonly head: Head; readonly signed: SignedHead | undefined };
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
    if (head.size === 0) return { head, signed: undefined };
    for await (const { record } of chains.read(name, { from: head.size - 1, limit: 1 })) {
      return { head, signed: decodeSignedHead(record) };
    }
    throw checkpointError("the signed head in the store is damaged");
  }

  async function readKept(): Promise<KeptHead | undefined> {
    const { heads } = await memory.read();
    return heads.find((one) => one.use === use && equalBytes(one.key, key));
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
      if (memory.isKept && kept?.size !== size) {
        if (!(await memory.keepHead(kept, { key, use, size, root }))) return false;
      }
      if (stored.signed?.size === size) return true;
      try {
        await chains.append(name, stored.head, [encode({ v: 1, size, root })]);
        return true;
      } catch (error) {
        if (error instanceof AppendConflict) return false;
        throw error;
      }
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
export function decodeSignedHead(bytes: Uint8Array): SignedHead {
  try {
    const map = expectMap(decode(bytes), "signed head", ["v", "size", "root"]);
    expectVersion(map["v"], "signed head");
    return {
      size: expectUint(map["size"], "signed head.size"),
      root: expectBytes(map["root"], "signed head.root", 32),
    };
  } catch (error) {
    if (error instanceof EncodingError)
      throw checkpointError("the signed head in the store is damaged");
    throw error;
  }
}

const HEADS_CHAINS = { checkpoint: "checkpoints", cosignature: "cosigned" } as const;

export function headsChain(ledger: CID, key: Uint8Array, use: HeadUse): string {
  return `${ledger.toString()}/${HEADS_CHAINS[use]}/${toHex(key)}`;
}

export function checkpointError(why: string): ChainError {
  return new ChainError("ERR_CHAIN_CHECKPOINT", why);
}
