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
 * Makes 32 bytes of ciphertext and a tag that AES-256-GCM accepts under both keys. The tag is
 * E(nonce ‖ 1) ⊕ C₁H³ ⊕ C₂H² ⊕ (lengths)H, which is linear in the blocks: one of them is free.
 */
export function sealGcmUnderTwoKeys(
  one: Uint8Array,
  two: Uint8Array,
  nonce: Uint8Array,
): Uint8Array {
  const first = 0x0123456789abcdefn;
  const lengths = 256n; // no associated data, 256 bits of ciphertext
  const counter = Uint8Array.from([...nonce, 0, 0, 0, 1]);
  const of = (key: Uint8Array): { square: bigint; rest: bigint } => {
    const h = encryptBlock(key, new Uint8Array(16));
    const square = multiply(h, h);
    const mask = encryptBlock(key, counter);
    const rest = mask ^ multiply(first, multiply(square, h)) ^ multiply(lengths, h);
    return { square, rest };
  };
  const [a, b] = [of(one), of(two)];
  const free = multiply(a.rest ^ b.rest, invert(a.square ^ b.square));
  const tag = a.rest ^ multiply(free, a.square);
  return Uint8Array.from([...toBlock(first), ...toBlock(free), ...toBlock(tag)]);
}
