import { ed25519Verify } from "#crypto";
import type { SignatureVerifier } from "./signing-input.ts";

/** Checks Ed25519 signatures by this library's acceptance rule. */
export const ed25519Verifier: SignatureVerifier = { alg: "Ed25519", verify: ed25519Verify };
