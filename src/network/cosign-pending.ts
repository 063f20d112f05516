import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { concatBytes } from "../bytes/concat.ts";
import { toHex } from "../bytes/hex.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { readCheckpoint, type Checkpoint } from "../chain/checkpoint-note.ts";
import { splitNote } from "../chain/note.ts";
import type { CosignRefusal, LogWitness } from "../chain/witness.ts";
import { ChainError, TransportError } from "../errors.ts";
import { PeerBusy, PeerForked } from "../transport/errors.ts";
import { MAX_WAIT } from "../transport/http.ts";
import { platformSurroundings } from "../transport/surroundings.ts";
import type { HomePeer } from "../transport/types.ts";
import { parseAddCheckpoint, type AddCheckpoint } from "./add-checkpoint.ts";
import { checkPending, type ValidatorFault } from "./check-pending.ts";
import type { PeerFault } from "./peer-list.ts";
import type { LedgerCopy } from "./replica.ts";

/** A checkpoint that waited, and was not cosigned. */
export interface RefusedCheckpoint {
  readonly size: number;
  /** Why; `smaller` if it has fewer blocks than one that was cosigned before. */
  readonly reason: CosignRefusal | "smaller" | ValidatorFault["reason"];
  /** Which block a validator refuses, and why. */
  readonly block?: NonNullable<ValidatorFault["block"]>;
}

export interface CosignPendingOptions {
  /** The home, made by `httpPeer` with a session of the cosigner's key. */
  readonly home: HomePeer;
  /** Cosigns, and remembers what it has cosigned; made by `createWitness`. */
  readonly witness: LogWitness;
  /**
   * Makes it a validator: its own copy, which follows its peers. Blocks beyond it are fetched from the home and
   * checked by every rule in memory. A witness, which sees no blocks, leaves it out.
   */
  readonly copy?: Pick<LedgerCopy, "chain" | "trust" | "fork">;
  /** Called when a checkpoint is refused; once for each, until another one waits. */
  readonly onRefused?: (refused: RefusedCheckpoint) => void;
  /** Called when the home did not answer, or answered what means nothing. It is asked again. */
  readonly onFault?: (fault: PeerFault) => void;
  /** Ends the call. */
  readonly signal?: AbortSignal;
  /** Clock in ms that never runs backwards. Default: the platform's. */
  readonly now?: () => number;
  /** Waits so many ms, or until the signal aborts. Default: the platform's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

const OPTIONS: OptionsOf<CosignPendingOptions> = {
  ...{ home: true, witness: true, copy: true, onRefused: true, onFault: true },
  ...{ signal: true, now: true, sleep: true },
};

/** Milliseconds before the home is asked again after a fault; twice as many each time. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 60_000;
/** Milliseconds after a refusal, after the same head, and between answers that came without the wait. */
const PAUSE = 1000;

/**
 * Cosigns what a home offers, for a witness or validator that nobody can reach: asks the home for the checkpoint
 * that waits, judges it, hands in the cosignature, and again, until the signal aborts. After faults it asks again.
 *
 * It begins with the home's newest accepted checkpoint, so that a cosigner whose memory was rolled back meets its
 * own cosignature and stops before it signs.
 *
 * @throws {ChainError} `ERR_CHAIN_MEMORY` as `witness.cosign` does: it has to be told to go on; other codes when
 *   its own store or copy fails
 * @throws {InputError} `ERR_INPUT_INVALID` for an unknown option
 * @example
 * const home = httpPeer({ url, did, session: { ledger: ledgerId(genesis), signer } });
 * await cosignPending({ home, witness, signal, onRefused: console.warn, onFault: console.warn });
 */
export async function cosignPending(options: CosignPendingOptions): Promise<void> {
  assertOptions(options, OPTIONS, "cosignPending");
  const { home, witness, copy, onRefused, onFault } = options;
  const { now = platformSurroundings.now, sleep = platformSurroundings.sleep } = options;
  const signal = options.signal ?? new AbortController().signal;
  const check = copy && checkPending(home, copy);
  /** Size that was cosigned last; `undefined` until it is known. */
  let old: number | undefined;
  let pause = FIRST_PAUSE;
  let told = "";

  async function refuse(head: Checkpoint, refused: Omit<RefusedCheckpoint, "size">): Promise<void> {
    const name = `${head.size} ${toHex(head.root)} ${refused.reason}`;
    if (name !== told) onRefused?.({ size: head.size, ...refused });
    told = name;
    await sleep(PAUSE, signal);
  }

  /** Shows the witness the newest accepted checkpoint, and learns which size it cosigned last. */
  async function begin(): Promise<number> {
    let note: Uint8Array;
    try {
      note = await home.checkpoint({ signal });
    } catch (error) {
      if (isMissing(error)) return 0;
      throw error;
    }
    const head = readCheckpoint(note);
    if (head === undefined) throw malformed("is no checkpoint");
    const answer = await witness.cosign(note, head.size, []);
    if (answer.ok) return head.size;
    if (answer.reason === "stale") return answer.size;
    await refuse(head, { reason: answer.reason });
    return 0;
  }

  /** Asks once, and cosigns what waits. */
  async function round(from: number): Promise<number> {
    const asked = now();
    const body = await home.pending({ old: from, wait: MAX_WAIT, signal });
    if (body.length === 0) {
      if (now() - asked < PAUSE) await sleep(PAUSE, signal);
      return from;
    }
    const { note, oldSize, proof, head, text } = readPending(body, from);
    const fault = await check?.(head, signal);
    if (fault === "early") {
      await sleep(PAUSE, signal);
      return from;
    }
    if (fault !== undefined) {
      await refuse(head, fault);
      return from;
    }
    const answer = await witness.cosign(note, oldSize, proof);
    if (answer.ok) {
      await handIn(concatBytes(text, utf8ToBytes(`\n${answer.line}`)));
      // Signed again now and then; a home that offers nothing else must not keep the cosigner signing.
      if (head.size === from) await sleep(PAUSE, signal);
      return head.size;
    }
    if (answer.reason === "stale" && answer.size <= head.size) return answer.size;
    await refuse(head, { reason: answer.reason === "stale" ? "smaller" : answer.reason });
    return answer.reason === "stale" ? answer.size : from;
  }

  async function handIn(note: Uint8Array): Promise<void> {
    try {
      await home.cosign(note, { signal });
    } catch (error) {
      // It waits no more: others were enough, or it took too long. The next one is asked for.
      if (!isMissing(error)) throw error;
    }
  }

  while (!signal.aborted) {
    try {
      if (old === undefined) old = await begin();
      else {
        old = await round(old);
        pause = FIRST_PAUSE;
      }
    } catch (error) {
      if (signal.aborted) return;
      const isPassing =
        error instanceof TransportError ||
        (error instanceof ChainError && error.code === "ERR_CHAIN_BUSY");
      if (!isPassing) throw error;
      onFault?.({ did: home.did, error });
      old = undefined;
      const asks = error instanceof PeerBusy || error instanceof PeerForked ? error.retryAfter : 0;
      await sleep(Math.max(pause, asks), signal);
      pause = Math.min(2 * pause, LONGEST_PAUSE);
    }
  }
}

/** @throws {TransportError} `ERR_TRANSPORT_MALFORMED` for what is not about this size */
function readPending(
  body: Uint8Array,
  old: number,
): AddCheckpoint & { readonly head: Checkpoint; readonly text: Uint8Array } {
  const asked = parseAddCheckpoint(body);
  const head = asked && readCheckpoint(asked.note);
  const split = asked && splitNote(asked.note);
  if (asked === undefined || head === undefined || split?.ok !== true) {
    throw malformed("is no checkpoint that waits");
  }
  if (asked.oldSize !== Math.min(old, head.size)) throw malformed("has a proof from another size");
  return { ...asked, head, text: split.note.text };
}

const isMissing = (error: unknown): boolean =>
  error instanceof TransportError && error.code === "ERR_TRANSPORT_NOT_FOUND";

const malformed = (what: string): TransportError =>
  new TransportError("ERR_TRANSPORT_MALFORMED", `the home's answer ${what}`);
