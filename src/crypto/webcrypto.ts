import { hasAcceptableEncodings } from "./ed25519-rule.ts";
import { keyCache, type KeyCache } from "./key-cache.ts";
import { isLowS } from "./low-s.ts";
import { decompressP256 } from "./p256-point.ts";
import type { SignatureAlg } from "./signing-input.ts";
import { toHex } from "../bytes/hex.ts";

const importedKeys: KeyCache<CryptoKey> = /* @__PURE__ */ keyCache(1024);

/**
 * Verifies a signature with WebCrypto by the same rule as the synchronous backends: encodings that
 * a laxer engine would accept are refused before the engine sees them.
 *
 * @param message - bytes that carry their domain, from `signingInput`
 * @param publicKey - 32 bytes for Ed25519, 33 (a compressed point) for ES256
 * @returns false for anything malformed
 * @throws {DOMException} `NotSupportedError` when the engine lacks the algorithm
 */
export async function webcryptoVerify(
  alg: SignatureAlg,
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): Promise<boolean> {
  if (signature.length !== 64) return false;
  if (alg === "Ed25519") {
    if (!hasAcceptableEncodings(signature, publicKey)) return false;
  } else if (alg !== "ES256" || publicKey.length !== 33 || !isLowS(signature)) {
    return false;
  }
  const key = await importKey(alg, publicKey);
  if (key === undefined) return false;
  return globalThis.crypto.subtle.verify(
    webcryptoAlgorithm(alg),
    key,
    owned(signature),
    owned(message),
  );
}

/** The algorithm parameter of WebCrypto's `sign` and `verify`. */
export function webcryptoAlgorithm(alg: SignatureAlg): AlgorithmIdentifier | EcdsaParams {
  return alg === "Ed25519" ? { name: "Ed25519" } : { name: "ECDSA", hash: "SHA-256" };
}

async function importKey(alg: SignatureAlg, publicKey: Uint8Array): Promise<CryptoKey | undefined> {
  const name = alg + toHex(publicKey);
  const cached = importedKeys.get(name);
  if (cached !== undefined) return cached;
  const raw = alg === "Ed25519" ? publicKey : decompressP256(publicKey);
  if (raw === undefined) return undefined;
  const algorithm =
    alg === "Ed25519" ? { name: "Ed25519" } : { name: "ECDSA", namedCurve: "P-256" };
  let key: CryptoKey;
  try {
    key = await globalThis.crypto.subtle.importKey("raw", owned(raw), algorithm, true, ["verify"]);
  } catch (error) {
    // Some engines refuse at import what others refuse at verification.
    if (error instanceof DOMException && error.name === "DataError") return undefined;
    throw error;
  }
  importedKeys.set(name, key);
  return key;
}

// WebCrypto's types require bytes that cannot be shared memory.
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer
    ? (bytes as Uint8Array<ArrayBuffer>)
    : new Uint8Array(bytes);
}
