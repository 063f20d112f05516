import { toHex } from "../../bytes/hex.ts";
import { equalBytes } from "../../bytes/compare.ts";
import type { AcceptedCheckpoint } from "../../chain/checkpoints.ts";
import { isRefused, prepareTransaction, type PreparedTransaction } from "../../chain/prepare.ts";
import type { Sequencer } from "../../chain/sequencer.ts";
import { sizeOf, type SubmissionWrites } from "../../chain/submission-queue.ts";
import {
  TransactionRefused,
  type DurablePlace,
  type Submission,
  type SubmissionState,
} from "../../chain/submission.ts";
import { ChainError, TransportError } from "../../errors.ts";
import { forkedError } from "../../chain/known-forks.ts";
import { PeerBusy, PeerForked } from "../../transport/errors.ts";
import type { Caller, Waiting } from "./outbox.ts";
import type { RemoteOptions } from "./remote-options.ts";
import { createSettling } from "./settling.ts";

/** Hands transactions to another organisation's sequencer, through the outbox. */
export interface RemoteSequencer extends Sequencer {
  /** Begins to send, and to follow the home. */
  start(): void;
  dismiss(id: string): Promise<void>;
}

/** Most bytes of transactions that are written, and that are sent, at once. */
const SENT_TOGETHER = 512 * 1024;
const QUEUE_BYTES: number = 64 * 1024 * 1024;
const WRITTEN_TOGETHER = 64;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;
/** Milliseconds between two looks whether the operator has decided which history stands. */
const FROZEN_PAUSE = 60_000;
/** Milliseconds after which the home is asked again for what it said is recorded. */
const ASK_AGAIN = 30_000;
const LONGEST_WAIT = 25;

interface Incoming {
  readonly prepared: PreparedTransaction;
  readonly writes: SubmissionWrites;
  readonly bytes: number;
  readonly caller: Caller;
}

/** Starts without sending anything. */
export function createRemoteSequencer(options: RemoteOptions): RemoteSequencer {
  const { context, outbox, replica, home, onFault, patience, elapsed, sleep } = options;
  const { chain, now } = context;
  const closing = new AbortController();
  const { signal } = closing;
  const submissions = new Map<string, Submission>();
  let incoming: Incoming[] = [];
  let bytes = 0;
  const room: (() => void)[] = [];
  let writing: Promise<void> | undefined;
  let running: Promise<unknown> = Promise.resolve();
  let wake = (): void => undefined;
  let wakeFetching = (): void => undefined;

  signal.addEventListener("abort", () => {
    wake();
    wakeFetching();
  });

  const settling = createSettling(options, {
    sync: () => replica.sync({ signal }),
    finish,
  });

  let arrived: Waiting[] = [];
  let arriving: Promise<void> | undefined;
  outbox.onArrival = (item) => {
    arrived.push(item);
    arriving ??= finishArrived().finally(() => (arriving = undefined));
  };

  /** Waits until a checkpoint that is given out covers what is about to be appended. */
  async function finishArrived(): Promise<void> {
    while (arrived.length > 0) {
      try {
        await replica.grown(arrived[0]!.place!.height, signal);
      } catch {
        // The replica is closed.
        return;
      }
      if (signal.aborted) return;
      const { size } = replica.newest!;
      const here = arrived.filter(({ place }) => place!.height < size);
      arrived = arrived.filter(({ place }) => place!.height >= size);
      for (const item of here) finish(item);
    }
  }

  /** Tells the caller of an item that its block is here. */
  function finish(item: Waiting): void {
    outbox.forget(item);
    for (const caller of item.callers ?? []) caller.resolve(item.place!);
    delete item.callers;
    wake();
  }

  function submit(
    signed: PreparedTransaction["signed"],
    writes: SubmissionWrites = {},
  ): Submission {
    if (signal.aborted) throw new ChainError("ERR_CHAIN_CLOSED", "the sequencer is closed");
    if (replica.fork !== undefined) throw forkedError();
    if (bytes > QUEUE_BYTES) {
      throw new ChainError("ERR_CHAIN_BUSY", "the queue is full; await ready() and submit again");
    }
    const prepared = prepareTransaction(signed, chain.ledger, chain.rules);
    if (isRefused(prepared)) throw new TransactionRefused(prepared);
    const id = toHex(prepared.leaf);
    const known = submissions.get(id);
    if (known !== undefined) return known;
    let state: SubmissionState = "queued";
    const durable = new Promise<DurablePlace>((resolve, reject) => {
      const size = sizeOf(signed, writes);
      bytes += size;
      incoming.push({ prepared, writes, bytes: size, caller: { resolve, reject } });
    });
    durable.then(
      () => (state = "witnessed"),
      (error: unknown) => (state = error instanceof TransactionRefused ? "refused" : "unknown"),
    );
    const submission: Submission = {
      hash: prepared.hash,
      durable,
      get state() {
        return state;
      },
      async checkpointed() {
        const place = await durable;
        const { note } = replica.newest as AcceptedCheckpoint;
        return { ...place, checkpoint: note, witnessed: true };
      },
    };
    submissions.set(id, submission);
    const drop = (): void => void submissions.delete(id);
    durable.then(drop, drop);
    writing ??= writeAll().finally(() => (writing = undefined));
    return submission;
  }

  /** Makes what was submitted durable, in order. */
  async function writeAll(): Promise<void> {
    await Promise.resolve();
    while (incoming.length > 0) {
      const some = incoming.slice(0, WRITTEN_TOGETHER);
      const most = some.findIndex((_, i) => sum(some.slice(0, i + 1)) > SENT_TOGETHER);
      const taken = most < 1 ? (most === 0 ? some.slice(0, 1) : some) : some.slice(0, most);
      incoming = incoming.slice(taken.length);
      try {
        const added = await outbox.add(taken, now());
        for (const [i, item] of added.entries()) {
          const { caller, writes } = taken[i]!;
          awaitBlock(item, caller, writes.patience);
        }
        wake();
      } catch (error) {
        for (const { caller } of taken) caller.reject(error);
      }
      bytes -= sum(taken);
      for (const resume of room.splice(0)) resume();
    }
  }

  /** Lets a caller wait for the block, and then know that the transaction is kept. */
  function awaitBlock(item: Waiting, caller: Caller, within = patience): void {
    const settled = new AbortController();
    const own: Caller = {
      resolve(place) {
        settled.abort();
        caller.resolve(place);
      },
      reject(error) {
        settled.abort();
        caller.reject(error);
      },
    };
    const callers = (item.callers ??= new Set());
    callers.add(own);
    void sleep(within, AbortSignal.any([settled.signal, signal])).then(() => {
      // Whoever took it from the item answers.
      if (settled.signal.aborted || item.callers !== callers) return;
      callers.delete(own);
      if (callers.size === 0) delete item.callers;
      caller.reject(
        new ChainError(
          "ERR_CHAIN_PENDING",
          "the entries are kept in the outbox and will be sent to the home until it records them",
          item.error === undefined ? {} : { cause: item.error },
        ),
      );
    });
  }

  function note(thrown: unknown, items: readonly Waiting[]): void {
    const error =
      thrown instanceof Error ? thrown : new Error("the home failed", { cause: thrown });
    for (const item of items) item.error = error;
    onFault({ did: home.did, error });
  }

  /** Those that are sent next, in order. One that is held goes alone. */
  function nextBatch(): Waiting[] {
    const batch: Waiting[] = [];
    let size = 0;
    for (const item of outbox.waiting()) {
      if (item.row.refused !== undefined || item.said || item.place) continue;
      size += sizeOf(item.row.signed, {});
      if (batch.length > 0 && (size > SENT_TOGETHER || item.held)) break;
      batch.push(item);
      if (item.held) break;
    }
    return batch;
  }

  async function send(batch: readonly Waiting[]): Promise<void> {
    await replica.forks.assertNone();
    for (const item of batch) await settling.renewOld(item);
    const outcomes = await home.submit(
      batch.map(({ row }) => row.signed),
      { signal },
    );
    replica.reached(home);
    if (outcomes.length !== batch.length) {
      throw new TransportError("ERR_TRANSPORT_MALFORMED", "not one outcome for each transaction");
    }
    for (const [i, item] of batch.entries()) {
      const outcome = outcomes[i]!;
      if (!outcome.ok) {
        await settling.refused(item, outcome);
        continue;
      }
      const { height, transaction } = outcome;
      if (![height, transaction].every((n) => Number.isSafeInteger(n) && n >= 0)) {
        throw new TransportError("ERR_TRANSPORT_MALFORMED", "a place is no place in a block");
      }
      delete item.error;
      delete item.held;
      item.said = { place: { height, transaction }, at: elapsed() };
      wakeFetching();
    }
  }

  async function sending(): Promise<void> {
    let pause = FIRST_PAUSE;
    while (!signal.aborted) {
      const batch = nextBatch();
      if (batch.length === 0) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      let wait = 0;
      try {
        await send(batch);
        if (batch.some(({ held }) => held)) wait = pause;
        else pause = FIRST_PAUSE;
      } catch (error) {
        if (signal.aborted) return;
        note(error, batch);
        const isAsked = error instanceof PeerBusy || error instanceof PeerForked;
        wait = Math.max(isAsked ? error.retryAfter : 0, pauseAfter(error, pause));
      }
      if (wait === 0) continue;
      await sleep(wait, signal);
      pause = Math.min(LONGEST_PAUSE, 2 * pause);
    }
  }

  /** Fetches the blocks that the home said it has, as soon as it signs them. */
  async function fetching(): Promise<void> {
    while (!signal.aborted) {
      const said = outbox.waiting().filter((item) => item.said && !item.place);
      if (said.length === 0) {
        await new Promise<void>((resolve) => (wakeFetching = resolve));
        continue;
      }
      try {
        // Or the home would be asked for what is not taken.
        await replica.forks.assertMayTake();
        // The first that was sent is in the first block.
        const after = said[0]!.said!.place.height;
        if (after >= chain.size) await home.checkpoint({ after, wait: LONGEST_WAIT, signal });
        await replica.sync({ signal });
        for (const item of said) {
          if (await settling.check(item)) continue;
          if (item.said && elapsed() - item.said.at > ASK_AGAIN) delete item.said;
        }
        await settling.bury();
        wake();
        if (said.some((item) => item.said && !item.place)) await sleep(FIRST_PAUSE, signal);
      } catch (error) {
        if (signal.aborted) return;
        note(error, said);
        await sleep(pauseAfter(error, FIRST_PAUSE), signal);
      }
    }
  }

  async function following(): Promise<void> {
    while (!signal.aborted) {
      try {
        await replica.follow({ signal });
      } catch (error) {
        if (signal.aborted) return;
        note(error, []);
        await sleep(pauseAfter(error, LONGEST_PAUSE), signal);
      }
    }
  }

  return {
    submit,
    ready() {
      if (bytes <= QUEUE_BYTES) return Promise.resolve();
      return new Promise((resolve) => room.push(resolve));
    },
    async seal() {
      throw new ChainError("ERR_CHAIN_READ_ONLY", "only the home appends blocks");
    },
    async idle() {
      while (submissions.size > 0) {
        await Promise.allSettled([...submissions.values()].map(({ durable }) => durable));
      }
    },
    lastWaiting(key, lane) {
      const own = outbox
        .waiting()
        .map(({ prepared }) => prepared.transaction)
        .filter((one) => one.lane === lane && equalBytes(one.key, key));
      return own.reduce<number | undefined>((most, { seq }) => Math.max(most ?? 0, seq), undefined);
    },
    waiting: () =>
      outbox
        .waiting()
        .filter(({ row }) => row.refused === undefined)
        .map((item) => ({
          entries: item.row.signed.entries,
          async settled() {
            if (!outbox.waiting().includes(item)) return;
            await new Promise<DurablePlace>((resolve, reject) =>
              awaitBlock(item, { resolve, reject }),
            );
          },
        })),
    start() {
      const begin = async (): Promise<void> => {
        for (const item of outbox.waiting()) await settling.findHere(item);
        await settling.bury();
        await Promise.all([sending(), fetching(), following()]);
      };
      running = begin();
      running.catch((error: unknown) => onFault({ did: home.did, error: error as Error }));
    },
    async dismiss(id) {
      if ((await outbox.dismiss(id)) !== undefined) await settling.bury();
    },
    async close() {
      while (writing !== undefined) await writing;
      closing.abort(new ChainError("ERR_CHAIN_CLOSED", "the ledger is closed"));
      await running.catch(() => undefined);
    },
  };
}

const pauseAfter = (error: unknown, pause: number): number =>
  error instanceof ChainError && error.code === "ERR_CHAIN_FORKED" ? FROZEN_PAUSE : pause;

const sum = (all: readonly Incoming[]): number => all.reduce((total, one) => total + one.bytes, 0);
