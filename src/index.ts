export type { MemberDescription, Role } from "./block/member.ts";
export {
  copyLedger,
  type CopiedLedger,
  type CopyOptions,
  type CopyProgress,
} from "./chain/copy-ledger.ts";
export { verifyExport, type VerifyExportOptions, type VerifyExportResult } from "./chain/export.ts";
export {
  DescriptionRefused,
  type DescriptionOptions,
  type DescriptionReason,
  type OrganisationDescription,
  signDescription,
  verifyDescription,
} from "./chain/description.ts";
export type { ExplainedProposal } from "./chain/explain-proposal.ts";
export type { MemberKeys } from "./chain/founding.ts";
export type { MemberInForce } from "./chain/governance-change.ts";
export type { PolicyPosition } from "./chain/follow-steps.ts";
export type { ProposedChange, ProposedMember } from "./chain/proposal.ts";
export { type ReviewedGenesis, reviewGenesis } from "./chain/review-genesis.ts";
export {
  type ImportedLedger,
  importLedger,
  type ImportLedgerOptions,
} from "./chain/import-ledger.ts";
export type { ApprovalFault } from "./chain/approvals.ts";
export { TransactionRefused } from "./chain/submission.ts";
export {
  ApprovalsMissing,
  type DiscountedApproval,
  type WeighedApprovals,
} from "./chain/weigh-approvals.ts";
export { type Trust, trustFromGenesis } from "./chain/trust.ts";
export {
  verifyReceipt,
  type ReceiptResult,
  type VerifyReceiptOptions,
} from "./chain/verify-receipt.ts";
export { CID } from "./codec/cid.ts";
export { parseEntryId, parseRecordId, type EntryId, type RecordId } from "./codec/ids.ts";
export type { AgreementAlg } from "./crypto/cose-hpke.ts";
export type { SignatureAlg } from "./crypto/signing-input.ts";
export * from "./errors.ts";
export { actorFromKey, keyId } from "./identity/actor.ts";
export {
  agreementFromEcdh,
  agreementFromKem,
  type EcdhAgreementOptions,
  type KemAgreementOptions,
  type KeyAgreement,
  memoryAgreement,
  type MemoryAgreementOptions,
} from "./identity/agreement.ts";
export {
  type AddOptions,
  type GenerateOptions,
  type KeyInfo,
  type KeyStore,
  memoryKeys,
  type SigningUse,
} from "./identity/key-store.ts";
export { memoryShardKeys, type ShardKeys } from "./identity/shard-keys.ts";
export type { SignedHeads } from "./identity/signed-heads.ts";
export {
  generateSigner,
  type GenerateSignerOptions,
  memorySigner,
  type MemorySignerOptions,
  type Signer,
} from "./identity/signer.ts";
export {
  type WebCryptoKey,
  type WebCryptoKeyPair,
  webcryptoSigner,
  type WebcryptoSignerOptions,
} from "./identity/webcrypto-signer.ts";
export {
  type Cosigners,
  createGenesis,
  type CreateGenesisOptions,
  type FoundingMember,
} from "./ledger/create-genesis.ts";
export type { AttestedKey } from "./ledger/consents/attested-key.ts";
export type { Evidence, WitnessOptions } from "./ledger/consents/evidence.ts";
export type {
  ConsentOptions,
  ConsentWay,
  DeliveredDirective,
  FiledDirective,
  HeldDirective,
  ReceivedDirective,
} from "./ledger/consents/file-consent.ts";
export type { Delivery, DeliverOptions, Delivering } from "./ledger/disclosure/delivering.ts";
export type { HeldContent } from "./ledger/consents/held.ts";
export {
  commitToPerson,
  signDirective,
  type SignDirectiveOptions,
  type SignedDirective,
} from "./ledger/consents/signed-directive.ts";
export {
  decodeAnswer,
  type DecodedAnswer,
  encodeAnswer,
  type EncodeAnswerOptions,
} from "./ledger/disclosure/encoded-answer.ts";
export {
  type Answer,
  openAnswer,
  type OpenAnswerOptions,
  type OpenedItem,
} from "./ledger/disclosure/answer.ts";
export { handInDirective, type HandedIn, type HandInOptions } from "./ledger/disclosure/hand-in.ts";
export { askCustodian, type AskCustodianOptions } from "./ledger/disclosure/ask-custodian.ts";
export type { SendOptions } from "./ledger/disclosure/send-ask.ts";
export type { AnswerAskOptions } from "./ledger/disclosure/answer-ask.ts";
export type { Asking, AskingOptions, PullingOptions } from "./ledger/disclosure/asking.ts";
export {
  type Pulled,
  type PulledContent,
  type PulledEntry,
  pullFromCustodian,
  type PullFromCustodianOptions,
  type PullOptions,
} from "./ledger/disclosure/read-pull.ts";
export type { ErasedEntitlement } from "./ledger/entries/entitlements.ts";
export { type AttestedFact, signAttestation } from "./ledger/disclosure/attestation.ts";
export type { OutboxItem } from "./ledger/elsewhere/outbox.ts";
export type {
  Access,
  AccessedRecord,
  AuditOptions,
  UnreadableAccess,
} from "./ledger/disclosure/audit.ts";
export type {
  DisclosureAnswer,
  DisclosureResult,
  ReleasedItem,
  RequestRefusal,
} from "./ledger/disclosure/disclose.ts";
export type { ExportedRecord, RecordExport } from "./ledger/disclosure/export-records.ts";
export type { AnsweredQuestion, Question, QuestionTime } from "./ledger/disclosure/question.ts";
export {
  createRequest,
  type CreateRequestOptions,
  type Declaration,
  type RequestOptions,
  type RequestTarget,
} from "./ledger/disclosure/request.ts";
export type { Manifest, NobodyMark, SourceNote, SourceVersion } from "./ledger/entries/manifest.ts";
export type { Operation } from "./ledger/entries/operations.ts";
export type { AliasCalls, AliasOptions } from "./ledger/persons/aliases.ts";
export type { FactOfPerson, FiledMeanwhile } from "./ledger/persons/filed-meanwhile.ts";
export type { MergeOptions, UnmergedPersons } from "./ledger/persons/merging.ts";
export type { PatientOfSource, PersonCalls } from "./ledger/persons/person-calls.ts";
export type { DismissOptions, OpenProposal } from "./ledger/persons/proposals.ts";
export type {
  IdentifiedSubject,
  MergeProposal,
  PersonIdentifier,
  Subject,
} from "./ledger/entries/subjects.ts";
export type {
  CompactionTime,
  EraseAccesses,
  EraseAll,
  EraseOptions,
  EraseRecords,
} from "./ledger/erasure/erase-options.ts";
export type { Retention } from "./ledger/erasure/erase.ts";
export type { CompactionReport } from "./ledger/erasure/finish-erasure.ts";
export type { ErasureStatement } from "./ledger/erasure/statement.ts";
export type { PendingErasure } from "./ledger/erasure/unfinished.ts";
export * from "./ledger/ledger.ts";
export { openLedger } from "./ledger/open-ledger.ts";
export type { Attachment, AttachmentInput } from "./ledger/records/attachments.ts";
export type { CurrentRecord, RecordEntry } from "./ledger/records/current-record.ts";
export type { KnownRecord } from "./ledger/records/known.ts";
export type { RecordPageOptions } from "./ledger/records/list-records.ts";
export type { BundleOptions, RecordedBundle } from "./ledger/records/bundle-options.ts";
export type { NdjsonInput } from "./ledger/records/ndjson-lines.ts";
export type {
  NdjsonCounts,
  NdjsonOptions,
  NdjsonProblem,
  NdjsonProgress,
  RecordedNdjson,
} from "./ledger/records/record-ndjson.ts";
export type { SourceRecord, SourceResource } from "./ledger/records/sources.ts";
export type { Feed } from "./ledger/feed.ts";
export type { UnassignedOptions, UnassignedResource } from "./ledger/records/assigning.ts";
export type { FiledCopy } from "./ledger/records/copies.ts";
export type { UploadProgress } from "./ledger/records/record-content.ts";
export type { RecordedVersion } from "./ledger/records/record-versions.ts";
export type {
  RecordOnceOptions,
  RecordOptions,
  ResourceInput,
} from "./ledger/records/recording.ts";
export type { RelabelOptions, Relabelled } from "./ledger/records/relabelling.ts";
export type { BlobReport } from "./ledger/verify-blobs.ts";
export type { StorageAdapter } from "./storage/types.ts";
