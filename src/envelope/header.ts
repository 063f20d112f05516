import { equalBytes } from "../bytes/compare.ts";
import type { CID } from "../codec/cid.ts";
import { cidOf, DAG_CBOR, matchesCid, RAW } from "../codec/cid.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
} from "../codec/shape.ts";
import type { SignatureAlg } from "../crypto/sign.ts";
import { verifySignature } from "../crypto/sign.ts";
import { EncodingError, EnvelopeError, LedgerError } from "../errors.ts";
import { keyId } from "../identity/actor.ts";
import type { Signer } from "../identity/signer.ts";
import { signWith } from "../identity/signer.ts";
import {
  blockCount,
  type EnvelopeContext,
  type EnvelopeHeader,
  type EnvelopePart,
  MAX_PARTS,
  PART_ID,
} from "./header-form.ts";
import { rememberFrame, writeFewParts } from "./header-template.ts";
import { isPaddedSize } from "./padding.ts";
import { SEGMENT_BYTES } from "./suite.ts";

export { blockCount, type EnvelopeContext, type EnvelopeHeader, type EnvelopePart, MAX_PARTS };

/** Longest signed header accepted, in bytes; enough for about 95 GB of ciphertext. */
export const MAX_HEADER_BYTES: number = 4 * 1024 * 1024;

/** A decoded header with its signature, not verified. */
export interface SignedHeader {
  /** CID of the signed header: the envelope's name. */
  readonly envelope: CID;
  readonly header: EnvelopeHeader;
  /** The signed bytes. */
  readonly headerBytes: Uint8Array;
  /** Id of the signing key. */
  readonly key: Uint8Array;
  readonly alg: SignatureAlg;
  readonly signature: Uint8Array;
}

/** A public signing key. */
export interface SigningKey {
  readonly alg: SignatureAlg;
  readonly publicKey: Uint8Array;
}

/** Why a header was refused. */
export type HeaderRefusal =
  "name" | "malformed" | "ledger" | "author" | "kind" | "signing-key" | "signature";

/**
 * Checks the ids of parts to seal.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when they are not 1 to 256, malformed or repeated
 */
export function assertPartIds(ids: readonly string[]): void {
  const good =
    ids.length > 0 &&
    ids.length <= MAX_PARTS &&
    new Set(ids).size === ids.length &&
    ids.every((id) => PART_ID.test(id));
  if (!good) throw new EnvelopeError("ERR_ENVELOPE_INVALID", "part ids");
}

/**
 * Writes a header in its canonical form.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when its values are inconsistent
 */
export function encodeHeader(header: EnvelopeHeader): Uint8Array {
  const { suite, context, salt, parts, disclosed, supersedes } = header;
  const ctx = { ledger: context.ledger, author: context.author, kind: context.kind };
  const others = disclosed === undefined && supersedes === undefined;
  const quick = others ? writeFewParts({ suite, context: ctx }, salt, parts) : undefined;
  if (quick !== undefined) return quick;
  const value = {
    v: 1,
    suite,
    ctx,
    salt,
    segment: SEGMENT_BYTES,
    parts: parts.map(({ id, size, commit, data }) => ({ id, size, commit, data })),
    ...(disclosed === undefined ? {} : { disclosed }),
    ...(supersedes === undefined ? {} : { supersedes }),
  };
  const bytes = encode(value);
  if (bytes.length > JUDGED_AS_VALUE || !isHeader(value)) decodeHeader(bytes);
  rememberFrame({ suite, context: ctx });
  return bytes;
}

/**
 * Longest header that is checked as a value instead of re-decoded: below it, only the decoder's
 * rules of form can apply, not its limits.
 */
const JUDGED_AS_VALUE = 65_536;

/**
 * Whether {@link decodeHeader} certainly accepts a value; if not, the encoded bytes must be
 * checked.
 */
function isHeader(value: unknown): boolean {
  try {
    readHeader(value);
    return true;
  } catch (error) {
    if (error instanceof EncodingError) return false;
    throw error;
  }
}

/**
 * Reads a header.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when the bytes are not one
 */
export function decodeHeader(bytes: Uint8Array): EnvelopeHeader {
  return orInvalid("header", () => {
    return readHeader(
      decode(bytes, { maxBytes: MAX_HEADER_BYTES, maxDepth: 4, maxItems: 200_000 }),
    );
  });
}

function readHeader(value: unknown): EnvelopeHeader {
  const fields = expectMap(
    value,
    "header",
    ["v", "suite", "ctx", "salt", "segment", "parts"],
    ["disclosed", "supersedes"],
  );
  expectVersion(fields["v"], "header");
  if (fields["segment"] !== SEGMENT_BYTES) {
    throw new EncodingError("ERR_ENCODING_SHAPE", "header.segment must be 65536");
  }
  const { disclosed, supersedes } = fields;
  return {
    suite: expectString(fields["suite"], "header.suite", 64),
    context: readContext(fields["ctx"]),
    salt: expectBytes(fields["salt"], "header.salt", 32),
    parts: readParts(fields["parts"]),
    ...(disclosed === undefined
      ? {}
      : { disclosed: expectBytes(disclosed, "header.disclosed", 32) }),
    ...(supersedes === undefined
      ? {}
      : { supersedes: expectCid(supersedes, "header.supersedes", DAG_CBOR) }),
  };
}

function readContext(value: unknown): EnvelopeContext {
  const fields = expectMap(value, "header.ctx", ["ledger", "author", "kind"]);
  return {
    ledger: expectCid(fields["ledger"], "header.ctx.ledger", DAG_CBOR),
    author: expectString(fields["author"], "header.ctx.author", 256),
    kind: expectString(fields["kind"], "header.ctx.kind", 64),
  };
}

function readParts(value: unknown): readonly EnvelopePart[] {
  const seen = new Set<string>();
  const parts = expectArray(value, "header.parts", MAX_PARTS).map((item) => {
    const fields = expectMap(item, "part", ["id", "size", "commit", "data"]);
    const id = expectString(fields["id"], "part.id", 64);
    const size = expectUint(fields["size"], "part.size");
    if (!isPaddedSize(size)) {
      throw new EncodingError("ERR_ENCODING_SHAPE", "part.size must be a size of padded parts");
    }
    const blocks = blockCount(size);
    const data = expectArray(fields["data"], "part.data", blocks);
    if (!PART_ID.test(id) || seen.has(id) || data.length !== blocks) {
      throw new EncodingError(
        "ERR_ENCODING_SHAPE",
        "the part has a malformed id or the wrong number of blocks",
      );
    }
    seen.add(id);
    return {
      id,
      size,
      commit: expectBytes(fields["commit"], "part.commit", 32),
      data: data.map((cid) => expectCid(cid, "part.data", RAW)),
    };
  });
  if (parts.length === 0) throw new EncodingError("ERR_ENCODING_SHAPE", "the header has no parts");
  return parts;
}

/** Signs a header; the CID of the result is the envelope's name. */
export async function signHeader(header: EnvelopeHeader, signer: Signer): Promise<Uint8Array> {
  const bytes = encodeHeader(header);
  return signedHeader(bytes, signer, await signWith(signer, "envelope", bytes));
}

/** Puts a header and its signature together. */
export function signedHeader(
  bytes: Uint8Array,
  signer: Pick<Signer, "key" | "alg">,
  sig: Uint8Array,
): Uint8Array {
  const signed = encode({ header: bytes, key: signer.key, alg: signer.alg, sig });
  if (signed.length > MAX_HEADER_BYTES) {
    throw new EnvelopeError("ERR_ENVELOPE_UNSUPPORTED", "the parts are too large for one envelope");
  }
  return signed;
}

/**
 * Decodes a signed header without verifying the signature. Callers must not rely on it before
 * {@link verifyHeader} has accepted it.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when the bytes are not one
 * @example
 * const { header } = decodeSignedHeader(headerBytes);
 * header.parts.map(({ id }) => id); // as claimed: nothing is verified yet
 */
export function decodeSignedHeader(bytes: Uint8Array): SignedHeader {
  const fields = orInvalid("signed header", () => {
    const value = decode(bytes, { maxBytes: MAX_HEADER_BYTES, maxDepth: 1, maxItems: 16 });
    const map = expectMap(value, "signed header", ["header", "key", "alg", "sig"]);
    return {
      headerBytes: expectBytes(map["header"], "header"),
      key: expectBytes(map["key"], "key", 32),
      alg: expectOneOf(map["alg"], "alg", ["Ed25519", "ES256"]),
      signature: expectBytes(map["sig"], "sig", 64),
    };
  });
  const header = decodeHeader(fields.headerBytes);
  return { envelope: cidOf(bytes, DAG_CBOR), header, ...fields };
}

/**
 * Verifies a signed header against the first entry that names it.
 *
 * @param expected.envelope - the entry's body
 * @param expected.context - the entry's ledger, author and kind
 * @param expected.author - a signing key of the author that was in force at the entry
 * @example
 * const result = verifyHeader(headerBytes, { envelope, context, author });
 * if (!result.ok) throw new Error(`not the author's: ${result.reason}`);
 * result.header.parts.map(({ id }) => id);
 */
export function verifyHeader(
  bytes: Uint8Array,
  expected: {
    readonly envelope: CID;
    readonly context: EnvelopeContext;
    readonly author: SigningKey;
  },
): ({ readonly ok: true } & SignedHeader) | { readonly ok: false; readonly reason: HeaderRefusal } {
  if (!matchesCid(expected.envelope, bytes)) return { ok: false, reason: "name" };
  let signed: SignedHeader;
  try {
    signed = decodeSignedHeader(bytes);
  } catch (error) {
    if (error instanceof LedgerError) return { ok: false, reason: "malformed" };
    throw error;
  }
  const { ledger, author, kind } = signed.header.context;
  if (!ledger.equals(expected.context.ledger)) return { ok: false, reason: "ledger" };
  if (author !== expected.context.author) return { ok: false, reason: "author" };
  if (kind !== expected.context.kind) return { ok: false, reason: "kind" };
  const { alg, publicKey } = expected.author;
  if (signed.alg !== alg || !equalBytes(signed.key, keyId(alg, publicKey))) {
    return { ok: false, reason: "signing-key" };
  }
  const { signature, headerBytes } = signed;
  if (!verifySignature({ alg, publicKey, signature, what: "envelope", bytes: headerBytes })) {
    return { ok: false, reason: "signature" };
  }
  return { ok: true, ...signed };
}

/** Runs a decoder, and turns each of its errors into `ERR_ENVELOPE_INVALID`. */
export function orInvalid<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof EncodingError)) throw cause;
    throw new EnvelopeError("ERR_ENVELOPE_INVALID", `not a ${what}: ${cause.message}`, { cause });
  }
}
