import type { CID } from "multiformats/cid";
import { equalBytes } from "../bytes/compare.ts";
import { isCustom, type ContractEntry } from "../block/entry.ts";
import { decodeBlock, type Block } from "../block/block.ts";
import { decodeHeader, headerCid, type Header } from "../block/header.ts";
import { verifySignature } from "../crypto/sign.ts";
import { ContractError, EncodingError } from "../errors.ts";
import { treeRoot } from "../merkle/tree.ts";
import { governanceKeyReads } from "./governance.ts";
import type { LedgerState } from "./ledger-state.ts";
import {
  clockOf,
  isRefused,
  prepareTransaction,
  type LedgerRules,
  type PreparedTransaction,
} from "./prepare.ts";
import type { Refused } from "./refusal.ts";
import { applyTransaction } from "./rules.ts";
import { headerSignature, type Verdicts } from "./signature-checks.ts";
import {
  isInForce,
  keyStateKey,
  memberKey,
  overlayState,
  POLICY_KEY,
  type SystemState,
} from "./state.ts";

/** The end of a ledger: the values that the next block must follow. */
export interface Tip {
  readonly ledger: CID;
  /** Number of blocks: the next height. */
  readonly size: number;
  /** Bytes of the last header; `null` before the first block. */
  readonly header: Uint8Array | null;
  /** Time of the last header, in ms; 0 before the first block. */
  readonly time: number;
}

/** The position in a block of what was refused. */
export interface BlockRefused extends Refused {
  readonly transaction?: number;
}

/** An accepted block, and its changes. */
export interface AppliedBlock {
  readonly header: Header;
  readonly transactions: readonly PreparedTransaction[];
  readonly changes: ReadonlyMap<string, Uint8Array | null>;
}

export type BlockResult =
  ({ readonly ok: true } & AppliedBlock) | ({ readonly ok: false } & BlockRefused);

/** The tip of a ledger without blocks. */
export function emptyTip(ledger: CID): Tip {
  return { ledger, size: 0, header: null, time: 0 };
}

/** The tip after a block. */
export function tipAfter(headerBytes: Uint8Array, header: Header): Tip {
  return {
    ledger: header.ledger,
    size: header.height + 1,
    // Copied: the tip outlives the block, whose buffer may be the caller's.
    header: headerBytes.slice(),
    time: header.time,
  };
}

/** Decodes a block; `undefined` if the bytes are not a block. */
export function readBlock(bytes: Uint8Array): Block | undefined {
  try {
    return decodeBlock(bytes);
  } catch (error) {
    if (error instanceof EncodingError) return undefined;
    throw error;
  }
}

/** What a block consists of, before anything is compared with the ledger. */
export interface BlockParts {
  /** `undefined` if it is malformed. */
  readonly header: Header | undefined;
  /** In order, up to the first that can never be recorded. */
  readonly transactions: readonly (PreparedTransaction | Refused)[];
}

/** Decodes a block's header and prepares its transactions. */
export function readParts(block: Block, ledger: CID, rules: LedgerRules): BlockParts {
  const header = readHeader(block.header);
  return { header, transactions: header === undefined ? [] : prepareAll(block, ledger, rules) };
}

function prepareAll(block: Block, ledger: CID, rules: LedgerRules): BlockParts["transactions"] {
  const transactions: (PreparedTransaction | Refused)[] = [];
  for (const signed of block.transactions) {
    const prepared = prepareTransaction(signed, ledger, rules);
    transactions.push(prepared);
    if (isRefused(prepared)) break;
  }
  return transactions;
}

function readHeader(bytes: Uint8Array): Header | undefined {
  try {
    return decodeHeader(bytes);
  } catch (error) {
    if (error instanceof EncodingError) return undefined;
    throw error;
  }
}

/**
 * Checks a block against the ledger before it: structure, signatures, roots and every rule.
 *
 * @param state - the state before the block; keys are loaded into it, but nothing is changed
 * @param ahead - what was found out about the block already
 */
export async function checkBlock(
  block: Block,
  tip: Tip,
  state: LedgerState,
  rules: LedgerRules,
  ahead: { readonly parts?: BlockParts | undefined; readonly verdicts?: Verdicts } = {},
): Promise<BlockResult> {
  const refuse = (refused: BlockRefused): BlockResult => ({ ok: false, ...refused });
  const { parts, verdicts } = ahead;
  const header = parts === undefined ? readHeader(block.header) : parts.header;
  if (header === undefined) return refuse({ reason: "malformed" });
  if (!header.ledger.equals(tip.ledger)) return refuse({ reason: "wrong-ledger" });
  if (header.height !== tip.size) return refuse({ reason: "wrong-height" });
  const prev = tip.header === null ? null : headerCid(tip.header);
  if (prev === null ? header.prev !== null : header.prev?.equals(prev) !== true) {
    return refuse({ reason: "wrong-prev" });
  }
  if (!equalBytes(header.state, state.root)) return refuse({ reason: "wrong-state" });
  if (header.count !== block.transactions.length) {
    return refuse({ reason: "transaction-count-mismatch" });
  }
  const transactions: PreparedTransaction[] = [];
  const read = parts?.transactions ?? prepareAll(block, tip.ledger, rules);
  for (const [i, prepared] of read.entries()) {
    if (isRefused(prepared)) return refuse({ ...prepared, transaction: i });
    transactions.push(prepared);
  }
  if (!equalBytes(treeRoot(transactions.map(({ leaf }) => leaf)), header.transactions)) {
    return refuse({ reason: "transactions-root-mismatch" });
  }
  if (header.time < earliestTime(transactions, tip)) return refuse({ reason: "time-backwards" });
  await loadForRules(state, transactions, header);
  const refusedProposer = checkProposer(header, header.height, state);
  if (refusedProposer !== undefined) return refuse(refusedProposer);
  if (!(verdicts?.get(block) ?? isSignedByProposer(block, header, state)))
    return refuse({ reason: "bad-signature" });
  return untilLoaded(
    (further) => loadForRules(state, transactions, header, further),
    (unread): BlockResult => {
      const within = overlayState(state);
      for (const [i, prepared] of transactions.entries()) {
        const refused = applyTransaction(prepared, {
          ledger: tip.ledger,
          height: header.height,
          time: header.time,
          ...{ before: state, within, rules, unread },
          ...(verdicts === undefined ? {} : { verdicts }),
        });
        if (refused === undefined) continue;
        if (refused.reason === "contract-unavailable") throw unavailable(prepared, refused);
        return refuse({ ...refused, transaction: i });
      }
      return { ok: true, header, transactions, changes: within.changes };
    },
  );
}

/**
 * Applies transactions again and again, until every key that a contract's code reads is loaded:
 * which ones it reads depends on what it has read.
 *
 * @param load - loads what the rules read, together with further keys
 * @param attempt - adds the keys to the set that it lacked; its result counts if there are none
 */
export async function untilLoaded<T>(
  load: (further: Iterable<string>) => Promise<void>,
  attempt: (unread: Set<string>) => T,
): Promise<T> {
  const known = new Set<string>();
  for (;;) {
    const unread = new Set<string>();
    const result = attempt(unread);
    if (unread.size === 0) return result;
    for (const key of unread) known.add(key);
    await load(known);
  }
}

/** A node that cannot run a call cannot tell whether its block is right. */
function unavailable({ decoded }: PreparedTransaction, { entry }: Refused): ContractError {
  const { contract, rule } = decoded.get(entry!) as ContractEntry;
  return new ContractError(
    "ERR_CONTRACT_UNAVAILABLE",
    `this node lacks version ${rule.toString()} of the contract ${contract}: pass it as one of \`contracts\``,
  );
}

/**
 * The earliest time of a block: that of the previous block, unless members approved an earlier time
 * in a block of its own.
 */
function earliestTime(transactions: readonly PreparedTransaction[], tip: Tip): number {
  const clock = transactions.length === 1 ? clockOf(transactions[0]!) : undefined;
  return clock === undefined ? tip.time : Math.min(clock, tip.time);
}

/**
 * Loads every state key that the rules may read for these transactions.
 *
 * @param contractKeys - those that calls of contracts were found to read
 */
export async function loadForRules(
  state: LedgerState,
  transactions: readonly PreparedTransaction[],
  proposer: { readonly proposer: string; readonly key: Uint8Array },
  contractKeys: Iterable<string> = [],
): Promise<void> {
  await state.load([
    POLICY_KEY,
    memberKey(proposer.proposer),
    keyStateKey(proposer.key),
    ...new Set(transactions.flatMap(({ reads }) => reads)),
    ...contractKeys,
  ]);
  const further = new Set<string>();
  for (const { decoded } of transactions) {
    for (const entry of decoded.values()) {
      if (isCustom(entry)) continue;
      if (entry.kind !== "key" && entry.kind !== "member" && entry.kind !== "policy") continue;
      for (const key of governanceKeyReads(entry, state)) further.add(key);
    }
  }
  if (further.size > 0) await state.load([...further]);
}

/** Checks whether an actor may propose the block at a height, by the state before it. */
export function checkProposer(
  { proposer, key: id }: { readonly proposer: string; readonly key: Uint8Array },
  height: number,
  state: SystemState,
): Refused | undefined {
  const key = state.key(id);
  if (key === undefined) return { reason: "unknown-key" };
  if (key.actor !== proposer) return { reason: "key-of-another-actor" };
  if (key.use !== "sign") return { reason: "key-use" };
  if (!isInForce(key, height)) return { reason: "key-not-in-force" };
  const member = state.member(proposer);
  if (member === undefined || member.until !== null) return { reason: "not-a-member" };
  return member.roles.includes("sequencer") ? undefined : { reason: "not-entitled" };
}

function isSignedByProposer(block: Block, header: Header, state: SystemState): boolean {
  const key = state.key(header.key)!;
  return key.alg === block.alg && verifySignature(headerSignature(block, key));
}
