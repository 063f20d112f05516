import { TransportError } from "../errors.ts";
import { isRedirect } from "./address.ts";
import { NotAdmitted, PeerBusy, PeerForked } from "./errors.ts";
import { bodyReader, withDeadline, type BodyReader, type Surroundings } from "./read-body.ts";

/** Where requests go, and how long they may take. */
export interface ExchangeSetting extends Surroundings {
  /** With one slash at its end. */
  readonly base: string;
  /** Default: the platform's. */
  readonly fetch: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /** Milliseconds for an answer to begin and for each pause in it. */
  readonly deadline: number;
  /** Least bytes per second on the average, after the deadline. */
  readonly leastRate: number;
}

/** One request. */
export interface ExchangeRequest {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds beyond the deadline for the answer to begin. */
  readonly extra?: number;
  /** Sent as the request's body. */
  readonly posted?: Uint8Array | undefined;
  readonly token?: string | undefined;
}

/** Requests below one address, and their answers. */
export interface Exchange {
  /**
   * Sends a request. The answer has begun when this resolves, and is one.
   *
   * @throws {TransportError} for whatever is no answer
   */
  begin(path: string, request: ExchangeRequest): Promise<Response>;
  /** Reads a body of at most `most` bytes. */
  read(response: Response, most: number, signal?: AbortSignal): BodyReader;
}

export function createExchange(setting: ExchangeSetting): Exchange {
  const { base, deadline } = setting;
  const send = setting.fetch ?? ((url: string, init: RequestInit) => fetch(url, init));

  async function ask(url: string, init: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await send(url, { ...init, redirect: "manual" });
    } catch (error) {
      init.signal!.throwIfAborted();
      throw new TransportError("ERR_TRANSPORT_FAILED", "the peer cannot be reached", {
        cause: error,
      });
    }
    const refuse = refusalOf(response, url);
    if (refuse === undefined) return response;
    response.body?.cancel().catch(() => undefined);
    throw refuse;
  }

  return {
    async begin(path, { signal, extra = 0, posted, token }) {
      const url = base + path;
      // Or parts such as `..` would lead elsewhere.
      if (new URL(url).href !== url) {
        throw new RangeError("no such path is below the peer's address");
      }
      const init = {
        ...(posted === undefined ? { method: "GET" } : postOf(posted)),
        headers: {
          ...(posted === undefined ? {} : { "content-type": "application/octet-stream" }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
      };
      return withDeadline(
        (ending) => ask(url, { ...init, signal: ending }),
        deadline + extra,
        setting,
        signal,
      );
    },
    read({ body, headers }, most, signal) {
      const reader = bodyReader(body, most, setting, setting, signal);
      const announced = Number(headers.get("content-length") ?? 0);
      // Only what is not compressed announces the length that is counted.
      if (announced > most && headers.get("content-encoding") === null) {
        reader.cancel();
        throw new TransportError(
          "ERR_TRANSPORT_TOO_LARGE",
          "the answer is larger than what was asked for",
        );
      }
      return reader;
    },
  };
}

/** A request with a body, of which nothing is kept on the way. */
const postOf = (body: Uint8Array): RequestInit => ({
  ...{ method: "POST", body: body as Uint8Array<ArrayBuffer>, cache: "no-store" },
  ...{ credentials: "omit", referrerPolicy: "no-referrer" },
});

/** Why a response is not an answer; `undefined` if it is one. */
function refusalOf(response: Response, asked: string): TransportError | undefined {
  const { status, headers } = response;
  if (isRedirect(response, asked)) {
    return new TransportError("ERR_TRANSPORT_REDIRECT", "the peer answered with a redirect");
  }
  switch (status) {
    case 200:
      return undefined;
    case 404:
    case 410:
      return new TransportError("ERR_TRANSPORT_NOT_FOUND", "the peer does not have this");
    case 401:
      return new NotAdmitted();
    case 403:
      return new TransportError("ERR_TRANSPORT_REFUSED", "the peer does not answer this caller");
    case 409:
      return new PeerForked();
    case 429:
    case 503:
      return new PeerBusy(retryAfterOf(headers.get("retry-after")));
    default:
      return new TransportError("ERR_TRANSPORT_FAILED", `the peer answered with status ${status}`);
  }
}

/** From seconds; a date is not read, since no clock of somebody else is believed. */
function retryAfterOf(text: string | null): number {
  const seconds = text !== null && /^\d{1,6}$/.test(text) ? Number(text) : 5;
  return Math.min(3600, Math.max(1, seconds)) * 1000;
}
