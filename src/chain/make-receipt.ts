import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import {
  decodeTransaction,
  encodeSignedTransaction,
  type TransactionWithEntries,
} from "../block/transaction.ts";
import { entryId } from "../block/entry.ts";
import { equalBytes } from "../bytes/compare.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { ChainError, ProofError } from "../errors.ts";
import { leafHash } from "../merkle/hash.ts";
import { verifyMap } from "../merkle/map-proof.ts";
import { buildTree, type MerkleTree } from "../merkle/tree.ts";
import { verifyInclusion } from "../merkle/verify.ts";
import type { Chain } from "./chain.ts";
import { readCheckpoint, type Checkpoint } from "./checkpoint-note.ts";
import { connectHeads, largerHead, type TreeHead } from "./connection.ts";
import { encodeReceipt, type KeyProof, type LaterKeyProof, type Receipt } from "./receipt.ts";
import { keyStateKey, POLICY_KEY } from "./state.ts";
import { seenHead, type PolicyStep, type Trust } from "./trust.ts";

/** The place of an entry. */
export interface EntryPlace {
  readonly height: number;
  readonly transaction: number;
  readonly entry: number;
}

export interface MakeReceiptOptions {
  /** A signed checkpoint of this chain that covers the entry. */
  readonly checkpoint: Uint8Array;
  /**
   * Steps that lead the reader to the policy that the checkpoint is verified by. The consistency
   * proofs between their checkpoints are made here.
   */
  readonly policyPath?: readonly PolicyStep[];
  /**
   * The reader's trust: if it has a root, the receipt proves that its checkpoint extends that root,
   * or that the root extends the checkpoint. Default: trust in the genesis record alone.
   */
  readonly from?: Trust;
  /** Id that the entry must have, for a place that is not trusted; 32 bytes. */
  readonly id?: Uint8Array;
  /** Also proves the key's value in the state at the checkpoint's last block. */
  readonly later?: boolean;
}

const MAKE_RECEIPT_OPTIONS: OptionsOf<MakeReceiptOptions> = {
  ...{ checkpoint: true, policyPath: true, from: true, id: true, later: true },
};

/**
 * Makes the receipt of an entry.
 *
 * @returns an encoded {@link Receipt}
 * @throws {ProofError} `ERR_PROOF_RANGE` when there is no such entry, the checkpoint does not cover
 *   it, or the trusted size exceeds this chain; `ERR_PROOF_UNAVAILABLE` when this chain is not the
 *   history of the checkpoint or of the trusted root
 * @throws {ChainError} `ERR_CHAIN_INVALID` when the store's block is not the one that was appended
 * @example
 * const place = { height: 12, transaction: 0, entry: 0 };
 * const receipt = await makeReceipt(chain, place, { checkpoint });
 */
export async function makeReceipt(
  chain: Chain,
  place: EntryPlace,
  options: MakeReceiptOptions,
): Promise<Uint8Array> {
  assertOptions(options, MAKE_RECEIPT_OPTIONS, "makeReceipt");
  return receiptMaker(chain, options)(place);
}

/** Number of blocks whose trees a {@link receiptMaker} keeps. */
const KEPT_BLOCKS = 16;

const RECEIPT_MAKER_OPTIONS: OptionsOf<MakeReceiptOptions> = {
  ...{ checkpoint: true, policyPath: true, from: true, id: true, later: true },
};

/**
 * Makes receipts of many entries under one checkpoint; builds the trees of a block once for all its
 * entries.
 *
 * @returns a function that behaves as {@link makeReceipt} does
 * @example
 * const receiptOf = receiptMaker(chain, { checkpoint });
 * for (const place of places) await file.write(await receiptOf(place));
 */
export function receiptMaker(
  chain: Chain,
  options: MakeReceiptOptions,
): (place: EntryPlace) => Promise<Uint8Array> {
  assertOptions(options, RECEIPT_MAKER_OPTIONS, "receiptMaker");
  const head = checkpointOf(options.checkpoint);
  const { size } = head;
  let connected: Promise<ConnectedPath> | undefined;
  const blocks = new Map<number, Promise<ProvableBlock>>();
  const laters = new Map<string, Promise<LaterKeyProof>>();
  const laterOf = (name: string): Promise<LaterKeyProof> => {
    const proof = laters.get(name) ?? laterProof(chain, name, size);
    laters.set(name, proof);
    return proof;
  };
  return async (place) => {
    if (place.height >= size || size > chain.size) {
      throw new ProofError(
        "ERR_PROOF_RANGE",
        "the checkpoint does not cover the block at this height",
      );
    }
    let block = blocks.get(place.height);
    if (block === undefined) {
      block = provableBlock(chain, place.height, head);
      if (blocks.size >= KEPT_BLOCKS) blocks.delete(blocks.keys().next().value!);
      blocks.set(place.height, block);
    }
    const { header, ledgerPath, transactions, transaction, keyProofs } = await block;
    const { signed, tree } = transaction(place.transaction);
    const entry = signed?.entries[place.entry];
    if (signed === undefined || tree === undefined || entry === undefined) {
      throw new ProofError("ERR_PROOF_RANGE", "no such entry at the claimed position");
    }
    connected ??= connectPath(chain, head, options);
    const { tx, alg, sig } = signed;
    const { key, author } = decodeTransaction(tx);
    if (options.id !== undefined && !equalBytes(entryId(chain.ledger, author, entry), options.id)) {
      throw new ProofError(
        "ERR_PROOF_UNAVAILABLE",
        "the entry at the claimed position has another id",
      );
    }
    const name = keyStateKey(key);
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
      ...(await connected),
      ...(options.later === true ? { later: await laterOf(name) } : {}),
    };
    return encodeReceipt(receipt);
  };
}

/** The data that the receipts of one block's entries share. */
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

async function provableBlock(
  chain: Chain,
  height: number,
  { size, root }: TreeHead,
): Promise<ProvableBlock> {
  const { block, header } = await chain.readBlock(height);
  const ledgerPath = await chain.proveInclusion(height, size);
  const claim = { index: height, size, leafHash: leafHash(block.header), proof: ledgerPath, root };
  if (!verifyInclusion(claim).ok) {
    throw new ProofError(
      "ERR_PROOF_UNAVAILABLE",
      "the checkpoint is of another history than this chain",
    );
  }
  const trees = new Map<number, MerkleTree>();
  const proofs = new Map<string, Promise<KeyProof>>();
  return {
    header: block.header,
    ledgerPath,
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
      if (proof === undefined)
        proofs.set(name, (proof = keyProof(chain, name, height, header.state)));
      return proof;
    },
  };
}

type ConnectedPath = Pick<Receipt, "policyPath" | "consistency">;

/** Proves that every checkpoint of the path is of the same history as those before it. */
export async function connectPath(
  chain: Chain,
  checkpoint: TreeHead,
  { policyPath = [], from }: MakeReceiptOptions,
): Promise<ConnectedPath> {
  let seen = from === undefined ? undefined : seenHead(from);
  const between = async (head: TreeHead) => {
    const longest = Math.max(seen?.size ?? 0, head.size);
    if (from?.root !== undefined && longest > chain.size) {
      throw new ProofError(
        "ERR_PROOF_RANGE",
        "the trusted root covers more blocks than this ledger has",
      );
    }
    const proof =
      seen === undefined || longest > chain.size
        ? undefined
        : await proveConnection(chain, seen, head);
    const held = seen === undefined || connectHeads(seen, head, proof) === "connected";
    if (!held && from?.root !== undefined) {
      throw new ProofError("ERR_PROOF_UNAVAILABLE", "the trusted root is of another history");
    }
    seen = largerHead(seen, head);
    return proof === undefined || !held ? {} : { consistency: proof };
  };
  const steps: PolicyStep[] = [];
  for (const { consistency: _other, ...step } of policyPath) {
    steps.push({ ...step, ...(await between(checkpointOf(step.checkpoint))) });
  }
  return { policyPath: steps, ...(await between(checkpoint)) };
}

/** The consistency proof between two heads; `undefined` if no proof is needed. */
async function proveConnection(
  chain: Chain,
  one: TreeHead,
  other: TreeHead,
): Promise<readonly Uint8Array[] | undefined> {
  const [old, now] = [Math.min(one.size, other.size), Math.max(one.size, other.size)];
  return old === now || old === 0 ? undefined : chain.proveConsistency(old, now);
}

/**
 * The step that proves the policy in the state before the block at a height.
 *
 * @param from - the reader's trust, if it has a root
 * @throws {ProofError} as {@link makeReceipt} does
 * @example
 * const step = await makePolicyStep(chain, chain.size - 1, checkpoint);
 * const receipt = await makeReceipt(chain, place, { checkpoint, policyPath: [step] });
 */
export async function makePolicyStep(
  chain: Chain,
  height: number,
  checkpoint: Uint8Array,
  from?: Trust,
): Promise<PolicyStep> {
  const { block } = await chain.readBlock(height);
  const { value, proof } = await chain.proveState(POLICY_KEY, height);
  const head = checkpointOf(checkpoint);
  const step = {
    checkpoint,
    header: block.header,
    path: await chain.proveInclusion(height, head.size),
    policy: value!,
    proof,
  };
  if (from?.root === undefined) return step;
  const { policyPath } = await connectPath(chain, head, { checkpoint, policyPath: [step], from });
  return policyPath[0]!;
}

/** Proves a key's value in the state at the last of so many blocks. */
export async function laterProof(chain: Chain, name: string, size: number): Promise<LaterKeyProof> {
  const { block, header } = await chain.readBlock(size - 1);
  return {
    ...(await keyProof(chain, name, size - 1, header.state)),
    header: block.header,
    path: await chain.proveInclusion(size - 1, size),
  };
}

async function keyProof(
  chain: Chain,
  name: string,
  height: number,
  state: Uint8Array,
): Promise<KeyProof> {
  const { value, proof } = await chain.proveState(name, height);
  if (value === null)
    throw new ProofError("ERR_PROOF_UNAVAILABLE", "the state does not hold the key");
  if (!verifyMap(state, utf8ToBytes(name), value, proof).ok) {
    throw new ChainError("ERR_CHAIN_INVALID", `the state before block ${height} is damaged`);
  }
  return { value, proof };
}

/** @throws {ProofError} `ERR_PROOF_INVALID` when the bytes are not a signed checkpoint */
export function checkpointOf(note: Uint8Array): Checkpoint {
  const checkpoint = readCheckpoint(note);
  if (checkpoint === undefined)
    throw new ProofError("ERR_PROOF_INVALID", "`checkpoint` is not a signed checkpoint");
  return checkpoint;
}
