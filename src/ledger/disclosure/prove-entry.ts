import type { KeyProof, Receipt } from "../../chain/receipt.ts";
import { decodeKeyState, keyStateKey, type KeyState } from "../../chain/state.ts";
import type { Trust } from "../../chain/trust.ts";
import { receiptVerifier, type ProvedEntry } from "../../chain/verify-receipt.ts";
import { decodeHeader } from "../../block/header.ts";
import { decodeTransaction } from "../../block/transaction.ts";
import { equalBytes } from "../../bytes/compare.ts";
import { utf8ToBytes } from "../../bytes/utf8.ts";
import { ed25519Verifier, es256Verifier } from "../../crypto/sign.ts";
import { verifyMap } from "../../merkle/map-proof.ts";
import { wrong } from "./read-replies.ts";

/** An entry that a receipt proves. */
export interface Proved {
  readonly proved: ProvedEntry;
  readonly place: { readonly height: number; readonly transaction: number; readonly entry: number };
  /** A key's value in the last state under the receipt's checkpoint. */
  stateOf(
    key: Uint8Array,
    beside: KeyProof | undefined,
  ): { readonly value: KeyState | undefined; readonly asOf: number };
}

const VERIFIERS = [ed25519Verifier, es256Verifier] as const;

/**
 * Verifies a receipt that came with an entry.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when it does not hold, or does not tell the newest state of its key
 */
export const proveEntry = (bytes: Uint8Array, { trust }: { readonly trust: Trust }): Proved =>
  entryProver(trust)(bytes);

/** Makes what verifies many such receipts, as {@link proveEntry} does. */
export function entryProver(trust: Trust): (bytes: Uint8Array) => Proved {
  const verify = receiptVerifier(trust, VERIFIERS);
  return (bytes) => {
    const verified = verify(bytes);
    if (!verified.ok) throw wrong(`a receipt does not hold: ${verified.reason}`);
    return provedBy(verified.proved, verified.receipt);
  };
}

function provedBy(proved: ProvedEntry, { later, tx, txIndex, entryIndex }: Receipt): Proved {
  const { size } = proved.checkpoint;
  const header = later && decodeHeader(later.header);
  if (later === undefined || header?.height !== size - 1) {
    throw wrong("a receipt does not prove the newest state of its key");
  }
  return {
    proved,
    place: { height: proved.height, transaction: txIndex, entry: entryIndex },
    stateOf(key, beside) {
      const asOf = header.height;
      if (equalBytes(decodeTransaction(tx).key, key)) {
        return { value: decodeKeyState(later.value), asOf };
      }
      const name = utf8ToBytes(keyStateKey(key));
      const holds =
        beside !== undefined && verifyMap(header.state, name, beside.value, beside.proof).ok;
      return { value: holds ? decodeKeyState(beside.value) : undefined, asOf };
    },
  };
}
