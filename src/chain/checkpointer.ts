import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { equalBytes } from "../bytes/compare.ts";
import { memoryOf, type LedgerMemory, type SignedHead } from "../identity/signed-heads.ts";
import type { Signer } from "../identity/signer.ts";
import { verifyConsistency } from "../merkle/verify.ts";
import type { ChainStore } from "../storage/types.ts";
import type { Chain } from "./chain.ts";
import { encodeCheckpoint } from "./checkpoint-note.ts";
import { createCosigning, type Cosigner, type CosigningTimes } from "./cosigning.ts";
import { noteSigner, signNote } from "./note.ts";
import { policyAt } from "./policy-at.ts";
import { judgeCheckpoint, trustFromGenesis, withPolicy } from "./trust.ts";
import { policyKeys, validatorsOf } from "./unsatisfied.ts";
import { openSignedHeads, checkpointError } from "./signed-heads.ts";

/** A checkpoint that was just signed. */
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
   * signed heads, and only then signs. So neither a crash nor a second process with the same key
   * makes it contradict itself; with such a memory, a restored storage does not either.
   *
   * @returns the signed note, with the cosignatures that were obtained
   * @throws {ChainError} `ERR_CHAIN_CHECKPOINT` when the chain is empty or does not extend what was
   *   signed before, `ERR_CHAIN_MEMORY` when this key has signed a head that the memory does not
   *   know
   */
  sign(): Promise<SignedCheckpoint>;
  /** The head signed last, or `undefined`: the larger of the heads in store and memory. */
  last(): Promise<SignedHead | undefined>;
  /** The signed heads in store and memory, each if present; both are binding. */
  known(): Promise<readonly SignedHead[]>;
}

const CONFLICT_TRIES = 16;

const CREATE_CHECKPOINTER_OPTIONS: OptionsOf<
  NonNullable<Parameters<typeof createCheckpointer>[0]>
> = {
  chain: true,
  chains: true,
  signer: true,
  memory: true,
  witnesses: true,
  cosigningTimes: true,
};

/**
 * Starts signing checkpoints.
 *
 * @param options.signer - an Ed25519 key listed in the ledger's policy; it must sign nothing else
 * @param options.memory - remembers, outside the storage, what was signed; see `memoryOf`. Without
 *   it, a chain store restored from an older copy makes the key contradict itself.
 * @example
 * const checkpointer = createCheckpointer({ chain, chains: storage.chains, signer, memory });
 * const { note } = await checkpointer.sign();
 */
export function createCheckpointer(options: {
  readonly chain: Chain;
  readonly chains: ChainStore;
  readonly signer: Signer;
  readonly memory?: LedgerMemory;
  /** Asked to cosign, or asking by themselves; one that fails to answer is left out. */
  readonly witnesses?: readonly Cosigner[];
  /** How long to wait for witnesses. Default: until each has answered or failed. */
  readonly cosigningTimes?: CosigningTimes;
}): Checkpointer {
  assertOptions(options, CREATE_CHECKPOINTER_OPTIONS, "createCheckpointer");
  const { chain, chains, signer, witnesses = [] } = options;
  const cosigning = createCosigning(chain, witnesses, options.cosigningTimes);
  const notes = noteSigner(signer, chain.genesis.origin);
  const memory = options.memory ?? memoryOf("store", chain.ledger);
  const heads = openSignedHeads({ chains, ledger: chain.ledger, memory }, signer.key, "checkpoint");

  return {
    async sign() {
      for (let attempt = 0; attempt < CONFLICT_TRIES; attempt++) {
        // Read before the ledger: another process with this key may sign blocks that are appended
        // meanwhile.
        const before = await heads.read();
        const now = await chain.durableHead();
        if (now.size === 0)
          throw checkpointError("the ledger has no blocks, so there is no head to sign");
        // Check both, because either may be of another history.
        for (const old of before.all) await assertExtends(chain, old, now);
        if (!(await heads.keep(before, now))) continue;
        const { size, root } = now;
        const text = encodeCheckpoint({ origin: chain.genesis.origin, size, root });
        const policy = await policyAt(chain, size);
        const own = { ...policy, checkpointKeys: [signer.publicKey] };
        const known = policyKeys(chain.genesis.origin, [policy, own]);
        const trust = withPolicy(trustFromGenesis(chain.genesisBytes), policy, size);
        const isWitnessed = (note: Uint8Array): boolean => judgeCheckpoint(note, trust).ok;
        const bare = await signNote(text, [notes]);
        const validators = validatorsOf([policy]);
        const note = await cosigning.cosign(bare, size, known, isWitnessed, validators);
        return { note, size, root, witnessed: isWitnessed(note) };
      }
      throw checkpointError("other processes kept signing with the same key");
    },
    async last() {
      return (await heads.read()).newest;
    },
    async known() {
      return (await heads.read()).all;
    },
  };
}

async function assertExtends(chain: Chain, old: SignedHead, now: SignedHead): Promise<void> {
  if (old.size > now.size)
    throw checkpointError("the ledger is shorter than the head signed before");
  if (old.size === now.size) {
    if (!equalBytes(old.root, now.root))
      throw checkpointError("the ledger's root differs from the one signed before at this size");
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
  if (!consistent.ok) throw checkpointError("the ledger does not extend the head signed before");
}
