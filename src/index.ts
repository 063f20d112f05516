export { entriesRoot, signTransaction, type TransactionWithEntries } from "./block/transaction.ts";
export { decodeEntry, encodeEntry, type Entry, entryId } from "./block/entry.ts";
export { decodeGenesis, encodeGenesis, type Genesis, ledgerId } from "./block/genesis.ts";
export { encodeSubjectEntry } from "./block/subject-entry.ts";
export { subjectTag } from "./block/tag.ts";
export { type Author, type AuthorOptions, createAuthor } from "./chain/author.ts";
export { type AppendableChain, type Chain, type ChainOptions, openChain } from "./chain/chain.ts";
export { type Checkpointer, createCheckpointer } from "./chain/checkpointer.ts";
export { describeMember, type MemberKeys } from "./chain/founding.ts";
export { type EntryPlace, makeReceipt, type MakeReceiptOptions } from "./chain/make-receipt.ts";
export {
  type Attachments,
  createSequencer,
  type Sequencer,
  type SequencerOptions,
} from "./chain/sequencer.ts";
export { type Place, type Submission, TransactionRefused } from "./chain/submission.ts";
export { trustFromGenesis } from "./chain/trust.ts";
export {
  verifyBlocks,
  verifyLedger,
  type VerifyLedgerOptions,
  type VerifyLedgerResult,
} from "./chain/verify-ledger.ts";
export { verifyReceipt, type VerifyReceiptOptions } from "./chain/verify-receipt.ts";
export { anyCidFromBytes, cidFromBytes, cidOf, type Codec, DAG_CBOR, RAW } from "./codec/cid.ts";
export { type CarBlock, type CarOptions, type CarReader, readCar, writeCar } from "./codec/car.ts";
export { decode, type DecodeLimits, encode, type EncodeOptions } from "./codec/dag-cbor.ts";
export { type AgreementAlg } from "./crypto/cose-hpke.ts";
export {
  type SignatureAlg,
  type SignatureVerifier,
  type SigningDomain,
  signingInput,
} from "./crypto/signing-input.ts";
export { verifySignature, type SignatureClaim } from "./crypto/sign.ts";
export * from "./errors.ts";
export { type ActorKey, actorFromKey, keyId, parseActor } from "./identity/actor.ts";
export {
  agreementFromEcdh,
  type EcdhAgreementOptions,
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
  memorySigner,
  type MemorySignerOptions,
  provePossession,
  type Signer,
  signWith,
} from "./identity/signer.ts";
export { webcryptoSigner, type WebcryptoSignerOptions } from "./identity/webcrypto-signer.ts";
export { EMPTY_ROOT, leafHash, nodeHash } from "./merkle/hash.ts";
export { verifyMap, type MapProof, type MapReason, type MapResult } from "./merkle/map-proof.ts";
export {
  type ConsistencyClaim,
  type ConsistencyReason,
  type ConsistencyResult,
  type InclusionClaim,
  type InclusionReason,
  type InclusionResult,
  type TreeSize,
  verifyConsistency,
  verifyInclusion,
} from "./merkle/verify.ts";
export { AmbiguousAppend, AppendConflict } from "./storage/errors.ts";
export * from "./storage/types.ts";
export { CID } from "multiformats/cid";
