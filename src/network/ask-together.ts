import { TransportError } from "../errors.ts";
import type { LedgerPeer } from "../transport/types.ts";

/** Milliseconds for which other peers are waited for once one has answered: none may hold up all. */
const LATE = 10_000;

/**
 * Asks all peers at once.
 *
 * @param note - called for each that fails; what it throws is thrown
 * @returns the answers of those that did not fail
 */
export async function askTogether<T>(
  peers: readonly LedgerPeer[],
  ask: (peer: LedgerPeer, signal: AbortSignal) => Promise<T>,
  {
    note,
    sleep,
    signal,
  }: {
    readonly note: (peer: LedgerPeer, error: unknown) => void;
    readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
    readonly signal: AbortSignal;
  },
): Promise<T[]> {
  const ended = new AbortController();
  const late = new AbortController();
  const asking = AbortSignal.any([signal, late.signal]);
  const startTimer = async (): Promise<void> => {
    await sleep(LATE, ended.signal);
    if (ended.signal.aborted) return;
    late.abort(new TransportError("ERR_TRANSPORT_TIMEOUT", "other peers answered long before"));
  };
  const answers: T[] = [];
  const all = peers.map(async (peer) => {
    try {
      answers.push(await ask(peer, asking));
      void startTimer();
    } catch (error) {
      note(peer, error);
    }
  });
  await Promise.all(all).finally(() => ended.abort());
  return answers;
}
