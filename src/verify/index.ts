export { type Entry } from "../block/entry.ts";
export { type Checkpoint } from "../chain/checkpoint-note.ts";
export {
  type ProvedEntry,
  type ReceiptReason,
  type ReceiptResult,
  verifyReceipt,
  type VerifyReceiptOptions,
} from "../chain/verify-receipt.ts";
export { followPolicySteps, type PolicyPosition, policyPosition } from "../chain/follow-steps.ts";
export {
  followCheckpoint,
  followPolicy,
  type JudgedCheckpoint,
  judgeCheckpoint,
  type JudgeResult,
  type PolicyStep,
  type Trust,
  trustFromGenesis,
  type TrustReason,
  type TrustResult,
} from "../chain/trust.ts";
export { ed25519Verifier } from "../crypto/ed25519-verifier.ts";
export { type SignatureAlg, type SignatureVerifier } from "../crypto/signing-input.ts";
export * from "../errors.ts";
