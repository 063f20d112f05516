import { hmacSha256 } from "#crypto";
import { toHex } from "../../bytes/hex.ts";

/** Makes names of persons for budgets: each key has one, and none outlasts this process. */
export function budgetNames(random: (length: number) => Uint8Array): (key: Uint8Array) => string {
  let secret: Uint8Array | undefined;
  return (key) => `person ${toHex(hmacSha256((secret ??= random(32)), key))}`;
}
