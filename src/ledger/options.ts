import { ERASURE_CLASSES, type ErasureClass } from "../block/entry.ts";
import type { KindRule } from "../chain/kind-rule.ts";
import type { Trust } from "../chain/trust.ts";
import type { Witness } from "../chain/witness.ts";
import type { Labeller } from "../consent/labels/labeller.ts";
import type { Directive, Overlay } from "../consent/model/model.ts";
import type { Terminology } from "../consent/terminology/terminology.ts";
import type { SuiteName } from "../envelope/suite.ts";
import type { KeyStore } from "../identity/key-store.ts";
import type { ShardKeys } from "../identity/shard-keys.ts";
import type { SignedHeads } from "../identity/signed-heads.ts";
import type { StorageAdapter } from "../storage/types.ts";
import type { CompactionTime } from "./erasure/erase-options.ts";
import type { Retention } from "./erasure/erase.ts";

/**
 * What decides about access to this member's records, and how long they are kept. All of it is the
 * organisation's own: another member may hold another policy.
 */
export interface PolicyOptions {
  /** The organisation's own policy, where the patient is silent. Default: none, so refused. */
  readonly defaults?: readonly Directive[];
  /** What the law says above the patient's word, such as `part2Overlay()`. Default: nothing. */
  readonly overlays?: readonly Overlay[];
  /** What codes are read by; see `extendTerminology`. Default: the shipped one. */
  readonly terminology?: Terminology;
  /** ISO 3166 codes of the law that this member's records are under. Default: not stated. */
  readonly jurisdictions?: readonly string[];
  /** Codes of the obligations that this side carries out; others turn a permit into a denial. */
  readonly supportedObligations?: readonly string[];
  /** Says what is sensitive in a record. Default: the shipped rules, read by {@link terminology}. */
  readonly labeller?: Labeller;
  /** Least time that entries of a class are kept, and the rule that says so. Default: none. */
  readonly retention?: Partial<Readonly<Record<ErasureClass, Retention>>>;
  /** Longest time in milliseconds for which a request counts. Default ten minutes. */
  readonly maxRequestLifetime?: number;
}

/** Who may break the glass, and for how long. */
export interface BreakGlassOptions {
  /** Codes of the roles whose holders may break the glass. Default: none. */
  readonly roles?: readonly string[];
  /** Longest time in milliseconds that breaking the glass opens anything. Default one hour. */
  readonly maxDuration?: number;
}

/** What {@link openLedger} may repair. Nothing is repaired by default. */
export interface RepairOptions {
  /**
   * Builds the sealed index of this member's own entries again from the ledger and the envelopes,
   * where it is damaged; one decryption per entry.
   */
  readonly index?: boolean;
  /**
   * Checks all blocks from genesis on and builds the derived data again, where they may be damaged.
   * Derived data by another key than this member's is never believed anyway.
   */
  readonly derived?: boolean;
  /**
   * Takes the storage's word for what this member's keys have signed, where their memory of signed
   * heads is missing. What was signed since the storage was copied, if it was, is then forgotten.
   */
  readonly adoptSignedHeads?: boolean;
  /**
   * Opens a store that has lost blocks, and goes on from what is left. What those blocks held is
   * gone; who saw them sees a second history; and the checkpoint keys that signed them sign no more
   * here. Only where no copy that has them is left anywhere.
   */
  readonly acceptLostBlocks?: boolean;
}

/**
 * Options of {@link openLedger}. All times and durations are in milliseconds. An option that is not
 * listed here is refused, also within a group.
 */
export interface OpenLedgerOptions {
  /** Needs all three stores and an atomic commit, as `lmdbStorage` and `memoryStorage` give. */
  readonly storage: StorageAdapter;
  /** Holds this member's `sign` and `agree` keys, and a `checkpoint` key to sign checkpoints. */
  readonly keys: KeyStore;
  /**
   * Keys of this member's vault, kept apart from the storage and replaced with every erasure, so
   * that nothing erased can be opened from an older copy of the storage. Needs this process to be
   * the only one that acts for the member. Default: one key in the storage, sealed to the member's
   * own, which opens such a copy.
   */
  readonly shardKeys?: ShardKeys;
  /**
   * Remembers outside the storage what this member's keys have signed, so that a storage put back to
   * an older copy is noticed and never signed over. Default: the key store's own, which `fileKeys`
   * and `memoryKeys` have; keys in an HSM, a KMS or a browser must be given one (`fileSignedHeads`,
   * or five lines over any store with compare-and-set). `"store"` says that there shall be none but
   * the storage: an older copy of it then makes this member contradict itself.
   */
  readonly signedHeads?: SignedHeads | "store";
  /** The genesis record that founds the ledger. */
  readonly genesis: Uint8Array;
  /** did:key of the member this process acts for. Default: the key store's own actor. */
  readonly member?: string;
  /**
   * Opens the ledger for a member that cannot write, or for none: what files entries then rejects with
   * `ERR_CHAIN_READ_ONLY`. Without it opening does. Nothing is written to the storage; what the process
   * derives from the ledger it keeps in memory.
   */
  readonly readOnly?: boolean;
  /** Founds this ledger in a store that holds another. Default: refused, for a wrong genesis looks so. */
  readonly beside?: boolean;
  /** What must hold of the ledger: a store with another or a shorter history is refused. */
  readonly trust?: Trust;
  /**
   * Lane that this process stays on, 0 to 1023, of those that write with one key at the same time.
   * Default: each finds one by itself.
   */
  readonly lane?: number;
  /** What decides about access to this member's records, and how long they are kept. */
  readonly policy?: PolicyOptions;
  /** Who may break the glass, and for how long. Default: nobody. */
  readonly breakGlass?: BreakGlassOptions;
  /** What may be repaired while opening. Default: nothing. */
  readonly repair?: RepairOptions;
  /**
   * When the storage is compacted after an erasure. `now`: before `erase` resolves, and while opening
   * where an earlier one was left pending. `later`: when {@link Ledger.compact} is called; until then
   * what was erased may stand in the storage's files, which with `shardKeys` nobody can open any
   * more. Default `now`.
   */
  readonly compaction?: CompactionTime;
  /**
   * What records and everything else are sealed with from now on; what was sealed with the other is
   * read as before. `aes-gcm` needs node:crypto or WebCrypto. Default `chacha`.
   */
  readonly suite?: SuiteName;
  /**
   * Witnesses and validators that are asked to cosign each checkpoint. Where the ledger's policy
   * requires some, checkpoints, receipts, exports and answers are refused without them; recording
   * goes on. One that fails to answer, or does not within {@link cosignWithin}, is left out.
   */
  readonly cosigners?: readonly Witness[];
  /**
   * Milliseconds for which a checkpoint waits for cosigners, at most 2^31 − 1. Default 10,000. One
   * that has not answered then is not asked again before it does.
   */
  readonly cosignWithin?: number;
  /** Rules of entry kinds that the ledger's policy registers. */
  readonly kinds?: readonly KindRule[];
  /**
   * Milliseconds for which a write that got no answer is made again, with pauses, until it is known
   * what became of it; then the call rejects with `ERR_STORAGE_AMBIGUOUS`. Default 10,000. It bounds tries
   * that fail. A try that never ends is waited for: give the storage's client time limits of its own.
   */
  readonly settleWithin?: number;
  /** Clock, in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
  /** Cryptographically strong random bytes. Default those of the platform. */
  readonly random?: (length: number) => Uint8Array;
  /** Told while blocks are caught up with. */
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
  readonly signal?: AbortSignal;
}

/** Names that a group of options may hold; a group within it has a table of its own. */
interface KnownNames {
  readonly [name: string]: true | KnownNames;
}

/** A table of every option of `T`: an option that is not listed does not compile. */
type NamesOf<T> = { readonly [Name in keyof T]-?: true | KnownNames };

const POLICY: NamesOf<PolicyOptions> = {
  defaults: true,
  overlays: true,
  terminology: true,
  jurisdictions: true,
  supportedObligations: true,
  labeller: true,
  retention: Object.fromEntries(
    ERASURE_CLASSES.map((name) => [
      name,
      { keepFor: true, rule: true } satisfies NamesOf<Retention>,
    ]),
  ),
  maxRequestLifetime: true,
};

const BREAK_GLASS: NamesOf<BreakGlassOptions> = { roles: true, maxDuration: true };

const REPAIR: NamesOf<RepairOptions> = {
  index: true,
  derived: true,
  adoptSignedHeads: true,
  acceptLostBlocks: true,
};

const OPTIONS: NamesOf<OpenLedgerOptions> = {
  storage: true,
  keys: true,
  shardKeys: true,
  signedHeads: true,
  genesis: true,
  member: true,
  readOnly: true,
  beside: true,
  trust: true,
  lane: true,
  policy: POLICY,
  breakGlass: BREAK_GLASS,
  repair: REPAIR,
  compaction: true,
  suite: true,
  cosigners: true,
  cosignWithin: true,
  kinds: true,
  settleWithin: true,
  now: true,
  random: true,
  onProgress: true,
  signal: true,
};

/**
 * Refuses options that {@link openLedger} does not know. A misspelt one would otherwise count as left
 * out, and leave more open than was meant.
 *
 * @throws {TypeError} which names the option and the known one that is spelt most like it
 */
export function assertKnownOptions(given: OpenLedgerOptions): void {
  assertKnown(given, OPTIONS, "");
}

function assertKnown(given: unknown, known: KnownNames, path: string): void {
  if (typeof given !== "object" || given === null) {
    throw new TypeError(
      path === "" ? "openLedger takes an object of options" : `${path} must be an object`,
    );
  }
  for (const [name, value] of Object.entries(given)) {
    const full = path === "" ? name : `${path}.${name}`;
    const names = Object.hasOwn(known, name) ? known[name] : undefined;
    if (names === undefined) {
      throw new TypeError(
        `openLedger has no option "${full}"; the nearest that it has is "${nearest(full)}"`,
      );
    }
    if (names !== true && value !== undefined) assertKnown(value, names, full);
  }
}

/** The known option that is spelt most like `given`: in any group, and rather in the same one. */
function nearest(given: string): string {
  const name = lastName(given);
  const [best] = pathsOf(OPTIONS, "")
    .map((path) => {
      const whole = editDistance(given, path);
      return { path, whole, least: Math.min(whole, editDistance(name, lastName(path))) };
    })
    .sort((a, b) => a.least - b.least || a.whole - b.whole);
  return best!.path;
}

const lastName = (path: string): string => path.slice(path.lastIndexOf(".") + 1);

function pathsOf(known: KnownNames, path: string): string[] {
  return Object.entries(known).flatMap(([name, names]) => {
    const full = path === "" ? name : `${path}.${name}`;
    return names === true ? [full] : [full, ...pathsOf(names, full)];
  });
}

/** Letters to add, drop or change until one name is the other; case does not count. */
function editDistance(one: string, other: string): number {
  const [a, b] = [one.toLowerCase(), other.toLowerCase()];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(changed, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
