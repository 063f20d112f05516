import { utf8ToBytes } from "../../bytes/utf8.ts";
import { untilAborted, type ByteSource } from "../../envelope/byte-source.ts";
import { InputError } from "../../errors.ts";

/** Lines of JSON in UTF-8, as bytes or as text, in pieces that end anywhere. */
export type NdjsonInput =
  | Iterable<Uint8Array | string>
  | AsyncIterable<Uint8Array | string>
  | ReadableStream<Uint8Array>
  | ReadableStream<string>;

/** A line that is not blank. */
export interface NdjsonLine {
  /** Counted from 1, blank lines included. */
  readonly number: number;
  /** Without its end; `undefined` if it is too long, and was not kept. */
  readonly bytes: Uint8Array | undefined;
}

const LF = 0x0a;
const BOM = [0xef, 0xbb, 0xbf];
const FIRST_BUFFER: number = 64 * 1024;
const KEPT_BUFFER: number = 1024 * 1024;

/**
 * Divides input into lines, and skips blank ones. Holds one line and one piece of the input at a time,
 * and asks for the next piece when all lines of the last one were taken.
 *
 * @param options.maxLineBytes - a longer line is given without its bytes
 */
export async function* ndjsonLines(
  input: NdjsonInput,
  { maxLineBytes, signal }: { readonly maxLineBytes: number; readonly signal: AbortSignal },
): AsyncGenerator<NdjsonLine, void> {
  const line = openLine(maxLineBytes);
  for await (const piece of piecesOf(input, signal)) {
    for (let at = 0; at < piece.length;) {
      const end = piece.indexOf(LF, at);
      line.add(piece.subarray(at, end < 0 ? piece.length : end));
      at = end < 0 ? piece.length : end + 1;
      if (end < 0) break;
      const found = line.end();
      if (found !== undefined) yield found;
    }
  }
  const last = line.end();
  if (last !== undefined) yield last;
}

/** Collects the bytes of one line after another. */
function openLine(maxLineBytes: number): {
  add(bytes: Uint8Array): void;
  /** Ends the line; `undefined` if it is blank. */
  end(): NdjsonLine | undefined;
} {
  // A mark before the first line and a return at the end are not part of it.
  const most = maxLineBytes + BOM.length + 1;
  let buffer = new Uint8Array(FIRST_BUFFER);
  let length = 0;
  let number = 0;
  /** A long line must not be held for ever. */
  const release = (): void => {
    if (buffer.length > KEPT_BUFFER) buffer = new Uint8Array(FIRST_BUFFER);
  };
  return {
    add(bytes) {
      const start = length;
      length += bytes.length;
      if (length > most) {
        // However long it goes on, nothing of it is needed.
        release();
        return;
      }
      if (length > buffer.length) {
        const larger = new Uint8Array(Math.max(length, Math.min(most, 2 * buffer.length)));
        larger.set(buffer.subarray(0, start));
        buffer = larger;
      }
      buffer.set(bytes, start);
    },
    end() {
      number++;
      const line = length > most ? undefined : contentOf(buffer.subarray(0, length), number);
      length = 0;
      const isLong = line === undefined || line.length > maxLineBytes;
      const isBlank = line?.every((byte) => byte === 0x20 || byte === 0x09) === true;
      const bytes = isLong || isBlank ? undefined : line.slice();
      release();
      return isBlank && !isLong ? undefined : { number, bytes };
    },
  };
}

/** A line without the return at its end; the first one without the mark before it. */
function contentOf(line: Uint8Array, number: number): Uint8Array {
  const isMarked = number === 1 && BOM.every((byte, i) => line[i] === byte);
  return line.subarray(isMarked ? BOM.length : 0, line.at(-1) === 0x0d ? -1 : line.length);
}

async function* piecesOf(input: NdjsonInput, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  let half = "";
  const pieces: AsyncIterable<unknown> = untilAborted(input as ByteSource, signal);
  for await (const piece of pieces) {
    if (piece instanceof Uint8Array) {
      if (half !== "") yield encoded(half);
      half = "";
      yield piece;
    } else if (typeof piece === "string") {
      const text = half + piece;
      // A pair of surrogates may be divided among two pieces.
      half = /[\ud800-\udbff]$/.exec(text)?.[0] ?? "";
      yield encoded(half === "" ? text : text.slice(0, -1));
    } else {
      throw new InputError("ERR_INPUT_INVALID", "NDJSON must come as bytes or strings");
    }
  }
  if (half !== "") yield encoded(half);
}

/** A surrogate without its other half. */
const LONE = /\p{Cs}/u;

/** UTF-8 of a text; a surrogate without its other half becomes a byte that makes its line malformed. */
function encoded(text: string): Uint8Array {
  if (!LONE.test(text)) return utf8ToBytes(text);
  const bytes = new Uint8Array(3 * text.length);
  let length = 0;
  for (const character of text) {
    const some = LONE.test(character) ? Uint8Array.of(0xff) : utf8ToBytes(character);
    bytes.set(some, length);
    length += some.length;
  }
  return bytes.subarray(0, length);
}
