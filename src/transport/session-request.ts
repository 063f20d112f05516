import type { CID } from "../codec/cid.ts";
import { expectActor } from "../block/key.ts";
import { MAX_TIME } from "../block/limits.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectUint,
  expectVersion,
} from "../codec/shape.ts";
import { SIGNATURE_ALGS, type SignatureAlg } from "../crypto/signing-input.ts";
import { signWith, type Signer } from "../identity/signer.ts";

/** Longest encoded request for a session, and longest answer. */
export const MAX_SESSION_BYTES = 1024;
/** Longest time in ms for which such a request may be good. */
export const SESSION_REQUEST_LIFE = 60_000;
/** Seconds for which a token is good. */
export const TOKEN_SECONDS = 600;

/** What a member asks of a server: a token, by which it knows the member from then on. */
export interface SessionRequest {
  readonly ledger: CID;
  /** did:key of the member. */
  readonly from: string;
  /** did:key of the organisation that serves: to any other the request is worth nothing. */
  readonly to: string;
  /** 16 random bytes; a request is good once. */
  readonly id: Uint8Array;
  /** The member's clock, in ms since 1970. */
  readonly time: number;
  readonly expires: number;
}

/** A request with its signature. */
export interface SignedSessionRequest {
  /** The encoded request. */
  readonly session: Uint8Array;
  /** Id of the key that signs. */
  readonly key: Uint8Array;
  readonly alg: SignatureAlg;
  readonly sig: Uint8Array;
  readonly request: SessionRequest;
}

/** Writes and signs a request. */
export async function signSessionRequest(
  signer: Signer,
  { ledger, to, id, time, expires }: Omit<SessionRequest, "from">,
): Promise<Uint8Array> {
  const session = encode({ v: 1, ledger, from: signer.actor, to, id, time, expires });
  const sig = await signWith(signer, "session", session);
  return encode({ session, key: signer.key, alg: signer.alg, sig });
}

/**
 * Reads a request without judging it.
 *
 * @throws {EncodingError} when the bytes are not its canonical form
 */
export function decodeSessionRequest(bytes: Uint8Array): SignedSessionRequest {
  const limits = { maxBytes: MAX_SESSION_BYTES, maxDepth: 2, maxItems: 32 };
  const outer = expectMap(decode(bytes, limits), "session request", [
    ...["session", "key", "alg", "sig"],
  ]);
  const session = expectBytes(outer["session"], "session request.session");
  const map = expectMap(decode(session, limits), "session", [
    ...["v", "ledger", "from", "to", "id", "time", "expires"],
  ]);
  expectVersion(map["v"], "session");
  return {
    session,
    key: expectBytes(outer["key"], "session request.key", 32),
    alg: expectOneOf(outer["alg"], "session request.alg", SIGNATURE_ALGS),
    sig: expectBytes(outer["sig"], "session request.sig", 64),
    request: {
      ledger: expectCid(map["ledger"], "session.ledger"),
      from: expectActor(map["from"], "session.from"),
      to: expectActor(map["to"], "session.to"),
      id: expectBytes(map["id"], "session.id", 16),
      time: expectUint(map["time"], "session.time", MAX_TIME),
      expires: expectUint(map["expires"], "session.expires", MAX_TIME),
    },
  };
}

/** What a server gives for a request. */
export interface GivenToken {
  /** The request's. */
  readonly id: Uint8Array;
  /** 32 random bytes. */
  readonly token: Uint8Array;
  /** Seconds for which it is good, at most. */
  readonly seconds: number;
}

export function encodeGivenToken({ id, token, seconds }: GivenToken): Uint8Array {
  return encode({ v: 1, id, token, seconds });
}

/** @throws {EncodingError} when the bytes are not its canonical form */
export function decodeGivenToken(bytes: Uint8Array): GivenToken {
  const limits = { maxBytes: MAX_SESSION_BYTES, maxDepth: 1, maxItems: 16 };
  const map = expectMap(decode(bytes, limits), "token", ["v", "id", "token", "seconds"]);
  expectVersion(map["v"], "token");
  return {
    id: expectBytes(map["id"], "token.id", 16),
    token: expectBytes(map["token"], "token.token", 32),
    seconds: expectUint(map["seconds"], "token.seconds", TOKEN_SECONDS),
  };
}
