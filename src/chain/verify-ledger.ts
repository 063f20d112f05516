import type { CID } from "multiformats/cid";
import { equalBytes } from "../bytes/compare.ts";
import { decodeGenesis, ledgerId } from "../block/genesis.ts";
import { EncodingError, InputError } from "../errors.ts";
import {
  appendLeaf,
  emptyFrontier,
  frontierRoot,
  samePeaks,
  type Frontier,
} from "../merkle/frontier.ts";
import { EMPTY_ROOT, leafHash } from "../merkle/hash.ts";
import { EMPTY_MAP } from "../merkle/map-node.ts";
import type { ChainRecord, ChainStore, StateStore } from "../storage/types.ts";
import { checkBlock, emptyTip, readBlock, tipAfter } from "./apply-block.ts";
import { decodeBlockRecord } from "./block-record.ts";
import { openDerived } from "./derived.ts";
import { blocksChain } from "./chain.ts";
import { readCheckpoint } from "./checkpoint-note.ts";
import { genesisState } from "./genesis-state.ts";
import type { KindRule } from "./kind-rule.ts";
import { openState, type LedgerState } from "./ledger-state.ts";
import type { Refusal } from "./refusal.ts";
import {
  judgeCheckpoint,
  trustFromGenesis,
  withPolicy,
  type Trust,
  type TrustReason,
} from "./trust.ts";

/** A ledger that was checked from its genesis on, block by block. */
export interface VerifiedLedger {
  /** Number of blocks. */
  readonly size: number;
  readonly transactions: number;
  readonly entries: number;
  /** RFC 6962 root over the headers. */
  readonly root: Uint8Array;
  /** Root of the state after the last block. */
  readonly state: Uint8Array;
  /** Who cosigned the checkpoint, where one was given. */
  readonly validators: readonly string[];
  readonly witnesses: readonly string[];
}

/** The first thing that is wrong. */
export interface LedgerFault {
  readonly reason:
    Refusal | TrustReason | "checkpoint-beyond-the-ledger" | "checkpoint-root-mismatch";
  /** Height of the block; absent when the checkpoint itself is wrong. */
  readonly height?: number;
  readonly transaction?: number;
  readonly entry?: number;
}

export type VerifyLedgerResult =
  ({ readonly ok: true } & VerifiedLedger) | ({ readonly ok: false } & LedgerFault);

export interface VerifyLedgerOptions {
  readonly genesis: Uint8Array;
  /** A signed checkpoint that the ledger must reach or extend. */
  readonly checkpoint?: Uint8Array;
  /** What is known of the ledger: where it has a root, the ledger must reach or extend that. */
  readonly trust?: Trust;
  readonly kinds?: readonly KindRule[];
  /**
   * Where nodes of the state go that are not needed for now, so that memory is bounded whatever the
   * ledger: some 60 MB. It is written to, and may be thrown away afterwards; the state store of an
   * opened ledger can be given, which holds the same nodes. Nothing read from it is believed.
   */
  readonly scratch?: StateStore;
  /**
   * Most values of the state that are held in memory where there is no `scratch`: one for every key,
   * member and lane that ever was on the ledger, some 2 kB each. Default 250,000.
   */
  readonly maxState?: number;
  /** Told after each block; `total` where it is known. */
  readonly onProgress?: (progress: { readonly done: number; readonly total?: number }) => void;
  readonly signal?: AbortSignal;
}

/** A block with, where it comes from a store, the peaks stored beside it. */
interface BlockToVerify {
  readonly block: Uint8Array;
  readonly peaks?: readonly Uint8Array[];
}

/**
 * Checks blocks against everything: form, signatures, roots, rules, and the checkpoint.
 *
 * @param blocks - encoded blocks in height order
 * @returns the first wrong block, transaction or entry with the reason, or what was verified
 * @throws {EncodingError} or {ChainError} when the genesis record is none
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` when the state is beyond `maxState`, and there is no
 *   `scratch`
 */
export function verifyBlocks(
  blocks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: VerifyLedgerOptions,
): Promise<VerifyLedgerResult> {
  async function* wrapped(): AsyncIterable<BlockToVerify> {
    for await (const block of blocks) yield { block };
  }
  return verify(wrapped(), undefined, options);
}

/**
 * Checks a ledger in a store, as {@link verifyBlocks} does, and what the store keeps beside it.
 */
export async function verifyLedger(
  chains: ChainStore,
  options: VerifyLedgerOptions,
): Promise<VerifyLedgerResult> {
  const name = blocksChain(ledgerId(options.genesis));
  const { size } = await chains.head(name);
  return verifyRecords(chains.read(name, { from: 0, limit: size }), size, options);
}

/**
 * Checks the first `size` records of a chain of blocks as {@link verifyLedger} does. Asks for the
 * next record only when all before it are right.
 */
export function verifyRecords(
  records: AsyncIterable<ChainRecord>,
  size: number,
  options: VerifyLedgerOptions,
): Promise<VerifyLedgerResult> {
  async function* blocks(): AsyncIterable<BlockToVerify | undefined> {
    for await (const { record } of records) yield readRecord(record);
  }
  return verify(blocks(), size, options);
}

async function verify(
  blocks: AsyncIterable<BlockToVerify | undefined>,
  total: number | undefined,
  options: VerifyLedgerOptions,
): Promise<VerifyLedgerResult> {
  const { genesis, checkpoint, trust, signal, onProgress } = options;
  const ledger = ledgerId(genesis);
  if (trust?.ledger.equals(ledger) === false) return { ok: false, reason: "other-ledger" };
  const rules = new Map((options.kinds ?? []).map((rule) => [rule.name, rule]));
  const { state, moveOn } = boundedState(ledger, options);
  const founded = genesisState(decodeGenesis(genesis));
  await state.load([...founded.keys()]);
  await moveOn(founded);

  const judged = checkpoint === undefined ? undefined : judgeOpening(checkpoint, genesis);
  let tip = emptyTip(ledger);
  let frontier: Frontier = emptyFrontier;
  let transactions = 0;
  let entries = 0;
  let cosigned: { readonly validators: readonly string[]; readonly witnesses: readonly string[] } =
    {
      validators: [],
      witnesses: [],
    };
  if (judged?.ok === true && judged.size === 0) {
    const verdict = judgeCheckpoint(checkpoint!, trustFromGenesis(genesis));
    if (!verdict.ok) return verdict;
    if (!equalBytes(judged.root, frontierRoot(frontier))) {
      return { ok: false, reason: "checkpoint-root-mismatch" };
    }
    cosigned = { validators: verdict.validators, witnesses: verdict.witnesses };
  }
  if (trust?.root !== undefined && trust.size === 0 && !equalBytes(trust.root, EMPTY_ROOT)) {
    return { ok: false, reason: "not-an-extension" };
  }
  for await (const item of blocks) {
    signal?.throwIfAborted();
    const height = tip.size;
    const block = item === undefined ? undefined : readBlock(item.block);
    if (item === undefined || block === undefined)
      return { ok: false, height, reason: "malformed" };
    const result = await checkBlock(block, tip, state, rules);
    if (!result.ok) return { ...result, height };
    if (judged?.ok === true && judged.size === height + 1) {
      const { checkpointKeys, cosignaturePolicy } = state.policy();
      const policy = { checkpointKeys, cosignaturePolicy };
      const then = withPolicy(trustFromGenesis(genesis), policy, height);
      const verdict = judgeCheckpoint(checkpoint!, then);
      if (!verdict.ok) return verdict;
      cosigned = { validators: verdict.validators, witnesses: verdict.witnesses };
    }
    await moveOn(result.changes);
    frontier = appendLeaf(frontier, leafHash(block.header)).frontier;
    tip = tipAfter(block.header, result.header);
    if (item.peaks !== undefined && !samePeaks(item.peaks, frontier.peaks)) {
      return { ok: false, height, reason: "wrong-frontier" };
    }
    if (judged?.ok === true && judged.size === tip.size) {
      if (!equalBytes(judged.root, frontierRoot(frontier))) {
        return { ok: false, height, reason: "checkpoint-root-mismatch" };
      }
    }
    if (trust?.root !== undefined && trust.size === tip.size) {
      if (!equalBytes(trust.root, frontierRoot(frontier))) {
        return { ok: false, height, reason: "not-an-extension" };
      }
    }
    transactions += result.transactions.length;
    for (const { kinds } of result.transactions) entries += kinds.length;
    onProgress?.({ done: tip.size, ...(total === undefined ? {} : { total }) });
  }
  if (total !== undefined && tip.size < total) {
    return { ok: false, height: tip.size, reason: "missing" };
  }
  if (trust !== undefined && trust.size > tip.size) {
    return { ok: false, reason: "older-than-trusted" };
  }
  if (judged !== undefined) {
    if (!judged.ok) return judged;
    if (judged.size > tip.size) return { ok: false, reason: "checkpoint-beyond-the-ledger" };
  }
  return {
    ok: true,
    size: tip.size,
    transactions,
    entries,
    root: frontierRoot(frontier),
    state: state.root,
    ...cosigned,
  };
}

/** Values of the state in memory, at some 2 kB, beyond which a scratch store is asked for. */
const MAX_STATE = 250_000;

interface BoundedState {
  readonly state: LedgerState;
  /** Applies the changes of a block, whose keys are loaded. */
  moveOn(changes: ReadonlyMap<string, Uint8Array | null>): Promise<void>;
}

/** The state of a ledger under verification: in a scratch store, or in memory up to a limit. */
function boundedState(
  ledger: CID,
  { scratch, maxState = MAX_STATE }: VerifyLedgerOptions,
): BoundedState {
  if (scratch !== undefined) {
    const kept = openDerived(scratch, ledger);
    const state = openState(EMPTY_MAP, kept.stateNodes);
    return {
      state,
      async moveOn(changes) {
        kept.addState(state.apply(changes));
        if (kept.isFull) await kept.flush();
      },
    };
  }
  const state = openState(EMPTY_MAP);
  let held = 0;
  return {
    state,
    async moveOn(changes) {
      for (const [key, value] of changes) {
        held += Number(value !== null) - Number(state.get(key) !== undefined);
      }
      if (held > maxState) {
        throw new InputError(
          "ERR_INPUT_TOO_LARGE",
          `the ledger's state has more than ${maxState} values: give a scratch store, or a higher maxState`,
        );
      }
      state.apply(changes);
    },
  };
}

/** Reads what the checkpoint claims; whose signatures it needs is judged at its own height. */
function judgeOpening(
  checkpoint: Uint8Array,
  genesis: Uint8Array,
):
  | { readonly ok: true; readonly size: number; readonly root: Uint8Array }
  | { readonly ok: false; readonly reason: TrustReason } {
  const claimed = readCheckpoint(checkpoint);
  if (claimed === undefined) return { ok: false, reason: "bad-checkpoint" };
  if (claimed.origin !== decodeGenesis(genesis).origin)
    return { ok: false, reason: "other-origin" };
  return { ok: true, size: claimed.size, root: claimed.root };
}

function readRecord(record: Uint8Array): BlockToVerify | undefined {
  try {
    return decodeBlockRecord(record);
  } catch (error) {
    if (error instanceof EncodingError) return undefined;
    throw error;
  }
}
