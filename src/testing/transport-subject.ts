import { httpPeer, type PeerSession } from "../transport/http.ts";
import type { LedgerPeer } from "../transport/types.ts";
import { pause, type KitCase } from "./kit.ts";

/** What a transport is to carry, and how patient it is to be. */
export interface TransportSetting {
  /** The other side: answers requests by the layout of a ledger's handler, below any path. */
  readonly handler: (request: Request) => Promise<Response>;
  /** Milliseconds for an answer to begin, and for each pause in it. */
  readonly deadline: number;
  /** Least bytes per second on the average, after the deadline. */
  readonly leastRate: number;
  /** Name of the organisation that is asked. */
  readonly did: string;
  /** As whom it is asked; only for cases that require `session`. */
  readonly session?: PeerSession;
}

/** A transport under test, between its peer and a handler. */
export interface TransportSubject {
  readonly peer: LedgerPeer;
  close(): Promise<void>;
}

/** Connects a new peer with a handler. */
export type MakeTransport = (setting: TransportSetting) => Promise<TransportSubject>;

/** `session`: the transport asks as a member, and keeps the tokens that it is given. */
export type TransportFeature = "session";

export type TransportCase = KitCase<MakeTransport, TransportFeature>;

/**
 * Connects `httpPeer` with a handler in this process, without a network.
 *
 * @example
 * const results = await runKit(transportCases, directTransport, { features: ["session"] });
 */
export const directTransport: MakeTransport = async ({ handler, ...setting }) => ({
  peer: httpPeer({
    ...{ url: "http://peer.invalid/ledger", ...setting },
    fetch: async (url, init) => handler(new Request(url, init)),
  }),
  close: async () => undefined,
});

/** A way in which a handler may answer one request. */
export type Answer = (request: Request) => Response | Promise<Response>;

/** A handler that answers every request in one way, and notes what it was asked. */
export function recordingHandler(answer: Answer): {
  readonly handler: (request: Request) => Promise<Response>;
  /** Path below the mount, with the query. */
  readonly asked: readonly string[];
} {
  const asked: string[] = [];
  return {
    asked,
    async handler(request) {
      const { pathname, search } = new URL(request.url);
      asked.push(pathname.replace(/^\/ledger\//, "") + search);
      return answer(request);
    },
  };
}

export const bytesOf = (length: number, fill: number): Uint8Array<ArrayBuffer> =>
  new Uint8Array(length).fill(fill);

/** A body of these pieces, with a pause before each; `cancelled` says whether it was left. */
export function bodyOf(
  pieces: Iterable<Uint8Array>,
  { delay = 0, breaks = false }: { readonly delay?: number; readonly breaks?: boolean } = {},
): {
  readonly stream: ReadableStream<Uint8Array>;
  readonly sent: () => number;
  readonly cancelled: () => boolean;
} {
  const left = pieces[Symbol.iterator]();
  let sent = 0;
  let isCancelled = false;
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        await pause(delay);
        const next = left.next();
        if (next.done !== true) {
          sent++;
          controller.enqueue(next.value);
        } else if (breaks) controller.error(new Error("the connection broke"));
        else controller.close();
      },
      cancel() {
        isCancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { stream, sent: () => sent, cancelled: () => isCancelled };
}

/** The bytes of a bundle: a big-endian length of so many bytes before each part. */
export function bundleOf(parts: readonly Uint8Array[], prefix: 2 | 4): Uint8Array<ArrayBuffer> {
  const pieces = parts.flatMap((part) => {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, part.length);
    return [length.subarray(4 - prefix), part];
  });
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
