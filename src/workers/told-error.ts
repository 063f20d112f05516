import {
  EncodingError,
  EnvelopeError,
  InputError,
  LedgerError,
  type ErrorCode,
} from "../errors.ts";

/** An error of this library as another thread is told it: a copy of the error would lose its class. */
export interface ToldError {
  readonly name: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly cause?: unknown;
}

/** Those that describing and sealing end with. */
const CLASSES: Readonly<Record<string, unknown>> = { InputError, EncodingError, EnvelopeError };

export function tellError({ name, code, message, cause }: LedgerError): ToldError {
  const told = { name, code, message };
  if (cause === undefined) return told;
  return { ...told, cause: cause instanceof LedgerError ? tellError(cause) : cause };
}

export function toldError(told: ToldError): LedgerError {
  const { name, code, message, cause } = told;
  const Class = (CLASSES[name] ?? LedgerError) as typeof LedgerError;
  if (!("cause" in told)) return new Class(code, message);
  return new Class(code, message, { cause: isTold(cause) ? toldError(cause) : cause });
}

const isTold = (cause: unknown): cause is ToldError =>
  typeof cause === "object" && cause !== null && !(cause instanceof Error) && "code" in cause;
