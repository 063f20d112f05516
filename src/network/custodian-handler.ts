import { assertPositive } from "../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { ChainError, ConsentError, ProofError, StorageError, TransportError } from "../errors.ts";
import { platformSurroundings } from "../transport/surroundings.ts";
import { ANSWER_WAIT, MAX_ASK_BYTES } from "../transport/types.ts";
import { withDeadline } from "../transport/read-body.ts";
import { callerBudget } from "./budget.ts";
import { callerPlaces } from "./caller-places.ts";
import { pacedBody } from "./paced-body.ts";
import { requestReader } from "./request-body.ts";
import { busy, Status } from "./status.ts";

/** What answers asks: a ledger of `openLedger`. */
export interface AnsweringLedger {
  /** Answers a sealed ask in sealed pages; see `Ledger`. */
  answerAsk(
    sealed: Uint8Array,
    options?: { readonly admit?: (requester: string) => void | Promise<void> },
  ): Promise<AsyncIterable<Uint8Array>>;
}

export interface CustodianHandlerOptions {
  readonly ledger: AnsweringLedger;
  /** Path below which the handler is mounted. Default: the root. */
  readonly path?: string;
  /** Answers every other request, such as a `ledgerHandler` with the same path. Default: status 404. */
  readonly otherwise?: (request: Request) => Promise<Response>;
  /**
   * Names who sends a request, for the budgets: a verified certificate, or an address that a trusted proxy gives.
   * Default: all share one budget until it is known which member asks.
   */
  readonly callerOf?: (request: Request) => string;
  /** Asks in a minute of one caller, and again of one member. Default 600. */
  readonly requestsPerMinute?: number;
  /**
   * Asks that are decided at the same time, of all, and beside them so many that are read, of which a caller that
   * `callerOf` names has a quarter. Default 64, with up to 512 KiB of memory each.
   */
  readonly maxDeciding?: number;
  /** Least bytes per second at which a caller must send and take, after ten seconds. Default 1,024. */
  readonly leastRate?: number;
  /** Clock in ms that never runs backwards. Default: the platform's. */
  readonly now?: () => number;
  /** Waits so many ms, or until the signal aborts. Default: the platform's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /**
   * Called with the error of an ask that was refused or failed; the caller learns only which of the two. It holds
   * no name of a person.
   */
  readonly onError?: (error: unknown) => void;
}

const OPTIONS: OptionsOf<CustodianHandlerOptions> = {
  ...{ ledger: true, path: true, otherwise: true, callerOf: true, requestsPerMinute: true },
  ...{ maxDeciding: true, leastRate: true, now: true, sleep: true, onError: true },
};

/**
 * Answers what other members ask about this custodian's patients, under `ask` below its path. It needs no session:
 * what is asked is sealed to the custodian and signed by who asks.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` for an unknown option
 * @throws {RangeError} for a limit that is none
 * @example
 * const handler = custodianHandler({
 *   ...{ ledger: hl, path: "/ledger" },
 *   otherwise: ledgerHandler({ source, path: "/ledger", reads: "public" }),
 * });
 */
export function custodianHandler(
  options: CustodianHandlerOptions,
): (request: Request) => Promise<Response> {
  assertOptions(options, OPTIONS, "custodianHandler");
  const { ledger, otherwise, callerOf, onError } = options;
  const { requestsPerMinute = 600, maxDeciding = 64, leastRate = 1024 } = options;
  for (const [name, limit] of Object.entries({ requestsPerMinute, maxDeciding, leastRate })) {
    assertPositive(limit, name);
  }
  const path = `${(options.path ?? "").replace(/^\/*/, "/").replace(/\/+$/, "")}/ask`;
  const { now = platformSurroundings.now, sleep = platformSurroundings.sleep } = options;
  const pace = { leastRate, now, sleep };
  const callers = callerBudget(requestsPerMinute, now);
  const members = callerBudget(requestsPerMinute, now);
  const reading = callerPlaces({
    ofCaller: callerOf === undefined ? maxDeciding : Math.ceil(maxDeciding / 4),
    ...{ ofAll: maxDeciding, retryAfter: 1 },
  });
  let deciding = 0;

  function charge(budget: typeof callers, name: string): void {
    const seconds = budget.take(name, 1);
    if (seconds > 0) throw busy(seconds, 429);
  }

  async function answer(request: Request): Promise<Response> {
    if (request.method !== "POST") throw new Status(405, { allow: "POST" });
    const caller = callerOf?.(request) ?? "";
    charge(callers, caller);
    const sealed = await reading.hold(caller, () => bodyOf(request));
    if (deciding >= maxDeciding) throw busy(1, 503);
    deciding += 1;
    const work = ledger
      .answerAsk(sealed, { admit: (requester) => charge(members, requester) })
      .finally(() => (deciding -= 1));
    // What takes longer goes on, and the same ask finds its answer then.
    const pages = await withDeadline(() => work, ANSWER_WAIT * 1000, pace, undefined);
    return new Response(pacedBody(framed(pages), pace), {
      headers: { ...COMMON, "content-type": "application/octet-stream" },
    });
  }

  /** The whole ask, which must arrive in time: its place is one of few. */
  async function bodyOf(request: Request): Promise<Uint8Array> {
    const reader = requestReader(request, MAX_ASK_BYTES, pace);
    try {
      return await withDeadline(() => reader.rest(), ANSWER_WAIT * 1000, pace, undefined);
    } catch (error) {
      throw isTimeout(error) ? new Status(408) : error;
    } finally {
      reader.cancel();
    }
  }

  async function* framed(pages: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    try {
      for await (const page of pages) {
        const prefix = new Uint8Array(4);
        new DataView(prefix.buffer).setUint32(0, page.length);
        yield prefix;
        yield page;
      }
    } catch (error) {
      onError?.(error);
      throw error;
    }
  }

  return async (request) => {
    if (new URL(request.url).pathname !== path) {
      return otherwise === undefined ? plain(new Status(404)) : otherwise(request);
    }
    try {
      return await answer(request);
    } catch (error) {
      if (request.body?.locked === false) void request.body.cancel().catch(() => undefined);
      if (!(error instanceof Status)) onError?.(error);
      return plain(statusFor(error));
    }
  };
}

const COMMON = { "cache-control": "no-store", "x-content-type-options": "nosniff" } as const;

const plain = ({ status, headers }: Status): Response =>
  new Response(null, { status, headers: { ...COMMON, ...headers } });

const isTimeout = (error: unknown): boolean =>
  error instanceof TransportError && error.code === "ERR_TRANSPORT_TIMEOUT";

/** All refusals look alike, and so do all failures that may pass. */
function statusFor(error: unknown): Status {
  if (error instanceof Status) return error;
  if (error instanceof ConsentError) return new Status(403);
  if (error instanceof ChainError) {
    // It passes only by what an operator decides.
    return error.code === "ERR_CHAIN_FORKED" ? new Status(409) : busy(5, 503);
  }
  const mayPass = error instanceof StorageError || error instanceof ProofError || isTimeout(error);
  return mayPass ? busy(5, 503) : new Status(500);
}
