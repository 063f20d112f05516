import type { Header } from "../block/header.ts";
import type { ReadBlocksOptions } from "../chain/read-blocks.ts";
import type { KeptTrust } from "../chain/kept-trust.ts";
import type { ForkEvidence } from "../chain/fork-evidence.ts";
import type { ReceiptResult, VerifyReceiptOptions } from "../chain/verify-receipt.ts";
import type { AskOptions, LedgerPeer } from "../transport/types.ts";
import type { FollowedSource } from "./follow-entries.ts";
import type { PeerFault } from "./peer-list.ts";
import type { StateAnswer } from "./state-answer.ts";

/** Options of {@link lightClient}. */
export interface LightClientOptions {
  /** From the genesis record, or kept from an earlier run: `decodeTrust(bytes)`. */
  readonly trust: KeptTrust;
  /**
   * Copies of the ledger, handlers or static hosts, from your configuration. The more of them are independent,
   * the harder it is to be shown another history, or an old one.
   */
  readonly peers: readonly LedgerPeer[];
  /** Called when a peer did not answer, or was proved to be wrong. It is asked again later. */
  readonly onFault?: (fault: PeerFault) => void;
  /** Clock in ms that never runs backwards. Default: the platform's. */
  readonly now?: () => number;
  /** Waits so many ms, or until the signal aborts. Default: the platform's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** The newest checkpoint that was verified, and what is known of its age. */
export interface LightHead {
  /** Number of blocks. */
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
  /** The signed checkpoint. */
  readonly note: Uint8Array;
  /** Names of the validators and witnesses that cosigned it. */
  readonly validators: readonly string[];
  readonly witnesses: readonly string[];
  /**
   * Time, in ms since 1970, at or after which as many have cosigned as the policy demands. Where it demands none, the
   * time of the last cosignature; absent without any.
   */
  readonly cosignedAt?: number;
  /** Time of the last block, in ms since 1970. */
  readonly blockTime: number;
  /**
   * The later of the two times. What happened after it may be missing here: `Date.now() - asOf` says how old the
   * view may be, by the signers' clocks.
   */
  readonly asOf: number;
}

/** A value of the state, or its absence, that was proved. */
export type ProvedState = Extract<StateAnswer, { readonly ok: true }>;

/** Headers that {@link LightClient.headers} reads. */
export interface ReadHeadersOptions extends AskOptions {
  /** Height of the first. Default 0. */
  readonly from?: number;
  /** Most headers to read. Default: all under the newest checkpoint. */
  readonly limit?: number;
}

/**
 * A reader without a store, which believes nothing that it has not verified. Its blocks and entries are proved
 * to be under the newest checkpoint, by whose signers they were held against the rules.
 */
export interface LightClient extends FollowedSource, AsyncDisposable {
  /** What to keep for the next run: `encodeTrust(light.trust)`. */
  readonly trust: KeptTrust;
  /** The newest checkpoint; `undefined` before the first {@link LightClient.sync}. */
  readonly head: LightHead | undefined;
  /** Two checkpoints that cannot both be true; nothing more is taken once there are. */
  readonly fork: ForkEvidence | undefined;
  /**
   * Asks every peer for its newest checkpoint and for the policy that it proves. Follows to the largest that the trusted
   * policy accepts, or one that steps lead to, and compares all others with it.
   *
   * @throws {ChainError} `ERR_CHAIN_FORKED` once there are two histories
   * @throws {LedgerError} the last peer's fault, when none has as much as was seen before
   */
  sync(options?: AskOptions): Promise<LightHead>;
  /**
   * Syncs, waits for a larger checkpoint, and again, until the signal aborts or this is closed.
   *
   * @throws {ChainError} `ERR_CHAIN_FORKED`; faults of peers only delay it
   */
  follow(options?: AskOptions): Promise<void>;
  /**
   * A value of the ledger's state, or its absence, under a checkpoint no older than the newest one. A static host
   * has only the values that were published with it.
   *
   * @param key - such as `sys/policy` or `sys/member/<did>`
   * @throws {LedgerError} the last peer's fault, when none gives what can be proved
   */
  state(key: string, options?: AskOptions): Promise<ProvedState>;
  /**
   * Verifies a receipt under the newest checkpoint, whichever it was made for: what proves the way there is asked
   * for. Hostile bytes are a reason, never an error.
   *
   * @throws {LedgerError} the last peer's fault, when none gives the proofs
   */
  verifyReceipt(
    receipt: Uint8Array,
    options?: VerifyReceiptOptions & AskOptions,
  ): Promise<ReceiptResult>;
  /** Headers under the newest checkpoint, also of a ledger that is published without blocks. */
  headers(options?: ReadHeadersOptions): AsyncIterable<Header>;
  readonly chain: {
    /**
     * Encoded blocks under the newest checkpoint. Everything in them is proved but the proposer's signature of the
     * header, for which the checkpoint stands.
     */
    readBlocks(options: ReadBlocksOptions): AsyncIterable<Uint8Array>;
  };
  /** Ends what is under way. */
  close(): Promise<void>;
}
