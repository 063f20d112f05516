import { EnvelopeError } from "../errors.ts";

/** The one answer to every failure to decrypt, so that nothing can be learnt from its kind. */
export function decryptFailed(): EnvelopeError {
  return new EnvelopeError("ERR_ENVELOPE_DECRYPT", "cannot be decrypted with this key");
}
