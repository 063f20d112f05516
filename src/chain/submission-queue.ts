import { appendTo } from "../bytes/lists.ts";
import { MAX_BLOCK_TRANSACTIONS } from "../block/limits.ts";
import type { TransactionWithEntries } from "../block/transaction.ts";
import type { NamedBlob, StateChange } from "../storage/types.ts";
import type { PreparedTransaction } from "./prepare.ts";
import { TransactionRefused, type DurablePlace, type SubmissionState } from "./submission.ts";

/** Writes that become durable together with a transaction's block, or before it. */
export interface SubmissionWrites {
  readonly blobs?: readonly NamedBlob[];
  readonly state?: readonly StateChange[];
  /** Becomes durable together with the block, never before it. */
  readonly withBlock?: readonly StateChange[];
  /** Milliseconds to wait for the block, where the entries are kept in an outbox meanwhile. Default: as opened. */
  readonly patience?: number;
}

/** All changes of state that become durable with a block at the latest. */
export const changesOf = ({ state = [], withBlock = [] }: SubmissionWrites): StateChange[] => [
  ...state,
  ...withBlock,
];

/** A transaction that was submitted, with its writes. */
export interface Pending {
  readonly prepared: PreparedTransaction;
  readonly writes: SubmissionWrites;
  readonly bytes: number;
  /** Resolves or rejects once it is settled. */
  readonly durable: Promise<DurablePlace>;
  state: SubmissionState;
}

/** Transactions that wait for a block, in order, and the bytes of all that are not settled. */
export interface SubmissionQueue {
  /** Number of transactions that wait. */
  readonly length: number;
  /** Whether the bytes exceed the limit. */
  readonly isFull: boolean;
  add(prepared: PreparedTransaction, writes: SubmissionWrites): Pending;
  /**
   * Moves transactions that fit in a block and the storage's limits from the queue to the end of
   * the batch, in order.
   */
  fill(batch: Pending[]): void;
  /** Puts transactions of a batch in front again. */
  putBack(pending: readonly Pending[]): void;
  /** Takes out those that are in a batch. */
  takeOut(batch: readonly Pending[]): void;
  succeed(pending: Pending, place: DurablePlace): void;
  fail(pending: Pending, error: unknown): void;
  /** Resolves when there is room. */
  ready(): Promise<void>;
  /** Wakes those who wait for room, if there is some. */
  wake(): void;
}

/** Bytes that one transaction takes in a block in addition to its entries. */
const TRANSACTION_OVERHEAD = 1024;

/**
 * Makes an empty queue.
 *
 * @param limits.queueBytes - bytes beyond which it is full
 * @param limits.blockBytes - most bytes in one batch
 * @param limits.changes - most blobs and changes of the state in one batch
 */
export function submissionQueue(limits: {
  readonly queueBytes: number;
  readonly blockBytes: number;
  readonly changes: number;
}): SubmissionQueue {
  let queue: Pending[] = [];
  let queuedBytes = 0;
  let waiting: (() => void)[] = [];
  const settlers = new WeakMap<
    Pending,
    { resolve(place: DurablePlace): void; reject(error: unknown): void }
  >();

  function settle(pending: Pending, state: SubmissionState): void {
    pending.state = state;
    queuedBytes -= pending.bytes;
  }

  return {
    get length() {
      return queue.length;
    },
    get isFull() {
      return queuedBytes > limits.queueBytes;
    },
    add(prepared, writes) {
      let settler: { resolve(place: DurablePlace): void; reject(error: unknown): void };
      const durable = new Promise<DurablePlace>((resolve, reject) => {
        settler = { resolve, reject };
      });
      const bytes = sizeOf(prepared.signed, writes);
      const pending: Pending = { prepared, writes, bytes, durable, state: "queued" };
      settlers.set(pending, settler!);
      queue.push(pending);
      queuedBytes += bytes;
      return pending;
    },
    fill(batch) {
      let bytes = 0;
      let changes = 0;
      const fits = ({ bytes: own, writes }: Pending): boolean => {
        const { blobs = [], state = [], withBlock = [] } = writes;
        bytes += own + TRANSACTION_OVERHEAD;
        changes += blobs.length + state.length + withBlock.length;
        return bytes <= limits.blockBytes && changes <= limits.changes;
      };
      for (const pending of batch) fits(pending);
      let count = 0;
      while (count < queue.length && batch.length + count < MAX_BLOCK_TRANSACTIONS) {
        if (!fits(queue[count]!) && batch.length + count > 0) break;
        count++;
      }
      appendTo(batch, queue.slice(0, count));
      queue = queue.slice(count);
    },
    putBack(pending) {
      queue = [...pending, ...queue];
    },
    takeOut(batch) {
      const held = new Set(batch);
      queue = queue.filter((pending) => !held.has(pending));
    },
    succeed(pending, place) {
      if (pending.state !== "queued") return;
      settle(pending, "durable");
      settlers.get(pending)!.resolve(place);
    },
    fail(pending, error) {
      if (pending.state !== "queued") return;
      settle(pending, error instanceof TransactionRefused ? "refused" : "unknown");
      settlers.get(pending)!.reject(error);
    },
    ready() {
      if (queuedBytes <= limits.queueBytes) return Promise.resolve();
      return new Promise((resolve) => waiting.push(resolve));
    },
    wake() {
      if (queuedBytes > limits.queueBytes) return;
      const woken = waiting;
      waiting = [];
      for (const resolve of woken) resolve();
    },
  };
}

/** Bytes of a transaction and its writes. */
export function sizeOf(signed: TransactionWithEntries, writes: SubmissionWrites): number {
  const { blobs = [] } = writes;
  let bytes = signed.tx.length;
  for (const entry of signed.entries) bytes += entry.length;
  for (const blob of blobs) bytes += blob.bytes.length;
  for (const { key, value } of changesOf(writes)) bytes += key.length + (value?.length ?? 0);
  return bytes;
}
