import type { LedgerPeer } from "../transport/types.ts";

/** What a peer has shown. One that stands still is not convicted of anything, but can be seen to. */
export interface PeerView {
  /** Name of the organisation, as configured. */
  readonly did: string;
  /** Blocks under the largest accepted checkpoint that it has shown; `undefined` before the first. */
  readonly size: number | undefined;
  /** When it first showed that one, by the replica's clock; until then, when the replica was opened. */
  readonly since: number;
}

/** Starts with peers that have shown nothing. */
export function peerViews(
  peers: readonly LedgerPeer[],
  now: () => number,
): {
  shown(peer: LedgerPeer, size: number): void;
  all(): readonly PeerView[];
} {
  const started = now();
  const views = new Map<LedgerPeer, PeerView>(
    peers.map((peer) => [peer, { did: peer.did, size: undefined, since: started }]),
  );
  return {
    shown(peer, size) {
      const before = views.get(peer)!;
      if (size > (before.size ?? -1)) views.set(peer, { ...before, size, since: now() });
    },
    all: () => [...views.values()],
  };
}
