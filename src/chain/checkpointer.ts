import { equalBytes } from "../bytes/compare.ts";
import { toHex } from "../bytes/hex.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectBytes, expectMap, expectUint, expectVersion } from "../codec/shape.ts";
import { ChainError, EncodingError } from "../errors.ts";
import {
  memoryError,
  memoryOf,
  type HeadUse,
  type KeptHead,
  type LedgerMemory,
  type SignedHead,
} from "../identity/signed-heads.ts";
import type { Signer } from "../identity/signer.ts";
import { verifyConsistency } from "../merkle/verify.ts";
import type { CID } from "multiformats/cid";
import type { ChainStore, Head } from "../storage/types.ts";
import { AppendConflict } from "../storage/errors.ts";
import type { Chain } from "./chain.ts";
import { encodeCheckpoint } from "./checkpoint-note.ts";
import { createCosigning, type CosigningTime } from "./cosigning.ts";
import { noteSigner, signNote } from "./note.ts";
import { policyAt } from "./policy-at.ts";
import { judgeCheckpoint, trustFromGenesis, withPolicy } from "./trust.ts";
import { policyKeys } from "./unsatisfied.ts";
import type { Witness } from "./witness.ts";

/** A checkpoint that was signed just now. */
export interface SignedCheckpoint extends SignedHead {
  readonly note: Uint8Array;
  /** Whether the ledger's cosignature policy is satisfied. */
  readonly witnessed: boolean;
}

/** Signs checkpoints of one chain with one key. */
export interface Checkpointer {
  /**
   * Signs the newest durable head.
   *
   * It refreshes the chain, keeps `(size, root)` durably in the chain store and in the memory of
   * signed heads, and only then signs; so that neither a crash nor a second process with the same
   * key makes it contradict itself, nor, where there is such a memory, a restored storage.
   *
   * @returns the signed note, with the cosignatures that could be had
   * @throws {ChainError} `ERR_CHAIN_CHECKPOINT` when the chain is empty or does not extend what was
   *   signed before, `ERR_CHAIN_MEMORY` when this key has signed and the memory does not know it
   */
  sign(): Promise<SignedCheckpoint>;
  /** What was signed last, or `undefined`: the larger of what store and memory say. */
  last(): Promise<SignedHead | undefined>;
  /** What store and memory say that was signed, each where it says something: both bind. */
  known(): Promise<readonly SignedHead[]>;
}

const CONFLICT_TRIES = 16;

/**
 * Starts signing checkpoints.
 *
 * @param options.signer - an Ed25519 key that signs nothing else, listed in the ledger's policy
 * @param options.memory - remembers what was signed outside the storage; see `memoryOf`. Without it
 *   a chain store that is put back to an older copy makes the key contradict itself.
 */
export function createCheckpointer(options: {
  readonly chain: Chain;
  readonly chains: ChainStore;
  readonly signer: Signer;
  readonly memory?: LedgerMemory;
  /** Asked to cosign; one that fails to answer is left out. */
  readonly witnesses?: readonly Witness[];
  /** How long witnesses are waited for. Default: until each has answered or failed. */
  readonly cosigningTime?: CosigningTime;
}): Checkpointer {
  const { chain, chains, signer, witnesses = [] } = options;
  const cosigning = createCosigning(chain, witnesses, options.cosigningTime);
  const notes = noteSigner(signer, chain.genesis.origin);
  const memory = options.memory ?? memoryOf("store", chain.ledger);
  const heads = openSignedHeads({ chains, ledger: chain.ledger, memory }, signer.key, "checkpoint");

  return {
    async sign() {
      for (let attempt = 0; attempt < CONFLICT_TRIES; attempt++) {
        // Before the ledger: another process with this key may sign blocks that come meanwhile.
        const before = await heads.read();
        const now = await chain.durableHead();
        if (now.size === 0) throw refuse("a ledger without blocks has nothing to sign");
        // Both, as either may be of another history.
        for (const old of before.all) await assertExtends(chain, old, now);
        if (!(await heads.keep(before, now))) continue;
        const { size, root } = now;
        const text = encodeCheckpoint({ origin: chain.genesis.origin, size, root });
        const policy = await policyAt(chain, size);
        const own = { ...policy, checkpointKeys: [signer.publicKey] };
        const known = policyKeys(chain.genesis.origin, [policy, own]);
        const note = await cosigning.cosign(await signNote(text, [notes]), size, known);
        const trust = withPolicy(trustFromGenesis(chain.genesisBytes), policy, size);
        const { ok: witnessed } = judgeCheckpoint(note, trust);
        return { note, size, root, witnessed };
      }
      throw refuse("others kept signing with the same key");
    },
    async last() {
      return (await heads.read()).newest;
    },
    async known() {
      return (await heads.read()).all;
    },
  };
}

/** What store and memory know of the heads that one key has signed. */
export interface SignedBefore {
  /** What each of the two knows, where it knows something. */
  readonly all: readonly SignedHead[];
  /** The larger one: it binds. */
  readonly newest: SignedHead | undefined;
  readonly stored: { readonly head: Head; readonly signed: SignedHead | undefined };
  readonly kept: KeptHead | undefined;
}

/** The heads that one key has signed in one ledger: kept twice, and read from both. */
export interface HeadsOfKey {
  /**
   * @throws {ChainError} `ERR_CHAIN_MEMORY` when the store knows a head and the memory none;
   *   `ERR_CHAIN_CHECKPOINT` when what the store keeps is damaged
   */
  read(): Promise<SignedBefore>;
  /** Keeps a head in both; `false` when another process with the same key kept one meanwhile. */
  keep(before: SignedBefore, next: SignedHead): Promise<boolean>;
  /** Makes the memory know what the store knows, for a memory that was lost or put back. */
  adopt(): Promise<void>;
}

/** Opens what one key has signed in one ledger. */
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
    throw refuse("what the store keeps of signed heads is damaged");
  }

  async function readKept(): Promise<KeptHead | undefined> {
    const { heads } = await memory.read();
    return heads.find((one) => one.use === use && equalBytes(one.key, key));
  }

  return {
    async read() {
      // The memory last: it is written first.
      const stored = await readStored();
      const kept = await readKept();
      if (memory.isKept && stored.signed !== undefined && kept === undefined) {
        throw memoryError("this key has signed, and its memory of signed heads does not know it");
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

const HEADS_CHAINS = { checkpoint: "checkpoints", cosignature: "cosigned" } as const;

function headsChain(ledger: CID, key: Uint8Array, use: HeadUse): string {
  return `${ledger.toString()}/${HEADS_CHAINS[use]}/${toHex(key)}`;
}

/**
 * Reads what a chain store keeps of a head that was signed.
 *
 * @throws {ChainError} `ERR_CHAIN_CHECKPOINT` when it is not one
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
      throw refuse("what the store keeps of signed heads is damaged");
    throw error;
  }
}

async function assertExtends(chain: Chain, old: SignedHead, now: SignedHead): Promise<void> {
  if (old.size > now.size) throw refuse("the ledger is shorter than what was signed before");
  if (old.size === now.size) {
    if (!equalBytes(old.root, now.root)) throw refuse("the ledger is not what was signed before");
    return;
  }
  const proof = await chain.proveConsistency(old.size, now.size);
  const consistent = verifyConsistency({
    oldSize: old.size,
    oldRoot: old.root,
    newSize: now.size,
    newRoot: now.root,
    proof,
  });
  if (!consistent.ok) throw refuse("the ledger does not extend what was signed before");
}

function refuse(why: string): ChainError {
  return new ChainError("ERR_CHAIN_CHECKPOINT", why);
}
