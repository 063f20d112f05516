/** `base` to the power of `exponent`, modulo a prime; not in constant time, so for public values only. */
export function powerModulo(base: bigint, exponent: bigint, prime: bigint): bigint {
  let result = 1n;
  for (let square = base, rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * square) % prime;
    square = (square * square) % prime;
  }
  return result;
}
