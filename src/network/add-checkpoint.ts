import { toBase64 } from "../bytes/base64.ts";
import { concatBytes } from "../bytes/concat.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { parseDecimal, parseHashLine } from "../chain/checkpoint-note.ts";

/** Most hashes of a consistency proof: one for each bit of a size. */
export const MAX_PROOF_LINES = 63;
/** Longest request, and longest answer with cosignatures. */
export const MAX_REQUEST_BYTES = 65_536;
/** Content type of an answer that is a size. */
export const SIZE_TYPE = "text/x.tlog.size";

/** What a log asks of a witness. */
export interface AddCheckpoint {
  readonly oldSize: number;
  readonly proof: readonly Uint8Array[];
  /** The signed note, as it stands; nothing of it is verified. */
  readonly note: Uint8Array;
}

/** Writes the body of an `add-checkpoint` request. */
export function encodeAddCheckpoint({ oldSize, proof, note }: AddCheckpoint): Uint8Array {
  const lines = [`old ${oldSize}`, ...proof.map(toBase64), "", ""];
  return concatBytes(utf8ToBytes(lines.join("\n")), note);
}

/** Reads such a body in its one form; `undefined` if it is anything else. Never throws. */
export function parseAddCheckpoint(body: Uint8Array): AddCheckpoint | undefined {
  const blank = firstBlankLine(body);
  if (blank === undefined) return undefined;
  // Each of these lines is ASCII; any other byte fails its pattern.
  const ascii = Array.from(body.subarray(0, blank), (byte) => String.fromCharCode(byte));
  const lines = ascii.join("").split("\n");
  const [first = "", ...hashes] = lines;
  const oldSize = first.startsWith("old ") ? parseDecimal(first.slice(4)) : undefined;
  const proof = hashes.map(parseHashLine);
  if (oldSize === undefined || proof.length > MAX_PROOF_LINES) return undefined;
  if (!proof.every((hash) => hash !== undefined)) return undefined;
  return { oldSize, proof, note: body.subarray(blank + 2) };
}

/** "old ", sixteen digits, and a line of 44 characters for each hash. */
const MAX_LINES_BYTES = 20 + MAX_PROOF_LINES * 45;

function firstBlankLine(body: Uint8Array): number | undefined {
  const end = Math.min(body.length - 1, MAX_LINES_BYTES + 1);
  for (let i = 0; i < end; i++) if (body[i] === 0x0a && body[i + 1] === 0x0a) return i;
  return undefined;
}
