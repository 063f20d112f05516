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
 * Makes 32 bytes of ciphertext and a tag that ChaCha20-Poly1305 accepts under both keys: the tag is
 * a polynomial in the ciphertext, so that one free block makes two of them equal.
 */
export function sealUnderTwoKeys(one: Uint8Array, two: Uint8Array, nonce: Uint8Array): Uint8Array {
  const a = oneTimeKey(one, nonce);
  const b = oneTimeKey(two, nonce);
  // Blocks: the first, the free one, and the lengths 0 and 32 (RFC 8439 §2.8).
  const lengths = M + (32n << 64n);
  const rest = (first: bigint, r: bigint): bigint =>
    mod((M + first) * power(r, 3n) + M * power(r, 2n) + lengths * r);
  const inverse = power(power(a.r, 2n) - power(b.r, 2n), P - 2n);
  for (let first = 0n; ; first++) {
    for (let carry = -4n; carry <= 4n; carry++) {
      const free = mod((rest(first, b.r) - rest(first, a.r) + b.s - a.s + carry * M) * inverse);
      if (free >= M) continue;
      const tag = ({ r, s }: { r: bigint; s: bigint }): bigint =>
        (mod(rest(first, r) + free * power(r, 2n)) + s) % M;
      if (tag(a) !== tag(b)) continue;
      return Buffer.concat([toLittleEndian(first), toLittleEndian(free), toLittleEndian(tag(a))]);
    }
  }
}
