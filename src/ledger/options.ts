import { ERASURE_CLASSES, type ErasureClass } from "../block/entry.ts";
import type { GivenRules } from "../chain/prepare.ts";
import type { Trust } from "../chain/trust.ts";
import type { Cosigner } from "../chain/cosigning.ts";
import type { Labeller } from "../consent/labels/labeller.ts";
import type { Directive, Overlay } from "../consent/model/model.ts";
import type { Terminology } from "../consent/terminology/terminology.ts";
import type { Padding } from "../envelope/padding.ts";
import type { SuiteName } from "../envelope/suite.ts";
import type { KeyStore } from "../identity/key-store.ts";
import type { ShardKeys } from "../identity/shard-keys.ts";
import type { SignedHeads } from "../identity/signed-heads.ts";
import type { PeerFault } from "../network/peer-list.ts";
import type { FoundFork } from "../network/replica.ts";
import type { StorageAdapter } from "../storage/types.ts";
import type { CustodianPeer, LedgerPeer } from "../transport/types.ts";
import type { BreakGlassOptions } from "./disclosure/emergency.ts";
import type { CompactionTime } from "./erasure/erase-options.ts";
import type { Retention } from "./erasure/erase.ts";
import { assertKnown, type NamesOf } from "./known-options.ts";
import { takeArgument } from "./take-arguments.ts";
import type { Workers } from "./workers.ts";

/**
 * How access to this member's records is decided, and how long they are kept. Each organisation has its
 * own policy: other members may have different ones.
 */
export interface PolicyOptions {
  /** The organisation's policy for what no directive of the patient covers. Default: none, so denied. */
  readonly defaults?: readonly Directive[];
  /** Legal rules that override the patient's directives, such as `part2Overlay()`. Default: none. */
  readonly overlays?: readonly Overlay[];
  /** Terminology that codes are interpreted by; see `extendTerminology`. Default: the shipped one. */
  readonly terminology?: Terminology;
  /**
   * ISO 3166 codes of the jurisdictions whose law governs this member's records; any other is refused with
   * `ERR_CONSENT_TERMINOLOGY`. Default: not stated.
   */
  readonly jurisdictions?: readonly string[];
  /** Codes of the obligations that this member carries out; any other turns a permit into a denial. */
  readonly supportedObligations?: readonly string[];
  /** Labels what is sensitive in a record. Default: the shipped rules, using {@link terminology}. */
  readonly labeller?: Labeller;
  /** Minimum time that entries of each class are kept, and the rule that requires it. Default: none. */
  readonly retention?: Partial<Readonly<Record<ErasureClass, Retention>>>;
  /** Longest time in milliseconds for which a request is valid. Default ten minutes. */
  readonly maxRequestLifetime?: number;
  /**
   * Age of what is known of the ledger from which on nothing is disclosed, in milliseconds: of the last cosignature, or
   * where the ledger requires none, of the home's last answer. Default five minutes.
   */
  readonly maxAge?: number;
  /**
   * Time in milliseconds after an answer for which its requester may fetch attachments that did not come with it. It
   * ends sooner when a directive, an attested key or a merge is filed about the person. Default one day.
   */
  readonly fetchWithin?: number;
  /**
   * did:keys of the members that may open every access and erase entry that is filed from now on, as long as they
   * are members. Each entry says so itself: a later list changes nothing for those filed before. Default: none.
   */
  readonly auditors?: readonly string[];
}

/** Repairs that {@link openLedger} may make. By default it makes none. */
export interface RepairOptions {
  /**
   * Rebuilds the sealed index of this member's own entries from the ledger and the envelopes, for when it
   * is damaged. Costs one decryption per entry.
   */
  readonly index?: boolean;
  /**
   * Checks all blocks from genesis on and rebuilds the derived data, for when either may be damaged.
   * Derived data under a key other than this member's is never trusted, with or without this option.
   */
  readonly derived?: boolean;
  /**
   * Takes the storage's word for what this member's keys have signed, if the memory of signed heads is
   * missing. If the storage is a copy, anything signed after the copy was made is then forgotten.
   */
  readonly adoptSignedHeads?: boolean;
  /**
   * Opens a store that has lost blocks, and continues from what is left. The content of those blocks is
   * gone, anybody who saw them sees a second history, and the checkpoint keys that signed them sign nothing
   * more here. Use it only when no copy with those blocks is left anywhere.
   */
  readonly acceptLostBlocks?: boolean;
  /**
   * Makes a copy's store the home's, or with `home` the home's a copy's, for good. Two stores to which
   * blocks are appended fork the ledger, and their checkpoint keys are convicted: use it only when the old
   * home appends nothing any more and its newest blocks are here.
   */
  readonly place?: boolean;
}

/**
 * Options of {@link openLedger}. All times and durations are in milliseconds. An option that is not
 * listed here is refused, within groups too.
 */
export interface OpenLedgerOptions extends GivenRules {
  /** Must have all three stores and an atomic commit, as `lmdbStorage` and `memoryStorage` do. */
  readonly storage: StorageAdapter;
  /** Holds this member's `sign` and `agree` keys, and a `checkpoint` key to sign checkpoints. */
  readonly keys: KeyStore;
  /**
   * Keys of this member's vault, kept apart from the storage and replaced with every erasure, so that
   * nothing erased can be opened from an older copy of the storage. This process must then be the only one
   * that acts for the member. Default: one key in the storage, sealed to the member's own key; with it, an
   * older copy can still be opened.
   */
  readonly shardKeys?: ShardKeys;
  /**
   * Remembers outside the storage what this member's keys have signed, so that a storage restored from an
   * older copy is detected and never signed over. Default: the key store's own, which `fileKeys` and
   * `memoryKeys` have. Keys in an HSM, a KMS or a browser must be given one (`fileSignedHeads`, or five
   * lines over any store with compare-and-set). `"store"` keeps this memory in the storage alone: a storage
   * restored from an older copy then makes this member contradict itself.
   */
  readonly signedHeads?: SignedHeads | "store";
  /** The genesis record that founds the ledger. */
  readonly genesis: Uint8Array;
  /** did:key of the member this process acts for. Default: the key store's own actor. */
  readonly member?: string;
  /**
   * Opens the ledger without writing, also for an actor that cannot write or is not a member. Calls that
   * file entries then reject with `ERR_CHAIN_READ_ONLY`. Without this option, opening rejects so for such an
   * actor. Nothing is written to the storage; data derived from the ledger stays in memory.
   */
  readonly readOnly?: boolean;
  /** Founds this ledger in a store that holds another. Default: refused, since a wrong genesis looks so. */
  readonly beside?: boolean;
  /** The history that the store must extend: a store with another or a shorter one is refused. */
  readonly trust?: Trust;
  /**
   * Lane of this process, 0 to 1023, among the processes that write with one key at the same time.
   * Default: each process finds one by itself.
   */
  readonly lane?: number;
  /** How access to this member's records is decided, and how long they are kept. */
  readonly policy?: PolicyOptions;
  /** Who may break the glass, and for how long. Default: nobody. */
  readonly breakGlass?: BreakGlassOptions;
  /** Repairs that opening may make. Default: none. */
  readonly repair?: RepairOptions;
  /**
   * When the storage is compacted after an erasure. `now`: before `erase` resolves, and on opening if an
   * earlier erasure is still pending. `later`: when {@link Ledger.compact} is called; until then the
   * storage's files may still hold erased data, which with `shardKeys` nobody can open any more. Default
   * `now`.
   */
  readonly compaction?: CompactionTime;
  /**
   * Suite that seals records and everything else from now on. Data sealed with the other suite stays
   * readable. `aes-gcm` needs node:crypto or WebCrypto. Default `chacha`.
   */
  readonly suite?: SuiteName;
  /**
   * How the lengths of what is sealed from now on are hidden from whoever holds the storage. `stepped` pads
   * each part to 3, 8 or 16 KiB, and longer ones by up to a sixteenth: a length then hardly tells a record's
   * code, but still the type of some records. `uniform` pads every part of up to 16 KiB to 16 KiB, so that
   * all of them look alike; it takes several times the storage. Default `stepped`.
   */
  readonly padding?: Padding;
  /**
   * Witnesses and validators that are asked to cosign each checkpoint. If the ledger's policy requires
   * cosignatures that cannot be had, checkpoints, receipts, exports and answers are refused; recording still
   * works. A cosigner that fails, or does not answer within {@link cosignWithin}, is left out. With
   * `polledCosigners()`, those that the policy lists may also ask by themselves.
   */
  readonly cosigners?: readonly Cosigner[];
  /**
   * Milliseconds for which a checkpoint waits for cosigners, at most 2^31 − 1. Default 10,000. A cosigner
   * that has not answered by then is not asked again until it does.
   */
  readonly cosignWithin?: number;
  /**
   * Milliseconds for which a checkpoint that has every required cosignature waits for further ones, counted
   * from the moment when cosigners are asked. Default 2,000, or {@link cosignWithin} if that is less.
   */
  readonly optionalCosignWithin?: number;
  /**
   * The organisation whose store orders the ledger, if it is another one. The storage is then a verified copy,
   * which only follows: what is written here goes through a durable outbox to the home, and calls resolve once
   * the block is here, under a checkpoint that the policy accepts. Of processes that act for the member, this
   * must be the only one with this storage. Such a member signs no checkpoints: `checkpoint`, `receipt` and
   * `export` use the newest accepted one.
   */
  readonly home?: LedgerPeer;
  /**
   * Other copies of the ledger. A member with a {@link home} asks them for blocks and compares them with the home:
   * the more are independent, the better. A home asks each of them once, before it writes, and first takes what
   * its own store lacks, as after a backup was restored: whatever they hold it must not write over. It does not
   * open unless all of them answer within {@link settleWithin}: name those that are seldom away, and leave out
   * one that is gone.
   */
  readonly peers?: readonly LedgerPeer[];
  /** The custodians that `ask` can ask, each by its did. */
  readonly custodians?: readonly CustodianPeer[];
  /** Called when the home or a peer did not answer, or was wrong; it is asked again. */
  readonly onFault?: (fault: PeerFault) => void;
  /** Called once for each contradiction between two checkpoints, also for one that convicts no key in force. */
  readonly onFork?: (fork: FoundFork) => void;
  /**
   * Milliseconds for which a write without an answer is retried, with pauses, until its outcome is known;
   * after that the call rejects with `ERR_STORAGE_AMBIGUOUS`. Default 10,000. This bounds only attempts that
   * fail. An attempt that never ends is waited for: give the storage's client time limits of its own.
   * With a {@link home}, also the time for which a call waits for its block; after that it rejects with
   * `ERR_CHAIN_PENDING`, and the entries are kept and sent.
   */
  readonly settleWithin?: number;
  /**
   * Other threads that describe, label and seal the resources of bundles and of NDJSON: `nodeWorkers()` of
   * `healthledger/workers`. Signing, drawing random bytes, ordering and writing stay on this thread, so any
   * signer will do. They need a labeller of `createLabeller` and a terminology of `makeTerminology`, such as
   * the shipped ones. Closing the ledger ends them. Default: none.
   */
  readonly workers?: Workers;
  /** Clock, in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
  /** Cryptographically strong random bytes. Default those of the platform. */
  readonly random?: (length: number) => Uint8Array;
  /** Waits so many ms, or until the signal aborts. Default: the platform's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Called with the progress while the ledger catches up with blocks. */
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
  readonly signal?: AbortSignal;
}

const POLICY: NamesOf<PolicyOptions> = {
  defaults: "list",
  overlays: "list",
  terminology: "any",
  jurisdictions: "codes",
  supportedObligations: "codes",
  labeller: "any",
  retention: Object.fromEntries(
    ERASURE_CLASSES.map((name) => [
      name,
      { keepFor: "duration", rule: "any" } satisfies NamesOf<Retention>,
    ]),
  ),
  maxRequestLifetime: "duration",
  maxAge: "duration",
  auditors: "codes",
  fetchWithin: "duration",
};

const BREAK_GLASS: NamesOf<BreakGlassOptions> = {
  ...{ roles: "codes", maxDuration: "duration", whileCutOff: "flag" },
} as const;

const REPAIR: NamesOf<RepairOptions> = {
  index: "flag",
  derived: "flag",
  adoptSignedHeads: "flag",
  acceptLostBlocks: "flag",
  place: "flag",
};

const OPTIONS: NamesOf<OpenLedgerOptions> = {
  storage: "any",
  keys: "any",
  shardKeys: "any",
  signedHeads: "any",
  genesis: "any",
  member: "any",
  readOnly: "flag",
  beside: "flag",
  trust: "any",
  lane: "any",
  policy: POLICY,
  breakGlass: BREAK_GLASS,
  repair: REPAIR,
  compaction: "any",
  suite: "any",
  padding: "any",
  cosigners: "list",
  cosignWithin: "any",
  optionalCosignWithin: "any",
  home: "any",
  peers: "list",
  custodians: "list",
  onFault: "any",
  onFork: "any",
  kinds: "list",
  contracts: "list",
  settleWithin: "any",
  workers: "any",
  now: "any",
  random: "any",
  sleep: "any",
  onProgress: "any",
  signal: "any",
};

/**
 * Refuses unknown options, and copies those that are data, because they are read during and after opening.
 */
export function takeOptions(given: OpenLedgerOptions): OpenLedgerOptions {
  assertKnown(given, OPTIONS);
  const { policy } = given;
  return {
    ...copyData(given, ["genesis", "trust", "breakGlass", "repair"]),
    ...(policy === undefined ? {} : { policy: copyData(policy, POLICY_DATA) }),
  };
}

function copyData<T extends object>(given: T, data: readonly (keyof T)[]): T {
  const taken = { ...given };
  for (const name of data) {
    if (name in taken) taken[name] = takeArgument(taken[name]) as T[keyof T];
  }
  return taken;
}

const POLICY_DATA: readonly (keyof PolicyOptions)[] = [
  "defaults",
  "overlays",
  "jurisdictions",
  "supportedObligations",
  "retention",
  "auditors",
];
