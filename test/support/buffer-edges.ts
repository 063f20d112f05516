import { Buffer } from "node:buffer";
import * as reference from "@ipld/dag-cbor";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { encode } from "../../src/codec/dag-cbor.ts";

/** Every power of two at which a buffer of a writer could end or be replaced. */
export const POWERS: readonly number[] = Array.from({ length: 21 }, (_, i) => 2 ** i);

/** A value of each form that a writer of DAG-CBOR has, of some length. */
export const FORMS: Readonly<Record<string, (length: number) => unknown>> = {
  "ASCII text": (length) => "x".repeat(length),
  "text that turns out not to be ASCII": (length) => `${"x".repeat(length)}é`,
  bytes: (length) => new Uint8Array(length).fill(0x5a),
  "a key": (length) => ({ ["k".repeat(length)]: true }),
  "numbers and a name": (length) => [2 ** Math.min(length, 52), -1 - length, 2n ** 63n, CID],
  "many short strings": (length) => Array.from({ length }, (_, i) => "y".repeat(i % 24)),
};

const CID = /* @__PURE__ */ cidOf(Uint8Array.of(1), RAW);

const filling = new Uint8Array(2 ** 20 + 64).fill(0xee);

/**
 * Writes an array of filling and a value, so that the value begins at some byte, and compares it
 * with what the second implementation makes of the two.
 *
 * @returns whether they are alike; `undefined` where no array is so short
 */
export function writesAlike(at: number, value: Uint8Array, written: unknown): boolean | undefined {
  const head = headBefore(at);
  if (head === undefined) return undefined;
  const pad = filling.subarray(0, at - head.length);
  const bytes = encode([pad, written]);
  return (
    bytes.length === at + value.length &&
    Buffer.compare(bytes.subarray(0, head.length), head) === 0 &&
    Buffer.compare(bytes.subarray(head.length, at), pad) === 0 &&
    Buffer.compare(bytes.subarray(at), value) === 0
  );
}

/** `[bytes, …` in front of byte strings of the length that makes it end at `at` (RFC 8949 §3). */
function headBefore(at: number): Uint8Array | undefined {
  for (const bytes of [2, 3, 4, 6]) {
    const length = at - bytes;
    if (length < 0) return undefined;
    const head = [0x82];
    if (length < 24) head.push(0x40 | length);
    else if (length < 2 ** 8) head.push(0x58, length);
    else if (length < 2 ** 16) head.push(0x59, length >> 8, length & 255);
    else head.push(0x5a, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255);
    if (head.length === bytes) return Uint8Array.from(head);
  }
  return undefined;
}

/** What the second implementation writes. */
export function referenceBytes(value: unknown): Uint8Array {
  return new Uint8Array(reference.encode(value));
}
