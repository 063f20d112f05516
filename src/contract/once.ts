import { hmacSha256 } from "#crypto";
import { assertBytes } from "../bytes/guards.ts";
import type { CID } from "../codec/cid.ts";
import { encode } from "../codec/dag-cbor.ts";

/**
 * Computes a one-time tag, which a call spends by `context.spend`. Whoever lacks the secret links
 * nothing by it. It shows "not twice", never "exists": anybody who has seen a tag can spend it, by a
 * call that is signed with their key.
 *
 * @param secret - 32 random bytes of the parties; once all of them have deleted it, nothing links
 *   their tags
 * @param parts - what is to be used once: such as the name and version of a private value
 * @returns 32 bytes
 * @example
 * const tag = onceTag(secret, ledger, "plan-a", ["accumulators", 7]);
 */
export function onceTag(
  secret: Uint8Array,
  ledger: CID,
  contract: string,
  parts: readonly unknown[],
): Uint8Array {
  assertBytes(secret, "secret", 32);
  return hmacSha256(secret, encode(["healthledger/once/1", ledger, contract, ...parts]));
}
