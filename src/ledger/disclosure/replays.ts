import { decodeEntry, entryIdOf } from "../../block/entry.ts";
import { decodeTransaction } from "../../block/transaction.ts";
import { toHex } from "../../bytes/hex.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { POLICY_KEY } from "../../chain/state.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { LedgerContext } from "../context.ts";

/**
 * Recognises requests that were answered before. Every access entry names, in its sealed manifest, the
 * request that it answers. Requests that may still be valid are few and recent, so they are read from the
 * ledger.
 */
export interface Replays {
  /**
   * The first access entry that answers a request with this name and time, as far as the ledger goes now;
   * `"unknown"` if an access of that time, which may have been its answer, was erased or is lost.
   */
  answered(name: Uint8Array, time: number): Promise<AnsweringEntry | "unknown" | undefined>;
}

/** An access entry that answers a request. */
export interface AnsweringEntry extends EntryPlace {
  readonly id: Uint8Array;
}

/** Number of new names after which names of expired requests are forgotten. */
const FORGET_EVERY = 1024;

/** @param maxRequestLifetime - longest time for which a request is valid, in ms */
export function openReplays(
  context: LedgerContext,
  options: { readonly catalogue: Catalogue; readonly maxRequestLifetime: number },
): Replays {
  const { chain, signer, now } = context;
  const { catalogue, maxRequestLifetime } = options;
  const known = new Map<string, { readonly place: AnsweringEntry; readonly at: number }>();
  let next: number | undefined;
  let unreadUntil = -Infinity;
  let turn: Promise<unknown> = Promise.resolve();

  async function maxDrift(): Promise<number> {
    await chain.state.load([POLICY_KEY]);
    return chain.state.policy().maxDrift;
  }

  /** The first block that can hold the answer to a request that is still valid. */
  async function firstThatCounts(since: number): Promise<number> {
    let height = chain.size;
    // Times of blocks never go back.
    while (height > 0 && (await chain.readBlock(height - 1)).header.time >= since) height--;
    return height;
  }

  async function catchUp(): Promise<void> {
    await catalogue.catchUp();
    // The clocks of requesters, of this member's processes and of blocks may each be off by the drift.
    const since = now() - maxRequestLifetime - 3 * (await maxDrift());
    next ??= await firstThatCounts(since);
    // Blocks that came while these were read are not in the catalogue yet.
    for (const end = catalogue.height(); next < end; next++) {
      const { block, header } = await chain.readBlock(next);
      if (header.time < since) continue;
      for (const [transaction, signed] of block.transactions.entries()) {
        const { author, ledger } = decodeTransaction(signed.tx);
        if (author !== signer.actor) continue;
        const idOf = entryIdOf(ledger, author);
        for (const [entry, bytes] of signed.entries.entries()) {
          if (decodeEntry(bytes).kind !== "access") continue;
          const id = idOf(bytes);
          const found = await catalogue.find(id);
          if (found.status !== "present") {
            unreadUntil = Math.max(unreadUntil, header.time);
            continue;
          }
          const { request } = found.item.manifest;
          if (request === undefined || known.has(toHex(request))) continue;
          const place = { height: next, transaction, entry, id };
          known.set(toHex(request), { place, at: header.time });
          if (known.size % FORGET_EVERY === 0) forgetBefore(since);
        }
      }
    }
  }

  function forgetBefore(since: number): void {
    for (const [name, { at }] of known) if (at < since) known.delete(name);
  }

  return {
    async answered(name, time) {
      const mine = turn.then(catchUp);
      turn = mine.catch(() => undefined);
      await mine;
      const found = known.get(toHex(name));
      if (found !== undefined) return found.place;
      return time <= unreadUntil + 2 * (await maxDrift()) ? "unknown" : undefined;
    },
  };
}
