import { equalBytes } from "../bytes/compare.ts";
import { toHex } from "../bytes/hex.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectBytes, expectMap, expectUint, expectVersion } from "../codec/shape.ts";
import { ChainError, EncodingError } from "../errors.ts";
import type { Signer } from "../identity/signer.ts";
import { verifyConsistency } from "../merkle/verify.ts";
import type { ChainStore, Head } from "../storage/types.ts";
import { AppendConflict } from "../storage/errors.ts";
import type { Chain } from "./chain.ts";
import { encodeCheckpoint } from "./checkpoint-note.ts";
import { createCosigning } from "./cosigning.ts";
import { noteSigner, signNote } from "./note.ts";
import { policyAt } from "./policy-at.ts";
import { judgeCheckpoint, trustFromGenesis, withPolicy } from "./trust.ts";
import { policyKeys } from "./unsatisfied.ts";
import type { Witness } from "./witness.ts";

/** What a signer of checkpoints has committed itself to. */
export interface SignedHead {
  readonly size: number;
  readonly root: Uint8Array;
}

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
   * It refreshes the chain, keeps `(size, root)` durably, and only then signs; so that neither a
   * crash, nor a second process with the same key, nor a restored backup makes it contradict itself.
   *
   * @returns the signed note, with the cosignatures that could be had
   * @throws {ChainError} `ERR_CHAIN_CHECKPOINT` when the chain is empty or does not extend what was
   *   signed before
   */
  sign(): Promise<SignedCheckpoint>;
  /** What was signed last, or `undefined`. */
  last(): Promise<SignedHead | undefined>;
}

const CONFLICT_TRIES = 16;

/**
 * Starts signing checkpoints.
 *
 * @param options.signer - an Ed25519 key that signs nothing else, listed in the ledger's policy
 */
export function createCheckpointer(options: {
  readonly chain: Chain;
  readonly chains: ChainStore;
  readonly signer: Signer;
  /** Asked to cosign; one that fails to answer is left out. */
  readonly witnesses?: readonly Witness[];
}): Checkpointer {
  const { chain, chains, signer, witnesses = [] } = options;
  const cosigning = createCosigning(chain, witnesses);
  const notes = noteSigner(signer, chain.genesis.origin);
  const heads = openSignedHeads(
    chains,
    `${chain.ledger.toString()}/checkpoints/${toHex(signer.key)}`,
  );

  return {
    async sign() {
      for (let attempt = 0; attempt < CONFLICT_TRIES; attempt++) {
        // Before the ledger: another process with this key may sign blocks that come meanwhile.
        const last = await heads.read();
        const size = await chain.refresh();
        if (size === 0) throw refuse("a ledger without blocks has nothing to sign");
        // Read back from the store; what is in memory must agree.
        const root = await chain.rootAt(size);
        if (chain.size === size && !equalBytes(root, chain.root)) {
          throw refuse("the store does not hold what was appended");
        }
        if (last.signed !== undefined) await assertExtends(chain, last.signed, { size, root });
        if (last.signed?.size !== size) {
          if (!(await heads.keep(last.head, { size, root }))) continue;
        }
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
      return (await heads.read()).signed;
    },
  };
}

/** Durable memory of the heads that one key has signed. */
export interface SignedHeads {
  read(): Promise<{ readonly head: Head; readonly signed: SignedHead | undefined }>;
  /** Keeps a head; `false` when another process with the same key kept one meanwhile. */
  keep(expected: Head, signed: SignedHead): Promise<boolean>;
}

/** Opens the memory of signed heads in a chain store. */
export function openSignedHeads(chains: ChainStore, name: string): SignedHeads {
  return {
    async read() {
      const head = await chains.head(name);
      if (head.size === 0) return { head, signed: undefined };
      for await (const { record } of chains.read(name, { from: head.size - 1, limit: 1 })) {
        return { head, signed: decodeSignedHead(record) };
      }
      throw refuse("the memory of signed heads is damaged");
    },
    async keep(expected, { size, root }) {
      try {
        await chains.append(name, expected, [encode({ v: 1, size, root })]);
        return true;
      } catch (error) {
        if (error instanceof AppendConflict) return false;
        throw error;
      }
    },
  };
}

/**
 * Reads a record of the memory of signed heads.
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
    if (error instanceof EncodingError) throw refuse("the memory of signed heads is damaged");
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
