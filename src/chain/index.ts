/**
 * The parts of a ledger: entries, transactions, blocks and their rules, a sequencer that orders
 * them, checkpoints, witnesses, receipts and evidence of forks. For applications that use the chain
 * without `openLedger` or verify blocks one by one.
 *
 * @module
 */
export { type Block, decodeBlock, encodeBlock } from "../block/block.ts";
export {
  type Approval,
  approvalInput,
  type ApprovedChanges,
  type BuiltInEntry,
  type CustomEntry,
  decodeEntry,
  encodeEntry,
  type Entry,
  entryId,
  type EraseEntry,
  type ErasureClass,
  type KeyEntry,
  type LinkEntry,
  type MemberEntry,
  type PolicyChanges,
  type ContractEntry,
  type PolicyEntry,
  possessionInput,
  type SubjectEntry,
} from "../block/entry.ts";
export { decodeGenesis, encodeGenesis, type Genesis, ledgerId } from "../block/genesis.ts";
export { type Header, headerCid } from "../block/header.ts";
export type { KeyAlg, KeyDescription, KeyUse } from "../block/key.ts";
export type { MemberChange, MemberDescription, Role } from "../block/member.ts";
export type {
  CosignaturePolicy,
  CosignerKey,
  ContractRegistration,
  KindRegistration,
  LedgerPolicy,
  Quorum,
} from "../block/policy.ts";
export { encodeSubjectEntry, subjectEntryKind } from "../block/subject-entry.ts";
export {
  decodeSignedTransaction,
  decodeTransaction,
  encodeSignedTransaction,
  encodeTransaction,
  entriesRoot,
  type SignedTransaction,
  signTransaction,
  type Transaction,
  transactionHash,
  type TransactionWithEntries,
} from "../block/transaction.ts";
export { cidOf, type Codec, DAG_CBOR, RAW } from "../codec/cid.ts";
export type { Fields } from "../codec/shape.ts";
export { type ActorKey, parseActor } from "../identity/actor.ts";
export {
  type HeadUse,
  type KeptHead,
  type KeptLedger,
  type LedgerMemory,
  memoryOf,
  type SignedHead,
} from "../identity/signed-heads.ts";
export { provePossession } from "../identity/signer.ts";
export type { StoredNode } from "../merkle/map-node.ts";
export type { AppliedBlock, Tip } from "./apply-block.ts";
export { type Author, type AuthorOptions, createAuthor } from "./author.ts";
export type { AppendableChain, Chain, ChainOptions } from "./chain.ts";
export { openChain } from "./open-chain.ts";
export type { StoredBlock } from "./stored-block.ts";
export {
  type Checkpoint,
  type CheckpointReason,
  type CheckpointTrust,
  cosignatureSigner,
  encodeCheckpoint,
  openCheckpoint,
  type OpenedCheckpoint,
  readCheckpoint,
} from "./checkpoint-note.ts";
export { type Checkpointer, createCheckpointer, type SignedCheckpoint } from "./checkpointer.ts";
export type { AcceptedCheckpoint, ProvableCheckpoint } from "./checkpoints.ts";
export type { TreeHead } from "./connection.ts";
export type { Cosigner, CosigningTime, CosigningTimes } from "./cosigning.ts";
export type { PolledCosigners, WaitingCheckpoint } from "./polled-cosigners.ts";
export type { DerivedData, DerivedMark, GovernanceBlock, TransactionPlace } from "./derived.ts";
export { explainProposal, type ExplainedProposal } from "./explain-proposal.ts";
export { exportLedger } from "./export.ts";
export {
  decodeForkEvidence,
  encodeForkEvidence,
  type ForkEvidence,
  type ForkEvidenceReason,
  type ForkEvidenceResult,
  verifyForkEvidence,
} from "./fork-evidence.ts";
export { type Convicted, judgeFork } from "./judge-fork.ts";
export type { CheckpointPolicy } from "./policy-at.ts";
export type { DivergingHeaders, ForkVerdict, KeptFork } from "./known-forks.ts";
export type { BlocksAhead, IngestFault, IngestOptions, IngestResult } from "./ingest-result.ts";
export { type KeyChange, signKeyChange, type SignKeyChangeOptions } from "./key-change.ts";
export type { KindRule, RuleContext } from "./kind-rule.ts";
export type { LedgerState, ReadableState } from "./ledger-state.ts";
export {
  type EntryPlace,
  makePolicyStep,
  makeReceipt,
  type MakeReceiptOptions,
  receiptMaker,
} from "./make-receipt.ts";
export {
  encodeVkey,
  NOTE_COSIGNATURE,
  NOTE_ED25519,
  type NoteKey,
  noteKey,
  type NoteKeyType,
  parseVkey,
} from "./note-key.ts";
export {
  type NoteReason,
  type NoteSignature,
  type NoteSigner,
  noteSigner,
  signNote,
  type VerifiedSignature,
} from "./note.ts";
export type { GivenRules, LedgerRules, PreparedTransaction } from "./prepare.ts";
export { approveProposal } from "./proposal.ts";
export type { ReadBlocksOptions } from "./read-blocks.ts";
export {
  decodeReceipt,
  encodeReceipt,
  type KeyProof,
  type LaterKeyProof,
  type Receipt,
} from "./receipt.ts";
export type { Refusal, Refused } from "./refusal.ts";
export {
  createSequencer,
  type Sequencer,
  type SequencerOptions,
  type SubmissionWrites,
  type WaitingEntries,
} from "./sequencer.ts";
export type {
  KeyState,
  MemberState,
  PolicyState,
  StateReader,
  SystemState,
  UsedNonce,
} from "./state.ts";
export type { CheckpointedPlace, DurablePlace, Submission, SubmissionState } from "./submission.ts";
export {
  encodeTlogProof,
  type OpenedOk,
  type OpenedReason,
  parseTlogProof,
  type ParsedTlogProof,
  type TlogProof,
  type TlogProofReason,
  type TlogProofResult,
  verifyTlogProof,
} from "./tlog-proof.ts";
export {
  type LedgerFault,
  type VerifiedLedger,
  verifyBlocks,
  verifyLedger,
  type VerifyLedgerOptions,
  type VerifyLedgerResult,
} from "./verify-ledger.ts";
export {
  type CosignRefusal,
  type CosignResult,
  createWitness,
  type LogWitness,
  type Witness,
} from "./witness.ts";
export type { Timers } from "../storage/settle.ts";
