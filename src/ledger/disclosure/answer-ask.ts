import { trustAt } from "../../chain/policy-position.ts";
import type { ProvableCheckpoint } from "../../chain/checkpoints.ts";
import { receiptMaker, type EntryPlace } from "../../chain/make-receipt.ts";
import { decodeReceipt, type KeyProof } from "../../chain/receipt.ts";
import { keyStateKey } from "../../chain/state.ts";
import { decodeTransaction } from "../../block/transaction.ts";
import { equalBytes } from "../../bytes/compare.ts";
import { encode } from "../../codec/dag-cbor.ts";
import { entryIdBytes } from "../../codec/ids.ts";
import { decodeSignedHeader } from "../../envelope/header.ts";
import { keyId } from "../../identity/actor.ts";
import { ProofError, StorageError } from "../../errors.ts";
import {
  answerMessage,
  consistencyFrom,
  recipientOfPage,
  refused,
  type AnsweringMessages,
  type Asker,
} from "./answer-message.ts";
import type { BlobsContext } from "./answer-blobs.ts";
import {
  PAGE_BYTES,
  PAGE_ITEMS,
  sealPage,
  type AnswerHead,
  type AnswerPage,
  type PagedItem,
} from "./answer-pages.ts";
import { openAsk, type AskAddress } from "./ask-format.ts";
import { checkAskedMessage, checkAskedRequest } from "./check-person.ts";
import { recipientInForce, type MessageToAnswer, type RequestToJudge } from "./check-request.ts";
import { compareCheckpoint } from "./compare-checkpoint.ts";
import type { DiscloseContext, DisclosureAnswer, DisclosureResult } from "./disclose.ts";
import { blocksOf } from "./encoded-answer.ts";
import { ownBlock } from "./own-blocks.ts";
import { watchDecision, type StillStands } from "./still-stands.ts";

/** Options of `answerAsk`. */
export interface AnswerAskOptions {
  /**
   * Called with the did of the member that asks, before anything is decided: what it throws is thrown, and nothing
   * is recorded. A person who asks has a name here that is another one after each start.
   */
  readonly admit?: (requester: string) => void | Promise<void>;
}

/** The dependencies of answering asks. */
export interface AnsweringContext extends DiscloseContext, AnsweringMessages, BlobsContext {
  /** A name for the budget of the person with a key, which nobody else can tell from the key. */
  readonly budgetName: (key: Uint8Array) => string;
  /** Decides, records and releases. */
  readonly discloseAgain: (checked: RequestToJudge) => Promise<DisclosureResult>;
}

/**
 * Answers a sealed ask, in pages that are made as they are taken. Whatever it has recorded is durable when this
 * resolves: the same request again gets the same access entry, and is decided anew.
 *
 * @throws {ConsentError} `ERR_CONSENT_REQUEST` when it is refused without being judged
 */
export async function answerAsk(
  context: AnsweringContext,
  sealed: Uint8Array,
  { admit }: AnswerAskOptions,
): Promise<AsyncIterable<Uint8Array>> {
  const { chain, keys, signer, checkpoints } = context;
  const address = { ledger: chain.ledger, custodian: signer.actor };
  const agreements = keys
    .list()
    .filter(({ use }) => use === "agree")
    .map(({ key }) => keys.agreement(key));
  const ask = await openAsk(sealed, address, agreements);
  if (ask === undefined) throw refused("malformed");
  const check = ask.kind === "message" ? checkAskedMessage : checkAskedRequest;
  const checked = await check(context, ask.signed);
  if (!checked.ok) throw refused(checked.reason);
  await admit?.(nameOf(context, checked));
  const trust = await trustAt(chain, ask.from);
  // Before anything is decided: an answer without proofs would be an incomplete disclosure.
  const ready = chain.size === 0 ? undefined : await checkpoints.provable(trust);
  const { checkpoint } = ask;
  if (ready && checkpoint) await compareCheckpoint(context, checkpoint, ready);
  const asker = { address, trust, ...(checkpoint && { checkpoint }) };
  return "message" in checked
    ? answerMessage(context, checked, asker)
    : answerRequest(context, checked, asker);
}

/** Who asks, for a budget: a person has no name there that lasts. */
function nameOf(
  { budgetName }: AnsweringContext,
  checked: RequestToJudge | MessageToAnswer,
): string {
  if ("message" in checked) {
    const { person, message } = checked;
    return person === undefined ? message.from : budgetName(keyId(person.alg, person.publicKey));
  }
  return checked.byPerson ? budgetName(checked.signed.key) : checked.request.requester;
}

async function answerRequest(
  context: AnsweringContext,
  checked: RequestToJudge,
  { address, trust, checkpoint }: Asker,
): Promise<AsyncIterable<Uint8Array>> {
  const { chain, checkpoints } = context;
  const stillStands = await watchDecision(context, checked);
  const result = await context.discloseAgain(checked);
  if (!result.ok) throw refused(result.reason);
  const provable = await checkpoints.provable(trust);
  const receiptOf = receiptMaker(chain, {
    ...{ checkpoint: provable.note, policyPath: provable.policyPath, later: true },
    ...(trust.root === undefined ? {} : { from: trust }),
  });
  const { answer } = result;
  // A person fetches nothing later, since who may act for whom can change; nor anybody by what is not on the ledger.
  const isWhole = checked.byPerson || answer.pending !== undefined;
  const proofs = { provable, receiptOf, isWhole };
  const head = await headOf(context, answer, proofs, checkpoint);
  return pagesOf(context, checked, answer, { address, head, stillStands, ...proofs });
}

interface Proofs {
  readonly provable: ProvableCheckpoint;
  readonly receiptOf: ReturnType<typeof receiptMaker>;
  /** Whether the ciphertext of long attachments stands in the answer, too. */
  readonly isWhole: boolean;
}

/** What the first page says about the whole. */
async function headOf(
  context: AnsweringContext,
  { access, decision, items, pending }: DisclosureAnswer,
  { provable, receiptOf, isWhole }: Proofs,
  askers: Uint8Array | undefined,
): Promise<AnswerHead> {
  const { catalogue, chain } = context;
  const id = entryIdBytes(access);
  const head = {
    ...{ access: id, decision, count: items.length },
    ...(await consistencyFrom(context, askers, provable)),
  };
  async function provedBy(place: EntryPlace): Promise<Pick<AnswerHead, "receipt" | "key">> {
    const receipt = await receiptOf(place);
    return { receipt, ...(await signingKeyBeside(context, receipt, provable)) };
  }
  const found = await catalogue.find(id);
  if (found.status === "present") {
    const { place, recordedAt } = found.item;
    const until = isWhole ? {} : { until: recordedAt + context.fetchWithin };
    return { ...head, ...until, ...(await provedBy(place)) };
  }
  if (pending === undefined || !equalBytes(decodeTransaction(pending.tx).key, context.signer.key)) {
    throw new ProofError("ERR_PROOF_UNAVAILABLE", "the access entry cannot be proved");
  }
  // Any receipt proves the newest state, and the key in it that signed what is kept.
  const any = items[0]?.place ?? (await newestEntry(chain, provable.size));
  return { ...head, pending, ...(await provedBy(any)) };
}

/** Blocks that are looked through for an entry. */
const LOOKED_THROUGH = 64;

/** The place of an entry of one of the last blocks. */
async function newestEntry(chain: AnsweringContext["chain"], size: number): Promise<EntryPlace> {
  for (let height = size - 1; height >= Math.max(0, size - LOOKED_THROUGH); height--) {
    const { block } = await chain.readBlock(height);
    if (block.transactions.length > 0) return { height, transaction: 0, entry: 0 };
  }
  throw new ProofError("ERR_PROOF_UNAVAILABLE", "none of the last blocks has an entry");
}

/** The value of a key in the state that a receipt proves its own signing key in, if it is another one. */
export async function keyBeside(
  { chain }: Pick<AnsweringContext, "chain">,
  receipt: Uint8Array,
  key: Uint8Array,
  { size }: ProvableCheckpoint,
): Promise<{ readonly key?: KeyProof }> {
  if (equalBytes(decodeTransaction(decodeReceipt(receipt).tx).key, key)) return {};
  const { value, proof } = await chain.proveState(keyStateKey(key), size - 1);
  return value === null ? {} : { key: { value, proof } };
}

/**
 * Proves the key that signs the pages. One that was announced after the access entry is not in force under the
 * checkpoint before another block has come.
 *
 * @throws {ProofError} `ERR_PROOF_UNAVAILABLE` as long as it is not: the asker would take the answer for a forged one
 */
async function signingKeyBeside(
  context: AnsweringContext,
  receipt: Uint8Array,
  provable: ProvableCheckpoint,
): Promise<{ readonly key?: KeyProof }> {
  const { key } = context.signer;
  const beside = await keyBeside(context, receipt, key, provable);
  const isProved =
    beside.key !== undefined || equalBytes(decodeTransaction(decodeReceipt(receipt).tx).key, key);
  if (isProved) return beside;
  throw new ProofError("ERR_PROOF_UNAVAILABLE", "the key that signs the answer cannot be proved");
}

/** Makes the pages, each only while the requester may still have it. */
async function* pagesOf(
  context: AnsweringContext,
  checked: RequestToJudge,
  answer: DisclosureAnswer,
  how: Proofs & {
    readonly address: AskAddress;
    readonly head: AnswerHead;
    readonly stillStands: StillStands;
  },
): AsyncIterable<Uint8Array> {
  let page = 0;
  let sent = 0;
  let items: PagedItem[] = [];
  let blobs: Uint8Array[] = [];
  let bytes = encode(how.head.decision).length;

  async function assertStands(): Promise<void> {
    const remaining = answer.items.slice(sent);
    const stands = await how.stillStands(remaining, answer.decision.expiresAt);
    if (!stands) throw refused("withdrawn");
  }

  async function take(last: boolean): Promise<Uint8Array> {
    const recipient = await recipientOfPage(context, () => recipientInForce(context, checked));
    await assertStands();
    const content: AnswerPage = {
      ...{ ask: checked.asked, page, last, items, blobs },
      ...(page === 0 ? { head: how.head } : {}),
    };
    const sealed = await sealPage(content, how.address, recipient, context);
    page += 1;
    sent += items.length;
    items = [];
    blobs = [];
    bytes = 0;
    return sealed;
  }

  for await (const piece of piecesOf(context, answer, { ...how, assertStands })) {
    const isFull = bytes >= PAGE_BYTES || items.length >= PAGE_ITEMS;
    if (isFull) yield take(false);
    bytes += piece.bytes;
    if ("blob" in piece) blobs.push(piece.blob);
    else items.push(piece);
  }
  yield take(true);
}

type Piece = { readonly bytes: number } & ({ readonly blob: Uint8Array } | PagedItem);

/** The ciphertext of each item but of long attachments, each block once, and then the item. */
async function* piecesOf(
  context: AnsweringContext,
  { items }: DisclosureAnswer,
  {
    provable,
    receiptOf,
    isWhole,
    assertStands,
  }: Proofs & { readonly assertStands: () => Promise<void> },
): AsyncIterable<Piece> {
  const given = new Set<string>();
  for (const item of items) {
    const { header, grant, place } = item;
    const { granted, inline } = blocksOf(header, item.parts);
    for (const cid of isWhole ? granted : inline) {
      const name = cid.toString();
      if (given.has(name)) continue;
      given.add(name);
      const blob = await ownBlock(context, cid);
      if (blob === undefined) {
        // It may have been erased on the way.
        await assertStands();
        throw new StorageError("ERR_STORAGE_MISSING", `ciphertext is missing: ${name}`);
      }
      yield { blob, bytes: blob.length };
    }
    const receipt = await receiptOf(place);
    const beside = await keyBeside(context, receipt, decodeSignedHeader(header).key, provable);
    yield { item, receipt, ...beside, bytes: header.length + grant.length + receipt.length };
  }
}
