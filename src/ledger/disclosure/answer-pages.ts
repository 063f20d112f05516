import type { CID } from "multiformats/cid";
import { equalBytes } from "../../bytes/compare.ts";
import type { KeyProof } from "../../chain/receipt.ts";
import { decode, decodeSteps, encode } from "../../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
} from "../../codec/shape.ts";
import type { Steps } from "../../bytes/steps.ts";
import type { Decision } from "../../consent/model/decision.ts";
import { expectDecision } from "../../consent/model/expect-decision.ts";
import { sealCoseFresh, type CoseRecipient } from "../../crypto/cose-hpke.ts";
import { SIGNATURE_ALGS, type SignatureAlg } from "../../crypto/signing-input.ts";
import { padMessage, unpadMessage, type Padding } from "../../envelope/padding.ts";
import { EncodingError } from "../../errors.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import { signWith, type Signer } from "../../identity/signer.ts";
import { bySlices } from "../../loop/give-turn.ts";
import { decodeMapProof, encodeMapProof } from "../../merkle/map-proof.ts";
import type { AskAddress } from "./ask-format.ts";
import type { ReleasedItem } from "./disclose.ts";
import { expectItem, ITEM_FIELDS, itemFields, MAX_BLOB_BYTES } from "./encoded-answer.ts";

/** What the first page of an answer says about the whole. */
export interface AnswerHead {
  /** Id of the access entry. */
  readonly access: Uint8Array;
  readonly decision: Decision;
  /** Number of items on all pages. */
  readonly count: number;
  /** Receipt of the access entry, with its key's value in a later state. */
  readonly receipt: Uint8Array;
  /** The value, in that state, of the key that signs the pages, unless it signed the access entry too. */
  readonly key?: KeyProof;
  /** Consistency proof from the asker's checkpoint to the receipt's, if the asker's is smaller. */
  readonly consistency?: readonly Uint8Array[];
}

/** One record, and what proves it. */
export interface PagedItem {
  readonly item: ReleasedItem;
  readonly receipt: Uint8Array;
  /** The value, in the receipt's later state, of the key that signed the header, unless it signed the entry too. */
  readonly key?: KeyProof;
}

/** One page of an answer. */
export interface AnswerPage {
  /** SHA-256 of the signed request. */
  readonly ask: Uint8Array;
  readonly page: number;
  readonly last: boolean;
  /** On page 0 only. */
  readonly head?: AnswerHead;
  readonly items: readonly PagedItem[];
  /** Ciphertext of the granted parts of items on this page and on later ones. */
  readonly blobs: readonly Uint8Array[];
}

/** A page, and the key that signed it; the signature is not checked yet. */
export interface SignedPage {
  readonly content: AnswerPage;
  readonly bytes: Uint8Array;
  readonly key: Uint8Array;
  readonly alg: SignatureAlg;
  readonly sig: Uint8Array;
}

/** Most items of a page. */
export const PAGE_ITEMS = 256;
/** Bytes from which on a page takes nothing more. */
export const PAGE_BYTES: number = 4 * 1024 * 1024;

/** What binds a page to its place in the answer to one request. */
const pageAad = ({ ledger, custodian }: AskAddress, ask: Uint8Array, page: number): Uint8Array =>
  encode(["healthledger/answer/1", ledger, custodian, ask, page]);

/** Signs a page, pads it and seals it to the asker. */
export async function sealPage(
  page: AnswerPage,
  address: AskAddress,
  to: CoseRecipient,
  how: {
    readonly signer: Signer;
    readonly padding: Padding;
    readonly random: (length: number) => Uint8Array;
  },
): Promise<Uint8Array> {
  const { ledger, custodian } = address;
  const { head, items, ...rest } = page;
  const bytes = encode({
    ...{ v: 1, ledger, from: custodian },
    ...rest,
    ...(head === undefined ? {} : { head: { ...head, ...keyFields(head.key) } }),
    items: items.map(({ item, receipt, key }) => ({
      ...itemFields(item),
      receipt,
      ...keyFields(key),
    })),
  });
  const { signer } = how;
  const sig = await signWith(signer, "answer", bytes);
  const signed = encode({ page: bytes, key: signer.key, alg: signer.alg, sig });
  const aad = pageAad(address, page.ask, page.page);
  return sealCoseFresh(to, padMessage(signed, how.padding), aad, how.random);
}

const keyFields = (key: KeyProof | undefined): Record<string, unknown> =>
  key === undefined ? {} : { key: { value: key.value, proof: encodeMapProof(key.proof) } };

/**
 * Opens the page of one place in the answer to one request.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` for a page of another place, request, custodian or ledger
 * @throws {EncodingError} when what was sealed is no page of this place
 */
export async function openPage(
  sealed: Uint8Array,
  address: AskAddress,
  ask: Uint8Array,
  page: number,
  agreement: KeyAgreement,
): Promise<SignedPage> {
  const signed = unpadMessage(await agreement.unwrap(sealed, pageAad(address, ask, page)));
  const map = expectMap(
    decode(signed, { maxBytes: signed.length, maxDepth: 2, maxItems: 16, borrow: true }),
    "signed page",
    ["page", "key", "alg", "sig"],
  );
  const bytes = expectBytes(map["page"], "signed page.page");
  const content = await bySlices(pageSteps(bytes, address.ledger, address.custodian));
  if (content.page !== page || !equalBytes(content.ask, ask)) throw shape("page.page");
  if ((content.head === undefined) !== page > 0) throw shape("page.head");
  return {
    ...{ content, bytes },
    key: expectBytes(map["key"], "signed page.key", 32),
    alg: expectOneOf(map["alg"], "signed page.alg", SIGNATURE_ALGS),
    sig: expectBytes(map["sig"], "signed page.sig", 64),
  };
}

function* pageSteps(bytes: Uint8Array, ledger: CID, custodian: string): Steps<AnswerPage> {
  const limits = { maxBytes: bytes.length, maxDepth: 9, maxItems: 1_000_000, borrow: true };
  const map = expectMap(
    yield* decodeSteps(bytes, limits),
    "page",
    ["v", "ledger", "from", "ask", "page", "last", "items", "blobs"],
    ["head"],
  );
  expectVersion(map["v"], "page");
  if (!expectCid(map["ledger"], "page.ledger").equals(ledger)) throw shape("page.ledger");
  if (expectString(map["from"], "page.from") !== custodian) throw shape("page.from");
  const { last } = map;
  if (typeof last !== "boolean") throw shape("page.last");
  const items: PagedItem[] = [];
  for (const given of expectArray(map["items"], "page.items", PAGE_ITEMS)) {
    const fields = expectMap(given, "item", [...ITEM_FIELDS, "receipt"], ["key"]);
    items.push({
      item: expectItem(fields),
      receipt: expectBytes(fields["receipt"], "item.receipt"),
      ...expectKey(fields["key"]),
    });
    yield;
  }
  const head = map["head"];
  return {
    ask: expectBytes(map["ask"], "page.ask", 32),
    page: expectUint(map["page"], "page.page"),
    last,
    ...(head === undefined ? {} : { head: yield* headSteps(head) }),
    items,
    blobs: expectArray(map["blobs"], "page.blobs", 65_536).map((given) => {
      const blob = expectBytes(given, "page.blobs");
      if (blob.length > MAX_BLOB_BYTES) throw shape("page.blobs");
      return blob;
    }),
  };
}

function* headSteps(value: unknown): Steps<AnswerHead> {
  const map = expectMap(
    value,
    "head",
    ["access", "decision", "count", "receipt"],
    ["key", "consistency"],
  );
  const proof = map["consistency"];
  return {
    access: expectBytes(map["access"], "head.access", 32),
    decision: yield* expectDecision(map["decision"]),
    count: expectUint(map["count"], "head.count"),
    receipt: expectBytes(map["receipt"], "head.receipt"),
    ...expectKey(map["key"]),
    ...(proof === undefined
      ? {}
      : {
          consistency: expectArray(proof, "head.consistency", 65).map((hash) =>
            expectBytes(hash, "head.consistency", 32),
          ),
        }),
  };
}

function expectKey(value: unknown): { readonly key?: KeyProof } {
  if (value === undefined) return {};
  const map = expectMap(value, "key", ["value", "proof"]);
  return {
    key: { value: expectBytes(map["value"], "key.value"), proof: decodeMapProof(map["proof"]) },
  };
}

const shape = (what: string): EncodingError =>
  new EncodingError("ERR_ENCODING_SHAPE", `${what} is not what it must be`);
