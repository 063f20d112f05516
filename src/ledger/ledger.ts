import type { CID } from "multiformats/cid";
import type { ErasureClass } from "../block/entry.ts";
import type { AppendableChain } from "../chain/chain.ts";
import type { Witness } from "../chain/witness.ts";
import type { KindRule } from "../chain/kind-rule.ts";
import type { Trust } from "../chain/trust.ts";
import type { VerifyLedgerOptions, VerifyLedgerResult } from "../chain/verify-ledger.ts";
import type { Labeller } from "../consent/labels/labeller.ts";
import type { Directive, Overlay } from "../consent/model/model.ts";
import type { SnapshotDirective } from "../consent/model/snapshot.ts";
import type { Terminology } from "../consent/terminology/terminology.ts";
import type { SuiteName } from "../envelope/suite.ts";
import type { FhirResource } from "../fhir/resource.ts";
import type { KeyAgreement } from "../identity/agreement.ts";
import type { KeyStore } from "../identity/key-store.ts";
import type { ShardKeys } from "../identity/shard-keys.ts";
import type { SignedHeads } from "../identity/signed-heads.ts";
import type { Signer } from "../identity/signer.ts";
import type { StorageAdapter } from "../storage/types.ts";
import type { Answer } from "./disclosure/answer.ts";
import type { Attachment } from "./records/attachments.ts";
import type { Access, UnreadableAccess } from "./disclosure/audit.ts";
import type { AttestedKey } from "./consents/attested-key.ts";
import type {
  ConsentOptions,
  DeliveredDirective,
  FiledDirective,
  ReceivedDirective,
} from "./consents/file-consent.ts";
import type { AnsweredQuestion, Question, QuestionTime } from "./disclosure/question.ts";
import type { DisclosureResult } from "./disclosure/disclose.ts";
import type { CompactionTime, EraseOptions } from "./erasure/erase-options.ts";
import type { CompactionReport, ErasureStatement, Retention } from "./erasure/erase.ts";
import type { Evidence } from "./consents/evidence.ts";
import type { HeldContent } from "./consents/held.ts";
import type { RecordExport } from "./disclosure/export-records.ts";
import type {
  BundleOptions,
  RecordedBundle,
  RecordedVersion,
  RecordOptions,
  ResourceInput,
} from "./records/recording.ts";
import type { CurrentRecord } from "./records/current-record.ts";
import type { ResourceLabels } from "../consent/model/resource.ts";
import type { RelabelOptions, Relabelled } from "./records/relabelling.ts";
import type { RequestOptions } from "./disclosure/request.ts";
import type { PersonIdentifier, Subject } from "./entries/subjects.ts";
import type { PendingErasure } from "./erasure/unfinished.ts";
import type { BlobReport } from "./verify-blobs.ts";

/** What {@link openLedger} may repair; each gives something up, so read what. */
export interface RepairOptions {
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

/** What {@link openLedger} takes. */
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
  /** What may be repaired while opening, in so many words; nothing is by default. */
  readonly repair?: RepairOptions;
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
  readonly labeller?: Labeller;
  /** The organisation's own policy, where the patient is silent. Default: none, so refused. */
  readonly defaults?: readonly Directive[];
  /** What the law says above the patient's word, such as `part2Overlay()`. Default: nothing. */
  readonly overlays?: readonly Overlay[];
  /** What codes are read by; see `extendTerminology`. Default: the shipped one. */
  readonly terminology?: Terminology;
  /** ISO 3166 codes of the law that this member's records are under. Default: not stated. */
  readonly jurisdictions?: readonly string[];
  /** Codes of the obligations that this side carries out; others turn a permit into a denial. */
  readonly understood?: readonly string[];
  readonly retention?: Partial<Readonly<Record<ErasureClass, Retention>>>;
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
   * Checks all blocks from genesis on and builds the derived data again, where they are suspected to
   * be damaged. What another than this member's key derived is never believed anyway.
   */
  readonly rebuild?: boolean;
  /**
   * Builds the sealed index of this member's own entries again from the ledger and the envelopes,
   * where it is damaged; one decryption an entry.
   */
  readonly rebuildIndex?: boolean;
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
  /** Roles whose holders may break the glass. Default none. */
  readonly privilegedRoles?: readonly string[];
  /** Longest time that breaking the glass opens anything, in ms. Default one hour. */
  readonly maxBreakGlass?: number;
  /** Longest time that a request may count, in ms. Default ten minutes. */
  readonly maxRequestLifetime?: number;
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

/** Whom a proof is for. */
export interface ProofOptions {
  /**
   * What the reader believes of the ledger, as `followCheckpoint` moved it on: the receipt then shows
   * that it is of the history of the root that was seen. Default: the genesis record alone.
   */
  readonly from?: Trust;
}

/** Who asks: an organisation's signing key and the agreement key that its answers are sealed to. */
export interface Requester {
  readonly signer: Signer;
  readonly agreement: KeyAgreement;
}

/** An entry on the ledger that does not open here. */
export interface LostEntry {
  readonly id: Uint8Array;
  readonly kind: string;
}

/** A ledger, opened by one member that holds records. */
export interface Ledger {
  /** CID of the genesis record. */
  readonly id: CID;
  /** did:key of the member this process acts for. */
  readonly member: string;
  /** The chain beneath, for proofs and for those who build on it. */
  readonly chain: AppendableChain;
  /** The person with this identifier, or `undefined` where this custodian knows none. */
  findSubject(identifier: PersonIdentifier): Promise<Subject | undefined>;
  /** The person with this identifier; made known to this custodian if he was not. */
  ensureSubject(identifier: PersonIdentifier): Promise<Subject>;
  /** Seals a FHIR resource and files it. Resolves when durable. */
  record(
    subject: Subject,
    resource: ResourceInput,
    options?: RecordOptions,
  ): Promise<RecordedVersion>;
  /**
   * Records every resource of a FHIR bundle.
   *
   * @param subject - whose bundle it is; `null` to file each patient under his own identifier
   */
  recordBundle(
    subject: Subject | null,
    bundle: Uint8Array | string | FhirResource,
    options?: BundleOptions,
  ): Promise<RecordedBundle>;
  /**
   * Gives a record new labels, the labeller's by default; its content stays. Labels without a stamp,
   * such as those of the Bundle that it came in, are then kept.
   */
  relabel(record: Uint8Array, labels?: ResourceLabels | null): Promise<RecordedVersion>;
  /**
   * Labels anew, by the current rules, every record that was labelled by other rules or by none, and
   * goes on where it was stopped. Until then, a stamp of older rules counts for nothing.
   */
  relabelStale(options?: RelabelOptions): Promise<Relabelled>;
  /** Marks a record as entered in error: it is disclosed no more. */
  retract(record: Uint8Array, reason: string): Promise<RecordedVersion>;
  /** Moves a record to the person it is really about. */
  reattribute(record: Uint8Array, to: Subject, reason: string): Promise<RecordedVersion>;
  /** A record's newest content, the custodian's own. */
  read(record: Uint8Array): Promise<Uint8Array>;
  /** What is attached to a record's newest content, the custodian's own. */
  attachments(record: Uint8Array): Promise<readonly Attachment[]>;
  /**
   * A person's records as they stand now.
   *
   * @throws {InputError} `ERR_INPUT_INVALID` when this custodian never knew such a person; so do the other
   *   calls that take one
   */
  records(subject: Subject): Promise<readonly CurrentRecord[]>;
  /** Attests who speaks for a person, in what capacity, and by which key, if he has one. */
  attest(subject: Subject, key: AttestedKey): Promise<Uint8Array>;
  /**
   * Files a directive, signed by its grantor or witnessed by this custodian. Resolves when it is in
   * force here.
   *
   * @throws {ConsentError} `ERR_CONSENT_INVALID` when it would be void, or was filed before and another
   *   came after it in its lineage; nothing was filed. Also, and then it says so, when it was filed and
   *   is void, since a key was retired meanwhile
   * @throws {InputError} `ERR_INPUT_INVALID` when the options say none or several of the ways;
   *   `ERR_INPUT_INVALID`, `ERR_INPUT_TOO_LARGE` when the evidence cannot be sealed
   */
  consent(subject: Subject, directive: Directive, options: ConsentOptions): Promise<FiledDirective>;
  /**
   * Takes a directive that another custodian delivered: files it, or holds it where this custodian
   * does not believe the organisation that witnessed it. What is held does not count, is listed by
   * {@link held}, and is received again once the organisation is trusted.
   *
   * @throws {ConsentError} `ERR_CONSENT_INVALID` as {@link consent} does
   */
  receive(subject: Subject, delivered: DeliveredDirective): Promise<ReceivedDirective>;
  /** What was delivered about a person and is held without counting, oldest first. */
  held(subject: Subject): Promise<readonly HeldContent[]>;
  /**
   * Says whose witnessed directives this custodian believes beside its own, from now on and in place
   * of whom it named before. Where one is named no more, of what it witnessed only refusals count.
   *
   * @param witnesses - did:keys of organisations, all of them
   * @returns id of the link entry that says so
   */
  trustWitnesses(witnesses: readonly string[]): Promise<Uint8Array>;
  /**
   * What shows that a person gave a directive: the forms that were sealed with it.
   *
   * @param directive - id of the consent entry
   * @throws {StorageError} `ERR_STORAGE_ERASED`, `ERR_STORAGE_MISSING`, and `ERR_STORAGE_CORRUPT` when
   *   they are not what the witness signed
   */
  evidence(directive: Uint8Array): Promise<readonly Evidence[]>;
  /**
   * A person's directives as this custodian filed them, oldest first, void ones included. Behind them, one
   * marked as `unreadable` in the lineage of each that replaces what cannot be read.
   *
   * @throws {StorageError} naming the entry of a directive that cannot be read and that none replaces
   */
  directives(subject: Subject): Promise<readonly SnapshotDirective[]>;
  /**
   * Decides about a person's records without disclosing any: who could see what and why, now or as
   * of an earlier height and time. For the custodian's own eyes; nothing is recorded.
   *
   * @throws {RangeError} when the ledger has no such height
   */
  decide(subject: Subject, question: Question, time?: QuestionTime): Promise<AnsweredQuestion>;
  /**
   * Asks this custodian in a requester's name, and opens the answer for him. Whether the receipts of
   * its items can be made is settled first: what cannot be proved is not disclosed.
   *
   * @throws {ChainError} `ERR_CHAIN_POLICY` when they cannot; nothing was decided or recorded
   */
  request(requester: Requester, options: RequestOptions & ProofOptions): Promise<Answer>;
  /**
   * Exports records as SMART Health Links have them: each a JWE with a key of its own. It is a
   * disclosure like any other: decided, recorded as an access, and only then are keys made.
   */
  exportRecord(
    requester: Requester,
    options: RequestOptions & ProofOptions & { readonly compress?: boolean },
  ): Promise<RecordExport>;
  /** Answers a signed request that came from elsewhere; see `createRequest`. */
  disclose(request: Uint8Array): Promise<DisclosureResult>;
  /**
   * Who asked for a person's data, why, and what was answered.
   *
   * @param subject - `null` for who asked about persons that are unknown here
   */
  audit(subject: Subject | null): AsyncIterable<Access | UnreadableAccess>;
  /** Accesses by breaking the glass that nobody has reviewed. */
  pendingReviews(): AsyncIterable<Access | UnreadableAccess>;
  /** Says that an access was reviewed. */
  reviewed(access: Uint8Array): Promise<void>;
  /**
   * Destroys ciphertext and keys, class by class, and compacts the storage. Where that cannot be done
   * now, the statement says `pending`. Called again for what is erased already, it completes that
   * erasure and files nothing.
   *
   * @throws {InputError} `ERR_INPUT_INVALID` when the options do not say in so many words what is to
   *   be destroyed, `ERR_INPUT_RETAINED` while a rule or a hold keeps it
   */
  erase(subject: Subject, options: EraseOptions): Promise<ErasureStatement>;
  /**
   * Compacts the storage, which completes every erasure that is pending.
   *
   * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when this storage cannot be compacted
   * @throws {StorageError} when it cannot be compacted now; the erasures stay pending
   */
  compact(): Promise<CompactionReport>;
  /** Erasures of which the storage's files may still show something, in no order. */
  pendingErasures(): Promise<readonly PendingErasure[]>;
  /**
   * What stands on the ledger or was begun before, and could not be carried out or cleared away: why.
   * A person whom a pending erasure is about is refused with `ERR_STORAGE_PENDING`, others are not.
   * Opening the ledger again tries it again, and so do `erase` about that person and `compact`.
   */
  pendingWork(): Promise<readonly PendingWork[]>;
  /** Forbids erasing anything about a person, naming the rule. */
  hold(subject: Subject, rule: string): Promise<void>;
  release(subject: Subject): Promise<void>;
  /**
   * Signs a checkpoint of the newest head, with the key of this process that is in force, and has it
   * cosigned.
   *
   * @throws {ChainError} `ERR_CHAIN_POLICY` when the ledger's policy does not accept what could be
   *   signed, as `export` does; the message says what is missing
   */
  checkpoint(): Promise<Uint8Array>;
  /**
   * Makes the offline proof of one of this custodian's entries; `verifyReceipt` believes it by the
   * genesis record alone, or by the trust that it is made for.
   *
   * @throws {ChainError} `ERR_CHAIN_POLICY` when no checkpoint can be had that this trust accepts
   * @throws {ProofError} `ERR_PROOF_RANGE` when the trusted size is beyond this store's ledger,
   *   `ERR_PROOF_UNAVAILABLE` when the trusted root is of another history
   */
  prove(entry: Uint8Array, options?: ProofOptions): Promise<Uint8Array>;
  /**
   * Checks the whole ledger in the store, from genesis on, and against what is trusted: by default what it
   * was opened with, or a checkpoint or trust that is given.
   *
   * @throws {InputError} `ERR_INPUT_TOO_LARGE` when the state is beyond `maxState`, and there is no
   *   `scratch`
   */
  verify(options?: Omit<VerifyLedgerOptions, "genesis" | "kinds">): Promise<VerifyLedgerResult>;
  /**
   * Reads every blob that this member's entries should have, and compares it with its name.
   *
   * @throws {StorageError} `ERR_STORAGE_CORRUPT` when the index cannot say which were erased
   */
  verifyBlobs(options?: { readonly signal?: AbortSignal }): Promise<BlobReport>;
  /**
   * This member's entries on the ledger that do not open here though nothing erased them. What may
   * rest on them is refused: of a record, a consent or an access only about its own person.
   */
  lost(): Promise<readonly LostEntry[]>;
  /**
   * Gives up entries that {@link lost} names and no backup has: files that they are erased. So may be
   * given up, by the id that an error names, a directive or an attested key that cannot be read. What
   * they said, a refusal perhaps, counts no more; so restoring the store comes first, and for a directive
   * a new one that replaces it. A link entry that does not open may have said whose witnessed
   * directives are believed: with it nobody is, until {@link trustWitnesses} says it anew.
   *
   * @throws {InputError} `ERR_INPUT_INVALID` for what is not lost, or opens again since the store was
   *   restored: opening with `rebuildIndex` takes it in
   */
  giveUp(entries: readonly Uint8Array[], options: { readonly reason: string }): Promise<void>;
  /** Writes the ledger as a CAR stream under a fresh checkpoint. */
  export(): Promise<AsyncIterable<Uint8Array>>;
  /**
   * Refuses new calls and resolves when those that write, and had begun, have settled; large ones end
   * sooner by their `signal`. The storage and the key store stay open.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Something that could not be carried out yet. */
export interface PendingWork {
  readonly what: "erasure" | "upload";
  /** Id of the erase entry. */
  readonly entry?: Uint8Array;
  /** Whom it is about, where that is known. */
  readonly subject?: Subject;
  /** What it failed with the last time. */
  readonly error: unknown;
}
