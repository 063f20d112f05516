import { decode, encode } from "../../codec/dag-cbor.ts";
import { expectBytes, expectMap, expectVersion } from "../../codec/shape.ts";
import type { DeliveredDirective } from "../consents/file-consent.ts";

/** What a custodian replies to a person who handed in a directive. */
export interface TakenIn {
  /** Id of the consent entry, 32 bytes. */
  readonly entry: Uint8Array;
  readonly receipt: Uint8Array;
}

/** Writes the content of a person's message of kind `deliver`. */
export const encodeHandIn = ({ signed, salt }: DeliveredDirective): Uint8Array =>
  encode({ v: 1, signed, salt });

/** @throws {EncodingError} when the bytes are no such content */
export function decodeHandIn(bytes: Uint8Array): DeliveredDirective {
  const map = expectMap(decode(bytes, { maxDepth: 2, maxItems: 16 }), "directive to file", [
    ...["v", "signed", "salt"],
  ]);
  expectVersion(map["v"], "directive to file");
  return {
    signed: expectBytes(map["signed"], "directive to file.signed"),
    salt: expectBytes(map["salt"], "directive to file.salt", 32),
  };
}

/** Writes the content of the reply. */
export const encodeTakenIn = ({ entry, receipt }: TakenIn): Uint8Array =>
  encode({ v: 1, entry, receipt });

/** @throws {EncodingError} when the bytes are no such reply */
export function decodeTakenIn(bytes: Uint8Array): TakenIn {
  const map = expectMap(decode(bytes), "filed directive", ["v", "entry", "receipt"]);
  expectVersion(map["v"], "filed directive");
  return {
    entry: expectBytes(map["entry"], "filed directive.entry", 32),
    receipt: expectBytes(map["receipt"], "filed directive.receipt"),
  };
}
