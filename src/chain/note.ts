import { fromBase64, toBase64 } from "../bytes/base64.ts";
import { equalBytes } from "../bytes/compare.ts";
import { concatBytes } from "../bytes/concat.ts";
import { assertBytes } from "../bytes/guards.ts";
import { bytesToUtf8, utf8ToBytes } from "../bytes/utf8.ts";
import { SignatureError } from "../errors.ts";
import type { Signer } from "../identity/signer.ts";
import { checkNoteSignature, isKeyName, noteKey, NOTE_ED25519 } from "./note-key.ts";
import type { NoteKey } from "./note-key.ts";

export {
  encodeVkey,
  noteKey,
  NOTE_COSIGNATURE,
  NOTE_ED25519,
  parseVkey,
  type NoteKey,
  type NoteKeyType,
} from "./note-key.ts";

/** Most signature lines that a note may have; C2SP asks for at least 16. */
export const MAX_NOTE_SIGNATURES = 100;
/** Longest note accepted, in bytes. */
export const MAX_NOTE_BYTES = 1_000_000;

const SIGNATURE_PREFIX = "\u2014 ";

/** One signature line of a note. */
export interface NoteSignature {
  readonly name: string;
  /** Unsigned 32-bit number. */
  readonly keyId: number;
  /** The bytes after the key id; at least one. */
  readonly signature: Uint8Array;
}

/** A signature line with a valid signature by a known key. */
export interface VerifiedSignature extends NoteSignature {
  readonly key: NoteKey;
  /** Time of the signature, in seconds since the Unix epoch; cosignatures only. */
  readonly time?: number;
}

/** The parts of a note. Nothing is verified: its text must not be trusted. */
export interface SplitNote {
  /** The signed text with its last newline; a copy. */
  readonly text: Uint8Array;
  /** In the order of the note, including repeated lines. */
  readonly signatures: readonly NoteSignature[];
}

/** Why a note was refused. */
export type NoteReason =
  | "too-large"
  | "malformed"
  | "too-many-signatures"
  | "ambiguous-key"
  | "bad-signature"
  | "no-known-signature";

/** Outcome of {@link splitNote}. */
export type SplitResult =
  | { readonly ok: true; readonly note: SplitNote }
  | { readonly ok: false; readonly reason: "too-large" | "malformed" | "too-many-signatures" };

/** Outcome of {@link parseNote}. */
export type NoteResult =
  | {
      readonly ok: true;
      /** The signed text with its last newline; a copy. */
      readonly text: Uint8Array;
      /** At least one; one per key, which is the key's first in the note. */
      readonly verified: readonly VerifiedSignature[];
      /** Signatures by unknown keys, repeated lines once. */
      readonly unverified: readonly NoteSignature[];
    }
  | { readonly ok: false; readonly reason: NoteReason };

/** A signer of notes: an Ed25519 key with a name, for one type of signature. */
export interface NoteSigner {
  readonly name: string;
  /** Unsigned 32-bit number. */
  readonly keyId: number;
  /** Signs a note's text; resolves to the bytes after the key id on the signature line. */
  sign(text: Uint8Array): Promise<Uint8Array>;
}

/**
 * Parses a note without verifying any signature. Never throws.
 *
 * @see c2sp.org/signed-note
 */
export function splitNote(note: Uint8Array): SplitResult {
  if (note.length > MAX_NOTE_BYTES) return { ok: false, reason: "too-large" };
  const blank = lastBlankLine(note);
  if (blank < 0 || !isNoteText(note)) return { ok: false, reason: "malformed" };
  const lines = bytesToUtf8(note.subarray(blank + 1)).split("\n");
  lines.pop();
  if (lines.length === 0) return { ok: false, reason: "malformed" };
  if (lines.length > MAX_NOTE_SIGNATURES) return { ok: false, reason: "too-many-signatures" };
  const signatures: NoteSignature[] = [];
  for (const line of lines) {
    const signature = parseSignatureLine(line);
    if (signature === undefined) return { ok: false, reason: "malformed" };
    signatures.push(signature);
  }
  return { ok: true, note: { text: note.slice(0, blank), signatures } };
}

/**
 * Parses a note and verifies its signatures by known keys. Signatures by other keys are ignored;
 * one invalid signature by a known key refuses the note. Never throws, whatever the note contains.
 *
 * @param note - the whole note; borrowed
 * @param knownKeys - at least one of them must have signed
 * @see c2sp.org/signed-note
 */
export function parseNote(note: Uint8Array, knownKeys: readonly NoteKey[]): NoteResult {
  const split = splitNote(note);
  return split.ok ? verifyNote(split.note, knownKeys) : split;
}

/** Verifies the signatures of a note that was split already, as {@link parseNote} does. */
export function verifyNote(
  { text, signatures }: SplitNote,
  knownKeys: readonly NoteKey[],
): NoteResult {
  const verified: VerifiedSignature[] = [];
  const unverified: NoteSignature[] = [];
  for (const [i, signature] of signatures.entries()) {
    if (signatures.findIndex((other) => isSameSignature(other, signature)) < i) continue;
    const keys = knownKeys.filter((key) => isSignedBy(signature, key));
    const key = keys[0];
    if (key === undefined) {
      unverified.push(signature);
      continue;
    }
    if (keys.length > 1) return { ok: false, reason: "ambiguous-key" };
    const time = checkNoteSignature(key, text, signature.signature);
    if (time === undefined) return { ok: false, reason: "bad-signature" };
    // A key may cosign a checkpoint twice, at two times; it still counts as one key.
    if (verified.some((other) => other.key === key)) continue;
    verified.push({ ...signature, key, ...(time === null ? {} : { time }) });
  }
  if (verified.length === 0) return { ok: false, reason: "no-known-signature" };
  return { ok: true, text, verified, unverified };
}

/**
 * Writes a note from its parts; the inverse of {@link splitNote}.
 *
 * @param text - UTF-8 without control characters other than newline, ending in one
 * @throws {SignatureError} `ERR_SIGNATURE_NOTE` when the parts do not make a valid note
 */
export function encodeNote(text: Uint8Array, signatures: readonly NoteSignature[]): Uint8Array {
  assertBytes(text, "text");
  if (text.at(-1) !== 0x0a || !isNoteText(text)) {
    throw new SignatureError(
      "ERR_SIGNATURE_NOTE",
      "a note's text must be UTF-8 that ends in a newline, without other control characters",
    );
  }
  if (signatures.length === 0 || signatures.length > MAX_NOTE_SIGNATURES) {
    throw new SignatureError("ERR_SIGNATURE_NOTE", "a note needs 1 to 100 signatures");
  }
  const note = utf8ToBytes(`\n${signatures.map(encodeSignatureLine).join("")}`);
  if (text.length + note.length > MAX_NOTE_BYTES) {
    throw new SignatureError("ERR_SIGNATURE_NOTE", "the note is too long");
  }
  return concatBytes(text, note);
}

/**
 * Signs a text and writes the note.
 *
 * @param text - UTF-8 without control characters other than newline, ending in one
 * @param signers - sign in this order
 * @param keep - signatures of others on the same text, written first as they are
 * @throws {SignatureError} `ERR_SIGNATURE_NOTE` when a note cannot hold the text
 * @example
 * const note = await signNote(text, [noteSigner(signer, "history.example")]);
 */
export async function signNote(
  text: Uint8Array,
  signers: readonly NoteSigner[],
  keep: readonly NoteSignature[] = [],
): Promise<Uint8Array> {
  const made = signers.map(async (signer): Promise<NoteSignature> => {
    const { name, keyId } = signer;
    return { name, keyId, signature: await signer.sign(text) };
  });
  return encodeNote(text, [...keep, ...(await Promise.all(made))]);
}

/**
 * Writes one signature line with its newline, as witnesses answer.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_NOTE` when the name or the signature is invalid
 */
export function encodeSignatureLine(line: NoteSignature): string {
  const { name, keyId, signature } = line;
  if (!isKeyName(name) || signature.length === 0) {
    throw new SignatureError(
      "ERR_SIGNATURE_NOTE",
      "the name or the signature is not valid in a signature line",
    );
  }
  const bytes = new Uint8Array(4 + signature.length);
  new DataView(bytes.buffer).setUint32(0, keyId);
  bytes.set(signature, 4);
  return `${SIGNATURE_PREFIX}${name} ${toBase64(bytes)}\n`;
}

/**
 * Makes a note signer of type 0x01 from an Ed25519 key.
 *
 * Notes follow C2SP: the text itself is signed, without the domain separation of this library's own
 * structures. So the key must be used only for notes.
 *
 * @param name - key name; for a ledger's own checkpoints its origin
 * @throws {SignatureError} `ERR_SIGNATURE_ALGORITHM` when the key is not Ed25519
 * @example
 * const note = await signNote(text, [noteSigner(signer, "history.example")]);
 */
export function noteSigner(signer: Signer, name: string): NoteSigner {
  requireEd25519(signer);
  const key = noteKey(name, NOTE_ED25519, signer.publicKey);
  return {
    name,
    keyId: key.keyId,
    sign: async (text) => checkedSignature(key, text, await signer.sign(text)),
  };
}

/** @throws {SignatureError} `ERR_SIGNATURE_ALGORITHM` when the key is not Ed25519 */
export function requireEd25519(signer: Signer): void {
  if (signer.alg !== "Ed25519") {
    throw new SignatureError("ERR_SIGNATURE_ALGORITHM", "notes must be signed with Ed25519");
  }
}

/**
 * Verifies a signature of this process before it is published.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_INVALID`
 */
export function checkedSignature(
  key: NoteKey,
  text: Uint8Array,
  signature: Uint8Array,
): Uint8Array {
  if (checkNoteSignature(key, text, signature) === undefined) {
    throw new SignatureError("ERR_SIGNATURE_INVALID", "the signer returned an invalid signature");
  }
  return signature;
}

function parseSignatureLine(line: string): NoteSignature | undefined {
  if (!line.startsWith(SIGNATURE_PREFIX)) return undefined;
  const space = line.indexOf(" ", SIGNATURE_PREFIX.length);
  const name = line.slice(SIGNATURE_PREFIX.length, space);
  if (space < 0 || !isKeyName(name)) return undefined;
  let bytes: Uint8Array;
  try {
    bytes = fromBase64(line.slice(space + 1));
  } catch {
    return undefined;
  }
  if (bytes.length < 5) return undefined;
  const keyId = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  return { name, keyId, signature: bytes.slice(4) };
}

/** The text of a note whose signature lines may be malformed; `undefined` if it has no blank line. */
export function textOfNote(note: Uint8Array): Uint8Array | undefined {
  const blank = note.length > MAX_NOTE_BYTES ? -1 : lastBlankLine(note);
  return blank < 0 ? undefined : note.slice(0, blank);
}

/** Position of the last empty line; −1 if there is none, or if the last line is not terminated. */
function lastBlankLine(note: Uint8Array): number {
  if (note.at(-1) !== 0x0a) return -1;
  for (let i = note.length - 1; i > 0; i--) {
    if (note[i] === 0x0a && note[i - 1] === 0x0a) return i;
  }
  return -1;
}

/** Whether bytes are UTF-8 without control characters below U+0020 other than newline. */
function isNoteText(bytes: Uint8Array): boolean {
  if (bytes.some((byte) => byte < 0x20 && byte !== 0x0a)) return false;
  try {
    bytesToUtf8(bytes);
    return true;
  } catch {
    return false;
  }
}

function isSignedBy(signature: NoteSignature, key: NoteKey): boolean {
  return signature.keyId === key.keyId && signature.name === key.name;
}

function isSameSignature(a: NoteSignature, b: NoteSignature): boolean {
  return a.keyId === b.keyId && a.name === b.name && equalBytes(a.signature, b.signature);
}
