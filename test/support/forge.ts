import type { CID } from "multiformats/cid";
import { encodeBlock, type Block } from "../../src/block/block.ts";
import {
  approvalInput,
  encodeEntry,
  possessionInput,
  type Approval,
  type KeyEntry,
  type MemberEntry,
  type PolicyChanges,
  type PolicyEntry,
} from "../../src/block/entry.ts";
import { decodeGenesis, ledgerId } from "../../src/block/genesis.ts";
import { encodeHeader, headerCid, type Header } from "../../src/block/header.ts";
import type { KeyAlg, KeyUse } from "../../src/block/key.ts";
import type { MemberChange } from "../../src/block/member.ts";
import {
  encodeSignedTransaction,
  encodeTransaction,
  entriesRoot,
  type Transaction,
  type TransactionWithEntries,
} from "../../src/block/transaction.ts";
import {
  checkBlock,
  emptyTip,
  readBlock,
  tipAfter,
  type Tip,
} from "../../src/chain/apply-block.ts";
import { ledgerRules } from "../../src/chain/prepare.ts";
import type { Contract } from "../../src/contract/contract.ts";
import { genesisState } from "../../src/chain/genesis-state.ts";
import type { KindRule } from "../../src/chain/kind-rule.ts";
import { openState, type LedgerState } from "../../src/chain/ledger-state.ts";
import { verifyBlocks, type VerifyLedgerResult } from "../../src/chain/verify-ledger.ts";
import { provePossession, signWith, type Signer } from "../../src/identity/signer.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { EMPTY_MAP } from "../../src/merkle/map-node.ts";
import { treeRoot } from "../../src/merkle/tree.ts";
import { bytesFor, START } from "./ledger.ts";

/** Makes blocks by hand, right ones and wrong ones, signed all the same. */
export interface Forge {
  readonly ledger: CID;
  readonly state: LedgerState;
  readonly tip: Tip;
  readonly blocks: readonly Uint8Array[];
  /** A signed transaction; `fields` replace what it would say. */
  tx(
    signer: Signer,
    entries: readonly Uint8Array[],
    fields?: Partial<Transaction>,
  ): Promise<TransactionWithEntries>;
  /** The next block; `fields` replace what its header would say, `outer` what stands around it. */
  block(
    transactions: readonly TransactionWithEntries[],
    fields?: Partial<Header> & { readonly signer?: Signer },
    outer?: Partial<Block>,
  ): Promise<Uint8Array>;
  /** Adds a block that must stand. */
  push(block: Uint8Array): Promise<void>;
  /** Adds a block of these transactions, which must stand. */
  add(...transactions: readonly TransactionWithEntries[]): Promise<void>;
  /** What verification says of the ledger with further blocks. */
  judge(...blocks: readonly Uint8Array[]): Promise<VerifyLedgerResult>;
  /** What it says of one more block with these transactions. */
  judgeTx(...transactions: readonly TransactionWithEntries[]): Promise<VerifyLedgerResult>;
}

export async function createForge(
  genesis: Uint8Array,
  proposer: Signer,
  kinds: readonly KindRule[] = [],
  contracts: readonly Contract[] = [],
): Promise<Forge> {
  const ledger = ledgerId(genesis);
  const state = openState(EMPTY_MAP, async (hashes) => hashes.map(() => undefined));
  const founded = genesisState(decodeGenesis(genesis));
  await state.load([...founded.keys()]);
  state.apply(founded);
  const rules = ledgerRules({ kinds, contracts });
  const blocks: Uint8Array[] = [];
  let tip = emptyTip(ledger);
  let seq = 0;

  const forge: Forge = {
    ledger,
    state,
    blocks,
    get tip() {
      return tip;
    },
    async tx(signer, entries, fields = {}) {
      const tx = encodeTransaction({
        v: 1,
        ledger,
        author: signer.actor,
        key: signer.key,
        lane: 0,
        seq: seq++,
        time: timeOf(tip),
        entries: entriesRoot(entries),
        count: entries.length,
        ...fields,
      });
      return { tx, alg: signer.alg, sig: await signWith(signer, "transaction", tx), entries };
    },
    async block(transactions, { signer = proposer, ...fields } = {}, outer = {}) {
      const header = encodeHeader({
        v: 1,
        ledger,
        height: tip.size,
        prev: tip.header === null ? null : headerCid(tip.header),
        transactions: treeRoot(transactions.map((one) => leafHash(encodeSignedTransaction(one)))),
        count: transactions.length,
        state: state.root,
        time: timeOf(tip),
        proposer: signer.actor,
        key: signer.key,
        ...fields,
      });
      const sig = await signWith(signer, "header", header);
      return encodeBlock({ header, alg: signer.alg, sig, transactions, ...outer });
    },
    async push(bytes) {
      const block = readBlock(bytes)!;
      const result = await checkBlock(block, tip, state, rules);
      if (!result.ok) throw new Error(`refused: ${JSON.stringify(result)}`);
      state.apply(result.changes);
      tip = tipAfter(block.header, result.header);
      blocks.push(bytes);
    },
    async add(...transactions) {
      await forge.push(await forge.block(transactions));
    },
    judge: (...further) => verifyBlocks([...blocks, ...further], { genesis, kinds, contracts }),
    async judgeTx(...transactions) {
      return forge.judge(await forge.block(transactions));
    },
  };
  return forge;
}

const timeOf = (tip: Tip): number => START + tip.size * 1000;

let salts = 0;
export const salt = (): Uint8Array => bytesFor(`salt ${salts++}`).slice(0, 16);

/** A `key` entry, with the new key's proof of possession where it needs one. */
export async function keyEntry(
  ledger: CID,
  actor: string,
  op: KeyEntry["op"],
  use: KeyUse,
  holder: Signer | { readonly alg: KeyAlg; readonly publicKey: Uint8Array },
  more: Partial<KeyEntry> = {},
): Promise<Uint8Array> {
  const key = { use, alg: holder.alg, publicKey: holder.publicKey };
  const proof =
    op !== "retire" && "sign" in holder
      ? { proof: await provePossession(holder, possessionInput(ledger, actor, key)) }
      : {};
  return encodeEntry({ v: 1, kind: "key", salt: salt(), actor, op, ...key, ...proof, ...more });
}

/** One approval a signer over a change. */
export function approve(
  signers: readonly Signer[],
  input: Uint8Array,
): Promise<readonly Approval[]> {
  return Promise.all(
    signers.map(async (signer) => ({
      actor: signer.actor,
      key: signer.key,
      alg: signer.alg,
      sig: await signWith(signer, "approval", input),
    })),
  );
}

export interface ChangeOptions {
  readonly salt?: Uint8Array;
  readonly nonce?: Uint8Array;
  readonly notAfter?: number;
  /** What is approved, where it is not what is recorded. */
  readonly approved?: readonly MemberChange[] | PolicyChanges;
  readonly approvedNonce?: Uint8Array;
  readonly approvedFor?: CID;
}

/** A `policy` entry approved by these signers. */
export async function policyEntry(
  ledger: CID,
  changes: PolicyChanges,
  signers: readonly Signer[],
  options: ChangeOptions = {},
): Promise<Uint8Array> {
  return governed(ledger, "policy", changes, signers, options);
}

/** A `member` entry approved by these signers. */
export async function memberEntry(
  ledger: CID,
  changes: readonly MemberChange[],
  signers: readonly Signer[],
  options: ChangeOptions = {},
): Promise<Uint8Array> {
  return governed(ledger, "member", changes, signers, options);
}

async function governed(
  ledger: CID,
  kind: "member" | "policy",
  changes: unknown,
  signers: readonly Signer[],
  options: ChangeOptions,
): Promise<Uint8Array> {
  const { nonce = salt(), notAfter = 1000 } = options;
  const input = approvalInput(
    options.approvedFor ?? ledger,
    kind,
    (options.approved ?? changes) as never,
    options.approvedNonce ?? nonce,
    notAfter,
  );
  const approvals = await approve(signers, input);
  const common = { v: 1 as const, salt: options.salt ?? salt(), nonce, notAfter, approvals };
  return encodeEntry({ ...common, kind, changes } as MemberEntry | PolicyEntry);
}
