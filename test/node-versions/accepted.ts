import { fromHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";

/** One of the Ed25519 vectors on which implementations disagree. */
export interface SignatureCase {
  readonly key: string;
  readonly sig: string;
  readonly msg: string;
}

/** Numbers of the cases that a verifier accepts. */
export async function acceptedOf(
  cases: readonly SignatureCase[],
  verify: (s: Uint8Array, m: Uint8Array, k: Uint8Array) => boolean | Promise<boolean>,
): Promise<number[]> {
  const numbers: number[] = [];
  for (const [i, { key, sig, msg }] of cases.entries()) {
    if (await verify(fromHex(sig), utf8ToBytes(msg), fromHex(key))) numbers.push(i);
  }
  return numbers;
}
