import type { TransactionWithEntries } from "../block/transaction.ts";

/** A tile of the ledger's tree of headers; see c2sp.org/tlog-tiles. */
export interface TileRequest {
  readonly level: number;
  readonly index: number;
  /** 256 for a full tile; 1 to 255 for a partial one. */
  readonly width: number;
}

/** Headers or blocks with consecutive heights: those of a tile of level 0. */
export interface BundleRequest {
  readonly index: number;
  readonly width: number;
}

export interface AskOptions {
  /** Ends the call with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface CheckpointOptions extends AskOptions {
  /** Asks for a checkpoint of more than so many blocks. */
  readonly after?: number;
  /** Whole seconds for which the other side may wait until there is one; 0 to 25. Default 0. */
  readonly wait?: number;
}

/** Longest sealed ask, and longest sealed page of an answer, in bytes. */
export const MAX_ASK_BYTES: number = 512 * 1024;
export const MAX_PAGE_BYTES: number = 16 * 1024 * 1024;
/** Seconds that a custodian may take to decide and record before it answers. */
export const ANSWER_WAIT = 25;

/**
 * A custodian as it is asked over a transport. What crosses is sealed to whom it is for, so that a transport
 * learns sizes and times.
 *
 * For those who write one: the call ends with all pages, or with an error as those of a {@link LedgerPeer}.
 * `ERR_TRANSPORT_REFUSED` says that the same ask will not be answered.
 */
export interface CustodianPeer {
  /** did:key of the custodian; from configuration, never from an answer. */
  readonly did: string;
  /**
   * Sends a sealed ask.
   *
   * @returns the sealed pages of the answer, in order, each of at most 16 MiB
   */
  ask(sealed: Uint8Array, options?: AskOptions): AsyncIterable<Uint8Array>;
}

/** What became of a transaction that was submitted to another organisation. */
export type SubmitOutcome =
  | {
      /** It is durable there. */
      readonly ok: true;
      readonly height: number;
      /** Index of the transaction in its block. */
      readonly transaction: number;
    }
  | {
      /** It was not recorded there, and none of its entries was. */
      readonly ok: false;
      /** A reason of the ledger's rules, such as `key-not-in-force`. */
      readonly reason: string;
      /** Index of the entry, if it concerns one. */
      readonly entry?: number;
      /** Why a contract refused the call, for `contract-refused`. */
      readonly code?: string;
    };

/**
 * Somebody else's copy of a ledger, as it answers over a transport. Everything that it answers is
 * untrusted until it has been verified against a checkpoint.
 *
 * For those who write one: an answer is for the request that it answers and for no other, and is
 * whole or an error. Every length is bounded by what was asked for, and counted after
 * decompression. A call ends: with an answer, or with an error once the other side is silent or
 * slower than the transport admits, or once the signal aborts. An answer is never taken from another
 * address than the configured one. Byte arrays that are returned belong to the caller.
 *
 * Errors are `TransportError`s: `ERR_TRANSPORT_NOT_FOUND` (the other side does not have it),
 * `ERR_TRANSPORT_BUSY` (a {@link PeerBusy}: ask later), `ERR_TRANSPORT_REFUSED` (not to this caller),
 * `ERR_TRANSPORT_REDIRECT`, `ERR_TRANSPORT_TIMEOUT`, `ERR_TRANSPORT_TOO_LARGE`,
 * `ERR_TRANSPORT_MALFORMED` (cut, or not of the length that was asked for) and
 * `ERR_TRANSPORT_FAILED` (no connection, or an answer that means nothing here).
 */
export interface LedgerPeer {
  /** Name of the organisation that is asked; from configuration, never from an answer. */
  readonly did: string;
  /** The genesis record. */
  genesis(options?: AskOptions): Promise<Uint8Array>;
  /**
   * The newest checkpoint, a signed note: one of more than `after` blocks, or, if there is none by
   * the end of the wait, the one there is.
   */
  checkpoint(options?: CheckpointOptions): Promise<Uint8Array>;
  /** The steps by which the policy changed since the genesis record, encoded. */
  policy(options?: AskOptions): Promise<Uint8Array>;
  /** The hashes of a tile: exactly `32 · width` bytes. */
  tile(tile: TileRequest, options?: AskOptions): Promise<Uint8Array>;
  /** Exactly `width` headers. */
  headers(bundle: BundleRequest, options?: AskOptions): Promise<readonly Uint8Array[]>;
  /** Encoded blocks, exactly `width` unless the iteration ends sooner; one is in memory at a time. */
  blocks(bundle: BundleRequest, options?: AskOptions): AsyncIterable<Uint8Array>;
  /** A value of the ledger's state, or its absence, with the proof of it, encoded. */
  state(key: string, options?: AskOptions): Promise<Uint8Array>;
  /**
   * Hands transactions to a home, which records them in this order. What it does not know, or does not
   * know in time, is an error and never an outcome: the same transactions may then be submitted
   * again, also those that were recorded meanwhile.
   *
   * An outcome is what the other side says. That a transaction is on the ledger is known once its
   * block is here, under an accepted checkpoint.
   *
   * @returns one outcome for each transaction, in order
   */
  submit(
    transactions: readonly TransactionWithEntries[],
    options?: AskOptions,
  ): Promise<readonly SubmitOutcome[]>;
}

export interface PendingOptions extends AskOptions {
  /** Number of blocks of the checkpoint that was cosigned last. Default 0. */
  readonly old?: number;
  /** Whole seconds for which the other side may wait until a checkpoint waits; 0 to 25. Default 0. */
  readonly wait?: number;
}

/** Blocks with consecutive heights. */
export interface BlockRange {
  readonly from: number;
  /** 1 to 256. */
  readonly count: number;
}

/** A home, as cosigners ask it that cannot be reached themselves. Each call needs a session of a cosigner's key. */
export interface HomePeer extends LedgerPeer {
  /**
   * The checkpoint that waits for a cosignature by the session's key, with the proof that it extends the one of
   * `old` blocks, as the body of an `add-checkpoint` request of C2SP's tlog-witness. Empty if none waits by the
   * end of the wait.
   */
  pending(options?: PendingOptions): Promise<Uint8Array>;
  /** Encoded blocks under checkpoints that have waited, for validators; one is in memory at a time. */
  pendingBlocks(range: BlockRange, options?: AskOptions): AsyncIterable<Uint8Array>;
  /**
   * Hands in a cosignature: the checkpoint's text, signed by the session's key and nobody else.
   *
   * @throws {TransportError} `ERR_TRANSPORT_NOT_FOUND` if the checkpoint does not wait for it, or no more
   */
  cosign(note: Uint8Array, options?: AskOptions): Promise<void>;
}
