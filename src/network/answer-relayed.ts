import { assertMilliseconds } from "../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { toHex } from "../bytes/hex.ts";
import { TransportError } from "../errors.ts";
import { baseOf } from "../transport/address.ts";
import { NotAdmitted, PeerBusy } from "../transport/errors.ts";
import { createExchange } from "../transport/exchange.ts";
import { MAX_WAIT } from "../transport/http.ts";
import { keepSession, type PeerSession } from "../transport/session.ts";
import { MAX_SESSION_BYTES } from "../transport/session-request.ts";
import { platformSurroundings } from "../transport/surroundings.ts";
import { MAX_ASK_BYTES } from "../transport/types.ts";
import { custodianHandler, type CustodianHandlerOptions } from "./custodian-handler.ts";

/** Options of {@link answerRelayed}: how asks are answered, and by which relay they come. */
export interface AnswerRelayedOptions extends Omit<
  CustodianHandlerOptions,
  "path" | "otherwise" | "callerOf"
> {
  /** Where the relay mounts its handler. From your configuration. */
  readonly url: string;
  /** did:key of the organisation that relays. */
  readonly relay: string;
  /** As whom asks are polled for: this member. */
  readonly session: PeerSession;
  /** Sends a request. Default: the platform's. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** Milliseconds for an answer of the relay to begin, beyond its wait. Default 10,000. */
  readonly deadline?: number;
  /** Ends the polling. Replies that are on their way are given up. */
  readonly signal: AbortSignal;
}

const OPTIONS: OptionsOf<AnswerRelayedOptions> = {
  ...{ url: true, relay: true, session: true, fetch: true, deadline: true, signal: true },
  ...{ ledger: true, requestsPerMinute: true, maxDeciding: true, leastRate: true },
  ...{ now: true, sleep: true, onError: true },
};

const ID_BYTES = 16;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;

/**
 * Answers asks that come by a relay, for a member that nobody can reach: polls for them as this member, and sends
 * each answer back in sealed pages. The relay reads neither.
 *
 * Resolves once the signal aborts. What fails on the way is told by `onError`, and tried again after a pause.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` for an unknown option, or an address that is not one
 * @throws {RangeError} for a limit that is none
 * @example
 * const stopping = new AbortController();
 * const answering = answerRelayed({
 *   ...{ ledger: hl, url: "https://relay.example/ledger", relay, signal: stopping.signal },
 *   session: { ledger: hl.id, signer: keys.signer("sign") },
 * });
 */
export async function answerRelayed(options: AnswerRelayedOptions): Promise<void> {
  assertOptions(options, OPTIONS, "answerRelayed");
  const { ledger, url, relay, session, deadline = 10_000, leastRate = 1024, signal } = options;
  const { requestsPerMinute, maxDeciding = 64, onError } = options;
  const { now = platformSurroundings.now, sleep = platformSurroundings.sleep } = options;
  assertMilliseconds(deadline, "deadline");
  const base = `${baseOf(url)}relay/`;
  const send = options.fetch ?? ((to: string, init: RequestInit) => fetch(to, init));
  const handler = custodianHandler({
    ...{ ledger, maxDeciding, leastRate, now, sleep },
    ...(requestsPerMinute === undefined ? {} : { requestsPerMinute }),
    ...(onError === undefined ? {} : { onError }),
  });
  const { begin, read } = createExchange({ base, fetch: send, deadline, leastRate, now, sleep });
  const post = async (posted: Uint8Array, token: string | undefined): Promise<Uint8Array> =>
    read(await begin("session", { posted, token, signal }), MAX_SESSION_BYTES).rest();
  const tokens = keepSession(session, relay, post, now);
  const { actor } = session.signer;
  const answering = new Set<Promise<void>>();

  /** Asks for the next ask; empty if none has come. */
  async function poll(): Promise<Uint8Array> {
    const token = await tokens.token();
    try {
      const path = `${actor}?wait=${MAX_WAIT}`;
      const response = await begin(path, { signal, extra: MAX_WAIT * 1000, token });
      return await read(response, ID_BYTES + MAX_ASK_BYTES, signal).rest();
    } catch (error) {
      // The relay may have begun anew, and knows no token of before.
      if (error instanceof NotAdmitted) tokens.drop(token);
      throw error;
    }
  }

  async function answer(taken: Uint8Array): Promise<void> {
    if (taken.length <= ID_BYTES) {
      throw new TransportError("ERR_TRANSPORT_MALFORMED", "the relay's answer is no ask");
    }
    const id = toHex(taken.subarray(0, ID_BYTES));
    const body = taken.slice(ID_BYTES);
    // The address is this process's own: nothing is sent to it.
    const request = new Request("https://relayed.invalid/ask", { method: "POST", body, signal });
    const { status, headers, body: pages } = await handler(request);
    // A failure is told to who asks as one that may pass.
    const told = [200, 403, 409, 429, 503].includes(status) ? status : 503;
    const retry = headers.get("retry-after");
    const query = `status=${told}${retry === null ? "" : `&retry=${retry}`}`;
    const response = await reply(`${base}${actor}/reply/${id}?${query}`, pages);
    // Whoever asked may be gone by now, and asks again.
    if (response.status === 200 || response.status === 404) return;
    throw new TransportError("ERR_TRANSPORT_FAILED", "the relay did not take a reply");
  }

  async function reply(to: string, pages: ReadableStream<Uint8Array> | null): Promise<Response> {
    const sending = new AbortController();
    // Once a reply has failed, some platforms would read its pages on to nobody.
    const body = pages?.pipeThrough(new TransformStream(), { signal: sending.signal });
    try {
      const authorization = `Bearer ${await tokens.token()}`;
      const response = await send(to, {
        ...{ method: "POST", redirect: "manual", signal, cache: "no-store", credentials: "omit" },
        headers: { "content-type": "application/octet-stream", authorization },
        ...(body === undefined ? {} : { body, duplex: "half" }),
      } as RequestInit);
      await response.body?.cancel();
      return response;
    } finally {
      sending.abort();
    }
  }

  let pause = FIRST_PAUSE;
  while (!signal.aborted) {
    try {
      const from = now();
      const taken = await poll();
      pause = FIRST_PAUSE;
      if (taken.length === 0) {
        // It was to wait; a relay that does not must not keep this process busy.
        if (now() - from < FIRST_PAUSE) await sleep(FIRST_PAUSE, signal);
        continue;
      }
      const work = answer(taken)
        .catch((error: unknown) => {
          if (!signal.aborted) onError?.(error);
        })
        .finally(() => answering.delete(work));
      answering.add(work);
      if (answering.size >= maxDeciding) await Promise.race(answering);
    } catch (error) {
      if (signal.aborted) break;
      onError?.(error);
      await sleep(error instanceof PeerBusy ? error.retryAfter : pause, signal);
      pause = Math.min(LONGEST_PAUSE, 2 * pause);
    }
  }
  await Promise.allSettled(answering);
}
