import { assertPositive, assertUint } from "../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { InputError } from "../errors.ts";
import { concatBytes as joined } from "../bytes/concat.ts";
import type { Sequencer } from "../chain/sequencer.ts";
import type { PolledCosigners } from "../chain/polled-cosigners.ts";
import { parseTilePath, tileWidth } from "../merkle/tile.ts";
import { MAX_SESSION_BYTES } from "../transport/session-request.ts";
import { platformSurroundings } from "../transport/surroundings.ts";
import { ALL_STEPS_BYTES, encodePolicySteps } from "../chain/follow-steps.ts";
import { callerBudget } from "./budget.ts";
import { blockBundle, headerBundle } from "./bundles.ts";
import { callerPlaces } from "./caller-places.ts";
import { pacedBody } from "./paced-body.ts";
import { busy, Status } from "./status.ts";
import {
  OF_COSIGNERS,
  pendingAnswers,
  type CosignerRole,
  type PendingAnswers,
} from "./pending-answer.ts";
import { submitAnswers } from "./submit-answer.ts";
import { inTime, numberOf, waitOf } from "./query.ts";
import { requestReader } from "./request-body.ts";
import { openSessions, type SessionOptions } from "./sessions.ts";
import type { LedgerSource } from "./source.ts";
import { makeStateAnswer } from "./state-answer.ts";

export interface LedgerHandlerOptions {
  /** What is served: a `publishHeads` of the home, or a replica. */
  readonly source: LedgerSource;
  /** Path below which the handler is mounted. Default: the root. */
  readonly path?: string;
  /**
   * `public` lets everybody read, and says so to browsers of other origins. Without it the genesis record
   * is served to everybody, and all else to members with a session, or to whom `authorize` admits.
   */
  readonly reads?: "public";
  /**
   * Gives members of the ledger tokens, for requests that a key of theirs signed. A token is good for ten
   * minutes, in this process, and as long as that key is in force.
   */
  readonly sessions?: SessionOptions;
  /**
   * Whether a request is answered without a session; also one that submits. It must not read the
   * request's body.
   */
  readonly authorize?: (request: Request) => boolean | Promise<boolean>;
  /**
   * Records what is submitted: that of the home. Without it nothing can be. Who may read need not be
   * one who may submit: that takes a session, or `authorize`.
   */
  readonly sequencer?: Pick<Sequencer, "submit" | "ready">;
  /**
   * Of a home: cosigners that the ledger's policy lists and that ask by themselves, with a session of the key
   * with which they cosign. A validator with such a session may read everything, a witness the checkpoint. Needs
   * `sessions`.
   */
  readonly polled?: PolledCosigners;
  /**
   * Names who asks without a session, for the budgets: a verified certificate, or an address that a trusted
   * proxy gives. Default: all whom `authorize` or `reads` admits share one budget, and all others another.
   * Each member with a session has its own.
   */
  readonly callerOf?: (request: Request) => string;
  /**
   * Requests that a caller may make in a minute; each MiB that is submitted, or read from blocks for an
   * answer, is one more. Default 1,200.
   */
  readonly requestsPerMinute?: number;
  /**
   * Requests that may wait for a checkpoint, of one caller and of all. Members with a session have as many
   * again. Default 16 and 1,024.
   */
  readonly maxWaiting?: { readonly ofCaller: number; readonly ofAll: number };
  /** Least bytes per second at which a caller must send and take, after ten seconds. Default 1,024. */
  readonly leastRate?: number;
  /** Clock in ms that never runs backwards. Default: the platform's. */
  readonly now?: () => number;
  /** Waits so many ms, or until the signal aborts. Default: the platform's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /**
   * Called with the error of an answer that failed; the caller learns only that it did. It holds no
   * name of a person.
   */
  readonly onError?: (error: unknown) => void;
}

const SESSION_OPTIONS: OptionsOf<SessionOptions> = { did: true, now: true, random: true };
const WAITING_OPTIONS: OptionsOf<NonNullable<LedgerHandlerOptions["maxWaiting"]>> = {
  ...{ ofCaller: true, ofAll: true },
};
const OPTIONS: OptionsOf<LedgerHandlerOptions> = {
  ...{ source: true, path: true, reads: true, sessions: true, authorize: true },
  ...{ sequencer: true, polled: true, callerOf: true },
  ...{ requestsPerMinute: true, maxWaiting: true, leastRate: true, now: true, sleep: true },
  onError: true,
};

/** What a request for a session costs of the member's budget. */
const SESSION_COST = 10;
/** Longest address of a request, in characters. */
const MAX_PATH = 1024;
/** Milliseconds for which steps of policy are given again: more may be kept under the same checkpoint. */
const STEPS_FOR = 1000;
const IMMUTABLE = "max-age=31536000, immutable";
const MEBIBYTE: number = 1024 * 1024;
const BINARY = "application/octet-stream";

/**
 * Serves a ledger to others: checkpoints, tiles, headers, blocks and proofs from the state. A function from a
 * `Request` to a `Response`, which any framework mounts.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` for an unknown option, or if it is not said who may read and submit
 * @throws {RangeError} for a limit that is none
 * @example
 * const handler = ledgerHandler({ source, path: "/ledger", reads: "public" });
 * const response = await handler(new Request("https://hospital-a.example/ledger/checkpoint"));
 */
export function ledgerHandler(
  options: LedgerHandlerOptions,
): (request: Request) => Promise<Response> {
  assertOptions(options, OPTIONS, "ledgerHandler");
  const { source, authorize, reads, sequencer } = options;
  assertAccess(options);
  assertLimits(options);
  const prefix = `/${(options.path ?? "").replace(/^\/+|\/+$/g, "")}/`.replace("//", "/");
  const { now = platformSurroundings.now, sleep = platformSurroundings.sleep } = options;
  const { maxWaiting = { ofCaller: 16, ofAll: 1024 } } = options;
  const { requestsPerMinute = 1200, leastRate = 1024 } = options;
  // Two of each: however many ask who are no members, members are answered.
  const budgets = {
    members: callerBudget(requestsPerMinute, now),
    others: callerBudget(requestsPerMinute, now),
  };
  const places = { members: callerPlaces(maxWaiting), others: callerPlaces(maxWaiting) };
  const pace = { leastRate, now, sleep };
  const cosigning = options.polled && pendingAnswers(source, options.polled, pace);
  const sessions =
    options.sessions && openSessions(source, options.sessions, now, cosigning?.cosignerOf);
  const submit = sequencer && submitAnswers(sequencer, pace);
  let steps:
    { readonly of: unknown; readonly at: number; readonly bytes: Promise<Uint8Array> } | undefined;
  const cors: Record<string, string> =
    reads === "public" ? { "access-control-allow-origin": "*" } : {};
  const cacheable = reads === "public" ? "public" : "private";

  return async (request) => {
    try {
      const response = await answer(request);
      if (request.method !== "HEAD") return response;
      await response.body?.cancel();
      return new Response(null, { status: response.status, headers: response.headers });
    } catch (error) {
      // What nobody has read, nobody will.
      if (request.body?.locked === false) void request.body.cancel().catch(() => undefined);
      if (error instanceof Status) return plain(error.status, error.headers);
      options.onError?.(error);
      return plain(500);
    }
  };

  function plain(status: number, headers: Readonly<Record<string, string>> = {}): Response {
    return new Response(null, {
      status,
      headers: { ...cors, "cache-control": "no-store", ...headers },
    });
  }

  function found(
    body: Uint8Array | ReadableStream<Uint8Array>,
    type: string,
    cache: string,
  ): Response {
    const length = body instanceof Uint8Array ? { "content-length": String(body.length) } : {};
    const stream = body instanceof Uint8Array ? new Uint8Array(body) : body;
    const headers = { ...cors, ...length, "content-type": type, "cache-control": cache };
    return new Response(stream, { headers: { ...headers, "x-content-type-options": "nosniff" } });
  }

  async function answer(request: Request): Promise<Response> {
    if (request.method === "OPTIONS" && reads === "public") {
      return plain(204, { "access-control-allow-methods": "GET, HEAD" });
    }
    if (request.url.length > 2 * MAX_PATH) throw new Status(414);
    const { pathname, searchParams } = new URL(request.url);
    const path = pathname.startsWith(prefix) ? pathname.slice(prefix.length) : undefined;
    const posts: ReadonlyMap<string | undefined, unknown> = new Map<string, unknown>([
      ...([
        ["submit", submit],
        ["session", sessions],
        ["cosignature", cosigning],
      ] as const),
    ]);
    const posted = posts.get(path);
    if (posted === undefined && posts.has(path)) throw new Status(404);
    const allowed = posted === undefined ? ["GET", "HEAD"] : ["POST"];
    if (!allowed.includes(request.method)) throw new Status(405, { allow: allowed.join(", ") });
    if (path === undefined) throw new Status(404);
    const caller = await callerOf(request, path, posted === undefined);
    charge(caller, 1);
    if (path === "session" && sessions !== undefined) return grant(request);
    const { chain } = source;
    if (path === "genesis") return found(chain.genesisBytes, BINARY, `${cacheable}, ${IMMUTABLE}`);
    if (cosigning !== undefined && OF_COSIGNERS.includes(path)) {
      return cosigner(cosigning, path, { request, query: searchParams, caller });
    }
    if (!caller.isAdmitted) {
      throw new Status(401, sessions === undefined ? {} : { "www-authenticate": "Bearer" });
    }
    if (path === "submit" && submit !== undefined) {
      const spend = (bytes: number): void => spent(caller, Math.floor(bytes / MEBIBYTE));
      return found(await submit(request, caller.name, spend), BINARY, "no-store");
    }
    if (path === "checkpoint") return checkpoint(searchParams, caller, request.signal);
    if (path === "policy") {
      return found(await policySteps(), BINARY, "no-store");
    }
    if (path.startsWith("state/")) return state(path.slice("state/".length));
    const tile = parseTilePath(path);
    if (tile === undefined) throw new Status(404);
    const size = source.newest?.size ?? 0;
    if (tile.width > tileWidth(tile, size)) throw new Status(404);
    const { kind, level, index, width } = tile;
    const cache = `${cacheable}, ${IMMUTABLE}`;
    if (kind === "hashes") {
      const hashes = await chain.readTile({ level, index });
      return found(joined(...hashes.slice(0, width)), BINARY, cache);
    }
    const bundle = { from: index * 256, limit: width };
    // Headers are read out of their blocks, so both cost as much.
    const counted = { readBlocks: () => charged(chain.readBlocks(bundle), caller) };
    const parts = kind === "entries" ? headerBundle(counted, bundle) : blockBundle(counted, bundle);
    return found(pacedBody(parts, pace), BINARY, cache);
  }

  /** Made once in a second at most for each checkpoint: many signatures are checked for it. */
  function policySteps(): Promise<Uint8Array> {
    const { chain, newest } = source;
    const isNew = steps?.of === newest;
    if (steps !== undefined && isNew && now() - steps.at < STEPS_FOR) return steps.bytes;
    const bytes = source
      .policy()
      .then((all) => encodePolicySteps(chain.ledger, all, ALL_STEPS_BYTES));
    steps = { of: newest, at: now(), bytes };
    bytes.catch(() => (steps = undefined));
    return bytes;
  }

  /** Who asks, and whether it is answered: a member or a cosigner by its token, or somebody else. */
  async function callerOf(request: Request, path: string, isRead: boolean): Promise<Caller> {
    const holder = await sessions?.holderOf(request);
    const isOpen = isRead && reads === "public";
    if (holder !== undefined) {
      const { name, isMember, publicKey } = holder;
      const role = await cosigning?.roleOf(publicKey);
      const mayRead = role === "validator" || (role === "witness" && path === "checkpoint");
      const isAdmitted = isMember || isOpen || (isRead && mayRead);
      return { name, isAdmitted, kind: "members", ...(role && { cosigner: { role, publicKey } }) };
    }
    const isAdmitted = isOpen || (authorize !== undefined && (await authorize(request)));
    // Whoever is not admitted must not use up the budget of those who are.
    const name = `${isAdmitted ? "admitted" : "others"}/${options.callerOf?.(request) ?? ""}`;
    return { name, isAdmitted, kind: "others" };
  }

  /** Answers what only cosigners may ask. */
  async function cosigner(
    answers: PendingAnswers,
    path: string,
    asked: { readonly request: Request; readonly query: URLSearchParams; readonly caller: Caller },
  ): Promise<Response> {
    const { request, query, caller } = asked;
    if (caller.cosigner === undefined) throw new Status(401, { "www-authenticate": "Bearer" });
    const body = await answers.answer(path, {
      ...{ request, query, ...caller.cosigner },
      hold: (wait) => places.members.hold(caller.name, wait),
      charged: (blocks) => charged(blocks, caller),
    });
    return found(body instanceof Uint8Array ? body : pacedBody(body, pace), BINARY, "no-store");
  }

  function charge({ kind, name }: Pick<Caller, "kind" | "name">, cost: number): void {
    const seconds = budgets[kind].take(name, cost);
    if (seconds > 0) throw busy(seconds, 429);
  }

  /** Counts what is under way already, so that nothing is refused for it. */
  function spent({ kind, name }: Caller, cost: number): void {
    budgets[kind].spend(name, cost);
  }

  async function grant(request: Request): Promise<Response> {
    const body = await requestReader(request, MAX_SESSION_BYTES, pace).rest();
    const token = await sessions!.grant(body, (name) =>
      charge({ kind: "members", name }, SESSION_COST),
    );
    return found(token, BINARY, "no-store");
  }

  async function checkpoint(
    query: URLSearchParams,
    { kind, name }: Caller,
    signal: AbortSignal,
  ): Promise<Response> {
    const after = numberOf(query, "after");
    const wait = waitOf(query);
    const has = (): boolean => source.newest !== undefined && source.newest.size > (after ?? -1);
    if (wait > 0 && after !== undefined && !has()) {
      await places[kind].hold(name, () =>
        inTime(wait, signal, sleep, (ending) => source.grown(after, ending)),
      );
    }
    const { newest } = source;
    if (newest === undefined) throw new Status(404);
    return found(newest.note, "text/plain; charset=utf-8", "no-store");
  }

  async function state(path: string): Promise<Response> {
    let key: string;
    try {
      key = path.split("/").map(decodeURIComponent).join("/");
    } catch {
      throw new Status(400);
    }
    if (!key.startsWith("sys/") || key.length > MAX_PATH) throw new Status(404);
    const { newest } = source;
    if (newest === undefined || newest.size === 0) throw new Status(404);
    return found(await makeStateAnswer(source.chain, newest, key), BINARY, "no-store");
  }

  /** Counts what is read. */
  async function* charged(
    parts: AsyncIterable<Uint8Array>,
    caller: Caller,
  ): AsyncIterable<Uint8Array> {
    let sent = 0;
    for await (const part of parts) {
      sent += part.length;
      for (; sent >= MEBIBYTE; sent -= MEBIBYTE) spent(caller, 1);
      yield part;
    }
  }
}

/** Who asks, as far as budgets are concerned. */
interface Caller {
  readonly name: string;
  readonly isAdmitted: boolean;
  readonly kind: "members" | "others";
  /** If the policy lists the key of its session. */
  readonly cosigner?: { readonly role: CosignerRole; readonly publicKey: Uint8Array };
}

/** @throws {InputError} unless it is said who may read, and if so who may submit */
function assertAccess(options: LedgerHandlerOptions): void {
  const { reads, authorize, sessions, sequencer, polled } = options;
  const fault = (what: string): never => {
    throw new InputError("ERR_INPUT_INVALID", what);
  };
  if (reads !== undefined && reads !== "public") fault('`reads` can only be "public"');
  if (reads === undefined && authorize === undefined && sessions === undefined) {
    fault(
      'say who may read: members with `sessions`, whom `authorize` admits, or everybody with `reads: "public"`',
    );
  }
  if (reads !== undefined && authorize !== undefined && sequencer === undefined) {
    fault("`authorize` has no effect: everybody may read, and nothing can be submitted");
  }
  if (sequencer !== undefined && authorize === undefined && sessions === undefined) {
    fault("say who may submit: members with `sessions`, or whom `authorize` admits");
  }
  if (polled !== undefined && sessions === undefined) {
    fault("cosigners that are `polled` ask with `sessions`");
  }
  assertOptions(sessions, SESSION_OPTIONS, "sessions");
  if (sessions !== undefined && !String(sessions.did).startsWith("did:key:z")) {
    fault("`sessions.did` must be the did:key of the organisation that serves");
  }
}

/** @throws {RangeError} for a limit that would be none */
function assertLimits(options: LedgerHandlerOptions): void {
  const { requestsPerMinute = 1, leastRate = 1, maxWaiting } = options;
  assertPositive(requestsPerMinute, "requestsPerMinute");
  assertPositive(leastRate, "leastRate");
  assertOptions(maxWaiting, WAITING_OPTIONS, "maxWaiting");
  if (maxWaiting === undefined) return;
  assertUint(maxWaiting.ofCaller, "maxWaiting.ofCaller");
  assertUint(maxWaiting.ofAll, "maxWaiting.ofAll");
}
