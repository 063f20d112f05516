import type { CID } from "../codec/cid.ts";
import { randomBytes } from "#crypto";
import { toBase64Url } from "../bytes/base64.ts";
import { equalBytes } from "../bytes/compare.ts";
import { EncodingError, TransportError } from "../errors.ts";
import type { Signer } from "../identity/signer.ts";
import { decodeGivenToken, SESSION_REQUEST_LIFE, signSessionRequest } from "./session-request.ts";

/** As whom a peer is asked. */
export interface PeerSession {
  readonly ledger: CID;
  /** A signing key of the member that is in force on the ledger. */
  readonly signer: Signer;
  /** Clock in ms since 1970, within half a minute of the server's. Default: the platform's. */
  readonly now?: () => number;
  /** Gives so many random bytes. Default: the platform's. */
  readonly random?: (length: number) => Uint8Array;
}

/** Milliseconds before a token's end from which on another is asked for. */
const EARLY = 60_000;

/** The tokens of one peer. */
export interface SessionKeeper {
  /** A token that is good for a while; of many who ask at once, one request is made. */
  token(): Promise<string>;
  /** The server did not take this token. */
  drop(token: string): void;
}

/**
 * Keeps a session with a server.
 *
 * @param did - name of the organisation that serves
 * @param post - sends a request for a session, with the token that is still good, if there is one
 * @param now - clock in ms that never runs backwards
 */
export function keepSession(
  { ledger, signer, now: clock = Date.now, random = randomBytes }: PeerSession,
  did: string,
  post: (body: Uint8Array, token: string | undefined) => Promise<Uint8Array>,
  now: () => number,
): SessionKeeper {
  interface Held {
    readonly token: string;
    readonly renewAt: number;
    readonly until: number;
  }
  let held: Held | undefined;
  let asking: Promise<string> | undefined;

  async function ask(): Promise<string> {
    const asked = now();
    const id = random(16);
    const time = Math.floor(clock());
    // Half of the time that a server admits, so that it may be ahead or behind by the other half.
    const expires = time + SESSION_REQUEST_LIFE / 2;
    const body = await signSessionRequest(signer, { ledger, to: did, id, time, expires });
    const given = await post(body, held?.token);
    const { token, seconds } = readToken(given, id);
    const life = seconds * 1000;
    const text = toBase64Url(token);
    // From before it was asked for: the server's time begins later.
    held = {
      token: text,
      renewAt: asked + life - Math.min(EARLY, life / 2),
      until: asked + life,
    };
    return text;
  }

  return {
    async token() {
      if (held !== undefined && now() >= held.until) held = undefined;
      if (held !== undefined && now() < held.renewAt) return held.token;
      asking ??= ask().finally(() => (asking = undefined));
      const old = held;
      try {
        return await asking;
      } catch (error) {
        if (old !== undefined && held === old && now() < old.until) return old.token;
        throw error;
      }
    },
    drop(token) {
      if (held?.token === token) held = undefined;
    },
  };
}

function readToken(bytes: Uint8Array, id: Uint8Array): ReturnType<typeof decodeGivenToken> {
  try {
    const given = decodeGivenToken(bytes);
    if (equalBytes(given.id, id)) return given;
  } catch (error) {
    if (!(error instanceof EncodingError)) throw error;
  }
  throw new TransportError(
    "ERR_TRANSPORT_MALFORMED",
    "the peer's answer is no token of this request",
  );
}
