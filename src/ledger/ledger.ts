import type { CID } from "multiformats/cid";
import type { Chain } from "../chain/chain.ts";
import type { ForkVerdict } from "../chain/known-forks.ts";
import type { Trust } from "../chain/trust.ts";
import type { VerifyLedgerOptions, VerifyLedgerResult } from "../chain/verify-ledger.ts";
import type { EntryId, RecordId } from "../codec/ids.ts";
import type { Directive } from "../consent/model/model.ts";
import type { SnapshotDirective } from "../consent/model/snapshot.ts";
import type { KeyAgreement } from "../identity/agreement.ts";
import type { FollowedEntry, FollowEntriesOptions } from "../network/follow-entries.ts";
import type { LedgerCopy } from "../network/replica.ts";
import type { OutboxItem } from "./elsewhere/outbox.ts";
import type { Signer } from "../identity/signer.ts";
import type { Feed } from "./feed.ts";
import type { Answer } from "./disclosure/answer.ts";
import type { Asking } from "./disclosure/asking.ts";
import type { Delivering } from "./disclosure/delivering.ts";
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
import type { RecordOnceOptions, RecordOptions, ResourceInput } from "./records/recording.ts";
import type { RecordedVersion } from "./records/record-versions.ts";
import type { CurrentRecord } from "./records/current-record.ts";
import type { RecordPageOptions } from "./records/list-records.ts";
import type { ResourceLabels } from "../consent/model/resource.ts";
import type { RelabelOptions, Relabelled } from "./records/relabelling.ts";
import type { RequestOptions } from "./disclosure/request.ts";
import type { Subject } from "./entries/subjects.ts";
import type { PersonCalls } from "./persons/person-calls.ts";
import type { PendingErasure } from "./erasure/unfinished.ts";
import type { Governance } from "./governance.ts";
import type { PendingWork } from "./pending-work.ts";
import type { TransactionSink } from "./transaction-sink.ts";
import type { BlobReport } from "./verify-blobs.ts";

export type { BreakGlassOptions } from "./disclosure/emergency.ts";
export type { OpenLedgerOptions, PolicyOptions, RepairOptions } from "./options.ts";
export type { KeyChange } from "../chain/key-change.ts";
export type { EnactedChange, EnactOptions, Governance } from "./governance.ts";
export type { PendingWork } from "./pending-work.ts";
export type { TransactionSink } from "./transaction-sink.ts";

/** The reader that a proof is made for. */
export interface ProofOptions {
  /**
   * The reader's trust in the ledger, as `followCheckpoint` advanced it. The receipt then proves that it
   * extends the history of the root that the reader has seen. Default: the genesis record alone.
   */
  readonly from?: Trust;
}

/** A requesting organisation: its signing key, and the agreement key that its answers are sealed to. */
export interface Requester {
  readonly signer: Signer;
  readonly agreement: KeyAgreement;
}

/** An entry on the ledger that this custodian cannot open. */
export interface LostEntry {
  readonly id: EntryId;
  readonly kind: string;
}

/** A ledger, opened by one member that holds records. */
export interface Ledger extends PersonCalls, Asking, Delivering, Feed {
  /** CID of the genesis record. */
  readonly id: CID;
  /** did:key of the member this process acts for. */
  readonly member: string;
  /** The underlying chain, read-only: for proofs, and for callers that check the ledger themselves. */
  readonly chain: Chain;
  /** Changes of members, policy and keys. */
  readonly governance: Governance;
  /**
   * Takes transactions that other members signed, for `ledgerHandler` of `healthledger/network`: only where
   * this process orders the ledger, and without `readOnly`. Each is judged by the ledger's rules.
   */
  readonly sequencer: TransactionSink;
  /**
   * Seals a FHIR resource and files it. Resolves once it is durable. With an `idempotencyKey`, a call may be
   * repeated: it records once.
   *
   * @throws {RecordError} `ERR_RECORD_CONFLICT` when something else was recorded with the key
   * @example
   * const again = () => hl.record(patient, resource, { idempotencyKey: "message-4711" });
   * const [first, second] = [await again(), await again()];
   * first.id === second.id; // true
   */
  record(
    subject: Subject,
    resource: ResourceInput,
    options?: RecordOnceOptions,
  ): Promise<RecordedVersion>;
  /**
   * Files a new version of an existing record. Resolves once it is durable. Earlier versions stay in the
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
   * Gives a record new labels, by default those of the labeller; its content does not change. With the
   * labeller's labels, existing labels without a stamp, such as those of the Bundle that the record came
   * in, are kept.
   */
  relabel(record: RecordId, labels?: ResourceLabels | null): Promise<RecordedVersion>;
  /**
   * Relabels, by the current rules, every record that was labelled by other rules or by none. A call
   * after an interrupted one resumes where it stopped. Until a record is relabelled, a stamp of older
   * rules counts for nothing.
   */
  relabelStale(options?: RelabelOptions): Promise<Relabelled>;
  /** Marks a record as entered in error; it is no longer disclosed. */
  retract(record: RecordId, reason: string): Promise<RecordedVersion>;
  /** Moves a record to the person it is really about. */
  reattribute(record: RecordId, to: Subject, reason: string): Promise<RecordedVersion>;
  /** The newest content of one of the custodian's own records. */
  read(record: RecordId): Promise<Uint8Array>;
  /** The attachments of the newest content of one of the custodian's own records. */
  attachments(record: RecordId): Promise<readonly Attachment[]>;
  /**
   * A person's current records, in the order in which they were recorded, those of one bundle in any order; one page of
   * them if `limit` is given. For the next page, pass the id of this page's last record as `after`. A page with fewer records
   * than its limit is the last one for now. A record keeps its position whatever is filed about it, and
   * new records come last. So no record appears on two pages, and every record that existed before the
   * first page appears, unless it was erased meanwhile.
   *
   * @throws {InputError} `ERR_INPUT_INVALID` when `limit` is not an integer of 1 or more, or when this
   *   person never had the record that `after` names
   * @throws {InputError} `ERR_INPUT_UNKNOWN_SUBJECT` when this custodian never knew such a person; every
   *   call that takes a person throws it
   */
  records(subject: Subject, options?: RecordPageOptions): Promise<readonly CurrentRecord[]>;
  /** Attests that somebody may speak for a person, in which capacity and, if they have one, by which key. */
  attest(subject: Subject, key: AttestedKey): Promise<EntryId>;
  /**
   * Files a directive, signed by its grantor or witnessed by this custodian. Resolves once it is in
   * force here.
   *
   * @throws {ConsentError} `ERR_CONSENT_INVALID` when the directive would be void, or when it was filed
   *   before and another one followed it in its lineage; nothing was filed. Also when it was filed but is
   *   void because a key was retired meanwhile; the message then says that it was filed
   * @throws {InputError} `ERR_INPUT_INVALID` unless the options give exactly one of `signer`, `signed` and
   *   `witness`; `ERR_INPUT_INVALID` or `ERR_INPUT_TOO_LARGE` when the evidence cannot be sealed
   */
  consent(subject: Subject, directive: Directive, options: ConsentOptions): Promise<FiledDirective>;
  /**
   * Takes a directive that another custodian delivered. Files it, or holds it if this custodian does not
   * trust the organisation that witnessed it. A held directive does not count. {@link held} lists it; call
   * `receive` with it again once the organisation is trusted. With the `alias` of what {@link deliver} brought, it
   * is also held while the grantor's key is not attested.
   *
   * @throws {ConsentError} `ERR_CONSENT_INVALID` as {@link consent} does
   */
  receive(subject: Subject, delivered: DeliveredDirective): Promise<ReceivedDirective>;
  /**
   * Delivered directives about a person that are held and do not count, oldest first.
   *
   * @param subject - `null`: those about nobody known here. Give the person the identifier with {@link identify}, and
   *   call {@link receive} with what is listed
   */
  held(subject: Subject | null): Promise<readonly HeldContent[]>;
  /**
   * Sets the organisations whose witnessed directives this custodian trusts besides its own. The list
   * replaces the previous one from now on. Of the directives witnessed by an organisation that is no
   * longer listed, only refusals count.
   *
   * @param witnesses - did:keys of all trusted organisations
   * @returns id of the link entry that records the list
   */
  trustWitnesses(witnesses: readonly string[]): Promise<EntryId>;
  /**
   * The evidence that a person gave a directive: the forms that were sealed with it.
   *
   * @param directive - the consent entry
   * @throws {RecordError} `ERR_RECORD_NOT_FOUND`, `ERR_RECORD_ERASED`
   * @throws {StorageError} `ERR_STORAGE_MISSING` when the store lost the evidence, `ERR_STORAGE_CORRUPT`
   *   when it is not what the witness signed
   */
  evidence(directive: EntryId): Promise<readonly Evidence[]>;
  /**
   * A person's directives as this custodian filed them, oldest first, void ones included. After them
   * follows, for each directive that replaces an unreadable one, a stand-in marked `unreadable` in its
   * lineage.
   *
   * @throws {StorageError} naming the entry of a directive that cannot be read and that no other replaces
   */
  directives(subject: Subject): Promise<readonly SnapshotDirective[]>;
  /**
   * Decides about a person's records without disclosing any: who could see which records and why, now or
   * as of an earlier height and time. The result is for the custodian only; nothing is recorded.
   *
   * @throws {RangeError} when the ledger has no such height
   */
  decide(subject: Subject, question: Question, time?: QuestionTime): Promise<AnsweredQuestion>;
  /**
   * Makes a request to this custodian in a requester's name, and opens the answer for the requester. The
   * call first ensures that receipts for the answer's items can be made, because a record that cannot be
   * proved must not be disclosed.
   *
   * @throws {ChainError} `ERR_CHAIN_POLICY` when receipts cannot be made; nothing was decided or recorded
   */
  request(requester: Requester, options: RequestOptions & ProofOptions): Promise<Answer>;
  /**
   * Exports records in the form of SMART Health Links: each record is a JWE with a key of its own. An
   * export is a disclosure like any other: it is decided and recorded as an access before keys are made.
   */
  exportRecords(
    requester: Requester,
    options: RequestOptions & ProofOptions & { readonly compress?: boolean },
  ): Promise<RecordExport>;
  /** Answers a signed request from another party; see `createRequest`. */
  disclose(request: Uint8Array): Promise<DisclosureResult>;
  /**
   * The accesses to a person's data, oldest first: who asked, why, and what was answered. Each access is
   * opened when the iterator reaches it; those up to and including the one that `after` names are not.
   *
   * @param subject - `null` for requests about persons whom this custodian does not know
   * @throws {InputError} `ERR_INPUT_INVALID` when `after` names no access to this person's data
   */
  audit(subject: Subject | null, options?: AuditOptions): AsyncIterable<Access | UnreadableAccess>;
  /** Accesses that broke the glass and that nobody has reviewed; first those that are not on the ledger yet. */
  pendingReviews(): AsyncIterable<Access | UnreadableAccess>;
  /** Records that an access was reviewed. */
  markReviewed(access: EntryId): Promise<void>;
  /**
   * Destroys ciphertext and keys, class by class, and compacts the storage. If that cannot be done now,
   * the statement says `pending`. A repeated call for data that is already erased completes that erasure
   * and files nothing.
   *
   * @throws {InputError} `ERR_INPUT_INVALID` when the options do not state explicitly what to destroy,
   *   `ERR_INPUT_RETAINED` while a retention rule or a hold keeps it
   */
  erase(subject: Subject, options: EraseOptions): Promise<ErasureStatement>;
  /**
   * Compacts the storage, which completes every pending erasure.
   *
   * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when this storage does not support compaction
   * @throws {StorageError} when it cannot be compacted now; the erasures stay pending
   */
  compact(): Promise<CompactionReport>;
  /** Erasures whose data the storage's files may still hold, in no particular order. */
  pendingErasures(): Promise<readonly PendingErasure[]>;
  /**
   * Erasures on the ledger that could not be carried out, and interrupted uploads that could not be
   * cleared away, each with the reason. Calls about a person with a pending erasure reject with
   * `ERR_STORAGE_PENDING`; calls about other persons do not. Pending work is retried by opening the ledger
   * again, by `erase` about that person and by `compact`.
   */
  pendingWork(): Promise<readonly PendingWork[]>;
  /** Forbids erasing anything about a person, and names the rule that forbids it. */
  placeHold(subject: Subject, rule: string): Promise<void>;
  /** Lifts the hold on a person. */
  liftHold(subject: Subject): Promise<void>;
  /**
   * Signs a checkpoint of the newest head with this process's key that is in force, and has it cosigned.
   *
   * @throws {ChainError} `ERR_CHAIN_POLICY` when the ledger's policy does not accept the signatures that
   *   could be had; the message says what is missing. `export` throws the same
   */
  checkpoint(): Promise<Uint8Array>;
  /**
   * Encoded evidence that the keys of the ledger's log signed two histories; `undefined` if none is known, or
   * if the `trust` that the ledger was opened with has decided between them. Until then every call that files
   * entries, signs or releases anything rejects with `ERR_CHAIN_FORKED`. What is here can be read.
   */
  fork(): Promise<Uint8Array | undefined>;
  /**
   * Takes fork evidence that somebody else has found, and keeps it if it convicts a key in force: a key of the
   * log stops the ledger, a cosigner counts no more. Keys that have left the policy convict nobody.
   *
   * @throws {EncodingError} when the bytes are not evidence
   */
  takeFork(evidence: Uint8Array): Promise<ForkVerdict>;
  /**
   * Makes an offline proof of one of this custodian's entries. `verifyReceipt` verifies it from the genesis
   * record alone, or from the trust that the receipt is made for.
   *
   * @throws {ChainError} `ERR_CHAIN_POLICY` when no checkpoint that this trust accepts can be had
   * @throws {ProofError} `ERR_PROOF_RANGE` when the trusted size is beyond this store's ledger,
   *   `ERR_PROOF_UNAVAILABLE` when the trusted root belongs to another history
   */
  receipt(entry: EntryId, options?: ProofOptions): Promise<Uint8Array>;
  /**
   * Checks the whole ledger in the store from genesis on, and checks it against a trust: the given
   * checkpoint or trust, by default the trust that the ledger was opened with.
   *
   * @throws {InputError} `ERR_INPUT_TOO_LARGE` when the state exceeds `maxState` and no `scratch` is given
   */
  verify(
    options?: Omit<VerifyLedgerOptions, "genesis" | "kinds" | "contracts">,
  ): Promise<VerifyLedgerResult>;
  /**
   * Reads every blob that this member's entries should have, and compares it with its CID.
   *
   * @throws {StorageError} `ERR_STORAGE_CORRUPT` when the index cannot tell which entries were erased
   */
  verifyBlobs(options?: { readonly signal?: AbortSignal }): Promise<BlobReport>;
  /**
   * This member's entries on the ledger that cannot be opened here although nothing erased them. Calls
   * that may depend on such an entry reject. For a record, a consent or an access, only calls about the
   * same person do.
   */
  lost(): Promise<readonly LostEntry[]>;
  /**
   * Gives up entries that {@link lost} names and that no backup has: files that they are erased. A
   * directive or an attested key that cannot be read may also be given up, by the id that the error names.
   * What a given-up entry said, possibly a refusal, no longer counts. So first try to restore the store or,
   * for a directive, file a new one that replaces it. A link entry that cannot be opened may have held the
   * list of trusted witnesses; once it is given up, none is trusted until {@link trustWitnesses} is called
   * again.
   *
   * @throws {InputError} `ERR_INPUT_INVALID` for an entry that is not lost, or that can be opened again
   *   since the store was restored: opening the ledger with `repair.index` takes it in
   */
  giveUp(entries: readonly EntryId[], options: { readonly reason: string }): Promise<void>;
  /**
   * Calls an action of a contract that the ledger's policy registers. All of the call is in clear on the ledger:
   * amounts, codes, dates and whatever links two calls about one person have no place in it.
   *
   * @param contract - its name; the version in force is called
   * @returns once the call is recorded and its changes stand, the entry's id and its block's height
   * @throws {TransactionRefused} `contract-refused` with the contract's code; `contract-changed`: call again
   * @throws {ContractError} `ERR_CONTRACT_UNAVAILABLE` when the code was not passed to `openLedger`
   * @throws {EncodingError} when a field has not the form that the action's schema says
   * @example
   * const { height } = await hl.callContract("counter", "add", { amount: 5 });
   */
  callContract(
    contract: string,
    action: string,
    call: Readonly<Record<string, unknown>>,
  ): Promise<{ readonly id: EntryId; readonly height: number }>;
  /**
   * Reads a value that a contract keeps, as of the newest block; `undefined` if there is none.
   *
   * @param key - the key by which the contract's code wrote it
   * @example
   * const total = await hl.contractValue("counter", "total");
   */
  contractValue(contract: string, key: string): Promise<unknown>;
  /**
   * Gives out the entries of the ledger in order, those there are and those to come, until the signal aborts: of
   * every member, as they are on the ledger. A member elsewhere gives out only what an accepted checkpoint
   * covers. To go on later, begin with the height of the last entry that was dealt with: the entries of its block
   * then come again.
   *
   * @throws {ChainError} by the iteration: `ERR_CHAIN_CLOSED` once the ledger is closed
   * @example
   * for await (const { entry, height } of hl.follow({ from: 0, kinds: ["erase"], signal })) {
   *   console.log(height, entry.kind);
   * }
   */
  follow(options?: FollowEntriesOptions): AsyncIterable<FollowedEntry>;
  /**
   * What a member elsewhere has of the ledger, for `ledgerHandler` or `publishLedger` to give to others: blocks
   * under the newest accepted checkpoint, and nothing that is sealed. `undefined` at the home, which
   * `publishHeads` serves.
   */
  readonly copy: LedgerCopy | undefined;
  /**
   * What a member elsewhere wrote that is not on the ledger yet, in the order in which it is sent, and what the
   * home refused after its call had ended. Names no person.
   */
  outbox(): Promise<readonly OutboxItem[]>;
  /**
   * Takes what the home refused off the {@link outbox}; it was not recorded. What it said no longer counts,
   * and it may have been a patient's refusal: until then nothing is decided or disclosed without it.
   *
   * @throws {InputError} `ERR_INPUT_INVALID` when nothing that was refused has this id, or it holds an access that
   *   broke the glass and that nobody has reviewed
   */
  dismissRefused(id: string): Promise<void>;
  /** Writes the ledger as a CAR stream under a fresh checkpoint. */
  export(): Promise<AsyncIterable<Uint8Array>>;
  /**
   * Refuses new calls, and resolves once the writing calls that had begun have settled. Abort large calls
   * by their `signal` to close sooner. The storage and the key store stay open.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
