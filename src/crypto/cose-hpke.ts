import { concatBytes } from "../bytes/concat.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { EnvelopeError } from "../errors.ts";
import { drawEphemeral } from "./hpke-kem.ts";
import {
  hpkeOpen,
  hpkeOpenShared,
  hpkeP256AesGcm,
  hpkeSeal,
  type HpkeSuite,
  hpkeX25519Chacha,
  hpkeXWingChacha,
} from "./hpke.ts";

/** Key agreement algorithm of a recipient's key. */
export type AgreementAlg = "X25519" | "P-256" | "X-Wing";

/** All of them. */
export const AGREEMENT_ALGS: readonly AgreementAlg[] = ["X25519", "P-256", "X-Wing"];

/** The recipient of a sealed message. */
export interface CoseRecipient {
  readonly alg: AgreementAlg;
  /** 32 bytes for X25519, 33 (a compressed point) for P-256, 1216 for X-Wing. */
  readonly publicKey: Uint8Array;
}

/** The parts of a COSE_Encrypt0 message of HPKE integrated mode. */
export interface CoseMessage {
  /** COSE algorithm id. */
  readonly id: number;
  readonly protectedHeader: Uint8Array;
  /** The encapsulated key; borrowed from the message. */
  readonly ek: Uint8Array;
  /** Borrowed from the message. */
  readonly ciphertext: Uint8Array;
}

/** A COSE algorithm of HPKE integrated mode that grants of `v: 1` can use. */
export interface CoseAlgorithm {
  readonly name: string;
  /**
   * Id as draft-ietf-cose-hpke-27 registers it, or of COSE's range for private use; fixed for all
   * grants of `v: 1`.
   */
  readonly id: number;
  readonly alg: AgreementAlg;
  readonly suite: HpkeSuite;
}

const ALGORITHMS: readonly CoseAlgorithm[] = /* @__PURE__ */ Object.freeze([
  { name: "HPKE-4", id: 42, alg: "X25519", suite: hpkeX25519Chacha },
  { name: "HPKE-7", id: 45, alg: "P-256", suite: hpkeP256AesGcm },
  // Not yet registered: −65,536 minus HPKE's id of the KEM.
  { name: "X-Wing", id: -91_258, alg: "X-Wing", suite: hpkeXWingChacha },
]);

const NO_INFO = /* @__PURE__ */ new Uint8Array(0);
const CONTEXT = /* @__PURE__ */ utf8ToBytes("Encrypt0");
const MAJOR_UINT = 0;
const MAJOR_NEGATIVE = 1;
const MAJOR_BYTES = 2;
const MAJOR_TEXT = 3;
const MAJOR_ARRAY = 4;
const MAJOR_MAP = 5;
const TAG_ENCRYPT0 = 0xd0;
const LABEL_ALG = 0x01;
const LABEL_EK = 0x23; // −4

/**
 * Returns the COSE algorithm that seals to keys of one kind.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED`
 */
export function coseAlgorithm(alg: AgreementAlg): CoseAlgorithm {
  const found = ALGORITHMS.find((known) => known.alg === alg);
  if (found === undefined) {
    throw new EnvelopeError("ERR_ENVELOPE_UNSUPPORTED", `grants cannot be sealed to ${alg} keys`);
  }
  return found;
}

/**
 * Seals a message to one recipient: COSE_Encrypt0, tagged, in HPKE integrated mode, with only the
 * algorithm and the encapsulated key in its headers.
 *
 * @param externalAad - bound to the message but not part of it; the opener must know it
 * @param ephemeral - from `drawEphemeral` for the recipient's algorithm; must not be used twice
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the recipient's key is not a usable public key
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED`
 * @see draft-ietf-cose-hpke §3.2
 */
export function sealCose(
  recipient: CoseRecipient,
  plaintext: Uint8Array,
  externalAad: Uint8Array,
  ephemeral: Uint8Array,
): Uint8Array {
  const { id, suite } = coseAlgorithm(recipient.alg);
  const header = protectedHeader(id);
  const aad = encStructure(header, externalAad);
  const { enc, ciphertext } = hpkeSeal(
    suite,
    recipient.publicKey,
    NO_INFO,
    aad,
    plaintext,
    ephemeral,
  );
  return writeCose(header, enc, ciphertext);
}

/**
 * Seals as {@link sealCose} does, with a fresh ephemeral key, which is wiped afterwards.
 *
 * @param random - cryptographically strong
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the recipient's key is not a usable public key
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED`
 */
export function sealCoseFresh(
  recipient: CoseRecipient,
  plaintext: Uint8Array,
  externalAad: Uint8Array,
  random: (length: number) => Uint8Array,
): Uint8Array {
  const ephemeral = drawEphemeral(coseAlgorithm(recipient.alg).suite.kem, random);
  try {
    return sealCose(recipient, plaintext, externalAad, ephemeral);
  } finally {
    ephemeral.fill(0);
  }
}

/**
 * Opens a message of {@link sealCose} with a private key held in memory.
 *
 * @returns the plaintext, or `undefined` on any failure
 */
export function openCose(
  alg: AgreementAlg,
  secret: Uint8Array,
  message: Uint8Array,
  externalAad: Uint8Array,
): Uint8Array | undefined {
  const { id, suite } = coseAlgorithm(alg);
  const cose = readCose(message);
  if (cose === undefined || cose.id !== id) return undefined;
  const aad = encStructure(cose.protectedHeader, externalAad);
  return hpkeOpen(suite, cose.ek, secret, NO_INFO, aad, cose.ciphertext);
}

/**
 * Opens a message whose KEM shared secret is already known, for example because an HSM computed it.
 */
export function openCoseShared(
  alg: AgreementAlg,
  shared: Uint8Array,
  cose: CoseMessage,
  externalAad: Uint8Array,
): Uint8Array | undefined {
  const aad = encStructure(cose.protectedHeader, externalAad);
  return hpkeOpenShared(coseAlgorithm(alg).suite, shared, NO_INFO, aad, cose.ciphertext);
}

/**
 * Parses a message, accepting only the one form that {@link sealCose} writes: `16([<<{1: alg}>>,
 * {-4: ek}, ciphertext])` in shortest lengths. Every other header is refused, so that no message
 * can carry a hint about its recipient.
 *
 * @returns `undefined` if the bytes have any other form
 */
export function readCose(message: Uint8Array): CoseMessage | undefined {
  const reader = { bytes: message, at: 0 };
  if (readByte(reader) !== TAG_ENCRYPT0 || readHead(reader, MAJOR_ARRAY) !== 3) return undefined;
  const header = readString(reader);
  if (header === undefined) return undefined;
  const id = readAlgorithm(header);
  if (id === undefined) return undefined;
  if (readHead(reader, MAJOR_MAP) !== 1 || readByte(reader) !== LABEL_EK) return undefined;
  const ek = readString(reader);
  const ciphertext = readString(reader);
  if (ek === undefined || ciphertext === undefined || reader.at !== message.length) {
    return undefined;
  }
  return { id, protectedHeader: header, ek, ciphertext };
}

/** The Enc_structure that is authenticated with the ciphertext (RFC 9052 §5.3). */
export function encStructure(header: Uint8Array, externalAad: Uint8Array): Uint8Array {
  return concatBytes(
    head(MAJOR_ARRAY, 3),
    head(MAJOR_TEXT, CONTEXT.length),
    CONTEXT,
    byteString(header),
    byteString(externalAad),
  );
}

function writeCose(header: Uint8Array, ek: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  return concatBytes(
    Uint8Array.of(TAG_ENCRYPT0),
    head(MAJOR_ARRAY, 3),
    byteString(header),
    head(MAJOR_MAP, 1),
    Uint8Array.of(LABEL_EK),
    byteString(ek),
    byteString(ciphertext),
  );
}

function protectedHeader(id: number): Uint8Array {
  const value = id < 0 ? head(MAJOR_NEGATIVE, -1 - id) : head(MAJOR_UINT, id);
  return concatBytes(head(MAJOR_MAP, 1), Uint8Array.of(LABEL_ALG), value);
}

function byteString(bytes: Uint8Array): Uint8Array {
  return concatBytes(head(MAJOR_BYTES, bytes.length), bytes);
}

function head(major: number, argument: number): Uint8Array {
  const top = major << 5;
  if (argument < 24) return Uint8Array.of(top | argument);
  if (argument < 0x100) return Uint8Array.of(top | 24, argument);
  if (argument < 0x1_0000) return Uint8Array.of(top | 25, argument >> 8, argument & 0xff);
  return Uint8Array.of(
    top | 26,
    argument >>> 24,
    (argument >>> 16) & 0xff,
    (argument >>> 8) & 0xff,
    argument & 0xff,
  );
}

interface Reader {
  readonly bytes: Uint8Array;
  at: number;
}

function readByte(reader: Reader): number | undefined {
  return reader.bytes[reader.at++];
}

// The argument of a head of this major type in its shortest form; otherwise undefined.
function readHead(reader: Reader, major: number): number | undefined {
  const initial = readByte(reader);
  if (initial === undefined || initial >> 5 !== major) return undefined;
  const info = initial & 31;
  if (info < 24) return info;
  if (info > 26) return undefined;
  const width = 1 << (info - 24);
  let argument = 0;
  for (let i = 0; i < width; i++) argument = argument * 256 + (readByte(reader) ?? Number.NaN);
  const least = width === 1 ? 24 : width === 2 ? 0x100 : 0x1_0000;
  return argument >= least ? argument : undefined;
}

function readString(reader: Reader): Uint8Array | undefined {
  const length = readHead(reader, MAJOR_BYTES);
  if (length === undefined || length > reader.bytes.length - reader.at) return undefined;
  const start = reader.at;
  reader.at += length;
  return reader.bytes.subarray(start, reader.at);
}

function readAlgorithm(header: Uint8Array): number | undefined {
  const reader = { bytes: header, at: 0 };
  if (readHead(reader, MAJOR_MAP) !== 1 || readByte(reader) !== LABEL_ALG) return undefined;
  const negative = header[reader.at]! >> 5 === MAJOR_NEGATIVE;
  const argument = readHead(reader, negative ? MAJOR_NEGATIVE : MAJOR_UINT);
  if (argument === undefined || reader.at !== header.length) return undefined;
  return negative ? -1 - argument : argument;
}
