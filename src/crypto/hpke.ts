import { aesGcmOpen, aesGcmSeal, chachaOpen, chachaSeal } from "#crypto";
import { concatBytes } from "../bytes/concat.ts";
import { SignatureError } from "../errors.ts";
import { dhkemP256, dhkemX25519 } from "./dhkem.ts";
import { labelledKdf, type Kem, type LabelledKdf } from "./hpke-kem.ts";
import { xWing } from "./x-wing.ts";

const NONE = /* @__PURE__ */ new Uint8Array(0);
const HKDF_SHA256 = 0x0001;
const NONCE_LENGTH = 12;

/** An authenticated cipher of HPKE (RFC 9180 §7.3). */
export interface Aead {
  /** Id in the IANA HPKE registry. */
  readonly id: number;
  readonly keyLength: number;
  seal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Uint8Array;
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    aad: Uint8Array,
  ): Uint8Array | undefined;
}

/** One combination of KEM, HKDF-SHA256 and AEAD. */
export interface HpkeSuite {
  readonly kem: Kem;
  readonly aead: Aead;
  readonly kdf: LabelledKdf;
}

/** One side of an HPKE exchange; messages must be opened in the order in which they were sealed. */
export interface HpkeContext {
  seal(aad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /**
   * @returns `undefined` if the message does not authenticate; the sequence number then stays
   *   unchanged
   */
  open(aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
  export(context: Uint8Array, length: number): Uint8Array;
}

/** ChaCha20-Poly1305, id 0x0003. */
export const chachaAead: Aead = { id: 0x0003, keyLength: 32, seal: chachaSeal, open: chachaOpen };

/** AES-256-GCM, id 0x0002. */
export const aesGcmAead: Aead = { id: 0x0002, keyLength: 32, seal: aesGcmSeal, open: aesGcmOpen };

/** DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305: HPKE-4 in COSE. */
export const hpkeX25519Chacha: HpkeSuite = /* @__PURE__ */ hpkeSuite(dhkemX25519, chachaAead);

/** DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM: HPKE-7 in COSE. */
export const hpkeP256AesGcm: HpkeSuite = /* @__PURE__ */ hpkeSuite(dhkemP256, aesGcmAead);

/** X-Wing, HKDF-SHA256, ChaCha20-Poly1305. */
export const hpkeXWingChacha: HpkeSuite = /* @__PURE__ */ hpkeSuite(xWing, chachaAead);

/** Combines a KEM and an AEAD with HKDF-SHA256. */
export function hpkeSuite(kem: Kem, aead: Aead): HpkeSuite {
  const ids = [kem.id, HKDF_SHA256, aead.id].flatMap((id) => [id >> 8, id & 0xff]);
  return { kem, aead, kdf: labelledKdf(Uint8Array.from([0x48, 0x50, 0x4b, 0x45, ...ids])) };
}

/**
 * Seals one message to a public key (RFC 9180 §6.1, base mode).
 *
 * @param ephemeral - from `drawEphemeral`; must not be used twice
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the public key is not usable
 */
export function hpkeSeal(
  suite: HpkeSuite,
  publicKey: Uint8Array,
  info: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
  ephemeral: Uint8Array,
): { readonly enc: Uint8Array; readonly ciphertext: Uint8Array } {
  const { enc, shared } = encapsulate(suite, publicKey, ephemeral);
  const schedule = keySchedule(suite, shared, info);
  const ciphertext = suite.aead.seal(schedule.key, schedule.nonce, plaintext, aad);
  wipe(schedule, shared);
  return { enc, ciphertext };
}

/**
 * Opens one message (RFC 9180 §6.1, base mode).
 *
 * @returns the plaintext, or `undefined` on any failure
 */
export function hpkeOpen(
  suite: HpkeSuite,
  enc: Uint8Array,
  secret: Uint8Array,
  info: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | undefined {
  const shared = suite.kem.decapsulate(enc, secret);
  if (shared === undefined) return undefined;
  const plaintext = hpkeOpenShared(suite, shared, info, aad, ciphertext);
  shared.fill(0);
  return plaintext;
}

/**
 * Opens one message whose KEM shared secret is already known, for example because an HSM computed
 * it.
 */
export function hpkeOpenShared(
  suite: HpkeSuite,
  shared: Uint8Array,
  info: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | undefined {
  const schedule = keySchedule(suite, shared, info);
  const plaintext = suite.aead.open(schedule.key, schedule.nonce, ciphertext, aad);
  wipe(schedule);
  return plaintext;
}

/**
 * Starts a sequence of messages to a public key (RFC 9180 §5.1.1).
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the public key is not usable
 */
export function hpkeSender(
  suite: HpkeSuite,
  publicKey: Uint8Array,
  info: Uint8Array,
  ephemeral: Uint8Array,
): { readonly enc: Uint8Array; readonly context: HpkeContext } {
  const { enc, shared } = encapsulate(suite, publicKey, ephemeral);
  return { enc, context: createContext(suite, shared, info) };
}

/**
 * Starts the receiving side of a sequence of messages (RFC 9180 §5.1.1); `undefined` if `enc` is
 * malformed.
 */
export function hpkeReceiver(
  suite: HpkeSuite,
  enc: Uint8Array,
  secret: Uint8Array,
  info: Uint8Array,
): HpkeContext | undefined {
  const shared = suite.kem.decapsulate(enc, secret);
  return shared === undefined ? undefined : createContext(suite, shared, info);
}

function encapsulate(
  suite: HpkeSuite,
  publicKey: Uint8Array,
  ephemeral: Uint8Array,
): { readonly enc: Uint8Array; readonly shared: Uint8Array } {
  const encapsulated = suite.kem.encapsulate(publicKey, ephemeral);
  if (encapsulated === undefined) {
    throw new SignatureError("ERR_SIGNATURE_KEY", "the recipient's public key is not usable");
  }
  return encapsulated;
}

interface Schedule {
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly secret: Uint8Array;
  readonly context: Uint8Array;
}

function keySchedule(suite: HpkeSuite, shared: Uint8Array, info: Uint8Array): Schedule {
  const { kdf, aead } = suite;
  const context =
    info.length === 0
      ? emptyInfoContext(kdf)
      : scheduleContext(kdf, kdf.extract(NONE, "info_hash", info));
  const secret = kdf.extract(shared, "secret", NONE);
  return {
    key: kdf.expand(secret, "key", context, aead.keyLength),
    nonce: kdf.expand(secret, "base_nonce", context, NONCE_LENGTH),
    secret,
    context,
  };
}

function wipe({ key, nonce, secret }: Schedule, shared?: Uint8Array): void {
  for (const bytes of [key, nonce, secret, shared]) bytes?.fill(0);
}

// Grants carry no info, so all of them have the same key schedule context.
const emptyContexts: WeakMap<LabelledKdf, Uint8Array> = /* @__PURE__ */ new WeakMap();

function emptyInfoContext(kdf: LabelledKdf): Uint8Array {
  let context = emptyContexts.get(kdf);
  if (context === undefined) {
    context = scheduleContext(kdf, kdf.extract(NONE, "info_hash", NONE));
    emptyContexts.set(kdf, context);
  }
  return context;
}

function scheduleContext(kdf: LabelledKdf, infoHash: Uint8Array): Uint8Array {
  const baseMode = Uint8Array.of(0);
  return concatBytes(baseMode, kdf.extract(NONE, "psk_id_hash", NONE), infoHash);
}

function createContext(suite: HpkeSuite, shared: Uint8Array, info: Uint8Array): HpkeContext {
  const { key, nonce, secret, context } = keySchedule(suite, shared, info);
  const exporter = suite.kdf.expand(secret, "exp", context, 32);
  let sequence = 0;
  const nextNonce = (): Uint8Array => {
    if (sequence === Number.MAX_SAFE_INTEGER)
      throw new RangeError("this HPKE context cannot seal or open any more messages");
    const next = nonce.slice();
    for (let i = NONCE_LENGTH - 1, rest = sequence; rest > 0; i--) {
      next[i]! ^= rest % 256;
      rest = Math.floor(rest / 256);
    }
    return next;
  };
  return {
    seal(aad, plaintext) {
      const sealed = suite.aead.seal(key, nextNonce(), plaintext, aad);
      sequence++;
      return sealed;
    },
    open(aad, sealed) {
      const plaintext = suite.aead.open(key, nextNonce(), sealed, aad);
      if (plaintext !== undefined) sequence++;
      return plaintext;
    },
    export: (exportContext, length) => suite.kdf.expand(exporter, "sec", exportContext, length),
  };
}
