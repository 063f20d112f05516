import { equalBytes } from "../bytes/compare.ts";
import type { AppendableChain } from "../chain/chain.ts";
import { openSignedHeads } from "../chain/signed-heads.ts";
import { trustFromGenesis, type Trust } from "../chain/trust.ts";
import { ChainError } from "../errors.ts";
import type { KeyStore } from "../identity/key-store.ts";
import type { LedgerMemory, SignedHead } from "../identity/signed-heads.ts";
import { EMPTY_ROOT } from "../merkle/hash.ts";
import { verifyConsistency } from "../merkle/verify.ts";
import type { ChainStore } from "../storage/types.ts";
import { checkpointSigners } from "./checkpoint-signers.ts";
import type { RepairOptions } from "./options.ts";

/** By a proof that ends in the root that was checked: what the store says a root was is no witness. */
async function isExtension(
  chain: AppendableChain,
  oldSize: number,
  oldRoot: Uint8Array,
): Promise<boolean> {
  if (oldSize === 0) return equalBytes(oldRoot, EMPTY_ROOT);
  const { size: newSize, root: newRoot } = chain;
  const proof = await chain.proveConsistency(oldSize, newSize);
  return verifyConsistency({ oldSize, oldRoot, newSize, newRoot, proof }).ok;
}

/** A store must hold all that was signed as checkpoints, by this member's keys as they remember it. */
export async function assertRemembered(
  where: {
    readonly chain: AppendableChain;
    readonly chains: ChainStore;
    readonly memory: LedgerMemory;
  },
  keys: KeyStore,
  repair: RepairOptions = {},
): Promise<void> {
  const { chain, chains, memory } = where;
  const heads: SignedHead[] = [];
  for (const { key } of checkpointSigners(keys)) {
    const ofKey = openSignedHeads({ chains, ledger: chain.ledger, memory }, key, "checkpoint");
    if (repair.adoptSignedHeads === true) await ofKey.adopt();
    for (const head of (await ofKey.read()).all) heads.push(head);
  }
  for (const { size, root } of heads) {
    if (size > chain.size) {
      if (repair.acceptLostBlocks === true) continue;
      throw new ChainError(
        "ERR_CHAIN_LOST",
        `a checkpoint of ${size} blocks was signed, and the store holds ${chain.size}`,
      );
    }
    if (!(await isExtension(chain, size, root))) {
      throw new ChainError("ERR_CHAIN_INVALID", "the store holds another history than was signed");
    }
  }
}

/** A store may hold more than was seen before, never less and never something else. */
export async function assertTrusted(
  chain: AppendableChain,
  trust: Trust | undefined,
): Promise<void> {
  const expected = trust ?? trustFromGenesis(chain.genesisBytes);
  const { size, root } = expected;
  const holds =
    expected.ledger.equals(chain.ledger) &&
    size <= chain.size &&
    (root === undefined || (await isExtension(chain, size, root)));
  if (!holds) {
    throw new ChainError("ERR_CHAIN_INVALID", "the store does not hold the ledger that is trusted");
  }
}
