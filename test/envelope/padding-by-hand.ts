/**
 * The sizes of padded parts by docs/spec/envelope.md, with digits in place of arithmetic. Nothing of
 * ours is used.
 */

/** Padmé, by algorithm 1 of the PURBs paper: keeps the first digits and rounds up. */
export function padmeByHand(length: number): number {
  const digits = BigInt(length).toString(2);
  const exponent = digits.length - 1;
  const kept = exponent.toString(2).length + 1;
  const cleared = digits.length - kept;
  const floor = BigInt(`0b${digits.slice(0, kept)}${"0".repeat(cleared)}`);
  const unit = BigInt(`0b1${"0".repeat(cleared)}`);
  return Number(floor === BigInt(length) ? floor : floor + unit);
}

/** The size to which so many bytes are padded. */
export function sizeByHand(length: number, padding: "stepped" | "uniform" = "stepped"): number {
  const least = length + 8;
  if (least > 16_384) return padmeByHand(least);
  if (padding === "uniform" || least > 8192) return 16_384;
  return least > 3072 ? 8192 : 3072;
}

/** Bytes ‖ zeros ‖ 8 bytes of length. */
export function padByHand(
  bytes: Uint8Array,
  {
    size = sizeByHand(bytes.length),
    length = bytes.length,
  }: { readonly size?: number; readonly length?: number | bigint } = {},
): Uint8Array {
  const padded = Buffer.alloc(size);
  padded.set(bytes);
  padded.writeBigUInt64BE(BigInt(length), size - 8);
  return new Uint8Array(padded);
}

/** The bytes of a padded part, as its end says. */
export function unpadByHand(padded: Uint8Array): Uint8Array {
  const all = Buffer.from(padded);
  const length = Number(all.readBigUInt64BE(all.length - 8));
  if (all.subarray(length, -8).some((byte) => byte !== 0)) throw new Error("not zeros");
  if (![sizeByHand(length), sizeByHand(length, "uniform")].includes(all.length)) {
    throw new Error("not the size of a part of this length");
  }
  return new Uint8Array(all.subarray(0, length));
}
