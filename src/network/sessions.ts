import { randomBytes, sha256 } from "#crypto";
import { fromBase64Url } from "../bytes/base64.ts";
import { toHex } from "../bytes/hex.ts";
import { isInForce, keyStateKey, memberKey } from "../chain/state.ts";
import { verifySignature, type SignatureAlg } from "../crypto/sign.ts";
import { EncodingError } from "../errors.ts";
import {
  decodeSessionRequest,
  encodeGivenToken,
  SESSION_REQUEST_LIFE,
  TOKEN_SECONDS,
  type SignedSessionRequest,
} from "../transport/session-request.ts";
import type { LedgerSource } from "./source.ts";
import { busy, Status } from "./status.ts";

/** How a server gives tokens to members. */
export interface SessionOptions {
  /**
   * did:key of the organisation that serves. Requests for a session name it, so that nobody whom a member
   * asks can ask another server as that member.
   */
  readonly did: string;
  /** Clock in ms since 1970. Default: the platform's. */
  readonly now?: () => number;
  /** Gives so many random bytes. Default: the platform's. */
  readonly random?: (length: number) => Uint8Array;
}

/** Whom a server knows by a token. */
export interface TokenHolder {
  /** did:key of the member, or what a cosigner that asks by its own key is called here. */
  readonly name: string;
  readonly isMember: boolean;
  /** The key that asked for the token. */
  readonly publicKey: Uint8Array;
  readonly alg: SignatureAlg;
}

/** The members, and cosigners, that a server knows by their tokens. */
export interface Sessions {
  /** Whose token a request has, as long as its key is in force. */
  holderOf(request: Request): Promise<TokenHolder | undefined>;
  /**
   * Gives a token for a request that is good and was not used.
   *
   * @param charge - called with the holder's name before anything is kept for it
   * @throws {Status} 400 for what is no request, 401 for one that is not good, 503 when there is no room
   */
  grant(body: Uint8Array, charge: (name: string) => void): Promise<Uint8Array>;
}

/** Most milliseconds by which a member's clock may be ahead. */
const AHEAD: number = SESSION_REQUEST_LIFE / 2;
/** Tokens of one holder that are good at a time; the oldest ends before there are more. */
const TOKENS_OF_MEMBER = 16;
/** Most tokens, and most used requests, that are kept. */
const MOST = 10_000;

interface Token {
  readonly holder: TokenHolder;
  readonly from: string;
  readonly key: Uint8Array;
  readonly until: number;
  /** Size of the ledger when the key was last found in force. */
  checkedAt: number;
}

/**
 * Makes an empty list of members: whoever had a token of a process that has ended asks anew.
 *
 * @param now - clock in ms that never runs backwards
 * @param cosignerOf - the public key of the cosigner whose key has an id; absent where none is known
 */
export function openSessions(
  source: LedgerSource,
  { did, now: clock = Date.now, random = randomBytes }: SessionOptions,
  now: () => number,
  cosignerOf?: (key: Uint8Array) => Promise<Uint8Array | undefined>,
): Sessions {
  /** By the hash of the token, so that looking one up says nothing about those there are. */
  const tokens = new Map<string, Token>();
  /** Ends of used requests, by member and id. */
  const used = new Map<string, number>();
  const startedAt = clock();
  /** End of the last request that was forgotten: none that ends sooner is believed, should the clock go back. */
  let forgottenUntil = 0;

  /** Whom a key speaks for, by the newest state. */
  async function holderFor(from: string, key: Uint8Array): Promise<TokenHolder | undefined> {
    const { chain } = source;
    await chain.state.load([memberKey(from), keyStateKey(key)]);
    const { size, state } = chain;
    const found = state.key(key);
    const isMember = state.member(from)?.until === null;
    const speaks = found?.actor === from && found.use === "sign" && isInForce(found, size);
    if (found !== undefined && isMember && speaks) {
      const { publicKey, alg } = found;
      // Only keys of agreements have another algorithm.
      return { name: from, isMember, publicKey, alg: alg as SignatureAlg };
    }
    const publicKey = await cosignerOf?.(key);
    if (publicKey === undefined) return undefined;
    return { name: `cosigner/${toHex(key)}`, isMember: false, publicKey, alg: "Ed25519" };
  }

  function forget(): void {
    const time = clock();
    for (const [name, expires] of used) {
      if (expires > time) continue;
      used.delete(name);
      forgottenUntil = Math.max(forgottenUntil, expires);
    }
    for (const [name, { until }] of tokens) if (until <= now()) tokens.delete(name);
  }

  function assertFresh({ request: { time, expires } }: SignedSessionRequest): void {
    const at = clock();
    const isGood =
      time <= at + AHEAD &&
      time < expires &&
      expires > at &&
      expires <= at + SESSION_REQUEST_LIFE &&
      expires - time <= SESSION_REQUEST_LIFE &&
      expires > forgottenUntil;
    if (!isGood) throw new Status(401);
    // It may have been used before this process began.
    if (time < startedAt) throw busy(Math.max(1, Math.ceil((startedAt - time) / 1000)), 503);
  }

  async function isStill({ holder, from, key }: Token): Promise<boolean> {
    return (await holderFor(from, key))?.name === holder.name;
  }

  function remember({ checkedAt, ...of }: Omit<Token, "until">): Uint8Array {
    const own = [...tokens].filter(([, { holder }]) => holder.name === of.holder.name);
    if (own.length >= TOKENS_OF_MEMBER) tokens.delete(own[0]![0]);
    const token = random(32);
    tokens.set(toHex(sha256(token)), {
      ...of,
      checkedAt,
      until: now() + TOKEN_SECONDS * 1000,
    });
    return token;
  }

  return {
    async holderOf(request) {
      const name = nameOfToken(request.headers.get("authorization"));
      const token = name === undefined ? undefined : tokens.get(name);
      if (token === undefined) return undefined;
      const { size } = source.chain;
      const isGood = token.until > now() && (token.checkedAt === size || (await isStill(token)));
      if (!isGood) {
        tokens.delete(name!);
        return undefined;
      }
      token.checkedAt = size;
      return token.holder;
    },
    async grant(body, charge) {
      const signed = readRequest(body);
      const { ledger, from, to, id } = signed.request;
      if (!ledger.equals(source.chain.ledger) || to !== did) throw new Status(401);
      assertFresh(signed);
      const { size } = source.chain;
      const holder = await holderFor(from, signed.key);
      const isSigned =
        holder?.alg === signed.alg &&
        verifySignature({
          ...{ alg: signed.alg, publicKey: holder.publicKey, signature: signed.sig },
          ...{ what: "session", bytes: signed.session },
        });
      if (!isSigned) throw new Status(401);
      // From here on nothing is awaited: of two copies that come at once, one finds the other.
      forget();
      assertFresh(signed);
      const name = `${holder.name}/${toHex(id)}`;
      if (used.has(name)) throw new Status(401);
      charge(holder.name);
      if (used.size >= MOST || tokens.size >= MOST) throw busy(60, 503);
      used.set(name, signed.request.expires);
      const token = remember({ holder, from, key: signed.key, checkedAt: size });
      return encodeGivenToken({ id, token, seconds: TOKEN_SECONDS });
    },
  };
}

function readRequest(body: Uint8Array): SignedSessionRequest {
  try {
    return decodeSessionRequest(body);
  } catch (error) {
    throw error instanceof EncodingError ? new Status(400) : error;
  }
}

/** The hash of a token in its one form; `undefined` for anything else. */
function nameOfToken(header: string | null): string | undefined {
  const text = /^Bearer ([\w-]{43})$/i.exec(header ?? "")?.[1];
  if (text === undefined) return undefined;
  try {
    return toHex(sha256(fromBase64Url(text)));
  } catch {
    return undefined;
  }
}
