import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { CID } from "multiformats/cid";
import { signTransaction } from "../block/transaction.ts";
import { ChainError } from "../errors.ts";
import type { Signer } from "../identity/signer.ts";
import type { SubmissionWrites, Sequencer } from "./sequencer.ts";
import type { DurablePlace, Submission } from "./submission.ts";

export interface AuthorOptions {
  readonly ledger: CID;
  readonly sequencer: Sequencer;
  readonly signer: Signer;
  /** Concurrent writers that share a key must each have a lane of their own. */
  readonly lane: number;
  /** The last sequence number used on this lane. */
  readonly lastSeq: number;
  /** Clock, in ms since 1970. */
  readonly now: () => number;
}

/** Writes transactions for one author, on one lane. */
export interface Author {
  readonly lane: number;
  /**
   * Signs entries as one transaction and submits it after the transactions written before. A failed
   * signature leaves only a gap in the sequence.
   */
  write(entries: readonly Uint8Array[], writes?: SubmissionWrites): Promise<Submission>;
}

const CREATE_AUTHOR_OPTIONS: OptionsOf<AuthorOptions> = {
  ...{ ledger: true, sequencer: true, signer: true, lane: true, lastSeq: true, now: true },
};

/**
 * Starts writing on a lane.
 *
 * @example
 * const author = createAuthor({
 *   ...{ ledger: chain.ledger, sequencer, signer, lane: 0 },
 *   lastSeq: -1, // nothing was written on this lane yet
 *   now: () => Date.now(),
 * });
 * const { durable } = await author.write([entry]);
 * const { height } = await durable;
 */
export function createAuthor(options: AuthorOptions): Author {
  assertOptions(options, CREATE_AUTHOR_OPTIONS, "createAuthor");
  const { ledger, sequencer, signer, lane, now } = options;
  let seq = options.lastSeq;
  let turn: Promise<unknown> = Promise.resolve();
  return {
    lane,
    async write(entries, writes) {
      const signing = signTransaction(signer, { ledger, lane, seq: ++seq, time: now(), entries });
      // Signatures may arrive in any order; submissions keep the order of the sequence numbers.
      const mine = turn.then(async () => {
        const signed = await signing;
        for (;;) {
          await sequencer.ready();
          try {
            return sequencer.submit(signed, writes);
          } catch (error) {
            // Other writers waited for the same room and were faster.
            if (!(error instanceof ChainError) || error.code !== "ERR_CHAIN_BUSY") throw error;
          }
        }
      });
      turn = mine.catch(() => undefined);
      signing.catch(() => undefined);
      return mine;
    },
  };
}

/** Waits until a submission is durable, and returns its place. */
export async function durablePlaceOf(submission: Promise<Submission>): Promise<DurablePlace> {
  return (await submission).durable;
}
