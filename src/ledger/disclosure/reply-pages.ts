import type { CID } from "multiformats/cid";
import { equalBytes } from "../../bytes/compare.ts";
import type { Steps } from "../../bytes/steps.ts";
import { decode, decodeSteps, encode } from "../../codec/dag-cbor.ts";
import {
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
  type Fields,
} from "../../codec/shape.ts";
import { sealCoseFresh, type CoseRecipient } from "../../crypto/cose-hpke.ts";
import { SIGNATURE_ALGS, type SignatureAlg } from "../../crypto/signing-input.ts";
import { padMessage, unpadMessage, type Padding } from "../../envelope/padding.ts";
import { EncodingError } from "../../errors.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import { signWith, type Signer } from "../../identity/signer.ts";
import { bySlices } from "../../loop/give-turn.ts";
import type { AskAddress } from "./ask-format.ts";

/** The place of a page in the answer to one ask. */
export interface PagePlace {
  /** SHA-256 of the signed request or message. */
  readonly ask: Uint8Array;
  readonly page: number;
  readonly last: boolean;
}

/** A page, and the key that signed it; the signature is not checked yet. */
export interface SignedPage<T> {
  readonly content: T & PagePlace;
  readonly bytes: Uint8Array;
  readonly key: Uint8Array;
  readonly alg: SignatureAlg;
  readonly sig: Uint8Array;
}

/** How the rest of a page is read. */
export interface PageReader<T> {
  readonly names: readonly string[];
  readonly read: (map: Fields) => Steps<T>;
}

/** What pages are signed with, and how they are sealed. */
export interface PageSealing {
  readonly signer: Signer;
  readonly padding: Padding;
  readonly random: (length: number) => Uint8Array;
}

/** What binds a page to its place in the answer to one ask. */
const pageAad = ({ ledger, custodian }: AskAddress, ask: Uint8Array, page: number): Uint8Array =>
  encode(["healthledger/answer/1", ledger, custodian, ask, page]);

/** Signs the page of one place, pads it and seals it to the asker. */
export async function sealPageFields(
  { ask, page, last }: PagePlace,
  fields: Fields,
  address: AskAddress,
  to: CoseRecipient,
  { signer, padding, random }: PageSealing,
): Promise<Uint8Array> {
  const { ledger, custodian } = address;
  const bytes = encode({ v: 1, ledger, from: custodian, ask, page, last, ...fields });
  const sig = await signWith(signer, "answer", bytes);
  const signed = encode({ page: bytes, key: signer.key, alg: signer.alg, sig });
  return sealCoseFresh(to, padMessage(signed, padding), pageAad(address, ask, page), random);
}

/**
 * Opens the page of one place in the answer to one ask.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` for a page of another place, ask, custodian or ledger
 * @throws {EncodingError} when what was sealed is no page of this place
 */
export async function openPageFields<T>(
  sealed: Uint8Array,
  address: AskAddress,
  ask: Uint8Array,
  page: number,
  agreement: KeyAgreement,
  reader: PageReader<T>,
): Promise<SignedPage<T>> {
  const signed = unpadMessage(await agreement.unwrap(sealed, pageAad(address, ask, page)));
  const map = expectMap(
    decode(signed, { maxBytes: signed.length, maxDepth: 2, maxItems: 16, borrow: true }),
    "signed page",
    ["page", "key", "alg", "sig"],
  );
  const bytes = expectBytes(map["page"], "signed page.page");
  const content = await bySlices(pageSteps(bytes, address.ledger, address.custodian, reader));
  if (content.page !== page || !equalBytes(content.ask, ask)) throw pageShape("page.page");
  return {
    ...{ content, bytes },
    key: expectBytes(map["key"], "signed page.key", 32),
    alg: expectOneOf(map["alg"], "signed page.alg", SIGNATURE_ALGS),
    sig: expectBytes(map["sig"], "signed page.sig", 64),
  };
}

function* pageSteps<T>(
  bytes: Uint8Array,
  ledger: CID,
  custodian: string,
  { names, read }: PageReader<T>,
): Steps<T & PagePlace> {
  const limits = { maxBytes: bytes.length, maxDepth: 9, maxItems: 1_000_000, borrow: true };
  const map = expectMap(
    yield* decodeSteps(bytes, limits),
    "page",
    ["v", "ledger", "from", "ask", "page", "last", ...names],
    ["head"],
  );
  expectVersion(map["v"], "page");
  if (!expectCid(map["ledger"], "page.ledger").equals(ledger)) throw pageShape("page.ledger");
  if (expectString(map["from"], "page.from") !== custodian) throw pageShape("page.from");
  const { last } = map;
  if (typeof last !== "boolean") throw pageShape("page.last");
  const page = expectUint(map["page"], "page.page");
  if ((map["head"] === undefined) !== page > 0) throw pageShape("page.head");
  return { ...(yield* read(map)), ask: expectBytes(map["ask"], "page.ask", 32), page, last };
}

/** What a page is that has another field than it must. */
export const pageShape = (what: string): EncodingError =>
  new EncodingError("ERR_ENCODING_SHAPE", `${what} is not what it must be`);
