import { p256Verify } from "#crypto";
import type { SignatureVerifier } from "./signing-input.ts";

/** Checks ES256 signatures: raw 64 bytes, low-S, compressed public key. */
export const es256Verifier: SignatureVerifier = { alg: "ES256", verify: p256Verify };
