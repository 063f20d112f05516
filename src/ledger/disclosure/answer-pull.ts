import { equalBytes } from "../../bytes/compare.ts";
import type { Checkpoints } from "../../chain/checkpoints.ts";
import { receiptMaker } from "../../chain/make-receipt.ts";
import type { Trust } from "../../chain/trust.ts";
import { narrowKeys, makeGrant } from "../../envelope/grant.ts";
import { decodeSignedHeader } from "../../envelope/header.ts";
import { wipeKeys } from "../../envelope/keys.ts";
import { EncodingError } from "../../errors.ts";
import type { LedgerContext } from "../context.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { lostEntry, ownContentKey } from "../entries/own-envelope.ts";
import type { IndexItem } from "../index/rows.ts";
import { recipientOfPage, refused, type AnsweringMessages } from "./answer-message.ts";
import { keyBeside } from "./answer-ask.ts";
import { ownBlock } from "./own-blocks.ts";
import { PAGE_BYTES, PAGE_ITEMS } from "./answer-pages.ts";
import type { MessageToAnswer } from "./check-request.ts";
import { blocksOf } from "./encoded-answer.ts";
import {
  decodePull,
  encodePullPage,
  ENTITLED_PART,
  type PullAsk,
  type PulledItem,
} from "./pull-format.ts";

interface PullContext extends LedgerContext, Pick<AnsweringMessages, "forks"> {
  readonly catalogue: Catalogue;
  readonly checkpoints: Checkpoints;
}

/**
 * Answers a pull: gives the entries that the asker is entitled to, each with a grant to its key in force now. Nothing
 * is recorded: the entries themselves say whom they are for.
 */
export async function* answerPull(
  context: PullContext,
  checked: MessageToAnswer,
  trust: Trust,
): AsyncIterable<Uint8Array> {
  const { after, limit } = expectPull(checked.message.content);
  const { catalogue, checkpoints, chain } = context;
  await catalogue.catchUp();
  const all = await entriesFor(context, checked);
  const provable = await checkpoints.provable(trust);
  // What no checkpoint covers yet cannot be proved.
  const last = all.filter(({ place }) => place.height < provable.size).length;
  const known = after === undefined ? undefined : all[after.number - 1]?.id;
  if (after !== undefined && !(known !== undefined && equalBytes(known, after.entry))) {
    yield encodePullPage({ last, moved: true, items: [], blobs: [] });
    return;
  }
  const receiptOf = receiptMaker(chain, {
    ...{ checkpoint: provable.note, policyPath: provable.policyPath, later: true },
    ...(trust.root === undefined ? {} : { from: trust }),
  });
  let items: PulledItem[] = [];
  let blobs: Uint8Array[] = [];
  let bytes = 0;
  const take = (): Uint8Array => {
    const page = encodePullPage({ last, moved: false, items, blobs });
    [items, blobs, bytes] = [[], [], 0];
    return page;
  };
  const first = after?.number ?? 0;
  for (const [i, item] of all.slice(first, Math.min(last, first + limit)).entries()) {
    const number = first + i + 1;
    const released = await release(context, checked, item);
    if ("erasedBy" in released) {
      items.push({ number, entry: item.id, ...released });
    } else {
      const { ciphertext, header, grant } = released;
      for (const blob of ciphertext) {
        if (bytes >= PAGE_BYTES) yield take();
        blobs.push(blob);
        bytes += blob.length;
      }
      const receipt = await receiptOf(item.place);
      const key = await keyBeside(context, receipt, decodeSignedHeader(header).key, provable);
      items.push({ number, entry: item.id, receipt, header, grant, ...key });
      bytes += receipt.length + header.length + grant.length;
    }
    if (bytes >= PAGE_BYTES || items.length >= PAGE_ITEMS) yield take();
  }
  yield take();
}

/** What is pulled of a person: who saw what, and what they said. */
const OF_A_PERSON: readonly string[] = ["access", "consent", "erase"];

/**
 * The entries that the sender is entitled to, erased ones included.
 *
 * @throws {ConsentError} `ERR_CONSENT_REQUEST` for who speaks for somebody else
 */
async function entriesFor(
  { catalogue }: PullContext,
  { person, message }: MessageToAnswer,
): Promise<readonly IndexItem[]> {
  if (person === undefined) return catalogue.entitledTo(message.from);
  if (person.capacity !== "self") throw refused("not-answered");
  const about = await catalogue.filedAbout(person.local);
  return about.filter(({ kind }) => OF_A_PERSON.includes(kind));
}

/** @throws {ConsentError} `ERR_CONSENT_REQUEST` when the content is none */
function expectPull(content: Uint8Array): PullAsk {
  try {
    return decodePull(content);
  } catch (error) {
    if (error instanceof EncodingError) throw refused("malformed");
    throw error;
  }
}

interface Released {
  readonly header: Uint8Array;
  readonly grant: Uint8Array;
  readonly ciphertext: readonly Uint8Array[];
}

/** Grants the part of one entry that is its recipient's; `erasedBy` if it is erased by now. */
async function release(
  context: PullContext,
  checked: MessageToAnswer,
  item: IndexItem,
): Promise<Released | { readonly erasedBy: Uint8Array }> {
  const { id, kind, erasedBy } = item;
  if (erasedBy !== undefined) return { erasedBy };
  const released = await grantContent(context, checked, item);
  if (released !== undefined) return released;
  await context.catalogue.catchUp();
  const found = await context.catalogue.find(id);
  if (found.status === "erased") return { erasedBy: found.by };
  throw lostEntry(kind, id);
}

/** @returns `undefined` if the key, the header or ciphertext is gone */
async function grantContent(
  context: PullContext,
  checked: MessageToAnswer,
  { id: basis, envelope }: IndexItem,
): Promise<Released | undefined> {
  const { storage, signer, random } = context;
  const cek = await ownContentKey(context, envelope);
  const header = await storage.blobs.get(envelope);
  if (cek === undefined || header === undefined) return undefined;
  const parts = [ENTITLED_PART];
  const keys = narrowKeys({ cek }, { header: decodeSignedHeader(header).header, parts });
  cek.fill(0);
  try {
    const recipient = await recipientOfPage(context, checked.recipient);
    const grant = await makeGrant({ envelope, basis, keys, recipient, signer, random });
    const ciphertext: Uint8Array[] = [];
    for (const cid of blocksOf(header, parts).granted) {
      const block = await ownBlock(context, cid);
      if (block === undefined) return undefined;
      ciphertext.push(block);
    }
    return { header, grant, ciphertext };
  } finally {
    wipeKeys(keys);
  }
}
