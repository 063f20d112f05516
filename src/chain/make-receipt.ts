import { decodeTransaction, encodeSignedTransaction } from "../block/transaction.ts";
import { ProofError } from "../errors.ts";
import { leafHash } from "../merkle/hash.ts";
import { inclusionFromLeaves } from "../merkle/tree.ts";
import type { Chain } from "./chain.ts";
import { readCheckpoint } from "./checkpoint-note.ts";
import { encodeReceipt, type KeyProof, type LaterKeyProof, type Receipt } from "./receipt.ts";
import { keyKey } from "./state.ts";
import type { PolicyStep } from "./trust.ts";

/** Where an entry stands. */
export interface EntryPlace {
  readonly height: number;
  readonly transaction: number;
  readonly entry: number;
}

export interface MakeReceiptOptions {
  /** A signed checkpoint of this chain that covers the entry. */
  readonly checkpoint: Uint8Array;
  /** Steps that lead a holder of the genesis record to the policy that judges the checkpoint. */
  readonly policyPath?: readonly PolicyStep[];
  /** Also proves what the state at the last block of the checkpoint says of the key. */
  readonly later?: boolean;
}

/**
 * Makes the receipt of an entry.
 *
 * @returns an encoded {@link Receipt}
 * @throws {ProofError} `ERR_PROOF_RANGE` when the entry is not there or not under the checkpoint
 */
export async function makeReceipt(
  chain: Chain,
  place: EntryPlace,
  options: MakeReceiptOptions,
): Promise<Uint8Array> {
  const size = checkpointSize(options.checkpoint);
  if (place.height >= size || size > chain.size) {
    throw new ProofError("ERR_PROOF_RANGE", "the checkpoint does not cover this height");
  }
  const { block } = await chain.readBlock(place.height);
  const signed = block.transactions[place.transaction];
  const entry = signed?.entries[place.entry];
  if (signed === undefined || entry === undefined) {
    throw new ProofError("ERR_PROOF_RANGE", "there is no entry at this place");
  }
  const name = keyKey(decodeTransaction(signed.tx).key);
  const { tx, alg, sig } = signed;
  const receipt: Receipt = {
    v: 1,
    ledger: chain.ledger,
    entry,
    entryIndex: place.entry,
    entryPath: inclusionFromLeaves(signed.entries.map(leafHash), place.entry),
    tx,
    alg,
    sig,
    txIndex: place.transaction,
    txPath: inclusionFromLeaves(
      block.transactions.map((one) => leafHash(encodeSignedTransaction(one))),
      place.transaction,
    ),
    header: block.header,
    ledgerPath: await chain.proveInclusion(place.height, size),
    checkpoint: options.checkpoint,
    key: await keyProof(chain, name, place.height),
    policyPath: options.policyPath ?? [],
    ...(options.later === true ? { later: await laterProof(chain, name, size) } : {}),
  };
  return encodeReceipt(receipt);
}

/** The step that proves the policy in the state before the block at a height. */
export async function makePolicyStep(
  chain: Chain,
  height: number,
  checkpoint: Uint8Array,
): Promise<PolicyStep> {
  const { block } = await chain.readBlock(height);
  const { value, proof } = await chain.proveState("sys/policy", height);
  return {
    checkpoint,
    header: block.header,
    path: await chain.proveInclusion(height, checkpointSize(checkpoint)),
    policy: value!,
    proof,
  };
}

async function laterProof(chain: Chain, name: string, size: number): Promise<LaterKeyProof> {
  const { block } = await chain.readBlock(size - 1);
  return {
    ...(await keyProof(chain, name, size - 1)),
    header: block.header,
    path: await chain.proveInclusion(size - 1, size),
  };
}

async function keyProof(chain: Chain, name: string, height: number): Promise<KeyProof> {
  const { value, proof } = await chain.proveState(name, height);
  if (value === null) throw new ProofError("ERR_PROOF_UNAVAILABLE", "the state lacks the key");
  return { value, proof };
}

function checkpointSize(note: Uint8Array): number {
  const checkpoint = readCheckpoint(note);
  if (checkpoint === undefined) throw new ProofError("ERR_PROOF_INVALID", "not a checkpoint");
  return checkpoint.size;
}
