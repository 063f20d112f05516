import { createCipheriv } from "node:crypto";

// GHASH works in GF(2^128) with the bits of a block in reverse: bit 0 is the highest (SP 800-38D §6.3).
const R = 0xe1n << 120n;
const toNumber = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
const toBlock = (value: bigint): Uint8Array =>
  Uint8Array.from(Buffer.from(value.toString(16).padStart(32, "0"), "hex"));

function multiply(x: bigint, y: bigint): bigint {
  let [product, shifted] = [0n, y];
  for (let i = 127n; i >= 0n; i--) {
    if ((x >> i) & 1n) product ^= shifted;
    shifted = (shifted & 1n) === 1n ? (shifted >> 1n) ^ R : shifted >> 1n;
  }
  return product;
}

// x^(2^128 − 2), the inverse.
function invert(x: bigint): bigint {
  let [result, square] = [1n << 127n, x];
  for (let i = 1; i < 128; i++) {
    square = multiply(square, square);
    result = multiply(result, square);
  }
  return result;
}

function encryptBlock(key: Uint8Array, block: Uint8Array): bigint {
  return toNumber(createCipheriv("aes-256-ecb", key, null).update(block));
}

/**
 * Changes 32 bytes of ciphertext so that AES-256-GCM accepts it with the same tag under both keys.
 * The tag of n blocks is E(nonce ‖ 1) ⊕ C₁Hⁿ⁺¹ ⊕ C₂Hⁿ ⊕ … ⊕ (lengths)H, which is linear in the
 * blocks: one of them is free.
 *
 * @param ciphertext - of whole blocks of 16 bytes, without tag; the first two are replaced
 */
export function sealGcmUnderTwoKeys(
  one: Uint8Array,
  two: Uint8Array,
  nonce: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array {
  const first = 0x0123456789abcdefn;
  const staying = ciphertext.subarray(32);
  const lengths = 8n * BigInt(ciphertext.length); // no associated data, bits of ciphertext
  const counter = Uint8Array.from([...nonce, 0, 0, 0, 1]);
  const of = (key: Uint8Array): { factor: bigint; rest: bigint } => {
    const h = encryptBlock(key, new Uint8Array(16));
    let factor = h;
    let sum = 0n;
    for (let at = 0; at < staying.length; at += 16) {
      factor = multiply(factor, h);
      sum = multiply(sum ^ toNumber(staying.subarray(at, at + 16)), h);
    }
    factor = multiply(factor, h);
    const mask = encryptBlock(key, counter);
    const rest = mask ^ multiply(first, multiply(factor, h)) ^ multiply(sum ^ lengths, h);
    return { factor, rest };
  };
  const [a, b] = [of(one), of(two)];
  const free = multiply(a.rest ^ b.rest, invert(a.factor ^ b.factor));
  const tag = a.rest ^ multiply(free, a.factor);
  return Uint8Array.from([...toBlock(first), ...toBlock(free), ...staying, ...toBlock(tag)]);
}
