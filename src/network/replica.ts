import type { ChainOptions } from "../chain/chain.ts";
import type { ForkEvidence } from "../chain/fork-evidence.ts";
import type { ForkVerdict, KeptFork } from "../chain/known-forks.ts";
import type { Trust } from "../chain/trust.ts";
import type { LedgerPeer } from "../transport/types.ts";
import type { PeerFault } from "./peer-list.ts";
import type { PeerView } from "./peer-views.ts";
import type { LedgerSource } from "./source.ts";

/** A contradiction of two checkpoints, and whom it convicts. */
export interface FoundFork extends ForkVerdict {
  readonly evidence: ForkEvidence;
}

/** Options of {@link openReplica}: those of `openChain`, and where the blocks come from. */
export interface OpenReplicaOptions extends Pick<
  ChainOptions,
  | "storage"
  | "genesis"
  | "kinds"
  | "contracts"
  | "anchor"
  | "trustStore"
  | "rebuild"
  | "beside"
  | "onProgress"
  | "signal"
> {
  /** Other copies of the ledger, from your configuration. The more of them are independent, the harder it is to be shown another history. */
  readonly peers: readonly LedgerPeer[];
  /**
   * What is known of the ledger beforehand. If its head decides between two histories that stopped the copy, the
   * copy goes on. Default: the genesis record alone.
   */
  readonly trust?: Trust;
  /** Called when a peer did not answer, or was proved to be wrong. It is asked again later, or another one is. */
  readonly onFault?: (fault: PeerFault) => void;
  /** Called once for each contradiction that is found, also for one that convicts no key in force. */
  readonly onFork?: (fork: FoundFork) => void;
  /** Clock in ms that never runs backwards. Default: the platform's. */
  readonly now?: () => number;
  /** Waits so many ms, or until the signal aborts. Default: the platform's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** What a verified copy of a ledger gives out. */
export interface LedgerCopy extends LedgerSource {
  /** How far the ledger was followed: the policy, and the largest checkpoint that was accepted. */
  readonly trust: Trust;
  /** Two checkpoints by the log's keys that cannot both be true; nothing more is taken once there are. */
  readonly fork: KeptFork | undefined;
}

/** A verified copy of a ledger, which follows its peers and never signs. */
export interface Replica extends LedgerCopy, AsyncDisposable {
  /** What each peer has shown so far, and since when nothing newer. */
  readonly peers: readonly PeerView[];
  /**
   * Takes encoded fork evidence that somebody else has found, and keeps it if it convicts a key in force.
   *
   * @throws {EncodingError} when the bytes are not evidence
   */
  takeFork(evidence: Uint8Array): Promise<ForkVerdict>;
  /**
   * Asks every peer for its newest checkpoint, and takes what is under the largest that the trusted policy
   * accepts.
   *
   * @returns the number of blocks here
   * @throws {ChainError} `ERR_CHAIN_FORKED` once a key has signed two histories; `ERR_CHAIN_INVALID` when every
   *   peer gives a block that the rules refuse although an accepted checkpoint covers it
   * @throws {TransportError} or another error of the last peer, when no peer answered
   */
  sync(options?: { readonly signal?: AbortSignal }): Promise<number>;
  /**
   * Syncs, waits for a larger checkpoint, and again, until the signal aborts or the copy is closed.
   *
   * @throws {ChainError} as {@link sync}; faults of peers only delay it
   */
  follow(options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Ends what is under way. The storage stays open. */
  close(): Promise<void>;
}
