import { equalBytes } from "../../bytes/compare.ts";
import type { Trust } from "../../chain/trust.ts";
import { isInForce, type KeyState } from "../../chain/state.ts";
import { verifySignature } from "../../crypto/sign.ts";
import type { SigningKey } from "../../envelope/header.ts";
import { EncodingError, EnvelopeError, TransportError } from "../../errors.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import type { AskAddress } from "./ask-format.ts";
import type { SignedPage } from "./reply-pages.ts";

/** What the pages of a reply are judged by. */
export interface PageReading extends AskAddress {
  /** SHA-256 of the signed request or message. */
  readonly asked: Uint8Array;
  readonly agreement: KeyAgreement;
  readonly trust: Trust;
  /** Number of blocks that the asker had seen when it asked: the access entry can be in none of them. Default 0. */
  readonly seen?: number;
  /**
   * Called with the checkpoint of the reply, before anything of it is believed.
   *
   * @param consistency - claimed to prove that it extends the checkpoint of the ask
   */
  readonly onCheckpoint?: (
    note: Uint8Array,
    consistency: readonly Uint8Array[] | undefined,
  ) => Promise<void>;
  /** Called with the key that signed the pages: it may be known to be no longer in force. */
  readonly onKey?: (key: Uint8Array) => Promise<void>;
}

/** Who signed all pages of a reply. */
export interface SignedBy {
  readonly signer: SigningKey;
  /** Id of the key. */
  readonly key: Uint8Array;
}

/** A page of a custodian, in its place. */
export interface VerifiedPage<T> extends SignedBy {
  readonly content: T;
}

/** How the pages of one kind are opened, and the key that signs them is proved. */
export interface ReplyReader<H, T extends { readonly head?: H }> {
  readonly open: (
    sealed: Uint8Array,
    address: AskAddress,
    ask: Uint8Array,
    page: number,
    agreement: KeyAgreement,
  ) => Promise<SignedPage<T>>;
  /** @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when the head does not prove it */
  readonly signerOf: (head: H, key: Uint8Array, reading: PageReading) => Promise<SigningKey>;
}

/** What a reply is that does not hold. */
export const wrong = (what: string): EnvelopeError =>
  new EnvelopeError("ERR_ENVELOPE_INVALID", `the custodian's answer was refused: ${what}`);

/**
 * Gives the pages of a reply once each is verified to be the custodian's next one. Whoever takes them all learns that
 * they are all.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` or `ERR_ENVELOPE_DECRYPT` when a page is not the custodian's next
 *   page of the reply to this ask
 * @throws {TransportError} `ERR_TRANSPORT_MALFORMED` when it ends before its last page
 */
export async function* verifiedPages<H, T extends { readonly head?: H }>(
  pages: AsyncIterable<Uint8Array>,
  reading: PageReading,
  reader: ReplyReader<H, T>,
): AsyncIterable<VerifiedPage<T>> {
  let first: { readonly signer: SigningKey; readonly key: Uint8Array } | undefined;
  let page = 0;
  let isLast = false;
  for await (const sealed of pages) {
    if (isLast) throw wrong("something follows the last page");
    const opened = await openNext(sealed, reading, page++, reader);
    const { content, key } = opened;
    // Only the first page has a head.
    first ??= { key, signer: await reader.signerOf(content.head!, key, reading) };
    assertSigned(opened, first);
    isLast = content.last;
    yield { content, ...first };
  }
  if (!isLast) {
    throw new TransportError("ERR_TRANSPORT_MALFORMED", "the answer ends before its last page");
  }
}

/** A page that is not canonical was not made by the custodian's software: refused like any other wrong one. */
async function openNext<H, T extends { readonly head?: H }>(
  sealed: Uint8Array,
  reading: PageReading,
  page: number,
  { open }: ReplyReader<H, T>,
): Promise<SignedPage<T>> {
  try {
    return await open(sealed, reading, reading.asked, page, reading.agreement);
  } catch (error) {
    if (error instanceof EncodingError) throw wrong("a page is malformed");
    throw error;
  }
}

function assertSigned<T>(
  { bytes, key, alg, sig }: SignedPage<T>,
  first: { readonly key: Uint8Array; readonly signer: SigningKey },
): void {
  const { publicKey } = first.signer;
  const isGood =
    equalBytes(key, first.key) &&
    alg === first.signer.alg &&
    verifySignature({ alg, publicKey, signature: sig, what: "answer", bytes });
  if (!isGood) throw wrong("a page is not signed by the custodian");
}

/** A key's value as a signing key of an actor in force at a height, if it is that. */
export function signingKeyOf(
  state: KeyState | undefined,
  actor: string,
  height: number,
): SigningKey | undefined {
  const isGood = state?.actor === actor && state.use === "sign" && isInForce(state, height);
  if (!isGood || (state.alg !== "Ed25519" && state.alg !== "ES256")) return undefined;
  return { alg: state.alg, publicKey: state.publicKey };
}
