import { assertMilliseconds, assertPositive } from "../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { Chain } from "../chain/chain.ts";
import { readCheckpoint } from "../chain/checkpoint-note.ts";
import { stepsSince } from "../chain/policy-position.ts";
import { openPolicySteps } from "../chain/policy-steps.ts";
import { ChainError, LedgerError } from "../errors.ts";
import type { ChainStore } from "../storage/types.ts";
import { platformSurroundings } from "../transport/surroundings.ts";
import { newestCheckpoint } from "./newest.ts";
import type { LedgerSource } from "./source.ts";

export interface PublishHeadsOptions {
  /** The ledger, as `openLedger` opened it, or a chain and what signs a checkpoint of its newest head. */
  readonly ledger: { readonly chain: Chain; checkpoint(): Promise<Uint8Array> };
  /** Where the ledger's blocks are. */
  readonly chains: ChainStore;
  /** Milliseconds between two looks for new blocks. Default 1,000. */
  readonly every?: number;
  /**
   * Milliseconds after which a head that has not changed is signed again, so that readers see that nobody
   * withholds a newer one. Default 60,000.
   */
  readonly again?: number;
  /** Clock in ms that never runs backwards. Default: the platform's. */
  readonly now?: () => number;
  /** Waits so many ms, or until the signal aborts. Default: the platform's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Called with the error when no accepted checkpoint could be had; it is tried again. */
  readonly onError?: (error: LedgerError) => void;
}

/** A home's ledger with checkpoints that are signed as it grows. */
export interface PublishedHeads extends LedgerSource, AsyncDisposable {
  /** Looks for new blocks now, and signs a checkpoint if there are any. */
  look(): Promise<void>;
  /** Stops signing. The ledger stays open. */
  close(): Promise<void>;
}

const OPTIONS: OptionsOf<PublishHeadsOptions> = {
  ...{
    ledger: true,
    chains: true,
    every: true,
    again: true,
    now: true,
    sleep: true,
    onError: true,
  },
};

/**
 * Signs a checkpoint for new blocks of the home, again and again, and gives out the newest one.
 *
 * @throws {RangeError} for a time that is none
 * @example
 * const source = publishHeads({ ledger: hl, chains: storage.chains });
 * const handler = ledgerHandler({ source, reads: "public" });
 */
export function publishHeads(options: PublishHeadsOptions): PublishedHeads {
  assertOptions(options, OPTIONS, "publishHeads");
  const { ledger, chains, every = 1000, again = 60_000, onError } = options;
  assertMilliseconds(every, "every");
  assertPositive(again, "again");
  const { now = platformSurroundings.now, sleep = platformSurroundings.sleep } = options;
  const newest = newestCheckpoint();
  const closing = new AbortController();
  let signedAt = -Infinity;
  let turn: Promise<unknown> = Promise.resolve();

  async function sign(): Promise<void> {
    const size = await ledger.chain.refresh();
    if (size === 0 || (size === newest.value?.size && now() - signedAt < again)) return;
    const note = await ledger.checkpoint();
    const head = readCheckpoint(note);
    if (head === undefined || head.size < (newest.value?.size ?? 0)) {
      throw new ChainError("ERR_CHAIN_CHECKPOINT", "the checkpoint is older than the one before");
    }
    signedAt = now();
    newest.set({ note, size: head.size, root: head.root });
  }

  function look(): Promise<void> {
    const mine = turn.then(sign);
    turn = mine.catch(() => undefined);
    return mine;
  }

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      await look().catch((error: unknown) => {
        if (error instanceof LedgerError) onError?.(error);
        else throw error;
      });
      await sleep(every, closing.signal);
    }
  }
  const running = run();
  running.catch(() => undefined);

  async function close(): Promise<void> {
    closing.abort();
    newest.close();
    await running;
  }
  return {
    chain: ledger.chain,
    get newest() {
      return newest.value;
    },
    grown: newest.grown,
    policy: () => stepsSince(ledger.chain, openPolicySteps(ledger.chain, chains)),
    look,
    close,
    [Symbol.asyncDispose]: close,
  };
}
