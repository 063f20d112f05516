import type { TransactionWithEntries } from "../../block/transaction.ts";
import { expectConsistency, type KeyProof } from "../../chain/receipt.ts";
import { expectArray, expectBytes, expectMap, expectUint } from "../../codec/shape.ts";
import type { Steps } from "../../bytes/steps.ts";
import type { Decision } from "../../consent/model/decision.ts";
import { expectDecision } from "../../consent/model/expect-decision.ts";
import type { CoseRecipient } from "../../crypto/cose-hpke.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import { decodeMapProof, encodeMapProof } from "../../merkle/map-proof.ts";
import type { AskAddress } from "./ask-format.ts";
import type { ReleasedItem } from "./disclose.ts";
import {
  expectItem,
  expectTransaction,
  ITEM_FIELDS,
  itemFields,
  MAX_BLOB_BYTES,
} from "./encoded-answer.ts";
import {
  openPageFields,
  pageShape,
  sealPageFields,
  type PagePlace,
  type PageReader,
  type PageSealing,
  type SignedPage,
} from "./reply-pages.ts";

/** What the first page of an answer says about the whole. */
export interface AnswerHead {
  /** Id of the access entry. */
  readonly access: Uint8Array;
  readonly decision: Decision;
  /** Number of items on all pages. */
  readonly count: number;
  /** Until when the access lets its requester fetch ciphertext that is not in the answer, in ms since 1970. */
  readonly until?: number;
  /** Receipt of the access entry, or with `pending` of any entry, with its key's value in a later state. */
  readonly receipt: Uint8Array;
  /** If no receipt of the access entry can be had yet: the transaction whose first entry it is. */
  readonly pending?: TransactionWithEntries;
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

/** What one page of an answer has besides its place. */
export interface AnswerFields {
  /** On page 0 only. */
  readonly head?: AnswerHead;
  readonly items: readonly PagedItem[];
  /** Ciphertext of the granted parts of items on this page and on later ones. */
  readonly blobs: readonly Uint8Array[];
}

/** One page of an answer to a request. */
export type AnswerPage = PagePlace & AnswerFields;

/** Most items of a page. */
export const PAGE_ITEMS = 256;
/** Bytes from which on a page takes nothing more. */
export const PAGE_BYTES: number = 4 * 1024 * 1024;

/** Signs a page, pads it and seals it to the asker. */
export function sealPage(
  { head, items, blobs, ...place }: AnswerPage,
  address: AskAddress,
  to: CoseRecipient,
  how: PageSealing,
): Promise<Uint8Array> {
  const fields = {
    ...(head === undefined ? {} : { head: { ...head, ...keyFields(head.key) } }),
    items: items.map(({ item, receipt, key }) => ({
      ...itemFields(item),
      receipt,
      ...keyFields(key),
    })),
    blobs,
  };
  return sealPageFields(place, fields, address, to, how);
}

/** The encoded field of a key that stands beside a receipt. */
export const keyFields = (key: KeyProof | undefined): Record<string, unknown> =>
  key === undefined ? {} : { key: { value: key.value, proof: encodeMapProof(key.proof) } };

/** Opens a page as {@link openPageFields} does. */
export function openPage(
  sealed: Uint8Array,
  address: AskAddress,
  ask: Uint8Array,
  page: number,
  agreement: KeyAgreement,
): Promise<SignedPage<AnswerFields>> {
  return openPageFields(sealed, address, ask, page, agreement, READER);
}

const READER: PageReader<AnswerFields> = {
  names: ["items", "blobs"],
  *read(map) {
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
      ...(head === undefined ? {} : { head: yield* headSteps(head) }),
      items,
      blobs: expectArray(map["blobs"], "page.blobs", 65_536).map((given) => {
        const blob = expectBytes(given, "page.blobs");
        if (blob.length > MAX_BLOB_BYTES) throw pageShape("page.blobs");
        return blob;
      }),
    };
  },
};

function* headSteps(value: unknown): Steps<AnswerHead> {
  const map = expectMap(
    value,
    "head",
    ["access", "decision", "count", "receipt"],
    ["key", "consistency", "pending", "until"],
  );
  const pending = map["pending"];
  return {
    access: expectBytes(map["access"], "head.access", 32),
    decision: yield* expectDecision(map["decision"]),
    count: expectUint(map["count"], "head.count"),
    receipt: expectBytes(map["receipt"], "head.receipt"),
    ...(map["until"] === undefined ? {} : { until: expectUint(map["until"], "head.until") }),
    ...expectKey(map["key"]),
    ...(pending === undefined ? {} : { pending: expectTransaction(pending, "head.pending") }),
    ...expectConsistency(map, "head"),
  };
}

/** Reads that field. */
export function expectKey(value: unknown): { readonly key?: KeyProof } {
  if (value === undefined) return {};
  const map = expectMap(value, "key", ["value", "proof"]);
  return {
    key: { value: expectBytes(map["value"], "key.value"), proof: decodeMapProof(map["proof"]) },
  };
}
