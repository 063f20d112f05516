import {
  decodeTransaction,
  encodeSignedTransaction,
  type TransactionWithEntries,
} from "../block/transaction.ts";
import { ProofError } from "../errors.ts";
import { leafHash } from "../merkle/hash.ts";
import { buildTree, type MerkleTree } from "../merkle/tree.ts";
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
  return receiptMaker(chain, options)(place);
}

/** Blocks whose trees a {@link receiptMaker} keeps. */
const KEPT_BLOCKS = 16;

/**
 * Makes receipts of many entries under one checkpoint, building the trees of a block once for all
 * its entries.
 *
 * @returns a function that behaves as {@link makeReceipt} does
 */
export function receiptMaker(
  chain: Chain,
  options: MakeReceiptOptions,
): (place: EntryPlace) => Promise<Uint8Array> {
  const size = checkpointSize(options.checkpoint);
  const blocks = new Map<number, Promise<ProvableBlock>>();
  return async (place) => {
    if (place.height >= size || size > chain.size) {
      throw new ProofError("ERR_PROOF_RANGE", "the checkpoint does not cover this height");
    }
    let block = blocks.get(place.height);
    if (block === undefined) {
      block = provableBlock(chain, place.height, size);
      if (blocks.size >= KEPT_BLOCKS) blocks.delete(blocks.keys().next().value!);
      blocks.set(place.height, block);
    }
    const { header, ledgerPath, transactions, transaction, keyProofs } = await block;
    const { signed, tree } = transaction(place.transaction);
    const entry = signed?.entries[place.entry];
    if (signed === undefined || tree === undefined || entry === undefined) {
      throw new ProofError("ERR_PROOF_RANGE", "there is no entry at this place");
    }
    const { tx, alg, sig } = signed;
    const name = keyKey(decodeTransaction(tx).key);
    const receipt: Receipt = {
      v: 1,
      ledger: chain.ledger,
      entry,
      entryIndex: place.entry,
      entryPath: tree.proveInclusion(place.entry),
      tx,
      alg,
      sig,
      txIndex: place.transaction,
      txPath: transactions.proveInclusion(place.transaction),
      header,
      ledgerPath,
      checkpoint: options.checkpoint,
      key: await keyProofs(name),
      policyPath: options.policyPath ?? [],
      ...(options.later === true ? { later: await laterProof(chain, name, size) } : {}),
    };
    return encodeReceipt(receipt);
  };
}

/** What the receipts of one block's entries have in common. */
interface ProvableBlock {
  readonly header: Uint8Array;
  readonly ledgerPath: readonly Uint8Array[];
  readonly transactions: MerkleTree;
  transaction(index: number): {
    readonly signed: TransactionWithEntries | undefined;
    readonly tree: MerkleTree | undefined;
  };
  keyProofs(name: string): Promise<KeyProof>;
}

async function provableBlock(chain: Chain, height: number, size: number): Promise<ProvableBlock> {
  const { block } = await chain.readBlock(height);
  const trees = new Map<number, MerkleTree>();
  const proofs = new Map<string, Promise<KeyProof>>();
  return {
    header: block.header,
    ledgerPath: await chain.proveInclusion(height, size),
    transactions: buildTree(
      block.transactions.map((one) => leafHash(encodeSignedTransaction(one))),
    ),
    transaction(index) {
      const signed = block.transactions[index];
      let tree = trees.get(index);
      if (tree === undefined && signed !== undefined) {
        trees.set(index, (tree = buildTree(signed.entries.map(leafHash))));
      }
      return { signed, tree };
    },
    keyProofs(name) {
      let proof = proofs.get(name);
      if (proof === undefined) proofs.set(name, (proof = keyProof(chain, name, height)));
      return proof;
    },
  };
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
