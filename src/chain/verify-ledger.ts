import { assertOptions, type OptionsOf } from "../bytes/options.ts";
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
import { ledgerRules, type GivenRules } from "./prepare.ts";
import { LOOK_AHEAD, lookAhead, ONE_BY_ONE } from "./look-ahead.ts";
import { openState, type LedgerState } from "./ledger-state.ts";
import type { Refusal } from "./refusal.ts";
import {
  judgeCheckpoint,
  trustFromGenesis,
  withPolicy,
  type Trust,
  type TrustReason,
} from "./trust.ts";

/** A ledger that was checked block by block from its genesis record on. */
export interface VerifiedLedger {
  /** Number of blocks. */
  readonly size: number;
  readonly transactions: number;
  readonly entries: number;
  /** RFC 6962 root over the headers. */
  readonly root: Uint8Array;
  /** Root of the state after the last block. */
  readonly state: Uint8Array;
  /** Names of the validators that cosigned the checkpoint, if one was given. */
  readonly validators: readonly string[];
  readonly witnesses: readonly string[];
}

/** The first fault found. */
export interface LedgerFault {
  readonly reason:
    Refusal | TrustReason | "checkpoint-beyond-the-ledger" | "checkpoint-root-mismatch";
  /** Height of the block; absent if the checkpoint itself is wrong. */
  readonly height?: number;
  readonly transaction?: number;
  readonly entry?: number;
}

export type VerifyLedgerResult =
  ({ readonly ok: true } & VerifiedLedger) | ({ readonly ok: false } & LedgerFault);

export interface VerifyLedgerOptions extends GivenRules {
  readonly genesis: Uint8Array;
  /** A signed checkpoint that the ledger must reach or extend. */
  readonly checkpoint?: Uint8Array;
  /** Trust in the ledger: if it has a root, the ledger must reach or extend that root. */
  readonly trust?: Trust;
  /**
   * Receives nodes of the state that are not needed at the moment, so that memory is bounded for
   * any ledger, at about 60 MB. It is written to, and may be discarded afterwards. The state store
   * of an opened ledger, which holds the same nodes, may be given. Nothing read from it is trusted.
   */
  readonly scratch?: StateStore;
  /**
   * Most values of the state held in memory without `scratch`: one for every key, member and lane
   * that the ledger ever had, about 2 kB each. Default 250,000.
   */
  readonly maxState?: number;
  /** Called after each block; `total` is present if it is known. */
  readonly onProgress?: (progress: { readonly done: number; readonly total?: number }) => void;
  readonly signal?: AbortSignal;
}

/** A block and, if it comes from a store, the peaks stored with it. */
interface BlockToVerify {
  readonly block: Uint8Array;
  readonly peaks?: readonly Uint8Array[];
}

const VERIFY_BLOCKS_OPTIONS: OptionsOf<VerifyLedgerOptions> = {
  ...{ genesis: true, checkpoint: true, trust: true, kinds: true, contracts: true, scratch: true },
  ...{ maxState: true, onProgress: true, signal: true },
};

/**
 * Checks blocks completely: structure, signatures, roots, rules, and the checkpoint.
 *
 * @param blocks - encoded blocks in height order
 * @returns the verified ledger, or the first invalid block, transaction or entry with the reason
 * @throws {EncodingError} or {ChainError} when the bytes are not a genesis record
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` when the state exceeds `maxState` and there is no
 *   `scratch`
 * @example
 * const verified = await verifyBlocks(blocks, { genesis, checkpoint });
 * if (!verified.ok) throw new Error(`block ${verified.height}: ${verified.reason}`);
 */
export function verifyBlocks(
  blocks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: VerifyLedgerOptions,
): Promise<VerifyLedgerResult> {
  assertOptions(options, VERIFY_BLOCKS_OPTIONS, "verifyBlocks");
  async function* wrapped(): AsyncIterable<BlockToVerify> {
    for await (const block of blocks) yield { block };
  }
  // One by one: the buffer of a block may be used again for the next.
  return verify(wrapped(), undefined, options, false);
}

const VERIFY_LEDGER_OPTIONS: OptionsOf<VerifyLedgerOptions> = {
  ...{ genesis: true, checkpoint: true, trust: true, kinds: true, contracts: true, scratch: true },
  ...{ maxState: true, onProgress: true, signal: true },
};

/**
 * Checks a ledger in a store as {@link verifyBlocks} does, and the data stored with its blocks. Reads
 * up to 256 blocks ahead, whose signatures are checked beside the main thread.
 *
 * @example
 * const verified = await verifyLedger(storage.chains, { genesis, checkpoint });
 * if (!verified.ok) throw new Error(`block ${verified.height}: ${verified.reason}`);
 */
export async function verifyLedger(
  chains: ChainStore,
  options: VerifyLedgerOptions,
): Promise<VerifyLedgerResult> {
  assertOptions(options, VERIFY_LEDGER_OPTIONS, "verifyLedger");
  const name = blocksChain(ledgerId(options.genesis));
  const { size } = await chains.head(name);
  return verify(readRecords(chains.read(name, { from: 0, limit: size })), size, options, true);
}

/**
 * Checks the first `size` records of a chain of blocks as {@link verifyLedger} does. Requests the
 * next record only once all records before it are valid.
 */
export function verifyRecords(
  records: AsyncIterable<ChainRecord>,
  size: number,
  options: VerifyLedgerOptions,
): Promise<VerifyLedgerResult> {
  return verify(readRecords(records), size, options, false);
}

async function* readRecords(
  records: AsyncIterable<ChainRecord>,
): AsyncIterable<BlockToVerify | undefined> {
  for await (const { record } of records) yield readRecord(record);
}

async function verify(
  blocks: AsyncIterable<BlockToVerify | undefined>,
  total: number | undefined,
  options: VerifyLedgerOptions,
  ahead: boolean,
): Promise<VerifyLedgerResult> {
  const { genesis, checkpoint, trust, signal, onProgress } = options;
  const ledger = ledgerId(genesis);
  if (trust?.ledger.equals(ledger) === false) return { ok: false, reason: "other-ledger" };
  const rules = ledgerRules(options);
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
  const read = (item: BlockToVerify | undefined) => ({
    block: item && readBlock(item.block),
    bytes: item?.block.length ?? 0,
  });
  const limits = ahead ? LOOK_AHEAD : ONE_BY_ONE;
  for await (const next of lookAhead(blocks, read, { ledger, rules, state }, limits, signal)) {
    signal?.throwIfAborted();
    const height = tip.size;
    const { item, block } = next;
    if (item === undefined || block === undefined)
      return { ok: false, height, reason: "malformed" };
    const result = await checkBlock(block, tip, state, rules, next);
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

/** Number of state values in memory, about 2 kB each, beyond which a scratch store is required. */
const MAX_STATE = 250_000;

interface BoundedState {
  readonly state: LedgerState;
  /** Applies the changes of a block; their keys must be loaded. */
  moveOn(changes: ReadonlyMap<string, Uint8Array | null>): Promise<void>;
}

/** The state of a ledger during verification: in a scratch store, or in memory up to a limit. */
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
          `the ledger's state has more than ${maxState} values: give a \`scratch\` store or a higher \`maxState\``,
        );
      }
      state.apply(changes);
    },
  };
}

/** Reads the checkpoint's claim; its signatures are verified once its own height is reached. */
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
