import { sha256 } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { concatBytes } from "../bytes/concat.ts";
import { assertBytes } from "../bytes/guards.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import type { CID } from "../codec/cid.ts";
import { encode } from "../codec/dag-cbor.ts";

/** A result that somebody claims, as the sealed body of a call opens it. */
export interface OpenedResult {
  readonly ledger: CID;
  readonly contract: string;
  /** CID of the manifest that was in force. */
  readonly rule: CID;
  readonly action: string;
  readonly input: unknown;
  readonly output: unknown;
}

const RESULT_DOMAIN = /* @__PURE__ */ utf8ToBytes("healthledger/result/1\0");

/**
 * Commits to a result without showing it: a call carries the commitment in clear, its sealed body
 * opens it.
 *
 * @param salt - 32 random bytes, kept in the body; without it the result could be guessed
 * @returns 32 bytes
 * @throws {EncodingError} when input or output cannot be encoded
 * @example
 * const action = "decide";
 * const result = { ledger, contract: "plan-a", rule: counter.rule, action, input: 1, output: 2 };
 * const commitment = commitResult(salt, result);
 */
export function commitResult(salt: Uint8Array, result: OpenedResult): Uint8Array {
  assertBytes(salt, "salt", 32);
  const { ledger, contract, rule, action, input, output } = result;
  const opened = encode([ledger, contract, rule, action, input, output]);
  return sha256(concatBytes(RESULT_DOMAIN, salt, opened));
}

/**
 * Whether a commitment is that of an opened result.
 *
 * @example
 * const action = "decide";
 * const result = { ledger, contract: "plan-a", rule: counter.rule, action, input: 1, output: 2 };
 * opensResult(commitResult(salt, result), salt, result); // true
 */
export function opensResult(
  commitment: Uint8Array,
  salt: Uint8Array,
  result: OpenedResult,
): boolean {
  return equalBytes(commitment, commitResult(salt, result));
}
