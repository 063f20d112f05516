import { powerModulo } from "./power.ts";

const P = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;

/**
 * Decompresses a P-256 point, for WebCrypto, whose implementations need not accept compressed
 * points.
 *
 * @param point - 33 bytes
 * @returns 65 bytes 04 ‖ x ‖ y, or `undefined` if the bytes are not a point of the curve
 */
export function decompressP256(point: Uint8Array): Uint8Array | undefined {
  if (point.length !== 33 || (point[0] !== 2 && point[0] !== 3)) return undefined;
  const x = toNumber(point.subarray(1));
  if (x >= P) return undefined;
  const square = (x * x * x - 3n * x + B) % P;
  const root = powerModulo(square < 0n ? square + P : square, (P + 1n) / 4n, P);
  if ((root * root - square) % P !== 0n) return undefined;
  const y = (root & 1n) === BigInt(point[0] & 1) ? root : P - root;
  const full = new Uint8Array(65);
  full[0] = 4;
  full.set(point.subarray(1), 1);
  for (let i = 64, rest = y; i > 32; i--, rest >>= 8n) full[i] = Number(rest & 0xffn);
  return full;
}

/** Compresses a full P-256 point 04 ‖ x ‖ y to 33 bytes. */
export function compressP256(point: Uint8Array): Uint8Array {
  const short = point.slice(0, 33);
  short[0] = 2 + (point[64]! & 1);
  return short;
}

function toNumber(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}
