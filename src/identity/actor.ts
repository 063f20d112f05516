import { base58btc } from "multiformats/bases/base58";
import { sha256 } from "#crypto";
import { concatBytes } from "../bytes/concat.ts";
import { assertBytes } from "../bytes/guards.ts";
import { encode } from "../codec/dag-cbor.ts";
import { keyCache, type KeyCache } from "../crypto/key-cache.ts";
import type { SignatureAlg } from "../crypto/signing-input.ts";
import { isUsableKey } from "../crypto/usable-key.ts";
import { SignatureError } from "../errors.ts";

/** The key that an actor's did:key encodes. */
export interface ActorKey {
  readonly alg: SignatureAlg;
  /**
   * 32 bytes for Ed25519, 33 (a compressed point) for ES256; shared: callers must not change it.
   */
  readonly publicKey: Uint8Array;
}

// Multicodec codes as varints: 0xed for Ed25519, 0x1200 for P-256.
const ED25519_CODE = /* @__PURE__ */ Uint8Array.of(0xed, 0x01);
const P256_CODE = /* @__PURE__ */ Uint8Array.of(0x80, 0x24);
const DID_KEY = "did:key:";
// base58 takes time quadratic in the length, so the length is checked first.
const MAX_LENGTH = 64;

const parsed: KeyCache<ActorKey> = /* @__PURE__ */ keyCache(1024);

/**
 * Id of a key, used everywhere except in an actor's did:key: `SHA256(dag-cbor([alg, public key]))`.
 *
 * @param alg - `Ed25519`, `ES256`, `X25519`, `P-256` or `X-Wing`
 * @returns 32 bytes
 * @example
 * const id = keyId(agreement.alg, agreement.publicKey); // equal to agreement.key
 */
export function keyId(alg: string, publicKey: Uint8Array): Uint8Array {
  return sha256(encode([alg, publicKey]));
}

/**
 * Writes the did:key of a signing key. It is only a name: the ledger's state, not the did,
 * determines which keys are in force.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the key is not usable
 * @see W3C CCG did:key method
 * @example
 * actorFromKey(signer.alg, signer.publicKey) === signer.actor; // true of a signer named by its key
 */
export function actorFromKey(alg: SignatureAlg, publicKey: Uint8Array): string {
  assertBytes(publicKey, "publicKey", alg === "ES256" ? 33 : 32);
  if (!isUsableKey(alg, publicKey)) throw notActor("the bytes are not a usable public key");
  const code = alg === "ES256" ? P256_CODE : ED25519_CODE;
  return DID_KEY + base58btc.encode(concatBytes(code, publicKey));
}

/**
 * Reads a did:key of an Ed25519 or P-256 key in its one canonical form.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` on anything else, including document fragments
 * @example
 * const { alg, publicKey } = parseActor(signer.actor);
 */
export function parseActor(did: string): ActorKey {
  const known = parsed.get(did);
  if (known !== undefined) return known;
  if (typeof did !== "string" || did.length > MAX_LENGTH || !did.startsWith(`${DID_KEY}z`)) {
    throw notActor("the text is not a did:key");
  }
  let bytes: Uint8Array;
  try {
    bytes = base58btc.decode(did.slice(DID_KEY.length));
  } catch (cause) {
    throw notActor("the did:key is not base58", cause);
  }
  const key = readKey(bytes);
  if (key === undefined || actorFromKey(key.alg, key.publicKey) !== did) {
    throw notActor("the did:key is not that of an Ed25519 or P-256 key");
  }
  parsed.set(did, key);
  return key;
}

function readKey(bytes: Uint8Array): ActorKey | undefined {
  if (bytes.length === 34 && bytes[0] === 0xed && bytes[1] === 0x01) {
    return { alg: "Ed25519", publicKey: bytes.slice(2) };
  }
  if (bytes.length === 35 && bytes[0] === 0x80 && bytes[1] === 0x24) {
    return { alg: "ES256", publicKey: bytes.slice(2) };
  }
  return undefined;
}

const notActor = (message: string, cause?: unknown) =>
  new SignatureError("ERR_SIGNATURE_KEY", message, cause === undefined ? undefined : { cause });
