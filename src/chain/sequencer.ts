import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { toHex } from "../bytes/hex.ts";
import { MAX_BLOCK_BYTES } from "../block/limits.ts";
import type { TransactionWithEntries } from "../block/transaction.ts";
import { ChainError } from "../errors.ts";
import type { Signer } from "../identity/signer.ts";
import { AppendConflict } from "../storage/errors.ts";
import { afterWriting, createPatience, platformTimers, type Timers } from "../storage/settle.ts";
import type { StateChange, StorageAdapter } from "../storage/types.ts";
import { loadForRules, untilLoaded, type AppliedBlock } from "./apply-block.ts";
import { admitCandidates, assertMayPropose, buildBlock } from "./build-block.ts";
import type { AppendableChain } from "./chain.ts";
import type { Checkpointer } from "./checkpointer.ts";
import { checkedClock } from "./clock.ts";
import { commitBlock, completeCommit, type BlockCommit } from "./commit-block.ts";
import { coveringCheckpoints } from "./covering-checkpoint.ts";
import { isSameTransaction } from "./derived.ts";
import { isRefused, prepareTransaction, type PreparedTransaction } from "./prepare.ts";
import type { Refused } from "./refusal.ts";
import { signatureChecks } from "./signature-checks.ts";
import {
  changesOf,
  submissionQueue,
  type Pending,
  type SubmissionWrites,
} from "./submission-queue.ts";
import { TransactionRefused, type DurablePlace, type Submission } from "./submission.ts";

export type { SubmissionWrites };

export interface SequencerOptions {
  readonly chain: AppendableChain;
  readonly storage: StorageAdapter;
  /** Signs headers; its actor must be a member with the role `sequencer`. */
  readonly signer: Signer;
  /** Clock, in ms since 1970. */
  readonly now: () => number;
  /** Signs checkpoints; needed for {@link Submission.checkpointed}. */
  readonly checkpointer?: Checkpointer;
  /**
   * Awaited before each of the next 8 blocks after a lost race for the head; never called if no
   * other process appends. A backoff of a random time, of the order of an append's, gives
   * precedence to sequencers that still have to read the newest block. Default: no backoff.
   */
  readonly backoff?: () => Promise<void>;
  /**
   * Milliseconds for which a write without an answer is retried, and an append that the store
   * refuses although the head has not moved. Default 10,000.
   */
  readonly settleWithin?: number;
  /** Bytes of entries and blobs in memory beyond which `submit` refuses. Default 64 MiB. */
  readonly maxQueueBytes?: number;
  /** Most bytes of entries and blobs in one block. Default 8 MiB. */
  readonly maxBlockBytes?: number;
  /** Clock and waits of what is retried. Default: the platform's. */
  readonly timers?: Timers;
}

/** Orders transactions into blocks: one signature and one sync for all waiting transactions. */
export interface Sequencer {
  /**
   * Queues a transaction. Submitting a transaction that is already queued or recorded returns its
   * place.
   *
   * @param signed - its entries are borrowed until it is durable
   * @throws {ChainError} `ERR_CHAIN_BUSY` when the queue is full: await {@link ready} and submit
   *   again; `ERR_CHAIN_CLOSED`
   * @throws {TransactionRefused} when no state of the ledger could admit it
   */
  submit(signed: TransactionWithEntries, writes?: SubmissionWrites): Submission;
  /** Resolves when the queue has room. */
  ready(): Promise<void>;
  /** Appends a block without transactions, so that the newest state can be proved. */
  seal(): Promise<DurablePlace>;
  /** Resolves when every queued transaction is settled. */
  idle(): Promise<void>;
  /**
   * The highest sequence number of a lane among transactions that wait since before this process began, if
   * any do.
   */
  lastWaiting?(key: Uint8Array, lane: number): number | undefined;
  /** What was submitted, also before this process began, and is neither on the ledger nor refused. */
  waiting?(): readonly WaitingEntries[];
  /** Settles the queue, then refuses further transactions. The chain and storage stay open. */
  close(): Promise<void>;
}

/** The entries of a transaction that waits to be recorded. */
export interface WaitingEntries {
  /** Borrowed; the same objects in each call. */
  readonly entries: readonly Uint8Array[];
  /**
   * Waits until they are recorded; also resolves if they no longer wait.
   *
   * @throws {ChainError} `ERR_CHAIN_PENDING` when they wait for too long
   * @throws {TransactionRefused}
   */
  settled(): Promise<void>;
}

interface Assembled {
  readonly batch: readonly Pending[];
  readonly applied: AppliedBlock;
  readonly header: Uint8Array;
  readonly commit: BlockCommit;
  readonly derived: readonly StateChange[];
}

/**
 * Longest time in ms for which a block is rebuilt because other sequencers were faster each time.
 */
const RACE_WITHIN = 60_000;
/** Number of blocks to back off before, after a lost race. */
const BACKOFF_BLOCKS = 8;
const CREATE_SEQUENCER_OPTIONS: OptionsOf<SequencerOptions> = {
  ...{ chain: true, storage: true, signer: true, now: true, checkpointer: true, backoff: true },
  ...{ settleWithin: true, maxQueueBytes: true, maxBlockBytes: true, timers: true },
};

/**
 * Starts a sequencer over a chain. Several sequencers, in several processes, may share one store.
 *
 * @example
 * const sequencer = createSequencer({ chain, storage, signer, now: () => Date.now() });
 * await sequencer.submit(transaction).durable;
 * await sequencer.close();
 */
export function createSequencer(options: SequencerOptions): Sequencer {
  assertOptions(options, CREATE_SEQUENCER_OPTIONS, "createSequencer");
  const { chain, storage, signer } = options;
  const now = checkedClock(options.now);
  const { timers = platformTimers } = options;
  const within = {
    ...{ timers },
    ...(options.settleWithin === undefined ? {} : { within: options.settleWithin }),
  };
  const unending = new AbortController().signal;
  const queue = submissionQueue({
    queueBytes: options.maxQueueBytes ?? 64 * 1024 * 1024,
    blockBytes: Math.min(options.maxBlockBytes ?? 8 * 1024 * 1024, MAX_BLOCK_BYTES / 2),
    // Half of what the storage accepts in one call, because derived data are written with the block.
    changes: (storage.chains?.caps.maxBatch ?? Infinity) / 2 - 1,
  });
  // Keyed by transaction and signature: otherwise a copy with an invalid signature would be taken
  // for the valid one.
  const byLeaf = new Map<string, Submission>();
  const checks = signatureChecks();
  let sealers: { resolve(place: DurablePlace): void; reject(error: unknown): void }[] = [];
  let running: Promise<void> | undefined;
  let closed = false;
  /** Height of the block built last. */
  let builtOn = 0;
  /** Number of blocks still to back off before. */
  let backoffs = 0;
  /** Recorded transactions whose submitters do not know it yet. */
  let untold: (readonly [Pending, DurablePlace])[] = [];
  const covering = coveringCheckpoints(options.checkpointer);

  function submit(signed: TransactionWithEntries, writes: SubmissionWrites = {}): Submission {
    if (closed) throw new ChainError("ERR_CHAIN_CLOSED", "the sequencer is closed");
    if (queue.isFull) {
      throw new ChainError("ERR_CHAIN_BUSY", "the queue is full; await ready() and submit again");
    }
    const prepared = prepareTransaction(signed, chain.ledger, chain.rules);
    if (isRefused(prepared)) throw new TransactionRefused(prepared);
    const known = byLeaf.get(toHex(prepared.leaf));
    if (known !== undefined) return known;
    // Signatures are checked while the last block is being flushed.
    const key = chain.state.key(prepared.transaction.key);
    if (key !== undefined) checks.check(prepared, key, running !== undefined);
    return enqueue(prepared, writes);
  }

  function enqueue(prepared: PreparedTransaction, writes: SubmissionWrites): Submission {
    const pending = queue.add(prepared, writes);
    const { durable } = pending;
    const submission: Submission = {
      hash: prepared.hash,
      durable,
      get state() {
        return pending.state;
      },
      async checkpointed() {
        const place = await durable;
        const { note, witnessed } = await covering(place.height);
        if (pending.state !== "witnessed") pending.state = witnessed ? "witnessed" : "checkpointed";
        return { ...place, checkpoint: note, witnessed };
      },
    };
    const id = toHex(prepared.leaf);
    byLeaf.set(id, submission);
    const forget = () => void byLeaf.delete(id);
    durable.then(forget, forget);
    start();
    return submission;
  }

  function start(): void {
    running ??= Promise.resolve()
      .then(run)
      .finally(() => {
        running = undefined;
        if (queue.length > 0 || sealers.length > 0) start();
      });
  }

  async function run(): Promise<void> {
    while (queue.length > 0 || sealers.length > 0) {
      if (backoffs > 0 && options.backoff !== undefined) {
        backoffs--;
        await options.backoff().catch(() => undefined);
      }
      const batch: Pending[] = [];
      queue.fill(batch);
      const seals = sealers;
      sealers = [];
      try {
        const height = await commitBatch(batch, seals.length > 0);
        for (const { resolve } of seals) resolve({ height: height!, transaction: 0 });
      } catch (error) {
        for (const pending of batch) queue.fail(pending, error);
        for (const { reject } of seals) reject(error);
      }
      if (queue.length > 0 || sealers.length > 0) void timers.sleep(0, unending).then(tell);
      else tell();
      queue.wake();
    }
  }

  /**
   * Records a batch. If another sequencer was faster, retries at the new head, together with all
   * transactions queued meanwhile, so that they need not win a race of their own.
   *
   * @throws {AppendConflict} when the races are not won in time
   */
  async function commitBatch(batch: Pending[], evenIfEmpty: boolean): Promise<number | undefined> {
    const race = createPatience({ timers, within: RACE_WITHIN, longest: 1 });
    // If a store reports conflicts while its head does not move, retrying fast gains nothing.
    const standstill = createPatience({ ...within, longest: 100 });
    for (;;) {
      try {
        return await chain.exclusively(() => record(batch, evenIfEmpty));
      } catch (error) {
        if (!(error instanceof AppendConflict)) throw error;
        backoffs = BACKOFF_BLOCKS;
        await chain.refresh();
        const isRace = chain.size > builtOn;
        if (isRace) standstill.renew();
        if (!(await (isRace ? race : standstill).pause())) throw error;
        // Transactions put back for the next block are still in the batch.
        queue.takeOut(batch);
        queue.fill(batch);
      }
    }
  }

  /**
   * Builds the next block and makes it durable; returns its height, or `undefined` if there was
   * nothing to record.
   */
  async function record(
    batch: readonly Pending[],
    evenIfEmpty: boolean,
  ): Promise<number | undefined> {
    const rest = batch.filter(({ state }) => state === "queued");
    const assembled = await assemble(rest, evenIfEmpty);
    if (assembled === undefined) return undefined;
    const { height } = assembled.applied.header;
    const committing = commitBlock(storage, assembled.commit, within);
    tell();
    const head = await committing;
    chain.advance(assembled.applied, assembled.header, head);
    chain.derived.written(assembled.derived);
    for (const [transaction, pending] of assembled.batch.entries()) {
      untold.push([pending, { height, transaction }]);
    }
    return height;
  }

  /**
   * Tells submitters about their places: as soon as the next block is handed to the storage, so that
   * what they do next overlaps its flush, and at the latest when the event loop has turned.
   */
  function tell(): void {
    const told = untold;
    untold = [];
    for (const [pending, place] of told) queue.succeed(pending, place);
    queue.wake();
  }

  /**
   * Builds the next block from the transactions that the rules admit now, and settles the others
   * one by one.
   */
  async function assemble(
    batch: readonly Pending[],
    evenIfEmpty: boolean,
  ): Promise<Assembled | undefined> {
    const { ledger, rules, state, tip } = chain;
    builtOn = tip.size;
    const proposer = { proposer: signer.actor, key: signer.key };
    const transactions = batch.map(({ prepared }) => prepared);
    await checks.done(transactions);
    const load = (further?: Iterable<string>) =>
      loadForRules(state, transactions, proposer, further);
    await load();
    const base = { ledger, rules, state, tip };
    assertMayPropose(base, proposer);
    const clock = now();
    const admission = await untilLoaded(load, (unread) =>
      admitCandidates(batch, base, { clock, verdicts: checks, unread }),
    );
    queue.putBack([...admission.duplicates.toReversed(), ...admission.postponed]);
    for (const { candidate, refusal } of admission.refused) await turnAway(candidate, refusal);
    const { admitted } = admission;
    if (admitted.length === 0 && !evenIfEmpty) return undefined;
    const stateRoot = state.root;
    const { applied, header, block } = await buildBlock(admission, base, { signer, stateRoot });
    await chain.flushDerived();
    const derived = chain.derived.pending();
    return {
      batch: admitted,
      applied,
      header,
      commit: {
        append: {
          chain: chain.chainName,
          expected: chain.head,
          records: [chain.recordFor(header, block)],
        },
        blobs: admitted.flatMap(({ writes }) => writes.blobs ?? []),
        state: [...derived, ...admitted.flatMap(({ writes }) => changesOf(writes))],
      },
      derived,
    };
  }

  async function turnAway(pending: Pending, refusal: Refused): Promise<void> {
    if (refusal.reason !== "replayed-sequence") {
      queue.fail(pending, new TransactionRefused(refusal));
      return;
    }
    // It may already be recorded, whatever the store answers now.
    await afterWriting(() => completeIfRecorded(pending)).catch((error: unknown) =>
      queue.fail(pending, error),
    );
  }

  /** Settles a replayed transaction with its place if it is already on the ledger. */
  async function completeIfRecorded(pending: Pending): Promise<void> {
    const { key, lane, seq } = pending.prepared.transaction;
    const place = await chain.findTransaction(key, lane, seq);
    if (place !== undefined && isSameTransaction(place, pending.prepared.hash)) {
      const { blobs = [] } = pending.writes;
      await completeCommit(storage, { blobs, state: changesOf(pending.writes) });
      queue.succeed(pending, { height: place.height, transaction: place.transaction });
    } else {
      queue.fail(pending, new TransactionRefused({ reason: "replayed-sequence" }));
    }
  }

  async function idle(): Promise<void> {
    while (running !== undefined) await running;
  }

  return {
    submit,
    ready: () => queue.ready(),
    seal() {
      return new Promise<DurablePlace>((resolve, reject) => {
        if (closed) throw new ChainError("ERR_CHAIN_CLOSED", "the sequencer is closed");
        sealers.push({ resolve, reject });
        start();
      });
    },
    idle,
    async close() {
      closed = true;
      await idle();
    },
  };
}
