import type { TransactionWithEntries } from "../block/transaction.ts";
import type { Sequencer } from "../chain/sequencer.ts";
import { TransactionRefused } from "../chain/submission.ts";
import {
  ChainError,
  EncodingError,
  StorageError,
  TransportError,
  type LedgerError,
} from "../errors.ts";
import { withDeadline } from "../transport/read-body.ts";
import {
  BatchTooLarge,
  encodeOutcomes,
  MAX_SUBMITTED_BYTES,
  readSubmitted,
  SUBMIT_WAIT,
} from "../transport/submission.ts";
import type { SubmitOutcome } from "../transport/types.ts";
import { requestReader, type BodySetting } from "./request-body.ts";
import { busy, Status } from "./status.ts";

/** Most bytes of requests that are in memory, of one caller and of all. */
const HELD_OF_CALLER: number = 2 * MAX_SUBMITTED_BYTES;
const HELD_OF_ALL: number = 64 * 1024 * 1024;

/**
 * Answers requests that submit transactions.
 *
 * @param spend - counts the bytes of a request
 */
export type SubmitAnswers = (
  request: Request,
  caller: string,
  spend: (bytes: number) => void,
) => Promise<Uint8Array>;

/**
 * Makes the answers to `submit`: what became of each transaction, once that is known of all.
 */
export function submitAnswers(
  sequencer: Pick<Sequencer, "submit" | "ready">,
  setting: BodySetting,
): SubmitAnswers {
  const held = new Map<string, number>();
  let heldOfAll = 0;

  /** Counts bytes that are about to be read, so that those of many requests do not fill the memory. */
  function hold(caller: string, bytes: number): void {
    const own = (held.get(caller) ?? 0) + bytes;
    if (bytes > 0 && (own > HELD_OF_CALLER || heldOfAll + bytes > HELD_OF_ALL)) throw busy(1, 503);
    heldOfAll += bytes;
    if (own === 0) held.delete(caller);
    else held.set(caller, own);
  }

  return async (request, caller, spend) => {
    let own = 0;
    const reserve = (bytes: number): void => {
      hold(caller, bytes - own);
      own = bytes;
    };
    const reader = requestReader(request, MAX_SUBMITTED_BYTES + 4, setting);
    try {
      const transactions = await readSubmitted((length) => reader.take(length), reserve);
      spend(own);
      const outcomes = await withDeadline(
        (signal) => recordAll(sequencer, transactions, signal),
        SUBMIT_WAIT * 1000,
        setting,
        undefined,
      );
      return encodeOutcomes(transactions, outcomes);
    } catch (error) {
      reader.cancel();
      throw statusFor(error);
    } finally {
      hold(caller, -own);
    }
  };
}

/** Submits all in order, then waits for what becomes of each. */
async function recordAll(
  sequencer: Pick<Sequencer, "submit" | "ready">,
  transactions: readonly TransactionWithEntries[],
  signal: AbortSignal,
): Promise<readonly SubmitOutcome[]> {
  const outcomes: Promise<SubmitOutcome>[] = [];
  for (const transaction of transactions) {
    const outcome = outcomeOf(await submitOnceReady(sequencer, transaction, signal));
    // Awaited below, or left behind with a call that is over.
    outcome.catch(() => undefined);
    outcomes.push(outcome);
  }
  return Promise.all(outcomes);
}

type Placing = () => Promise<{ readonly height: number; readonly transaction: number }>;

async function submitOnceReady(
  sequencer: Pick<Sequencer, "submit" | "ready">,
  transaction: TransactionWithEntries,
  signal: AbortSignal,
): Promise<Placing> {
  for (;;) {
    signal.throwIfAborted();
    try {
      const { durable } = sequencer.submit(transaction);
      return () => durable;
    } catch (error) {
      if (!(error instanceof ChainError) || error.code !== "ERR_CHAIN_BUSY") {
        return () => Promise.reject(error);
      }
    }
    await sequencer.ready();
  }
}

async function outcomeOf(placing: Placing): Promise<SubmitOutcome> {
  try {
    const { height, transaction } = await placing();
    return { ok: true, height, transaction };
  } catch (error) {
    // Anything else leaves open whether it was recorded.
    if (!(error instanceof TransactionRefused)) throw error;
    return { ok: false, ...error.refused };
  }
}

/** Errors after which the same request may succeed. */
const PASSING: readonly LedgerError["code"][] = [
  ...(["ERR_CHAIN_BUSY", "ERR_CHAIN_CLOSED", "ERR_CHAIN_CLOCK"] as const),
  ...(["ERR_STORAGE_AMBIGUOUS", "ERR_STORAGE_CONFLICT", "ERR_STORAGE_PENDING"] as const),
  "ERR_TRANSPORT_TIMEOUT",
];

function statusFor(error: unknown): unknown {
  if (error instanceof BatchTooLarge) return new Status(413);
  if (error instanceof EncodingError) return new Status(400);
  // It passes only by what an operator decides, so that asking again soon would be in vain.
  if (error instanceof ChainError && error.code === "ERR_CHAIN_FORKED") return new Status(409);
  const isPassing =
    (error instanceof ChainError ||
      error instanceof StorageError ||
      error instanceof TransportError) &&
    PASSING.includes(error.code);
  return isPassing ? busy(1, 503) : error;
}
