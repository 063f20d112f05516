import { decodeEntry, isCustom } from "../block/entry.ts";
import { MAX_LANES, MAX_TRANSACTION_BYTES } from "../block/limits.ts";
import { signTransaction, type TransactionWithEntries } from "../block/transaction.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap, expectOneOf, expectVersion } from "../codec/shape.ts";
import { SIGNATURE_ALGS } from "../crypto/signing-input.ts";
import { EncodingError } from "../errors.ts";
import type { Signer } from "../identity/signer.ts";
import type { Chain } from "./chain.ts";
import { seqKey } from "./state.ts";

/** Most entries that a signed change has. */
const MAX_ENTRIES = 64;

/** Signs entries as a transaction of their own, on a lane that need not be this process's. */
export async function signChange(
  chain: Chain,
  signer: Signer,
  entries: readonly Uint8Array[],
  { now, random }: { readonly now: () => number; readonly random: (length: number) => Uint8Array },
): Promise<TransactionWithEntries> {
  const [high = 0, low = 0] = random(2);
  const lane = ((high << 8) | low) % MAX_LANES;
  await chain.refresh();
  await chain.state.load([seqKey(signer.key, lane)]);
  const seq = (chain.state.seq(signer.key, lane) ?? -1) + 1;
  return signTransaction(signer, { ledger: chain.ledger, lane, seq, time: now(), entries });
}

/** Writes a signed change, to be submitted by another member. */
export function encodeSignedChange({ tx, alg, sig, entries }: TransactionWithEntries): Uint8Array {
  return encode({ v: 1, tx, alg, sig, entries });
}

/**
 * Reads a signed change of keys, members or policy. Its signature and the rules are judged when it is
 * submitted.
 *
 * @throws {EncodingError} when the bytes are none, or hold an entry of another kind
 */
export function decodeSignedChange(bytes: Uint8Array): TransactionWithEntries {
  const map = expectMap(
    decode(bytes, { maxBytes: MAX_TRANSACTION_BYTES, maxDepth: 2, maxItems: MAX_ENTRIES + 32 }),
    "signed change",
    ["v", "tx", "alg", "sig", "entries"],
  );
  expectVersion(map["v"], "signed change");
  const entries = expectArray(map["entries"], "signed change.entries", MAX_ENTRIES).map((entry) =>
    expectBytes(entry, "signed change.entries"),
  );
  for (const entry of entries) {
    const decoded = decodeEntry(entry);
    const governs = ["key", "member", "policy"].includes(decoded.kind);
    if (isCustom(decoded) || !governs) {
      throw new EncodingError(
        "ERR_ENCODING_SHAPE",
        "a signed change holds entries about keys, members and policy only",
      );
    }
  }
  return {
    tx: expectBytes(map["tx"], "signed change.tx"),
    alg: expectOneOf(map["alg"], "signed change.alg", SIGNATURE_ALGS),
    sig: expectBytes(map["sig"], "signed change.sig", 64),
    entries,
  };
}
