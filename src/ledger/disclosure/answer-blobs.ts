import { equalBytes } from "../../bytes/compare.ts";
import { concatBytes } from "../../bytes/concat.ts";
import { toHex } from "../../bytes/hex.ts";
import { writeCar, type CarBlock } from "../../codec/car.ts";
import { decodeSignedHeader } from "../../envelope/header.ts";
import { EncodingError } from "../../errors.ts";
import type { LedgerContext } from "../context.ts";
import type { KeptEntries } from "../elsewhere/kept-entries.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { comparePlaces, type CatalogueItem } from "../entries/catalogue-item.ts";
import type { AccessContent } from "./access.ts";
import { refused } from "./answer-message.ts";
import { readAccess } from "./audit.ts";
import { personsOf } from "./emergency.ts";
import { decodeBlobs, encodeBlobsPage, type BlobsAsk, type BlobState } from "./blobs-format.ts";
import type { MessageToAnswer } from "./check-request.ts";
import { ownBlock } from "./own-blocks.ts";
import { ENTITLED_PART } from "./pull-format.ts";
import { recordedRelease } from "./recorded-release.ts";

/** Default of `policy.fetchWithin`: a day. */
export const FETCH_WITHIN: number = 24 * 3_600_000;

/** The dependencies of sending ciphertext. */
export interface BlobsContext extends LedgerContext {
  readonly catalogue: Catalogue;
  /** Time in ms for which an access lets its requester fetch ciphertext. */
  readonly fetchWithin: number;
  /** What is kept in the outbox, if there is one. */
  readonly kept?: KeptEntries | undefined;
}

/** Whether a part of an entry's envelope was released; or why none of them can be had. */
type Release = ((part: string) => boolean) | "ended" | "unknown";

/**
 * Sends ciphertext of an entry that an access, or being entitled to it, released to who asks. No block is sent by its
 * name alone: every envelope is named on the ledger.
 */
export async function* answerBlobs(
  context: BlobsContext,
  { message, person }: MessageToAnswer,
): AsyncIterable<Uint8Array> {
  // Answers to persons are whole.
  if (person !== undefined) throw refused("not-answered");
  const ask = expectBlobs(message.content);
  await context.catalogue.catchUp();
  const release = await releaseOf(context, ask, message.from);
  const names = typeof release === "string" ? release : await blocksOfEntry(context, ask, release);
  const states: BlobState[] = [];
  const blocks: CarBlock[] = [];
  for (const cid of ask.cids) {
    if (typeof names === "string" || !names.has(cid.toString())) {
      states.push(typeof names === "string" ? names : "unknown");
      continue;
    }
    const bytes = await ownBlock(context, cid);
    states.push(bytes === undefined ? "missing" : "sent");
    if (bytes !== undefined) blocks.push({ cid, bytes });
  }
  const car: Uint8Array[] = [];
  for await (const chunk of writeCar([], blocks)) car.push(chunk);
  yield encodeBlobsPage({ states, car: concatBytes(...car) });
}

/** @throws {ConsentError} `ERR_CONSENT_REQUEST` when the content is none */
function expectBlobs(content: Uint8Array): BlobsAsk {
  try {
    return decodeBlobs(content);
  } catch (error) {
    if (error instanceof EncodingError) throw refused("malformed");
    throw error;
  }
}

async function releaseOf(
  context: BlobsContext,
  { basis, entry }: BlobsAsk,
  from: string,
): Promise<Release> {
  const { catalogue } = context;
  if (equalBytes(basis, entry)) {
    const entitled = await catalogue.entitledTo(from);
    const isOne = entitled.some(({ id }) => equalBytes(id, entry));
    return isOne ? (part) => part === ENTITLED_PART : "unknown";
  }
  const found = await catalogue.find(basis);
  if (found.status !== "present" || found.item.manifest.op !== "access") return "unknown";
  const access = await readAccess(context, catalogue, found.item);
  if (access?.requester !== from || access.asked === undefined) return "unknown";
  const items = await catalogue.itemsOf(found.item.manifest.local, ["access"]);
  const accesses = items.filter(({ kind }) => kind === "access");
  const released = await recordedRelease(context, found.item, access.asked, accesses);
  const isReleased = [...(released?.keys() ?? [])].some((name) =>
    name.endsWith(` ${toHex(entry)}`),
  );
  if (!isReleased) return "unknown";
  if (await hasEnded(context, found.item, access)) return "ended";
  await context.kept?.assertNothingBinds(await personsOf(context, found.item.manifest));
  const { parts } = access;
  return (part) => parts === undefined || parts.includes(part === "manifest" ? part : "content");
}

/**
 * Whether an access releases nothing any more: its time is over, or something was filed since that may decide
 * otherwise. Then the requester must ask again.
 */
async function hasEnded(
  { catalogue, fetchWithin, now }: BlobsContext,
  { place, recordedAt, manifest: { local } }: CatalogueItem,
  { declaration }: AccessContent,
): Promise<boolean> {
  const until = Math.min(recordedAt + fetchWithin, declaration?.until ?? Infinity);
  if (now() >= until) return true;
  const items = await catalogue.itemsOf(local, ["record", "consent", "link", "erase"]);
  return items.some((one) => mayDecide(one) && comparePlaces(one.place, place) > 0);
}

const mayDecide = ({ kind, manifest: { op } }: CatalogueItem): boolean =>
  kind === "consent" || op === "attest" || op === "merge" || op === "unmerge";

/** The names of the blocks of an entry's released parts. */
async function blocksOfEntry(
  { catalogue, storage }: BlobsContext,
  { entry }: BlobsAsk,
  isReleased: (part: string) => boolean,
): Promise<ReadonlySet<string> | "erased" | "missing"> {
  const found = await catalogue.find(entry);
  if (found.status === "erased") return "erased";
  const header = found.status === "present" && (await storage.blobs.get(found.item.envelope));
  if (!header) return "missing";
  const parts = decodeSignedHeader(header).header.parts.filter(({ id }) => isReleased(id));
  return new Set(parts.flatMap(({ data }) => data.map(String)));
}
