import { assertMilliseconds } from "../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { readUnsigned } from "../chain/checkpoint-note.ts";
import type { CosignRefusal, LogWitness } from "../chain/witness.ts";
import { ChainError, TransportError } from "../errors.ts";
import { bodyReader, withDeadline } from "../transport/read-body.ts";
import { platformSurroundings } from "../transport/surroundings.ts";
import { MAX_REQUEST_BYTES, parseAddCheckpoint, SIZE_TYPE } from "./add-checkpoint.ts";

export interface WitnessHandlerOptions {
  /** One witness for each log, made by `createWitness`. */
  readonly witnesses: readonly LogWitness[];
  /** Milliseconds in which a request must have arrived whole. Default 10,000. */
  readonly deadline?: number;
  /**
   * Told of each request that could not be answered: the store failed, or a witness has stopped and
   * waits for `resume`. The requester learns only that it was so.
   */
  readonly onError?: (error: unknown, origin: string) => void;
  /** Clock in ms that never runs backwards. Default: the platform's. */
  readonly now?: () => number;
  /** Waits so many ms, or until the signal aborts. Default: the platform's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

const WITNESS_HANDLER_OPTIONS: OptionsOf<WitnessHandlerOptions> = {
  ...{ witnesses: true, deadline: true, onError: true, now: true, sleep: true },
};

const REFUSALS: Readonly<Record<CosignRefusal, readonly [status: number, says: string]>> = {
  "bad-checkpoint": [400, "this is no checkpoint, or smaller than the old size"],
  "unknown-log": [404, "this witness does not know the log"],
  refused: [403, "no signature by a key of the log, or refused by the validator's rules"],
  "other-root": [409, "another checkpoint of this size was cosigned"],
  inconsistent: [422, "the consistency proof does not verify"],
};

/**
 * Makes a handler that answers `add-checkpoint` requests of C2SP's tlog-witness, under any path that
 * it is mounted at.
 *
 * A request needs no other right than the log's signature. Limits for the number of requests and
 * connections are the business of what it is mounted in.
 *
 * @returns answers every request, whatever it holds; never rejects
 * @throws {TypeError} when two witnesses are of one log
 * @throws {RangeError} for a deadline that is none
 * @see c2sp.org/tlog-witness
 * @example
 * const witness = createWitness({
 *   ...{ signer, name: "witness.example", chains: storage.chains, now: Date.now, origin },
 *   keys: [parseVkey(vkey)],
 * });
 * const handler = witnessHandler({ witnesses: [witness], onError: console.error });
 * const url = "https://witness.example/v1/add-checkpoint";
 * const response = await handler(new Request(url, { method: "POST", body: "old 0\n" }));
 */
export function witnessHandler(
  options: WitnessHandlerOptions,
): (request: Request) => Promise<Response> {
  assertOptions(options, WITNESS_HANDLER_OPTIONS, "witnessHandler");
  const { witnesses, deadline = 10_000, onError } = options;
  assertMilliseconds(deadline, "deadline");
  const { now = platformSurroundings.now, sleep = platformSurroundings.sleep } = options;
  const surroundings = { now, sleep };
  const byOrigin = new Map(witnesses.map((witness) => [witness.origin, witness]));
  if (byOrigin.size < witnesses.length) throw new TypeError("two witnesses are of one log");
  // The deadline bounds the whole body, which is short: so no least rate is needed.
  const pace = { deadline, leastRate: Infinity };

  async function bodyOf({ body, headers }: Request): Promise<Uint8Array | Response> {
    const encoding = headers.get("content-encoding") ?? "identity";
    const reader = bodyReader(body, MAX_REQUEST_BYTES, pace, surroundings, undefined);
    const announced = Number(headers.get("content-length") ?? 0);
    if (encoding !== "identity" || announced > MAX_REQUEST_BYTES) {
      reader.cancel();
      return encoding === "identity" ? tooLarge() : says(415, "send the request uncompressed");
    }
    try {
      return await withDeadline(() => reader.rest(), deadline, surroundings, undefined);
    } catch (error) {
      reader.cancel();
      const code = error instanceof TransportError ? error.code : undefined;
      if (code === "ERR_TRANSPORT_TOO_LARGE") return tooLarge();
      return code === "ERR_TRANSPORT_TIMEOUT"
        ? says(408, "the request did not arrive in time")
        : says(400, "the request broke off");
    }
  }

  async function addCheckpoint(request: Request): Promise<Response> {
    const body = await bodyOf(request);
    if (body instanceof Response) return body;
    const asked = parseAddCheckpoint(body);
    const claimed = asked && readUnsigned(asked.note);
    if (asked === undefined || claimed === undefined) return refusal("bad-checkpoint");
    const witness = byOrigin.get(claimed.origin);
    if (witness === undefined) return refusal("unknown-log");
    try {
      const answer = await witness.cosign(asked.note, asked.oldSize, asked.proof);
      if (answer.ok) return text(200, answer.line);
      if (answer.reason === "stale") return text(409, `${answer.size}\n`, SIZE_TYPE);
      return refusal(answer.reason);
    } catch (error) {
      onError?.(error, witness.origin);
      return error instanceof ChainError && error.code === "ERR_CHAIN_MEMORY"
        ? says(503, "this witness has stopped")
        : says(500, "the witness failed");
    }
  }

  return async (request) => {
    if (!new URL(request.url).pathname.endsWith("/add-checkpoint")) {
      return says(404, "nothing is here but add-checkpoint");
    }
    if (request.method !== "POST") {
      const response = says(405, "add-checkpoint is a POST");
      response.headers.set("allow", "POST");
      return response;
    }
    return addCheckpoint(request);
  };
}

const text = (status: number, body: string, type = "text/plain; charset=utf-8"): Response =>
  new Response(body, { status, headers: { "content-type": type, "cache-control": "no-store" } });
const says = (status: number, what: string): Response => text(status, `${what}\n`);
const tooLarge = (): Response => says(413, `a request has at most ${MAX_REQUEST_BYTES} bytes`);
const refusal = (reason: CosignRefusal): Response => {
  const [status, what] = REFUSALS[reason];
  return says(status, what);
};
