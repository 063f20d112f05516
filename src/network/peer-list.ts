import { TransportError } from "../errors.ts";
import { PeerBusy } from "../transport/errors.ts";
import type { LedgerPeer } from "../transport/types.ts";

/** What a peer did wrong. */
export interface PeerFault {
  /** Name of the organisation, as configured. */
  readonly did: string;
  /** A {@link TransportError}, or a `ChainError` or `ProofError` for an answer that was proved to be wrong. */
  readonly error: Error;
}

/** The peers that are asked, without those that have to wait because of a fault. */
export interface PeerList {
  /** Those that may be asked now, the one that was at fault least recently first. */
  ready(): readonly LedgerPeer[];
  /** Notes a fault: the peer is not asked for a while, each time for longer. */
  fault(peer: LedgerPeer, error: Error): void;
  /** Notes an answer that was proved to be right. */
  good(peer: LedgerPeer): void;
  /** Notes that a peer can be reached: it is asked at once, unless it answered wrongly before. */
  reached(peer: LedgerPeer): void;
}

const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 600_000;

/** Starts with all peers ready. */
export function peerList(
  peers: readonly LedgerPeer[],
  now: () => number,
  onFault: (fault: PeerFault) => void,
): PeerList {
  const fresh = { until: -Infinity, pause: FIRST_PAUSE, isWrong: false };
  const states = new Map(peers.map((peer) => [peer, { ...fresh }]));
  return {
    ready() {
      const at = now();
      return peers
        .filter((peer) => states.get(peer)!.until <= at)
        .sort((a, b) => states.get(a)!.until - states.get(b)!.until);
    },
    fault(peer, error) {
      const state = states.get(peer)!;
      const asked = error instanceof PeerBusy ? error.retryAfter : 0;
      // Whoever cannot be reached may be back soon; whoever answers wrongly is not asked for a minute.
      state.isWrong = !(error instanceof TransportError);
      const least = state.isWrong ? 60_000 : state.pause;
      state.until = now() + Math.max(asked, least, state.pause);
      state.pause = Math.min(LONGEST_PAUSE, 2 * state.pause);
      onFault({ did: peer.did, error });
    },
    good(peer) {
      states.get(peer)!.pause = FIRST_PAUSE;
    },
    reached(peer) {
      const state = states.get(peer)!;
      if (!state.isWrong) Object.assign(state, fresh);
    },
  };
}
