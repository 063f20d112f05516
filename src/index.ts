export * from "./block/block.ts";
export * from "./block/entry.ts";
export * from "./block/genesis.ts";
export * from "./block/header.ts";
export type { KeyAlg, KeyDescription, KeyUse } from "./block/key.ts";
export * from "./block/limits.ts";
export type { MemberChange, MemberDescription, Role } from "./block/member.ts";
export type {
  CosignaturePolicy,
  CosignerKey,
  KindRegistration,
  LedgerPolicy,
  Quorum,
} from "./block/policy.ts";
export * from "./block/subject-entry.ts";
export * from "./block/tag.ts";
export * from "./block/transaction.ts";
export type { AppliedBlock, BlockRefused, Tip } from "./chain/apply-block.ts";
export * from "./chain/author.ts";
export * from "./chain/chain.ts";
export * from "./chain/checkpoint-note.ts";
export {
  type Checkpointer,
  createCheckpointer,
  type SignedCheckpoint,
} from "./chain/checkpointer.ts";
export { decodeSignedHead } from "./chain/signed-heads.ts";
export type { CosigningTime } from "./chain/cosigning.ts";
export type { AcceptedCheckpoint, ProvableCheckpoint } from "./chain/checkpoints.ts";
export * from "./chain/copy-ledger.ts";
export type { DerivedData, DerivedMark, TransactionPlace } from "./chain/derived.ts";
export * from "./chain/export.ts";
export * from "./chain/fork-evidence.ts";
export * from "./chain/founding.ts";
export * from "./chain/kind-rule.ts";
export type { LedgerState } from "./chain/ledger-state.ts";
export * from "./chain/make-receipt.ts";
export * from "./chain/note.ts";
export type { KindRules, PreparedTransaction } from "./chain/prepare.ts";
export {
  decodeReceipt,
  encodeReceipt,
  type KeyProof,
  type LaterKeyProof,
  type Receipt,
} from "./chain/receipt.ts";
export * from "./chain/refusal.ts";
export * from "./chain/sequencer.ts";
export * from "./chain/state.ts";
export * from "./chain/submission.ts";
export * from "./chain/tlog-proof.ts";
export {
  followCheckpoint,
  followPolicy,
  includedHeader,
  type JudgedCheckpoint,
  judgeCheckpoint,
  type JudgeResult,
  type PolicyStep,
  type Trust,
  trustFromGenesis,
  type TrustReason,
  type TrustResult,
  withPolicy,
} from "./chain/trust.ts";
export {
  type LedgerFault,
  type VerifiedLedger,
  verifyBlocks,
  verifyLedger,
  type VerifyLedgerOptions,
  type VerifyLedgerResult,
} from "./chain/verify-ledger.ts";
export {
  type ProvedEntry,
  type ReceiptReason,
  type ReceiptResult,
  verifyReceipt,
  type VerifyReceiptOptions,
} from "./chain/verify-receipt.ts";
export * from "./chain/witness.ts";
export * from "./codec/car.ts";
export * from "./codec/cid.ts";
export * from "./codec/dag-cbor.ts";
export type { Fields } from "./codec/shape.ts";
export type { AgreementAlg, CoseRecipient } from "./crypto/cose-hpke.ts";
export * from "./crypto/sign.ts";
export * from "./errors.ts";
export * from "./identity/actor.ts";
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
export {
  type HeadUse,
  type KeptHead,
  type KeptLedger,
  type LedgerMemory,
  memoryOf,
  type SignedHead,
  type SignedHeads,
} from "./identity/signed-heads.ts";
export { memoryShardKeys, type ShardKeys } from "./identity/shard-keys.ts";
export {
  memorySigner,
  type MemorySignerOptions,
  provePossession,
  type Signer,
  signWith,
} from "./identity/signer.ts";
export {
  type WebCryptoKey,
  type WebCryptoKeyPair,
  webcryptoSigner,
  type WebcryptoSignerOptions,
} from "./identity/webcrypto-signer.ts";
export type { AccessContent, AccessGround, AccessItem } from "./ledger/disclosure/access.ts";
export * from "./ledger/disclosure/answer.ts";
export {
  type Attestation,
  type AttestedFact,
  signAttestation,
} from "./ledger/disclosure/attestation.ts";
export type { Attachment, AttachmentInput } from "./ledger/records/attachments.ts";
export type { Access, AccessedRecord, UnreadableAccess } from "./ledger/disclosure/audit.ts";
export type { CatalogueItem } from "./ledger/entries/catalogue.ts";
export type { AttestedKey } from "./ledger/consents/attested-key.ts";
export type {
  ConsentOptions,
  DeliveredDirective,
  FiledDirective,
  HeldDirective,
  ReceivedDirective,
} from "./ledger/consents/file-consent.ts";
export type { Evidence, WitnessOptions } from "./ledger/consents/evidence.ts";
export type { HeldContent } from "./ledger/consents/held.ts";
export {
  commitToPerson,
  signDirective,
  type SignDirectiveOptions,
  type SignedDirective,
} from "./ledger/consents/signed-directive.ts";
export type { AnsweredQuestion, Question, QuestionTime } from "./ledger/disclosure/question.ts";
export type {
  DisclosureAnswer,
  DisclosureResult,
  ReleasedItem,
  RequestRefusal,
} from "./ledger/disclosure/disclose.ts";
export type {
  CompactionTime,
  EraseAll,
  EraseOptions,
  EraseRecords,
} from "./ledger/erasure/erase-options.ts";
export type { CompactionReport, ErasureStatement, Retention } from "./ledger/erasure/erase.ts";
export type { PendingErasure } from "./ledger/erasure/unfinished.ts";
export type { ExportedRecord, RecordExport } from "./ledger/disclosure/export-records.ts";
export type { Manifest, Operation } from "./ledger/entries/manifest.ts";
export * from "./ledger/ledger.ts";
export { openLedger } from "./ledger/open-ledger.ts";
export type { BlobReport } from "./ledger/verify-blobs.ts";
export type { KnownRecord } from "./ledger/records/known.ts";
export type {
  BundleOptions,
  RecordedBundle,
  RecordedVersion,
  RecordOptions,
  ResourceInput,
} from "./ledger/records/recording.ts";
export type { UploadProgress } from "./ledger/records/record-content.ts";
export type { CurrentRecord } from "./ledger/records/current-record.ts";
export type { RelabelOptions, Relabelled } from "./ledger/records/relabelling.ts";
export {
  createRequest,
  type Declaration,
  type DisclosureRequest,
  type RequestOptions,
  type SealedRequest,
  type SignedRequest,
} from "./ledger/disclosure/request.ts";
export type { PersonIdentifier, Subject } from "./ledger/entries/subjects.ts";
export * from "./merkle/frontier.ts";
export { EMPTY_ROOT, HASH_LENGTH, leafHash, nodeHash } from "./merkle/hash.ts";
export * from "./merkle/map-proof.ts";
export * from "./merkle/proof.ts";
export type { NodeSink, NodeSource, StoredNode } from "./merkle/map-node.ts";
export * from "./merkle/tree.ts";
export * from "./merkle/verify.ts";
export * from "./storage/errors.ts";
export * from "./storage/types.ts";
