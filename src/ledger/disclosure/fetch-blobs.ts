import { toHex } from "../../bytes/hex.ts";
import { readCar } from "../../codec/car.ts";
import type { CID } from "../../codec/cid.ts";
import { entryIdBytes } from "../../codec/ids.ts";
import { decodeSignedHeader } from "../../envelope/header.ts";
import type { Absence } from "../../envelope/read-block.ts";
import { EncodingError, TransportError } from "../../errors.ts";
import {
  BLOBS_TOGETHER,
  decodeBlobsPage,
  encodeBlobs,
  type BlobsAsk,
  type BlobsPage,
} from "./blobs-format.ts";
import type { ReleasedItem } from "./disclose.ts";
import { isLeftOut, MAX_BLOB_BYTES } from "./encoded-answer.ts";
import { wrong } from "./read-replies.ts";
import { sendMessage, type AskerChecks, type SendOptions } from "./send-ask.ts";

/** Ciphertext by its name; why it is not there, where that is known. */
type Fetched = ReadonlyMap<string, Uint8Array | Absence | undefined>;

/** Fetches ciphertext of an entry. */
export type FetchBlobs = (what: BlobsAsk) => Promise<Fetched>;

const nameOf = (cid: CID): string => toHex(cid.multihash.digest);

/** Makes the function that fetches ciphertext from a custodian. */
export const blobFetcher =
  (to: SendOptions, checks: AskerChecks): FetchBlobs =>
  async (what) => {
    const pages = await sendMessage(to, checks, { kind: "blobs", content: encodeBlobs(what) });
    let page: BlobsPage | undefined;
    for await (const { content } of pages) {
      if (page !== undefined) throw wrong("it has more pages than ciphertext was asked for");
      page = expectPage(content);
    }
    return blobsOf(what, page!);
  };

function expectPage(content: Uint8Array): BlobsPage {
  try {
    return decodeBlobsPage(content);
  } catch (error) {
    if (error instanceof EncodingError) throw wrong("a page is malformed");
    throw error;
  }
}

/**
 * @throws {TransportError} `ERR_TRANSPORT_REFUSED` when the custodian sends it no more
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when it sends something else
 */
async function blobsOf({ cids }: BlobsAsk, { states, car }: BlobsPage): Promise<Fetched> {
  if (states.length !== cids.length) throw wrong("it does not say what became of each block");
  if (states.some((state) => state === "ended" || state === "unknown")) {
    throw new TransportError(
      "ERR_TRANSPORT_REFUSED",
      "the custodian does not send this ciphertext any more: ask for the record again",
    );
  }
  const fetched = new Map<string, Uint8Array | Absence | undefined>();
  const blocks = await blocksIn(car);
  let next = 0;
  for (const [i, cid] of cids.entries()) {
    const state = states[i];
    if (state === "erased" || state === "pruned") fetched.set(nameOf(cid), state);
    if (state !== "sent") continue;
    const block = blocks[next++];
    if (block?.cid.equals(cid) !== true) throw wrong("it has other ciphertext than was asked for");
    fetched.set(nameOf(cid), block.bytes);
  }
  if (next !== blocks.length) throw wrong("it has ciphertext that was not asked for");
  return fetched;
}

async function blocksIn(car: Uint8Array) {
  const found = [];
  try {
    const { blocks } = await readCar([car], { maxBlockBytes: MAX_BLOB_BYTES + 64 });
    for await (const block of blocks) found.push(block);
  } catch (error) {
    if (error instanceof EncodingError) throw wrong("its ciphertext was altered");
    throw error;
  }
  return found;
}

/**
 * Makes the function that reads what an answer left out of one item. Blocks that are read one after another are
 * fetched together.
 *
 * @param basis - id of the access entry
 */
export function readerOfRest(
  fetch: FetchBlobs,
  basis: Uint8Array,
  { entry, header }: ReleasedItem,
): (cid: CID) => Promise<Uint8Array | Absence | undefined> {
  const rest = decodeSignedHeader(header).header.parts.filter(isLeftOut);
  /** Blocks that came with others, until they are read. */
  const kept = new Map<string, Promise<Uint8Array | Absence | undefined>>();
  let following: string | undefined;
  let together = 1;
  return async (cid) => {
    const name = nameOf(cid);
    const known = kept.get(name);
    if (known !== undefined) {
      kept.delete(name);
      return known;
    }
    const data = rest.find((part) => part.data.some((one) => one.equals(cid)))?.data;
    if (data === undefined) return undefined;
    together = name === following ? Math.min(2 * together, BLOBS_TOGETHER) : 1;
    const at = data.findIndex((one) => one.equals(cid));
    const cids = data.slice(at, at + together);
    const after = data[at + together];
    following = after === undefined ? undefined : nameOf(after);
    const fetching = fetch({ basis, entry: entryIdBytes(entry), cids });
    kept.clear();
    for (const one of cids.slice(1)) {
      const block = fetching.then((fetched) => fetched.get(nameOf(one)));
      // It may never be read.
      block.catch(() => undefined);
      kept.set(nameOf(one), block);
    }
    return (await fetching).get(name);
  };
}
