/** Codes of {@link InputError}: a caller's value that the library cannot work with. */
export type InputErrorCode =
  | "ERR_INPUT_INVALID"
  | "ERR_INPUT_TOO_LARGE"
  | "ERR_INPUT_UNSUPPORTED"
  | "ERR_INPUT_RETAINED"
  | "ERR_INPUT_UNKNOWN_SUBJECT"
  | "ERR_INPUT_OTHER_PERSON";

/** Codes of {@link EncodingError}: bytes that are not the canonical form of what they claim to be. */
export type EncodingErrorCode =
  | "ERR_ENCODING_MALFORMED"
  | "ERR_ENCODING_NOT_CANONICAL"
  | "ERR_ENCODING_LIMIT"
  | "ERR_ENCODING_SHAPE"
  | "ERR_ENCODING_CAR";

/** Codes of {@link SignatureError}: keys and signatures. */
export type SignatureErrorCode =
  | "ERR_SIGNATURE_INVALID"
  | "ERR_SIGNATURE_ALGORITHM"
  | "ERR_SIGNATURE_KEY"
  | "ERR_SIGNATURE_KEYSTORE"
  | "ERR_SIGNATURE_NOTE";

/** Codes of {@link ChainError}: rules, ordering and checkpoints. */
export type ChainErrorCode =
  | "ERR_CHAIN_REFUSED"
  | "ERR_CHAIN_INVALID"
  | "ERR_CHAIN_GENESIS"
  | "ERR_CHAIN_CLOSED"
  | "ERR_CHAIN_BUSY"
  | "ERR_CHAIN_CHECKPOINT"
  | "ERR_CHAIN_POLICY"
  | "ERR_CHAIN_DESCRIPTION"
  | "ERR_CHAIN_APPROVALS"
  | "ERR_CHAIN_CLOCK"
  | "ERR_CHAIN_READ_ONLY"
  | "ERR_CHAIN_MEMORY"
  | "ERR_CHAIN_LOST"
  | "ERR_CHAIN_FORKED"
  | "ERR_CHAIN_PENDING"
  | "ERR_CHAIN_STALE";

/** Codes of {@link ProofError}: proofs that cannot be made. Checking one returns a result instead. */
export type ProofErrorCode = "ERR_PROOF_INVALID" | "ERR_PROOF_RANGE" | "ERR_PROOF_UNAVAILABLE";

/** Codes of {@link EnvelopeError}. Every failure to decrypt has the one code `ERR_ENVELOPE_DECRYPT`. */
export type EnvelopeErrorCode =
  | "ERR_ENVELOPE_DECRYPT"
  | "ERR_ENVELOPE_INVALID"
  | "ERR_ENVELOPE_UNSUPPORTED"
  | "ERR_ENVELOPE_MISSING";

/** Codes of {@link ConsentError}: directives and requests that are not well formed. */
export type ConsentErrorCode =
  "ERR_CONSENT_INVALID" | "ERR_CONSENT_TERMINOLOGY" | "ERR_CONSENT_REQUEST";

/** Codes of {@link RecordError}: records, directives and accesses of this custodian. */
export type RecordErrorCode =
  "ERR_RECORD_NOT_FOUND" | "ERR_RECORD_ERASED" | "ERR_RECORD_RETRACTED" | "ERR_RECORD_CONFLICT";

/** Codes of {@link ContractError}: contracts that this node cannot run. */
export type ContractErrorCode = "ERR_CONTRACT_UNAVAILABLE";

/** Codes of {@link StorageError}. */
export type StorageErrorCode =
  | "ERR_STORAGE_CONFLICT"
  | "ERR_STORAGE_AMBIGUOUS"
  | "ERR_STORAGE_CORRUPT"
  | "ERR_STORAGE_LIMIT"
  | "ERR_STORAGE_CLOSED"
  | "ERR_STORAGE_FAILED"
  | "ERR_STORAGE_INCOMPLETE"
  | "ERR_STORAGE_ERASED"
  | "ERR_STORAGE_PRUNED"
  | "ERR_STORAGE_MISSING"
  | "ERR_STORAGE_PENDING";

/** Codes of {@link TransportError}: what another organisation's server answered, or did not. */
export type TransportErrorCode =
  | "ERR_TRANSPORT_FAILED"
  | "ERR_TRANSPORT_TIMEOUT"
  | "ERR_TRANSPORT_TOO_LARGE"
  | "ERR_TRANSPORT_MALFORMED"
  | "ERR_TRANSPORT_REDIRECT"
  | "ERR_TRANSPORT_NOT_FOUND"
  | "ERR_TRANSPORT_REFUSED"
  | "ERR_TRANSPORT_BUSY";

/** Codes of {@link WorkerError}: other threads that were to do work. */
export type WorkerErrorCode = "ERR_WORKER_FAILED" | "ERR_WORKER_UNSUPPORTED";

/** Every code that an error of this library can carry; `docs/errors.md` explains each. */
export type ErrorCode =
  | InputErrorCode
  | EncodingErrorCode
  | SignatureErrorCode
  | ChainErrorCode
  | ProofErrorCode
  | EnvelopeErrorCode
  | ConsentErrorCode
  | RecordErrorCode
  | ContractErrorCode
  | StorageErrorCode
  | TransportErrorCode
  | WorkerErrorCode;

/**
 * Base of every error this library throws on purpose, but for a programmer's mistake
 * (`TypeError`, `RangeError`). Messages never hold plaintext, keys, names or identifiers.
 */
export class LedgerError<Code extends ErrorCode = ErrorCode> extends Error {
  // In so many letters, in each class: a minifier renames classes, and logs show this name.
  override readonly name: string = "LedgerError";
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export class InputError extends LedgerError<InputErrorCode> {
  override readonly name: string = "InputError";
}
export class EncodingError extends LedgerError<EncodingErrorCode> {
  override readonly name: string = "EncodingError";
}
export class SignatureError extends LedgerError<SignatureErrorCode> {
  override readonly name: string = "SignatureError";
}
export class ChainError extends LedgerError<ChainErrorCode> {
  override readonly name: string = "ChainError";
}
export class ProofError extends LedgerError<ProofErrorCode> {
  override readonly name: string = "ProofError";
}
export class EnvelopeError extends LedgerError<EnvelopeErrorCode> {
  override readonly name: string = "EnvelopeError";
}
export class ConsentError extends LedgerError<ConsentErrorCode> {
  override readonly name: string = "ConsentError";
}
export class RecordError extends LedgerError<RecordErrorCode> {
  override readonly name: string = "RecordError";
}
export class ContractError extends LedgerError<ContractErrorCode> {
  override readonly name: string = "ContractError";
}
export class StorageError extends LedgerError<StorageErrorCode> {
  override readonly name: string = "StorageError";
}
export class TransportError extends LedgerError<TransportErrorCode> {
  override readonly name: string = "TransportError";
}
export class WorkerError extends LedgerError<WorkerErrorCode> {
  override readonly name: string = "WorkerError";
}
