import { ed25519Verify, sha256 } from "#crypto";
import { fromBase64, toBase64 } from "../bytes/base64.ts";
import { concatBytes } from "../bytes/concat.ts";
import { assertBytes } from "../bytes/guards.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { SignatureError } from "../errors.ts";

/** Signature type of Ed25519 over the note's text. */
export const NOTE_ED25519 = 0x01;
/** Signature type of timestamped Ed25519 cosignatures (`cosignature/v1`). */
export const NOTE_COSIGNATURE = 0x04;

/** The signature types that this library makes and checks. */
export type NoteKeyType = typeof NOTE_ED25519 | typeof NOTE_COSIGNATURE;

/** A public key of note signatures, with its name. Made by {@link noteKey} or {@link parseVkey}. */
export interface NoteKey {
  readonly name: string;
  readonly type: NoteKeyType;
  /** 32-byte Ed25519 public key. */
  readonly publicKey: Uint8Array;
  /** First four bytes of `SHA256(name ‖ 0A ‖ type ‖ publicKey)` as a big-endian number. */
  readonly keyId: number;
}

const PUBLIC_KEY_LENGTH = 32;
const SIGNATURE_LENGTH = 64;
const TIME_LENGTH = 8;

/**
 * Makes a note key from a name and a public key.
 *
 * @param name - not empty, without Unicode spaces, control characters and `+`
 * @param publicKey - 32-byte Ed25519 public key; borrowed
 * @throws {RangeError} when the name is not a valid key name or the key has another length
 * @example
 * const key = noteKey("history.example", NOTE_ED25519, signer.publicKey);
 * const opened = openCheckpoint(note, { origin: "history.example", keys: [key] });
 */
export function noteKey(name: string, type: NoteKeyType, publicKey: Uint8Array): NoteKey {
  if (!isKeyName(name)) throw new RangeError("`name` is not a valid key name of signed notes");
  if (type !== NOTE_ED25519 && type !== NOTE_COSIGNATURE) {
    throw new RangeError("`type` must be NOTE_ED25519 or NOTE_COSIGNATURE");
  }
  assertBytes(publicKey, "publicKey", PUBLIC_KEY_LENGTH);
  const keyId = noteKeyId(name, concatBytes(Uint8Array.of(type), publicKey));
  return { name, type, publicKey, keyId };
}

/**
 * Writes a key as a vkey: `name+keyid+base64(type ‖ publicKey)`, the key id in eight hexadecimal
 * digits.
 *
 * @example
 * const vkey = encodeVkey(noteKey("history.example", NOTE_ED25519, signer.publicKey));
 */
export function encodeVkey(key: NoteKey): string {
  const { name, type, publicKey, keyId } = key;
  return `${name}+${hexId(keyId)}+${toBase64(concatBytes(Uint8Array.of(type), publicKey))}`;
}

/**
 * Parses a vkey, and checks that its key id matches its name and key.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_NOTE` when it is malformed or carries a wrong key id,
 *   `ERR_SIGNATURE_ALGORITHM` when its type is not a {@link NoteKeyType}
 * @example
 * const key = parseVkey(vkey);
 * const opened = openCheckpoint(note, { origin: key.name, keys: [key] });
 */
export function parseVkey(vkey: string): NoteKey {
  // Name and key id contain no plus sign; base64 may.
  const [, name, id, encoded] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/su.exec(vkey) ?? [];
  if (name === undefined || id === undefined || encoded === undefined || !isKeyName(name)) {
    throw new SignatureError("ERR_SIGNATURE_NOTE", "the text is not a vkey");
  }
  let typed: Uint8Array;
  try {
    typed = fromBase64(encoded);
  } catch (cause) {
    throw new SignatureError("ERR_SIGNATURE_NOTE", "the text is not a vkey", { cause });
  }
  if (typed.length < 2 || hexId(noteKeyId(name, typed)) !== id) {
    throw new SignatureError(
      "ERR_SIGNATURE_NOTE",
      "the key id of the vkey does not match its name and key",
    );
  }
  const type = typed[0]!;
  if (type !== NOTE_ED25519 && type !== NOTE_COSIGNATURE) {
    throw new SignatureError("ERR_SIGNATURE_ALGORITHM", "the vkey is of an unsupported type");
  }
  if (typed.length !== 1 + PUBLIC_KEY_LENGTH) {
    throw new SignatureError("ERR_SIGNATURE_NOTE", "the key of the vkey has a wrong length");
  }
  return noteKey(name, type, typed.subarray(1));
}

/**
 * Computes a key id.
 *
 * @param typedKey - type byte ‖ public key
 * @returns an unsigned 32-bit number
 * @see c2sp.org/signed-note
 */
export function noteKeyId(name: string, typedKey: Uint8Array): number {
  const digest = sha256(concatBytes(utf8ToBytes(`${name}\n`), typedKey));
  return new DataView(digest.buffer, digest.byteOffset).getUint32(0);
}

/** Whether a string may name a key: not empty, without Unicode spaces, control characters and `+`. */
export function isKeyName(name: string): boolean {
  return /^[^+\p{White_Space}\p{Surrogate}\u0000-\u001f]+$/u.test(name);
}

/**
 * The message that a cosignature signs.
 *
 * @param text - text of the cosigned checkpoint, its last newline included
 * @param time - seconds since the Unix epoch
 * @see c2sp.org/tlog-cosignature
 */
export function cosignatureMessage(text: Uint8Array, time: number): Uint8Array {
  return concatBytes(utf8ToBytes(`cosignature/v1\ntime ${time}\n`), text);
}

/** Writes a cosignature: eight bytes of time, big-endian, and the Ed25519 signature. */
export function encodeCosignature(time: number, signature: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(TIME_LENGTH + SIGNATURE_LENGTH);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(time));
  bytes.set(signature, TIME_LENGTH);
  return bytes;
}

/**
 * Verifies a note's signature by a known key. Never throws.
 *
 * @param signature - the bytes after the key id on the signature line
 * @returns the time of a cosignature in seconds, `null` for a signature without time, `undefined`
 *   if the signature is invalid
 */
export function checkNoteSignature(
  key: NoteKey,
  text: Uint8Array,
  signature: Uint8Array,
): number | null | undefined {
  if (key.type === NOTE_ED25519) {
    return ed25519Verify(signature, text, key.publicKey) ? null : undefined;
  }
  if (signature.length !== TIME_LENGTH + SIGNATURE_LENGTH) return undefined;
  const view = new DataView(signature.buffer, signature.byteOffset);
  const time = Number(view.getBigUint64(0));
  if (!Number.isSafeInteger(time)) return undefined;
  const message = cosignatureMessage(text, time);
  return ed25519Verify(signature.subarray(TIME_LENGTH), message, key.publicKey) ? time : undefined;
}

function hexId(keyId: number): string {
  return keyId.toString(16).padStart(8, "0");
}
