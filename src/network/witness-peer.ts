import { assertMilliseconds, assertUint } from "../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { concatBytes } from "../bytes/concat.ts";
import { bytesToUtf8, utf8ToBytes } from "../bytes/utf8.ts";
import { parseDecimal } from "../chain/checkpoint-note.ts";
import { NOTE_COSIGNATURE, type NoteKey } from "../chain/note-key.ts";
import { MAX_NOTE_SIGNATURES, parseNote, splitNote } from "../chain/note.ts";
import type { CosignRefusal, CosignResult, Witness } from "../chain/witness.ts";
import { TransportError } from "../errors.ts";
import { baseOf, isRedirect } from "../transport/address.ts";
import { bodyReader, withDeadline } from "../transport/read-body.ts";
import { platformSurroundings } from "../transport/surroundings.ts";
import {
  encodeAddCheckpoint,
  MAX_PROOF_LINES,
  MAX_REQUEST_BYTES,
  SIZE_TYPE,
} from "./add-checkpoint.ts";

export interface WitnessPeerOptions {
  /**
   * The witness's submission prefix: `http:` or `https:`, without query and fragment. From your
   * configuration.
   */
  readonly url: string;
  /** The key of its cosignatures, of type NOTE_COSIGNATURE; signatures by others are ignored. */
  readonly key: NoteKey;
  /**
   * Sends a request. Client certificates, tokens and proxies are its business; redirects are
   * refused whatever it does with them. Default: the platform's.
   */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** Milliseconds in which the answer must have arrived whole. Default 10,000. */
  readonly deadline?: number;
  /** Clock in ms that never runs backwards. Default: the platform's. */
  readonly now?: () => number;
  /** Waits so many ms, or until the signal aborts. Default: the platform's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

const WITNESS_PEER_OPTIONS: OptionsOf<WitnessPeerOptions> = {
  ...{ url: true, key: true, fetch: true, deadline: true, now: true, sleep: true },
};

const REFUSALS: ReadonlyMap<number, CosignRefusal> = new Map([
  [400, "bad-checkpoint"],
  [403, "refused"],
  [404, "unknown-log"],
  [409, "other-root"],
  [422, "inconsistent"],
]);

/**
 * Makes a witness of an address that answers `add-checkpoint` requests of C2SP's tlog-witness, for
 * the option `cosigners` of `openLedger`.
 *
 * It answers `ok` only with a cosignature that was verified. Its calls reject with a
 * {@link TransportError} when the witness cannot be reached, redirects, is too slow, or answers what
 * the protocol does not know; `openLedger` then leaves it out.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` for an unknown option, or an address that is not one
 * @throws {RangeError} when the key is of another type, or for a deadline that is none
 * @see c2sp.org/tlog-witness
 * @example
 * const witness = witnessPeer({
 *   url: "https://witness.example/v1",
 *   key: parseVkey(vkey),
 *   fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, authorization } }),
 * });
 * const hl = await openLedger({ ...options, cosigners: [witness] });
 */
export function witnessPeer(options: WitnessPeerOptions): Witness {
  assertOptions(options, WITNESS_PEER_OPTIONS, "witnessPeer");
  const { key, deadline = 10_000 } = options;
  assertMilliseconds(deadline, "deadline");
  if (key.type !== NOTE_COSIGNATURE) throw new RangeError("`key` must be of type NOTE_COSIGNATURE");
  const url = `${baseOf(options.url)}add-checkpoint`;
  const send = options.fetch ?? ((to: string, init: RequestInit) => fetch(to, init));
  const { now = platformSurroundings.now, sleep = platformSurroundings.sleep } = options;
  const surroundings = { now, sleep };
  const pace = { deadline, leastRate: Infinity };

  async function request(body: Uint8Array, signal: AbortSignal): Promise<Response> {
    let response: Response;
    try {
      response = await send(url, {
        ...{ method: "POST", body: body as Uint8Array<ArrayBuffer>, signal, redirect: "manual" },
        headers: { "content-type": "text/plain; charset=utf-8" },
        ...{ cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer" },
      });
    } catch (cause) {
      signal.throwIfAborted();
      throw new TransportError("ERR_TRANSPORT_FAILED", "the witness cannot be reached", { cause });
    }
    if (isRedirect(response, url)) {
      cancel(response);
      throw new TransportError("ERR_TRANSPORT_REDIRECT", "the witness answered with a redirect");
    }
    return response;
  }

  async function bodyOf(response: Response, most: number): Promise<string> {
    const reader = bodyReader(response.body, most, pace, surroundings, undefined);
    const bytes = await reader.rest();
    try {
      return bytesToUtf8(bytes);
    } catch (cause) {
      throw malformed("is not UTF-8", cause);
    }
  }

  async function answerOf(response: Response, text: Uint8Array): Promise<CosignResult> {
    const { status } = response;
    const type = (response.headers.get("content-type") ?? "").split(";", 1)[0]!.trim();
    if (status === 200) {
      const line = ownLine(await bodyOf(response, MAX_REQUEST_BYTES), text, key);
      if (line === undefined) throw malformed("holds no valid cosignature by its key");
      return { ok: true, line };
    }
    if (status === 409 && type.toLowerCase() === SIZE_TYPE) {
      const said = await bodyOf(response, MAX_SIZE_BYTES);
      const size = said.endsWith("\n") ? parseDecimal(said.slice(0, -1)) : undefined;
      if (size === undefined) throw malformed("is no size");
      return { ok: false, reason: "stale", size };
    }
    cancel(response);
    const reason = REFUSALS.get(status);
    if (reason !== undefined) return { ok: false, reason };
    throw new TransportError("ERR_TRANSPORT_FAILED", `the witness answered with status ${status}`);
  }

  return {
    async cosign(note, oldSize, proof) {
      assertUint(oldSize, "oldSize");
      if (proof.length > MAX_PROOF_LINES) throw new RangeError("a proof has at most 63 hashes");
      const body = encodeAddCheckpoint({ oldSize, proof, note });
      const split = splitNote(note);
      if (!split.ok || body.length > MAX_REQUEST_BYTES) {
        return { ok: false, reason: "bad-checkpoint" };
      }
      return withDeadline(
        async (signal) => answerOf(await request(body, signal), split.note.text),
        deadline,
        surroundings,
        undefined,
      );
    },
  };
}

/** Sixteen digits and a newline. */
const MAX_SIZE_BYTES = 17;

/** The first line that is a valid cosignature of this text by this key. */
function ownLine(answer: string, text: Uint8Array, key: NoteKey): string | undefined {
  const head = concatBytes(text, utf8ToBytes("\n"));
  return answer
    .split("\n", MAX_NOTE_SIGNATURES)
    .map((line) => `${line}\n`)
    .find((line) => parseNote(concatBytes(head, utf8ToBytes(line)), [key]).ok);
}

function cancel(response: Response): void {
  response.body?.cancel().catch(() => undefined);
}

function malformed(what: string, cause?: unknown): TransportError {
  const options = cause === undefined ? undefined : { cause };
  return new TransportError("ERR_TRANSPORT_MALFORMED", `the witness's answer ${what}`, options);
}
