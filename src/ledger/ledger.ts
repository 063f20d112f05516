import type { CID } from "multiformats/cid";
import type { Chain } from "../chain/chain.ts";
import type { Trust } from "../chain/trust.ts";
import type { VerifyLedgerOptions, VerifyLedgerResult } from "../chain/verify-ledger.ts";
import type { EntryId, RecordId } from "../codec/ids.ts";
import type { Directive } from "../consent/model/model.ts";
import type { SnapshotDirective } from "../consent/model/snapshot.ts";
import type { FhirResource } from "../fhir/resource.ts";
import type { KeyAgreement } from "../identity/agreement.ts";
import type { Signer } from "../identity/signer.ts";
import type { Answer } from "./disclosure/answer.ts";
import type { Attachment } from "./records/attachments.ts";
import type { Access, AuditOptions, UnreadableAccess } from "./disclosure/audit.ts";
import type { AttestedKey } from "./consents/attested-key.ts";
import type {
  ConsentOptions,
  DeliveredDirective,
  FiledDirective,
  ReceivedDirective,
} from "./consents/file-consent.ts";
import type { AnsweredQuestion, Question, QuestionTime } from "./disclosure/question.ts";
import type { DisclosureResult } from "./disclosure/disclose.ts";
import type { EraseOptions } from "./erasure/erase-options.ts";
import type { CompactionReport } from "./erasure/finish-erasure.ts";
import type { ErasureStatement } from "./erasure/statement.ts";
import type { Evidence } from "./consents/evidence.ts";
import type { HeldContent } from "./consents/held.ts";
import type { RecordExport } from "./disclosure/export-records.ts";
import type { RecordOptions, ResourceInput } from "./records/recording.ts";
import type { BundleOptions, RecordedBundle } from "./records/record-bundle.ts";
import type { RecordedVersion } from "./records/record-versions.ts";
import type { CurrentRecord } from "./records/current-record.ts";
import type { RecordPageOptions } from "./records/list-records.ts";
import type { ResourceLabels } from "../consent/model/resource.ts";
import type { RelabelOptions, Relabelled } from "./records/relabelling.ts";
import type { RequestOptions } from "./disclosure/request.ts";
import type { PersonIdentifier, Subject } from "./entries/subjects.ts";
import type { PendingErasure } from "./erasure/unfinished.ts";
import type { BlobReport } from "./verify-blobs.ts";

export type {
  BreakGlassOptions,
  OpenLedgerOptions,
  PolicyOptions,
  RepairOptions,
} from "./options.ts";

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
  readonly id: EntryId;
  readonly kind: string;
}

/** A ledger, opened by one member that holds records. */
export interface Ledger {
  /** CID of the genesis record. */
  readonly id: CID;
  /** did:key of the member this process acts for. */
  readonly member: string;
  /** The chain beneath, to be read: for proofs, and for those who check the ledger themselves. */
  readonly chain: Chain;
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
   * Files a new version of a record that exists. Resolves when durable. Earlier versions stay in the
   * record's history.
   *
   * @param record - the record to amend
   */
  amend(
    record: RecordId,
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
  relabel(record: RecordId, labels?: ResourceLabels | null): Promise<RecordedVersion>;
  /**
   * Labels anew, by the current rules, every record that was labelled by other rules or by none, and
   * goes on where it was stopped. Until then, a stamp of older rules counts for nothing.
   */
  relabelStale(options?: RelabelOptions): Promise<Relabelled>;
  /** Marks a record as entered in error: it is disclosed no more. */
  retract(record: RecordId, reason: string): Promise<RecordedVersion>;
  /** Moves a record to the person it is really about. */
  reattribute(record: RecordId, to: Subject, reason: string): Promise<RecordedVersion>;
  /** A record's newest content, the custodian's own. */
  read(record: RecordId): Promise<Uint8Array>;
  /** What is attached to a record's newest content, the custodian's own. */
  attachments(record: RecordId): Promise<readonly Attachment[]>;
  /**
   * A person's records as they stand now, in the order in which they were recorded; a page of them where
   * a `limit` is given. The next page is `after` the last record of this one, and a page with fewer
   * records than its limit is the last as of now. A record keeps its place whatever is filed about it,
   * and new ones come last: through all pages none is given twice, and none that was there before the
   * first is left out but what was erased meanwhile.
   *
   * @throws {InputError} `ERR_INPUT_INVALID` when `limit` is no integer of 1 or more, and when this person
   *   never had the record that `after` names
   * @throws {InputError} `ERR_INPUT_UNKNOWN_SUBJECT` when this custodian never knew such a person; so do the other
   *   calls that take one
   */
  records(subject: Subject, options?: RecordPageOptions): Promise<readonly CurrentRecord[]>;
  /** Attests who speaks for a person, in what capacity, and by which key, if he has one. */
  attest(subject: Subject, key: AttestedKey): Promise<EntryId>;
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
  trustWitnesses(witnesses: readonly string[]): Promise<EntryId>;
  /**
   * What shows that a person gave a directive: the forms that were sealed with it.
   *
   * @param directive - the consent entry
   * @throws {RecordError} `ERR_RECORD_NOT_FOUND`, `ERR_RECORD_ERASED`
   * @throws {StorageError} `ERR_STORAGE_MISSING` when the store lost them, `ERR_STORAGE_CORRUPT` when they
   *   are not what the witness signed
   */
  evidence(directive: EntryId): Promise<readonly Evidence[]>;
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
  exportRecords(
    requester: Requester,
    options: RequestOptions & ProofOptions & { readonly compress?: boolean },
  ): Promise<RecordExport>;
  /** Answers a signed request that came from elsewhere; see `createRequest`. */
  disclose(request: Uint8Array): Promise<DisclosureResult>;
  /**
   * Who asked for a person's data, why, and what was answered: oldest first. Each access is opened when it
   * is asked for, and none of those up to the one that `after` names.
   *
   * @param subject - `null` for who asked about persons that are unknown here
   * @throws {InputError} `ERR_INPUT_INVALID` when `after` names no access to this person's data
   */
  audit(subject: Subject | null, options?: AuditOptions): AsyncIterable<Access | UnreadableAccess>;
  /** Accesses by breaking the glass that nobody has reviewed. */
  pendingReviews(): AsyncIterable<Access | UnreadableAccess>;
  /** Says that an access was reviewed. */
  markReviewed(access: EntryId): Promise<void>;
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
  placeHold(subject: Subject, rule: string): Promise<void>;
  liftHold(subject: Subject): Promise<void>;
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
  receipt(entry: EntryId, options?: ProofOptions): Promise<Uint8Array>;
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
   *   restored: opening with `repair.index` takes it in
   */
  giveUp(entries: readonly EntryId[], options: { readonly reason: string }): Promise<void>;
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
  /** Names the erase entry. */
  readonly entry?: EntryId;
  /** Whom it is about, where that is known. */
  readonly subject?: Subject;
  /** What it failed with the last time. */
  readonly error: unknown;
}
