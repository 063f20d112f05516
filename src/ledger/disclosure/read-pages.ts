import { decodeReceipt, type KeyProof } from "../../chain/receipt.ts";
import { decodeKeyState, isInForce, keyStateKey, type KeyState } from "../../chain/state.ts";
import type { Trust } from "../../chain/trust.ts";
import { verifyReceipt, type ProvedEntry } from "../../chain/verify-receipt.ts";
import { decodeHeader } from "../../block/header.ts";
import { decodeTransaction } from "../../block/transaction.ts";
import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { utf8ToBytes } from "../../bytes/utf8.ts";
import type { CID } from "../../codec/cid.ts";
import { toEntryId } from "../../codec/ids.ts";
import { ed25519Verifier, es256Verifier, verifySignature } from "../../crypto/sign.ts";
import type { SigningKey } from "../../envelope/header.ts";
import { EncodingError, EnvelopeError, TransportError } from "../../errors.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import { verifyMap } from "../../merkle/map-proof.ts";
import type { Answer } from "./answer.ts";
import { openPage, type AnswerHead, type PagedItem, type SignedPage } from "./answer-pages.ts";
import type { AskAddress } from "./ask-format.ts";
import { readAnswer, type ItemProofs } from "./read-answer.ts";
import type { ReleasedItem } from "./disclose.ts";
import { sha256 } from "#crypto";

/** What the pages of an answer are judged by. */
export interface PageReading extends AskAddress {
  /** SHA-256 of the signed request. */
  readonly asked: Uint8Array;
  readonly agreement: KeyAgreement;
  readonly trust: Trust;
  /** Number of blocks that the asker had seen when it asked: the access entry can be in none of them. Default 0. */
  readonly seen?: number;
  /**
   * Called with the checkpoint of the answer, before anything of it is believed.
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

const wrong = (what: string): EnvelopeError =>
  new EnvelopeError("ERR_ENVELOPE_INVALID", `the custodian's answer was refused: ${what}`);

/**
 * Reads all pages of an answer, verifies that they are all, in order and the custodian's, and gives the answer.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` or `ERR_ENVELOPE_DECRYPT` when a page is not the custodian's next
 *   page of the answer to this request
 * @throws {TransportError} `ERR_TRANSPORT_MALFORMED` when it ends before its last page
 */
export async function readPages(
  pages: AsyncIterable<Uint8Array>,
  reading: PageReading,
): Promise<Answer> {
  const items: PagedItem[] = [];
  const entries = new Set<string>();
  const blobs = new Map<string, Uint8Array>();
  let first:
    | { readonly head: AnswerHead; readonly signer: SigningKey; readonly key: Uint8Array }
    | undefined;
  let page = 0;
  let isLast = false;
  for await (const sealed of pages) {
    if (isLast) throw wrong("something follows the last page");
    const opened = await openNext(sealed, reading, page++);
    const { content, key } = opened;
    const { head } = content;
    if (head !== undefined) first = { head, key, signer: await signerOf(head, opened, reading) };
    assertSigned(opened, first!);
    for (const blob of content.blobs) blobs.set(toHex(sha256(blob)), blob);
    for (const one of content.items) {
      // Given twice under two names, one finding would look like two.
      if (entries.has(one.item.entry)) throw wrong("it has a record twice");
      entries.add(one.item.entry);
      items.push(one);
    }
    isLast = content.last;
  }
  if (first === undefined || !isLast) {
    throw new TransportError("ERR_TRANSPORT_MALFORMED", "the answer ends before its last page");
  }
  const { head, key, signer } = first;
  if (items.length !== head.count) throw wrong("it has another number of items than it says");
  const answer = {
    access: toEntryId(head.access),
    decision: head.decision,
    items: items.map(({ item }) => item),
  };
  return readAnswer(answer, {
    ...{ ledger: reading.ledger, custodian: reading.custodian, agreement: reading.agreement },
    read: async (cid: CID) => blobs.get(toHex(cid.multihash.digest))?.slice(),
    async grantorKey(id) {
      if (equalBytes(id, key)) return signer;
      throw new EnvelopeError("ERR_ENVELOPE_INVALID", "a grant is signed by another key");
    },
    proofs: async () => proofsOfReceipts(items, reading),
  });
}

/** A page that is not canonical was not made by the custodian's software: refused like any other wrong one. */
async function openNext(
  sealed: Uint8Array,
  reading: PageReading,
  page: number,
): Promise<SignedPage> {
  try {
    return await openPage(sealed, reading, reading.asked, page, reading.agreement);
  } catch (error) {
    if (error instanceof EncodingError) throw wrong("a page is malformed");
    throw error;
  }
}

function assertSigned(
  { bytes, key, alg, sig }: SignedPage,
  first: { readonly key: Uint8Array; readonly signer: SigningKey },
): void {
  const { publicKey } = first.signer;
  const isGood =
    equalBytes(key, first.key) &&
    alg === first.signer.alg &&
    verifySignature({ alg, publicKey, signature: sig, what: "answer", bytes });
  if (!isGood) throw wrong("a page is not signed by the custodian");
}

/** The key that signs the pages, proved by the receipt of the access entry to be in force. */
async function signerOf(
  head: AnswerHead,
  { key }: SignedPage,
  reading: PageReading,
): Promise<SigningKey> {
  const { checkpoint } = peekReceipt(head.receipt);
  await reading.onCheckpoint?.(checkpoint, head.consistency);
  const { proved, stateOf } = proveEntry(head.receipt, reading);
  const { decoded, author, id } = proved;
  if (author !== reading.custodian || id !== toEntryId(head.access) || decoded.kind !== "access") {
    throw wrong("its access entry is not proved");
  }
  if (proved.height < (reading.seen ?? 0)) throw wrong("its access entry is older than the ask");
  const state = stateOf(key, head.key);
  const signer = signingKeyOf(state.value, reading.custodian, state.asOf);
  if (signer === undefined) throw wrong("its key is not in force");
  await reading.onKey?.(key);
  return signer;
}

/** Proves items by the receipts that came with them. */
function proofsOfReceipts(items: readonly PagedItem[], reading: PageReading): ItemProofs {
  const paged = new Map<ReleasedItem, PagedItem>(items.map((one) => [one.item, one]));
  let last: { readonly item: ReleasedItem; readonly entry: Proved } | undefined;
  /** An item's entry is asked for twice while it is opened. */
  function provedOf(item: ReleasedItem): Proved {
    if (last?.item !== item) {
      last = { item, entry: proveEntry(paged.get(item)!.receipt, reading) };
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

interface Proved {
  readonly proved: ProvedEntry;
  readonly place: { readonly height: number; readonly transaction: number; readonly entry: number };
  /** A key's value in the last state under the receipt's checkpoint. */
  stateOf(
    key: Uint8Array,
    beside: KeyProof | undefined,
  ): { readonly value: KeyState | undefined; readonly asOf: number };
}

const VERIFIERS = [ed25519Verifier, es256Verifier] as const;

function proveEntry(bytes: Uint8Array, { trust }: PageReading): Proved {
  const result = verifyReceipt(bytes, trust, { verifiers: VERIFIERS });
  if (!result.ok) throw wrong(`a receipt does not hold: ${result.reason}`);
  const { later, tx, txIndex, entryIndex } = decodeReceipt(bytes);
  const { size } = result.checkpoint;
  const header = later && decodeHeader(later.header);
  if (later === undefined || header?.height !== size - 1) {
    throw wrong("a receipt does not prove the newest state of its key");
  }
  return {
    proved: result,
    place: { height: result.height, transaction: txIndex, entry: entryIndex },
    stateOf(key, beside) {
      const asOf = header.height;
      if (equalBytes(decodeTransaction(tx).key, key)) {
        return { value: decodeKeyState(later.value), asOf };
      }
      const name = utf8ToBytes(keyStateKey(key));
      const holds =
        beside !== undefined && verifyMap(header.state, name, beside.value, beside.proof).ok;
      return { value: holds ? decodeKeyState(beside.value) : undefined, asOf };
    },
  };
}

function signingKeyOf(
  state: KeyState | undefined,
  actor: string,
  height: number,
): SigningKey | undefined {
  const isGood = state?.actor === actor && state.use === "sign" && isInForce(state, height);
  if (!isGood || (state.alg !== "Ed25519" && state.alg !== "ES256")) return undefined;
  return { alg: state.alg, publicKey: state.publicKey };
}

function peekReceipt(bytes: Uint8Array): { readonly checkpoint: Uint8Array } {
  try {
    return decodeReceipt(bytes);
  } catch (error) {
    if (error instanceof EncodingError) throw wrong("a receipt is malformed");
    throw error;
  }
}
