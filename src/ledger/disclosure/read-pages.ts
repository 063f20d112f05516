import { decodeReceipt } from "../../chain/receipt.ts";
import { decodeEntry, entryId } from "../../block/entry.ts";
import {
  decodeTransaction,
  entriesRoot,
  type TransactionWithEntries,
} from "../../block/transaction.ts";
import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { toEntryId } from "../../codec/ids.ts";
import { verifySignature } from "../../crypto/sign.ts";
import type { SigningKey } from "../../envelope/header.ts";
import { EncodingError, EnvelopeError } from "../../errors.ts";
import type { Answer } from "./answer.ts";
import type { AskAddress } from "./ask-format.ts";
import { openPage, type AnswerFields, type AnswerHead, type PagedItem } from "./answer-pages.ts";
import { readerOfRest, type FetchBlobs } from "./fetch-blobs.ts";
import { entryProver, proveEntry, type Proved } from "./prove-entry.ts";
import { readAnswer, type ItemProofs } from "./read-answer.ts";
import {
  signingKeyOf,
  verifiedPages,
  wrong,
  type PageReading,
  type ReplyReader,
} from "./read-replies.ts";
import type { ReleasedItem } from "./disclose.ts";
import { sha256 } from "#crypto";

/**
 * Reads all pages of an answer, verifies that they are all, in order and the custodian's, and gives the answer.
 *
 * @param fetch - fetches what the answer leaves out
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` or `ERR_ENVELOPE_DECRYPT` when a page is not the custodian's next
 *   page of the answer to this request
 * @throws {TransportError} `ERR_TRANSPORT_MALFORMED` when it ends before its last page
 */
export async function readPages(
  pages: AsyncIterable<Uint8Array>,
  reading: PageReading,
  fetch?: FetchBlobs,
): Promise<Answer> {
  const items: PagedItem[] = [];
  const entries = new Set<string>();
  const blobs = new Map<string, Uint8Array>();
  let first: { readonly head: AnswerHead; readonly signer: SigningKey; readonly key: Uint8Array };
  for await (const { content, signer, key } of verifiedPages(pages, reading, READER)) {
    if (content.head !== undefined) first = { head: content.head, signer, key };
    for (const blob of content.blobs) blobs.set(toHex(sha256(blob)), blob);
    for (const one of content.items) {
      // Given twice under two names, one finding would look like two.
      if (entries.has(one.item.entry)) throw wrong("it has a record twice");
      entries.add(one.item.entry);
      items.push(one);
    }
  }
  const { head, key, signer } = first!;
  const rests = new Map<ReleasedItem, ReturnType<typeof readerOfRest>>();
  if (items.length !== head.count) throw wrong("it has another number of items than it says");
  const answer = {
    access: toEntryId(head.access),
    decision: head.decision,
    items: items.map(({ item }) => item),
    ...(head.pending === undefined ? {} : { pending: head.pending }),
  };
  return readAnswer(answer, {
    ...{ ledger: reading.ledger, custodian: reading.custodian, agreement: reading.agreement },
    ...(head.until === undefined || fetch === undefined ? {} : { until: head.until }),
    async read(cid, item) {
      const here = blobs.get(toHex(cid.multihash.digest));
      if (here !== undefined || fetch === undefined) return here?.slice();
      let rest = rests.get(item);
      if (rest === undefined) rests.set(item, (rest = readerOfRest(fetch, head.access, item)));
      return rest(cid);
    },
    async grantorKey(id) {
      if (equalBytes(id, key)) return signer;
      throw new EnvelopeError("ERR_ENVELOPE_INVALID", "a grant is signed by another key");
    },
    proofs: async () => proofsOfReceipts(items, reading),
  });
}

/** The key that signs the pages, proved by the receipt of the access entry to be in force. */
async function signerOf(
  head: AnswerHead,
  key: Uint8Array,
  reading: PageReading,
): Promise<SigningKey> {
  const { checkpoint } = peekReceipt(head.receipt);
  await reading.onCheckpoint?.(checkpoint, head.consistency);
  const { proved, stateOf } = proveEntry(head.receipt, reading);
  const { decoded, author, id } = proved;
  if (head.pending === undefined) {
    const isNamed = author === reading.custodian && id === toEntryId(head.access);
    if (!isNamed || decoded.kind !== "access") throw wrong("its access entry is not proved");
    if (proved.height < (reading.seen ?? 0)) throw wrong("its access entry is older than the ask");
  }
  const state = stateOf(key, head.key);
  const signer = signingKeyOf(state.value, reading.custodian, state.asOf);
  if (signer === undefined) throw wrong("its key is not in force");
  if (head.pending !== undefined && !isKept(head.pending, head.access, key, signer, reading)) {
    throw wrong("its access entry is not signed by the custodian");
  }
  await reading.onKey?.(key);
  return signer;
}

const READER: ReplyReader<AnswerHead, AnswerFields> = { open: openPage, signerOf };

/** Whether the key that signs the pages signed a transaction of the custodian whose first entry is this access. */
function isKept(
  signed: TransactionWithEntries,
  access: Uint8Array,
  key: Uint8Array,
  { alg, publicKey }: SigningKey,
  { ledger, custodian }: AskAddress,
): boolean {
  const [first] = signed.entries;
  if (first === undefined) return false;
  try {
    const transaction = decodeTransaction(signed.tx);
    return (
      transaction.ledger.equals(ledger) &&
      transaction.author === custodian &&
      equalBytes(transaction.key, key) &&
      transaction.count === signed.entries.length &&
      equalBytes(transaction.entries, entriesRoot(signed.entries)) &&
      decodeEntry(first).kind === "access" &&
      equalBytes(entryId(ledger, custodian, first), access) &&
      signed.alg === alg &&
      verifySignature({
        ...{ alg, publicKey, signature: signed.sig, what: "transaction", bytes: signed.tx },
      })
    );
  } catch (error) {
    if (error instanceof EncodingError) return false;
    throw error;
  }
}

/** Proves items by the receipts that came with them. */
function proofsOfReceipts(items: readonly PagedItem[], reading: PageReading): ItemProofs {
  const paged = new Map<ReleasedItem, PagedItem>(items.map((one) => [one.item, one]));
  const prove = entryProver(reading.trust);
  let last: { readonly item: ReleasedItem; readonly entry: Proved } | undefined;
  /** An item's entry is asked for twice while it is opened. */
  function provedOf(item: ReleasedItem): Proved {
    if (last?.item !== item) {
      last = { item, entry: prove(paged.get(item)!.receipt) };
    }
    return last.entry;
  }
  return {
    async entryOf(item) {
      const { receipt } = paged.get(item)!;
      const { proved, place } = provedOf(item);
      const { height, transaction, entry } = item.place;
      const isPlace =
        place.height === height && place.transaction === transaction && place.entry === entry;
      if (!isPlace) return undefined;
      return { author: proved.author, bytes: proved.entry, receipt: async () => receipt };
    },
    async authorKey(item, key) {
      const { proved, stateOf } = provedOf(item);
      const { value } = stateOf(key, paged.get(item)!.key);
      const found = signingKeyOf(value, reading.custodian, proved.height);
      if (found === undefined) throw wrong("a record is signed by a key that was not in force");
      return found;
    },
  };
}

function peekReceipt(bytes: Uint8Array): { readonly checkpoint: Uint8Array } {
  try {
    return decodeReceipt(bytes);
  } catch (error) {
    if (error instanceof EncodingError) throw wrong("a receipt is malformed");
    throw error;
  }
}
