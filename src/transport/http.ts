/**
 * A ledger's peer over HTTP: `httpPeer` asks somebody else's `ledgerHandler`, or a static folder
 * that `publishLedger` wrote, by the `fetch` that you give it.
 *
 * @module
 */
import { MAX_BLOCK_BYTES, MAX_GENESIS_BYTES, MAX_HEADER_BYTES } from "../block/limits.ts";
import { assertMilliseconds, assertPositive, assertUint } from "../bytes/guards.ts";
import { appendTo } from "../bytes/lists.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { EncodingError, TransportError } from "../errors.ts";
import { tilePath } from "../merkle/tile.ts";
import { baseOf } from "./address.ts";
import { NotAdmitted } from "./errors.ts";
import { createExchange } from "./exchange.ts";
import { pendingCalls, type PendingCaller } from "./pending.ts";
import { withDeadline, type BodyReader, type Surroundings } from "./read-body.ts";
import { keepSession, type PeerSession } from "./session.ts";
import { MAX_SESSION_BYTES } from "./session-request.ts";
import {
  decodeOutcomes,
  outcomesBytes,
  submitBatches,
  SUBMIT_WAIT,
  type SubmitBatch,
} from "./submission.ts";
import { platformSurroundings } from "./surroundings.ts";
import {
  ANSWER_WAIT,
  MAX_PAGE_BYTES,
  type AskOptions,
  type CheckpointOptions,
  type CustodianPeer,
  type HomePeer,
  type LedgerPeer,
  type SubmitOutcome,
} from "./types.ts";

export { PeerBusy } from "./errors.ts";
export type { PeerSession } from "./session.ts";
export type {
  AskOptions,
  BlockRange,
  BundleRequest,
  CheckpointOptions,
  CustodianPeer,
  HomePeer,
  LedgerPeer,
  PendingOptions,
  SubmitOutcome,
  TileRequest,
} from "./types.ts";

/** Options of {@link publicPeer}. */
export interface PublicPeerOptions {
  /**
   * Where the other side mounts its handler, or a static host its folder: `http:` or `https:`, without query and
   * fragment. From your configuration.
   */
  readonly url: string;
  /** Name of the organisation that is asked. */
  readonly did: string;
  /**
   * Sends a request. Client certificates, tokens and proxies are its business; redirects are
   * refused whatever it does with them. Default: the platform's.
   */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** Milliseconds for an answer to begin and for each pause in it. Default 10,000. */
  readonly deadline?: number;
  /**
   * Least bytes per second on the average, after the deadline has passed. Default 16,384: one peer
   * that trickles must not hold up a copy that has others.
   */
  readonly leastRate?: number;
  /** Clock in ms that never runs backwards. Default: the platform's. */
  readonly now?: () => number;
  /** Waits so many ms, or until the signal aborts. Default: the platform's timers. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Options of {@link httpPeer}. */
export interface HttpPeerOptions extends PublicPeerOptions {
  /**
   * Asks as a member of the ledger: gets a token for a request that it signs, another one before it
   * ends, and sends it with every request but that for the genesis record. It goes to this address
   * only. Default: asks as nobody, or as what `fetch` says.
   */
  readonly session?: PeerSession;
}

const PUBLIC_PEER_OPTIONS: OptionsOf<PublicPeerOptions> = {
  ...{ url: true, did: true, fetch: true, deadline: true, leastRate: true },
  ...{ now: true, sleep: true },
};
const HTTP_PEER_OPTIONS: OptionsOf<HttpPeerOptions> = { ...PUBLIC_PEER_OPTIONS, session: true };
const SESSION_OPTIONS: OptionsOf<PeerSession> = {
  ...{ ledger: true, signer: true, now: true, random: true },
};
const ASK_OPTIONS: OptionsOf<AskOptions> = { signal: true };
const CHECKPOINT_OPTIONS: OptionsOf<CheckpointOptions> = { signal: true, after: true, wait: true };

/** Longest wait for a checkpoint, in seconds: proxies cut what takes longer than 30. */
export const MAX_WAIT = 25;
/** Longest signed note, in bytes. */
const MAX_NOTE_BYTES = 1_000_000;
/** Longest list of policy steps, and longest proof of the state. */
const MAX_PROOF_BYTES: number = 4 * 1024 * 1024;

/**
 * Makes a peer of an address.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` for an unknown option, or an address that is not one
 * @throws {RangeError} for a deadline or a rate that is none
 * @example
 * const peer = httpPeer({
 *   ...{ url: "https://ledger.hospital-b.example/v1", did: hospitalB },
 *   session: { ledger: ledgerId(genesis), signer: keys.signer("sign") },
 * });
 * const note = await peer.checkpoint();
 */
export function httpPeer(options: HttpPeerOptions): HomePeer & CustodianPeer {
  assertOptions(options, HTTP_PEER_OPTIONS, "httpPeer");
  assertOptions(options.session, SESSION_OPTIONS, "session");
  const { peer, caller } = makePeer(options, keepSession);
  return { ...peer, ...pendingCalls(caller) };
}

/**
 * Makes a peer of an address that lets everybody read, or whom `fetch` names: `httpPeer` without sessions, which is
 * smaller where code is bundled.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` for an unknown option, or an address that is not one
 * @throws {RangeError} for a deadline or a rate that is none
 * @example
 * const peer = publicPeer({ url: "https://ledger.hospital-b.example/v1", did: "did:key:z6Mk…" });
 * const note = await peer.checkpoint();
 */
export function publicPeer(options: PublicPeerOptions): LedgerPeer & CustodianPeer {
  assertOptions(options, PUBLIC_PEER_OPTIONS, "publicPeer");
  return makePeer(options).peer;
}

/** @param keep - keeps a session; absent where none can be asked for */
function makePeer(
  options: HttpPeerOptions,
  keep?: typeof keepSession,
): { readonly peer: LedgerPeer & CustodianPeer; readonly caller: PendingCaller } {
  const { did, deadline = 10_000, leastRate = 16_384 } = options;
  assertMilliseconds(deadline, "deadline");
  assertPositive(leastRate, "leastRate");
  const base = baseOf(options.url);
  const { now = platformSurroundings.now, sleep = platformSurroundings.sleep } = options;
  const surroundings: Surroundings = { now, sleep };
  const { begin, read } = createExchange({
    ...{ base, fetch: options.fetch, deadline, leastRate, now, sleep },
  });
  const session =
    options.session &&
    keep?.(
      options.session,
      did,
      // For all who wait for it, so that none of them ends it.
      async (body, token) =>
        read(await begin("session", { posted: body, token }), MAX_SESSION_BYTES).rest(),
      now,
    );

  /**
   * Asks for a path; the reader of the answer's body accepts at most `most` bytes.
   *
   * @param extra - milliseconds beyond the deadline for the answer to begin
   * @param posted - sent as the request's body
   */
  async function ask(
    path: string,
    most: number,
    given: AskOptions,
    extra = 0,
    posted?: Uint8Array,
  ): Promise<BodyReader> {
    const { signal } = given;
    const get = async (token?: string): Promise<BodyReader> =>
      read(await begin(path, { signal, extra, posted, token }), most, signal);
    if (session === undefined || path === "genesis") return get();
    const token = await tokenFor(given);
    try {
      return await get(token);
    } catch (error) {
      if (!(error instanceof NotAdmitted)) throw error;
    }
    // The server may have begun anew, and knows no token of before.
    session.drop(token);
    return get(await tokenFor(given));
  }

  async function tokenFor({ signal }: AskOptions): Promise<string> {
    try {
      return await withDeadline(() => session!.token(), 3 * deadline, surroundings, signal);
    } catch (error) {
      const isNone = error instanceof TransportError && error.code === "ERR_TRANSPORT_NOT_FOUND";
      // Or that which was to be asked for would count as not there.
      throw isNone ? new NotAdmitted({ cause: error }) : error;
    }
  }

  const whole = async (path: string, most: number, given: AskOptions, extra = 0) =>
    (await ask(path, most, given, extra)).rest();

  const malformed = (what: string, cause?: unknown): TransportError =>
    new TransportError("ERR_TRANSPORT_MALFORMED", `the peer's answer ${what}`, { cause });

  const peer: LedgerPeer & CustodianPeer = {
    did,
    async genesis(given = {}) {
      assertOptions(given, ASK_OPTIONS, "genesis");
      return whole("genesis", MAX_GENESIS_BYTES, given);
    },
    async checkpoint(given = {}) {
      assertOptions(given, CHECKPOINT_OPTIONS, "checkpoint");
      const { after, wait = 0 } = given;
      if (after !== undefined) assertUint(after, "after");
      checkWait(wait);
      const query = after === undefined ? "" : `?after=${after}&wait=${wait}`;
      return whole(`checkpoint${query}`, MAX_NOTE_BYTES, given, wait * 1000);
    },
    async policy(given = {}) {
      assertOptions(given, ASK_OPTIONS, "policy");
      return whole("policy", MAX_PROOF_BYTES, given);
    },
    async tile(tile, given = {}) {
      assertOptions(given, ASK_OPTIONS, "tile");
      const length = 32 * tile.width;
      const bytes = await whole(tilePath(tile), length, given);
      if (bytes.length !== length) throw malformed("is no tile of this width");
      return bytes;
    },
    async headers(bundle, given = {}) {
      assertOptions(given, ASK_OPTIONS, "headers");
      const { width } = bundle;
      const path = tilePath({ level: 0, ...bundle }, "entries");
      const reader = await ask(path, width * (2 + MAX_HEADER_BYTES), given);
      const headers: Uint8Array[] = [];
      for (;;) {
        const prefix = await reader.take(2);
        if (prefix === undefined) break;
        const length = prefix[0]! * 256 + prefix[1]!;
        if (length === 0 || length > MAX_HEADER_BYTES || headers.length === width) {
          reader.cancel();
          throw malformed("is no bundle of headers");
        }
        const header = await reader.take(length);
        if (header === undefined) throw malformed("is cut short");
        headers.push(header);
      }
      if (headers.length !== width) throw malformed("has fewer headers than were asked for");
      return headers;
    },
    blocks(bundle, given = {}) {
      assertOptions(given, ASK_OPTIONS, "blocks");
      return readBlocks(tilePath({ level: 0, ...bundle }, "blocks"), bundle.width, given);
    },
    async state(key, given = {}) {
      assertOptions(given, ASK_OPTIONS, "state");
      return whole(
        `state/${key.split("/").map(encodeURIComponent).join("/")}`,
        MAX_PROOF_BYTES,
        given,
      );
    },
    async submit(transactions, given = {}) {
      assertOptions(given, ASK_OPTIONS, "submit");
      const outcomes: SubmitOutcome[] = [];
      // One after the other: those of a lane must arrive in order.
      for (const batch of submitBatches(transactions)) {
        appendTo(outcomes, await submitBatch(batch, given));
      }
      return outcomes;
    },
    ask(sealed, given = {}) {
      assertOptions(given, ASK_OPTIONS, "ask");
      return askPages(sealed, given);
    },
  };
  return { peer, caller: { ask, readBlocks, checkWait } };

  /** The signed request in it says who asks, so that no token is needed. */
  async function* askPages(posted: Uint8Array, { signal }: AskOptions): AsyncIterable<Uint8Array> {
    const extra = ANSWER_WAIT * 1000 + (posted.length / leastRate) * 1000;
    const reader = read(await begin("ask", { signal, extra, posted }), Infinity, signal);
    try {
      for (;;) {
        const page = await framed(reader, MAX_PAGE_BYTES, "has a page that is too long");
        if (page === undefined) return;
        yield page;
      }
    } finally {
      reader.cancel();
    }
  }

  /** The next part of a body, which its length precedes; `undefined` at the end. */
  async function framed(
    reader: BodyReader,
    most: number,
    otherwise: string,
  ): Promise<Uint8Array | undefined> {
    const prefix = await reader.take(4);
    if (prefix === undefined) return undefined;
    // Read before anything of that length is allocated.
    const length = new DataView(prefix.buffer, prefix.byteOffset).getUint32(0);
    if (length === 0 || length > most) throw malformed(otherwise);
    const part = await reader.take(length);
    if (part === undefined) throw malformed("is cut short");
    return part;
  }

  async function submitBatch(
    { transactions, body }: SubmitBatch,
    given: AskOptions,
  ): Promise<readonly SubmitOutcome[]> {
    // Nobody tells how much of a request has been sent, so its time is that of the least rate.
    const extra = SUBMIT_WAIT * 1000 + (body.length / leastRate) * 1000;
    const reader = await ask("submit", outcomesBytes(transactions.length), given, extra, body);
    try {
      return decodeOutcomes(await reader.rest(), transactions);
    } catch (error) {
      if (!(error instanceof EncodingError)) throw error;
      throw malformed("is not about what was submitted", error);
    }
  }

  async function* readBlocks(
    path: string,
    width: number,
    given: AskOptions,
  ): AsyncIterable<Uint8Array> {
    const reader = await ask(path, width * (4 + MAX_BLOCK_BYTES), given);
    try {
      for (let count = 0; ; count++) {
        const block = await framed(
          reader,
          count === width ? 0 : MAX_BLOCK_BYTES,
          "is no bundle of blocks",
        );
        if (block === undefined) {
          if (count < width) throw malformed("has fewer blocks than were asked for");
          return;
        }
        yield block;
      }
    } finally {
      reader.cancel();
    }
  }
}

function checkWait(wait: number): void {
  if (Number.isInteger(wait) && wait >= 0 && wait <= MAX_WAIT) return;
  throw new RangeError(`wait must be a whole number of seconds up to ${MAX_WAIT}`);
}
