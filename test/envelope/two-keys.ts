import { createCipheriv } from "node:crypto";

const P = 2n ** 130n - 5n;
const M = 2n ** 128n;
const CLAMP = 0x0ffffffc0ffffffc0ffffffc0fffffffn;

const fromLittleEndian = (bytes: Uint8Array): bigint =>
  bytes.reduceRight((value, byte) => value * 256n + BigInt(byte), 0n);

function toLittleEndian(value: bigint): Uint8Array {
  const bytes = new Uint8Array(16);
  for (let i = 0, rest = value; i < 16; i++, rest >>= 8n) bytes[i] = Number(rest & 255n);
  return bytes;
}

const mod = (value: bigint): bigint => ((value % P) + P) % P;

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let b = mod(base), e = exponent; e > 0n; e >>= 1n, b = mod(b * b)) {
    if ((e & 1n) === 1n) result = mod(result * b);
  }
  return result;
}

/** r and s of Poly1305 (RFC 8439 §2.6). */
function oneTimeKey(key: Uint8Array, nonce: Uint8Array): { r: bigint; s: bigint } {
  const iv = Buffer.concat([Buffer.alloc(4), nonce]);
  const block = createCipheriv("chacha20", key, iv).update(Buffer.alloc(32));
  return {
    r: fromLittleEndian(block.subarray(0, 16)) & CLAMP,
    s: fromLittleEndian(block.subarray(16)),
  };
}

/**
 * Changes 32 bytes of ciphertext so that ChaCha20-Poly1305 accepts it with the same tag under both
 * keys: the tag is a polynomial in the ciphertext, so that one free block makes two of them equal.
 *
 * @param ciphertext - of whole blocks of 16 bytes, without tag; the first two are replaced
 */
export function sealUnderTwoKeys(
  one: Uint8Array,
  two: Uint8Array,
  nonce: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array {
  const a = oneTimeKey(one, nonce);
  const b = oneTimeKey(two, nonce);
  // Blocks: the first, the free one, those that stay, and the lengths (RFC 8439 §2.8).
  const count = BigInt(ciphertext.length / 16);
  const staying = ciphertext.subarray(32);
  const lengths = M + (BigInt(ciphertext.length) << 64n);
  const fixed = (r: bigint): bigint => {
    let sum = 0n;
    for (let at = 0; at < staying.length; at += 16) {
      sum = mod((sum + M + fromLittleEndian(staying.subarray(at, at + 16))) * r);
    }
    return mod((sum + lengths) * r);
  };
  const known = new Map([a.r, b.r].map((r) => [r, { fixed: fixed(r), free: power(r, count) }]));
  const rest = (first: bigint, r: bigint): bigint => {
    const of = known.get(r)!;
    return mod((M + first) * mod(of.free * r) + M * of.free + of.fixed);
  };
  const inverse = power(known.get(a.r)!.free - known.get(b.r)!.free, P - 2n);
  for (let first = 0n; ; first++) {
    for (let carry = -4n; carry <= 4n; carry++) {
      const free = mod((rest(first, b.r) - rest(first, a.r) + b.s - a.s + carry * M) * inverse);
      if (free >= M) continue;
      const tag = ({ r, s }: { r: bigint; s: bigint }): bigint =>
        (mod(rest(first, r) + free * known.get(r)!.free) + s) % M;
      if (tag(a) !== tag(b)) continue;
      const changed = [
        toLittleEndian(first),
        toLittleEndian(free),
        staying,
        toLittleEndian(tag(a)),
      ];
      return new Uint8Array(Buffer.concat(changed));
    }
  }
}
