import { randomBytes } from "#crypto";
import { concatBytes } from "../bytes/concat.ts";
import { assertPositive } from "../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { TransportError } from "../errors.ts";
import { withDeadline } from "../transport/read-body.ts";
import { MAX_SESSION_BYTES } from "../transport/session-request.ts";
import { platformSurroundings } from "../transport/surroundings.ts";
import { ANSWER_WAIT, MAX_ASK_BYTES } from "../transport/types.ts";
import { callerBudget } from "./budget.ts";
import { openMailboxes, type Place, type RelayedReply } from "./mailboxes.ts";
import { pacedBody } from "./paced-body.ts";
import { inTime, waitOf } from "./query.ts";
import { replyPieces } from "./reply-pieces.ts";
import { requestReader } from "./request-body.ts";
import { openSessions, type SessionOptions } from "./sessions.ts";
import type { LedgerSource } from "./source.ts";
import { busy, Status } from "./status.ts";

export interface RelayHandlerOptions {
  /** The relay's copy of the ledger: it tells which keys speak for a member. */
  readonly source: LedgerSource;
  /** As whom the relay serves. A member polls with a token that it gets for a request that it signs. */
  readonly sessions: SessionOptions;
  /** Path below which the handler is mounted. Default: the root. */
  readonly path?: string;
  /** Answers every other request, such as a `ledgerHandler` with the same path. Default: status 404. */
  readonly otherwise?: (request: Request) => Promise<Response>;
  /** Names who asks, for the budgets: see `custodianHandler`. Default: all who ask share one budget. */
  readonly callerOf?: (request: Request) => string;
  /** Asks in a minute of one caller, and polls and replies of one member. Default 1200. */
  readonly requestsPerMinute?: number;
  /**
   * Asks of one caller that `callerOf` names, for one member, and for all that are on their way at a time, until their
   * replies have ended. Default 8, 16 and 128. In memory each is at most 512 KiB, and its reply a piece.
   */
  readonly maxWaiting?: {
    readonly ofCaller: number;
    readonly ofMember: number;
    readonly ofAll: number;
  };
  /** Least bytes per second at which both sides must send and take, after ten seconds. Default 1,024. */
  readonly leastRate?: number;
  /** Clock in ms that never runs backwards. Default: the platform's. */
  readonly now?: () => number;
  /** Waits so many ms, or until the signal aborts. Default: the platform's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Called with an error that is nobody's fault outside; the caller gets status 500. */
  readonly onError?: (error: unknown) => void;
}

const OPTIONS: OptionsOf<RelayHandlerOptions> = {
  ...{ source: true, sessions: true, path: true, otherwise: true, callerOf: true },
  ...{ requestsPerMinute: true, maxWaiting: true, leastRate: true, now: true, sleep: true },
  onError: true,
};

const MOST_WAITING = { ofCaller: 8, ofMember: 16, ofAll: 128 } as const;
/** Statuses that a member may give to who asks. */
const PASSED_ON: readonly number[] = [200, 403, 409, 429, 503];

/**
 * Passes sealed asks to members that nobody can reach: they poll for them. Each ask is given out at most once and
 * nothing is stored; what the relay learns are sizes, times, and which member is asked.
 *
 * Whoever asks uses the address `relay/<did>` below the path as that of a custodian. The member calls
 * {@link answerRelayed}.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` for an unknown option
 * @throws {RangeError} for a limit that is none
 * @example
 * const handler = relayHandler({
 *   ...{ source, sessions: { did: relay }, path: "/ledger" },
 *   otherwise: ledgerHandler({ source, path: "/ledger", sessions: { did: relay } }),
 * });
 */
export function relayHandler(
  options: RelayHandlerOptions,
): (request: Request) => Promise<Response> {
  assertOptions(options, OPTIONS, "relayHandler");
  const { source, otherwise, callerOf, onError, requestsPerMinute = 1200 } = options;
  const { leastRate = 1024, maxWaiting = MOST_WAITING } = options;
  const { random = randomBytes } = options.sessions;
  for (const [name, limit] of Object.entries({ requestsPerMinute, leastRate, ...maxWaiting })) {
    assertPositive(limit, name);
  }
  const prefix = `/${(options.path ?? "").replace(/^\/+|\/+$/g, "")}/relay/`.replace("//", "/");
  const { now = platformSurroundings.now, sleep = platformSurroundings.sleep } = options;
  const pace = { leastRate, now, sleep };
  const askers = callerBudget(requestsPerMinute, now);
  const members = callerBudget(requestsPerMinute, now);
  const sessions = openSessions(source, options.sessions, now);
  const mailboxes = openMailboxes(now, maxWaiting);

  function charge(budget: typeof askers, name: string): void {
    const seconds = budget.take(name, 1);
    if (seconds > 0) throw busy(seconds, 429);
  }

  async function answer(request: Request, path: string): Promise<Response> {
    const [did = "", what, id, ...more] = path.split("/");
    if (more.length > 0) throw new Status(404);
    if (what === undefined && did === "session") {
      only(request, "POST");
      const body = await requestReader(request, MAX_SESSION_BYTES, pace).rest();
      return found(await sessions.grant(body, (name) => charge(members, name)));
    }
    if (what === "ask" && id === undefined) return passOn(request, did);
    if (what !== undefined && (what !== "reply" || id === undefined)) throw new Status(404);
    only(request, what === undefined ? "GET" : "POST");
    const holder = await sessions.holderOf(request);
    if (holder === undefined) throw new Status(401, { "www-authenticate": "Bearer" });
    if (!holder.isMember || holder.name !== did) throw new Status(403);
    charge(members, did);
    return what === undefined ? poll(request, did) : takeReply(request, did, id!);
  }

  /** Passes an ask on, and the reply back. */
  async function passOn(request: Request, did: string): Promise<Response> {
    only(request, "POST");
    const caller = callerOf?.(request);
    charge(askers, caller ?? "");
    const place = mailboxes.reserve(did, caller);
    try {
      const reply = await replyTo(request, place);
      if (reply.status !== 200) {
        const { status, retryAfter } = reply;
        throw new Status(status, retryAfter === undefined ? {} : { "retry-after": retryAfter });
      }
      void reply.ended.then(place.free);
      return found(pacedBody(reply.pieces, pace));
    } catch (error) {
      place.free();
      throw error;
    }
  }

  /** Reads an ask, and waits for the reply; for all of it there is one deadline. */
  async function replyTo(request: Request, place: Place): Promise<RelayedReply> {
    const { signal } = request;
    const reader = requestReader(request, MAX_ASK_BYTES, pace);
    const work = async (): Promise<RelayedReply> => {
      const sealed = await reader.rest();
      const id = random(16);
      return new Promise((reply) => place.put({ id, sealed, gone: signal, reply }));
    };
    try {
      return await withDeadline(work, ANSWER_WAIT * 1000, pace, signal);
    } catch (error) {
      if (error instanceof TransportError || signal.aborted) throw busy(5, 503);
      throw error;
    } finally {
      reader.cancel();
    }
  }

  /** Gives a member the next ask: its id and the sealed bytes; nothing if there is none. */
  async function poll(request: Request, did: string): Promise<Response> {
    const wait = waitOf(new URL(request.url).searchParams);
    const { signal } = request;
    const until = (come: Promise<void>) => inTime(wait, signal, sleep, () => come);
    // Nothing is given to a connection that is gone already: it would be lost.
    const ask = await mailboxes.take(did, until, () => signal.aborted);
    return found(ask === undefined ? new Uint8Array(0) : concatBytes(ask.id, ask.sealed));
  }

  /** Streams a member's reply to who asked; ends when it has all of it, or is gone. */
  async function takeReply(request: Request, did: string, id: string): Promise<Response> {
    const { searchParams } = new URL(request.url);
    const status = Number(searchParams.get("status"));
    const retryAfter = /^\d{1,4}$/.exec(searchParams.get("retry") ?? "")?.[0];
    if (!PASSED_ON.includes(status)) throw new Status(400);
    const ask = mailboxes.replying(did, id);
    if (ask === undefined) throw new Status(404);
    const pieces = replyPieces(request.body, [request.signal, ask.gone], pace);
    ask.reply({ status, retryAfter, ...pieces });
    if (status !== 200) pieces.end();
    await pieces.ended;
    return found(new Uint8Array(0));
  }

  return async (request) => {
    const { pathname } = new URL(request.url);
    if (!pathname.startsWith(prefix)) {
      return otherwise === undefined ? plain(new Status(404)) : otherwise(request);
    }
    try {
      return await answer(request, pathname.slice(prefix.length));
    } catch (error) {
      if (request.body?.locked === false) void request.body.cancel().catch(() => undefined);
      if (error instanceof Status) return plain(error);
      onError?.(error);
      return plain(new Status(500));
    }
  };
}

function only(request: Request, method: string): void {
  if (request.method !== method) throw new Status(405, { allow: method });
}

const COMMON = { "cache-control": "no-store", "x-content-type-options": "nosniff" } as const;

const found = (body: Uint8Array | ReadableStream<Uint8Array>): Response =>
  new Response(body as Uint8Array<ArrayBuffer>, {
    headers: { ...COMMON, "content-type": "application/octet-stream" },
  });

const plain = ({ status, headers }: Status): Response =>
  new Response(null, { status, headers: { ...COMMON, ...headers } });
