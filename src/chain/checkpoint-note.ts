import { fromBase64, toBase64 } from "../bytes/base64.ts";
import { assertBytes, assertUint } from "../bytes/guards.ts";
import { bytesToUtf8, utf8ToBytes } from "../bytes/utf8.ts";
import { SignatureError } from "../errors.ts";
import type { Signer } from "../identity/signer.ts";
import { HASH_LENGTH } from "../merkle/hash.ts";
import { cosignatureMessage, encodeCosignature, noteKey, NOTE_COSIGNATURE } from "./note-key.ts";
import type { NoteKey } from "./note-key.ts";
import { checkedSignature, parseNote, requireEd25519, splitNote, textOfNote } from "./note.ts";
import type { NoteReason, NoteSignature, NoteSigner, VerifiedSignature } from "./note.ts";

/** The statement of a checkpoint: the log with this origin has `size` leaves and this root. */
export interface Checkpoint {
  /** Name of the log: one line, not empty. */
  readonly origin: string;
  /** Number of leaves; a safe integer. */
  readonly size: number;
  /** 32-byte RFC 6962 root. */
  readonly root: Uint8Array;
  /** Opaque lines after the root, each non-empty. This library does not write any. */
  readonly extensions?: readonly string[];
}

/** Why a checkpoint's text was refused. */
export type CheckpointReason = "malformed" | "bad-size" | "bad-root";

/** Outcome of {@link parseCheckpoint}. */
export type CheckpointResult =
  | { readonly ok: true; readonly checkpoint: Checkpoint }
  | { readonly ok: false; readonly reason: CheckpointReason };

/** Outcome of {@link openCheckpoint}. */
export type OpenedCheckpoint =
  | {
      readonly ok: true;
      readonly checkpoint: Checkpoint;
      /** The signed text. */
      readonly text: Uint8Array;
      /** Signatures by the log's own keys: at least one, and one per key. */
      readonly signatures: readonly VerifiedSignature[];
      /**
       * Signatures by the given cosigners, one per key; a policy determines whether they suffice.
       */
      readonly cosignatures: readonly VerifiedSignature[];
      /** Signatures by unknown keys. */
      readonly unverified: readonly NoteSignature[];
    }
  | {
      readonly ok: false;
      readonly reason: NoteReason | CheckpointReason | "other-origin" | "no-log-signature";
    };

/** The log and keys that {@link openCheckpoint} accepts. */
export interface CheckpointTrust {
  /** The log's origin. */
  readonly origin: string;
  /** The log's own keys. */
  readonly keys: readonly NoteKey[];
  /** Keys of witnesses and other cosigners. */
  readonly cosigners?: readonly NoteKey[];
}

// One line: no control characters (newline is one), and nothing that UTF-8 cannot encode.
const LINE = /^[^\u0000-\u001f\p{Surrogate}]+$/u;

/**
 * Writes a checkpoint's text, ready to be signed.
 *
 * @returns `origin ⏎ size ⏎ base64(root) ⏎` and a line for each extension
 * @throws {RangeError} when a line is empty or holds control characters, or the root is not 32 bytes
 * @see c2sp.org/tlog-checkpoint
 * @example
 * const { size, root } = chain;
 * const body = encodeCheckpoint({ origin: chain.genesis.origin, size, root });
 * const note = await signNote(body, [noteSigner(signer, chain.genesis.origin)]);
 */
export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  const { origin, size, root, extensions = [] } = checkpoint;
  assertUint(size, "size");
  assertBytes(root, "root", HASH_LENGTH);
  const lines = [origin, String(size), toBase64(root), ...extensions];
  if (!lines.every((line) => LINE.test(line))) {
    throw new RangeError(
      "origin and extensions must be non-empty lines without control characters",
    );
  }
  return utf8ToBytes(`${lines.join("\n")}\n`);
}

/**
 * Parses a checkpoint's text in its one form. Never throws.
 *
 * @param text - the note's text with its last newline, from {@link parseNote}
 * @see c2sp.org/tlog-checkpoint
 */
export function parseCheckpoint(text: Uint8Array): CheckpointResult {
  let lines: string[];
  try {
    lines = bytesToUtf8(text).split("\n");
  } catch {
    return { ok: false, reason: "malformed" };
  }
  const [origin, sizeLine, rootLine, ...extensions] = lines.slice(0, -1);
  if (origin === undefined || sizeLine === undefined || rootLine === undefined) {
    return { ok: false, reason: "malformed" };
  }
  if (lines.at(-1) !== "" || !LINE.test(origin) || !extensions.every((line) => LINE.test(line))) {
    return { ok: false, reason: "malformed" };
  }
  const size = parseDecimal(sizeLine);
  if (size === undefined) return { ok: false, reason: "bad-size" };
  const root = parseHashLine(rootLine);
  if (root === undefined) return { ok: false, reason: "bad-root" };
  const checkpoint = { origin, size, root };
  return {
    ok: true,
    checkpoint: extensions.length === 0 ? checkpoint : { ...checkpoint, extensions },
  };
}

/**
 * Reads the claim of a signed checkpoint without verifying any signature: the result must not be
 * trusted.
 *
 * @returns `undefined` if the note is not a checkpoint
 * @example
 * const size = readCheckpoint(note)?.size; // as claimed: no signature is verified
 */
export function readCheckpoint(note: Uint8Array): Checkpoint | undefined {
  const split = splitNote(note);
  if (!split.ok) return undefined;
  const parsed = parseCheckpoint(split.note.text);
  return parsed.ok ? parsed.checkpoint : undefined;
}

/**
 * Like {@link readCheckpoint}, also of a note whose signature lines are malformed: that is a
 * checkpoint which nobody has signed.
 */
export function readUnsigned(note: Uint8Array): Checkpoint | undefined {
  const text = textOfNote(note);
  const parsed = text && parseCheckpoint(text);
  return parsed?.ok === true ? parsed.checkpoint : undefined;
}

/**
 * Reads a signed checkpoint of a known log. Never throws, whatever the note contains.
 *
 * @param note - the whole signed note; borrowed
 * @example
 * const opened = openCheckpoint(note, { origin: "history.example", keys: [key] });
 * if (!opened.ok) throw new Error(`not a checkpoint of this log: ${opened.reason}`);
 * const { size, root } = opened.checkpoint;
 */
export function openCheckpoint(note: Uint8Array, trust: CheckpointTrust): OpenedCheckpoint {
  const { origin, keys, cosigners = [] } = trust;
  const opened = parseNote(note, [...keys, ...cosigners]);
  if (!opened.ok) return opened;
  const { text, verified, unverified } = opened;
  const parsed = parseCheckpoint(text);
  if (!parsed.ok) return parsed;
  const { checkpoint } = parsed;
  if (checkpoint.origin !== origin) return { ok: false, reason: "other-origin" };
  const signatures = verified.filter(({ key }) => keys.includes(key));
  if (signatures.length === 0) return { ok: false, reason: "no-log-signature" };
  const cosignatures = verified.filter(({ key }) => !keys.includes(key));
  return { ok: true, checkpoint, text, signatures, cosignatures, unverified };
}

/**
 * Makes a signer of timestamped cosignatures (type 0x04) from an Ed25519 key. It refuses texts that
 * are not checkpoints; the caller must check that the checkpoint extends the one seen before.
 *
 * @param name - key name of the cosigner; a key must not be used under two names
 * @param now - clock, in ms since 1970; a cosignature states the whole second
 * @throws {SignatureError} `ERR_SIGNATURE_ALGORITHM` when the key is not Ed25519
 * @see c2sp.org/tlog-cosignature
 * @example
 * const cosigner = cosignatureSigner(signer, "witness.example", Date.now);
 * const cosigned = await signNote(text, [cosigner]);
 */
export function cosignatureSigner(signer: Signer, name: string, now: () => number): NoteSigner {
  requireEd25519(signer);
  const key = noteKey(name, NOTE_COSIGNATURE, signer.publicKey);
  return {
    name,
    keyId: key.keyId,
    async sign(text) {
      if (!parseCheckpoint(text).ok) {
        throw new SignatureError("ERR_SIGNATURE_NOTE", "only checkpoints can be cosigned");
      }
      const ms = now();
      assertUint(ms, "now");
      const time = Math.floor(ms / 1000);
      const signature = await signer.sign(cosignatureMessage(text, time));
      assertBytes(signature, "signature", 64);
      return checkedSignature(key, text, encodeCosignature(time, signature));
    },
  };
}

/**
 * Parses a decimal number in its one form: ASCII digits, no sign, no leading zero.
 *
 * @returns a safe integer, or `undefined`
 */
export function parseDecimal(text: string): number | undefined {
  if (text.length > 16 || !/^(?:0|[1-9][0-9]*)$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Parses a line that holds a hash of 32 bytes in base64. */
export function parseHashLine(line: string): Uint8Array | undefined {
  if (line.length !== 44) return undefined;
  try {
    const hash = fromBase64(line);
    return hash.length === HASH_LENGTH ? hash : undefined;
  } catch {
    return undefined;
  }
}
