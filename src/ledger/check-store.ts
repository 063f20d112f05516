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
import { checkpointSigners } from "./own-signers.ts";
import type { RepairOptions } from "./options.ts";

/** Judges by a proof that ends in the checked root: the store's own word about an old root proves nothing. */
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

/** The store must hold every checkpoint that this member's keys have signed, by their memory of it. */
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
        `a checkpoint of ${size} blocks was signed, but the store holds only ${chain.size}`,
      );
    }
    if (!(await isExtension(chain, size, root))) {
      throw new ChainError(
        "ERR_CHAIN_INVALID",
        "the store holds a different history from the one that was signed",
      );
    }
  }
}

/** The store may hold more than was seen before; it must not hold less or a different history. */
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
    throw new ChainError("ERR_CHAIN_INVALID", "the store does not hold the trusted ledger");
  }
}
