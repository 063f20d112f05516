import { readCheckpoint } from "../chain/checkpoint-note.ts";
import { LedgerError } from "../errors.ts";
import type { PeerList } from "./peer-list.ts";

/** Pause after each round, in ms. */
const PAUSE = 1000;
/** Longest wait in a round, and pause of a peer that answers at once, in ms. */
const LONG_PAUSE = 25_000;

/**
 * Resolves once a peer has a larger checkpoint, or after a while.
 *
 * @param after - number of blocks that are known
 */
export async function waitForLarger(
  list: PeerList,
  after: number,
  sleep: (ms: number, signal: AbortSignal) => Promise<void>,
  outer: AbortSignal,
): Promise<void> {
  const ending = new AbortController();
  const signal = AbortSignal.any([outer, ending.signal]);
  const asked = list.ready().map(async (peer) => {
    try {
      const note = await peer.checkpoint({ after, wait: LONG_PAUSE / 1000, signal });
      if ((readCheckpoint(note)?.size ?? 0) > after) return;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof LedgerError)) throw error;
      list.fault(peer, error);
    }
    await sleep(LONG_PAUSE, signal);
  });
  try {
    await Promise.race([...asked, sleep(LONG_PAUSE, signal)]);
  } finally {
    ending.abort();
  }
  await sleep(PAUSE, outer);
}
