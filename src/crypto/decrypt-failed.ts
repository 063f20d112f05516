import { EnvelopeError } from "../errors.ts";

/** The one error for every failure to decrypt, so that the kind of failure is not an oracle. */
export function decryptFailed(): EnvelopeError {
  return new EnvelopeError("ERR_ENVELOPE_DECRYPT", "cannot be decrypted with this key");
}
