import { createHash, createHmac, hash } from "node:crypto";
import { concatBytes } from "../bytes/concat.ts";
import { assertUint } from "../bytes/guards.ts";
import { rawKey } from "./node-raw-key.ts";

// A ledger mostly hashes small inputs, and in Node most of the cost is creating objects: so short
// inputs are joined in one reused buffer and hashed in one call.
const SCRATCH = 1024;
const scratch: Uint8Array = /* @__PURE__ */ new Uint8Array(SCRATCH);
const views: Uint8Array[] = [];
const outer: Uint8Array = /* @__PURE__ */ new Uint8Array(96);
const BLOCK = 64;
// Above this number of bytes an incremental hash is cheaper than joining the parts first.
const JOIN_LIMIT = 16_384;
/** Number of the first block of HKDF-Expand. */
const FIRST: Uint8Array = /* @__PURE__ */ Uint8Array.of(1);

/** SHA-256 over the concatenation of the parts. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return digest(parts[0]!);
  const length = totalLength(parts);
  if (length <= SCRATCH) {
    join(parts, 0);
    return digest(view(length));
  }
  if (length <= JOIN_LIMIT) return digest(concatBytes(...parts));
  const incremental = createHash("sha256");
  for (const part of parts) incremental.update(part);
  return toBytes(incremental.digest());
}

/** HMAC-SHA256 (RFC 2104) over the concatenation of the parts. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = BLOCK + totalLength(parts);
  if (length > SCRATCH) {
    const mac = createHmac("sha256", rawKey(key));
    for (const part of parts) mac.update(part);
    return toBytes(mac.digest());
  }
  // Two one-shot hashes cost a third of one Hmac object.
  const block = key.length > BLOCK ? digest(key) : key;
  const blockLength = block.length;
  for (let i = 0; i < blockLength; i++) {
    scratch[i] = block[i]! ^ 0x36;
    outer[i] = block[i]! ^ 0x5c;
  }
  for (let i = blockLength; i < BLOCK; i++) {
    scratch[i] = 0x36;
    outer[i] = 0x5c;
  }
  join(parts, BLOCK);
  digestInto(view(length), outer, BLOCK);
  const mac = digest(outer);
  scratch.fill(0, 0, length);
  outer.fill(0);
  return mac;
}

/** HKDF-Extract with SHA-256 (RFC 5869 §2.2). */
export function hkdfExtract(salt: Uint8Array, ikm: Uint8Array): Uint8Array {
  return hmacSha256(salt, ikm);
}

/**
 * HKDF-Expand with SHA-256 (RFC 5869 §2.3): from a key of at least 32 bytes to at most 8160 bytes.
 */
export function hkdfExpand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  assertUint(length, "length", 255 * 32);
  if (prk.length < 32) throw new RangeError("prk must be at least 32 bytes");
  // The first block, which is all that keys need.
  if (length === 32) return hmacSha256(prk, info, FIRST);
  const output = new Uint8Array(length);
  let previous: Uint8Array = new Uint8Array(0);
  for (let at = 0, counter = 1; at < length; at += 32, counter++) {
    previous = hmacSha256(prk, previous, info, Uint8Array.of(counter));
    output.set(length - at < 32 ? previous.subarray(0, length - at) : previous, at);
  }
  return output;
}

/** A plain `Uint8Array` over the bytes of a `Buffer`. */
export function toBytes(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

function digest(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(32);
  digestInto(bytes, out, 0);
  return out;
}

// A digest crosses into JavaScript two to three times faster as a binary string than as a Buffer.
function digestInto(bytes: Uint8Array, out: Uint8Array, at: number): void {
  if (!(bytes instanceof Uint8Array)) throw new TypeError("expected a Uint8Array");
  const text = hash("sha256", bytes, "binary");
  for (let i = 0; i < 32; i++) out[at + i] = text.charCodeAt(i);
}

function view(length: number): Uint8Array {
  return (views[length] ??= scratch.subarray(0, length));
}

function join(parts: readonly Uint8Array[], from: number): void {
  let at = from;
  for (let i = 0; i < parts.length; i++) {
    scratch.set(parts[i]!, at);
    at += parts[i]!.length;
  }
}

function totalLength(parts: readonly Uint8Array[]): number {
  let length = 0;
  for (let i = 0; i < parts.length; i++) {
    if (!(parts[i] instanceof Uint8Array)) throw new TypeError("expected a Uint8Array");
    length += parts[i]!.length;
  }
  return length;
}
