import { assertUint } from "../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { decodeBlock } from "../block/block.ts";
import { decodeEntry, entryId, type Entry } from "../block/entry.ts";
import { decodeHeader } from "../block/header.ts";
import { decodeTransaction } from "../block/transaction.ts";
import type { LedgerSource } from "./source.ts";

export interface FollowEntriesOptions {
  /** Height of the first block. Default 0. */
  readonly from?: number;
  /** Height before which the iteration ends. Default: it goes on with what is to come. */
  readonly until?: number;
  /** Kinds of entries that are wanted. Default: all. */
  readonly kinds?: readonly string[];
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal;
}

/** An entry under an accepted checkpoint. */
export interface FollowedEntry {
  readonly id: Uint8Array;
  readonly entry: Entry;
  readonly bytes: Uint8Array;
  readonly height: number;
  /** Index of the transaction in its block, and of the entry in its transaction. */
  readonly transaction: number;
  readonly index: number;
  readonly author: string;
  /** The header's time, in ms since 1970. */
  readonly time: number;
}

/** The part of a source that is needed to follow its entries. */
export interface FollowedSource extends Pick<LedgerSource, "grown"> {
  readonly chain: Pick<LedgerSource["chain"], "readBlocks">;
  readonly newest: { readonly size: number } | undefined;
}

const OPTIONS: OptionsOf<FollowEntriesOptions> = {
  ...{ from: true, until: true, kinds: true, signal: true },
};

/**
 * Gives out the entries of a ledger in order, those there are and those to come, until the signal aborts. Only
 * what an accepted checkpoint covers is given out. To go on later, begin again with the height of the last entry that was
 * dealt with: its block's entries then come again.
 *
 * @throws {ChainError} by the iteration: `ERR_CHAIN_CLOSED` once the source is closed
 * @example
 * for await (const { entry, height } of followEntries(replica, { from: 0, kinds: ["erase"] })) {
 *   console.log(height, entry.kind);
 * }
 */
export function followEntries(
  source: FollowedSource,
  options: FollowEntriesOptions = {},
): AsyncIterable<FollowedEntry> {
  assertOptions(options, OPTIONS, "followEntries");
  const { from = 0, until = Infinity, signal = new AbortController().signal } = options;
  assertUint(from, "from");
  if (until !== Infinity) assertUint(until, "until");
  const kinds = options.kinds === undefined ? undefined : new Set(options.kinds);
  return follow();

  async function* follow(): AsyncIterable<FollowedEntry> {
    let next = from;
    while (!signal.aborted && next < until) {
      await source.grown(next, signal);
      const size = Math.min(source.newest?.size ?? 0, until);
      if (size <= next) continue;
      for await (const bytes of source.chain.readBlocks({ from: next, limit: size - next })) {
        if (signal.aborted) return;
        yield* entriesOf(bytes);
        next++;
      }
    }
  }

  function* entriesOf(block: Uint8Array): Iterable<FollowedEntry> {
    const { header, transactions } = decodeBlock(block);
    const { height, time, ledger } = decodeHeader(header);
    for (const [transaction, { tx, entries }] of transactions.entries()) {
      const { author } = decodeTransaction(tx);
      for (const [index, bytes] of entries.entries()) {
        const entry = decodeEntry(bytes);
        if (kinds !== undefined && !kinds.has(entry.kind)) continue;
        const id = entryId(ledger, author, bytes);
        yield { id, entry, bytes, height, transaction, index, author, time };
      }
    }
  }
}
