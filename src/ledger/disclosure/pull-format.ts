import type { KeyProof } from "../../chain/receipt.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectMap,
  expectUint,
  expectVersion,
} from "../../codec/shape.ts";
import { MAX_GRANT_BYTES } from "../../envelope/grant-record.ts";
import { MAX_HEADER_BYTES } from "../../envelope/header.ts";
import { EncodingError } from "../../errors.ts";
import { expectKey, keyFields, PAGE_ITEMS } from "./answer-pages.ts";
import { MAX_BLOB_BYTES } from "./encoded-answer.ts";

/** An entry by the number that it has for a member. */
export interface NumberedEntry {
  readonly number: number;
  /** Id of the entry, 32 bytes. */
  readonly entry: Uint8Array;
}

/** The content of a message of kind `pull`. */
export interface PullAsk {
  /** The last entry that the asker has; without it, from the first on. */
  readonly after?: NumberedEntry;
  /** Most entries of the reply. */
  readonly limit: number;
}

/** One entry of a reply: what its recipient needs to open it, or the entry that erased it. */
export type PulledItem = NumberedEntry &
  (
    | { readonly erasedBy: Uint8Array }
    | {
        readonly erasedBy?: undefined;
        readonly receipt: Uint8Array;
        /** The value of the key that signed the header, unless it signed the entry too. */
        readonly key?: KeyProof;
        /** The envelope's signed header. */
        readonly header: Uint8Array;
        readonly grant: Uint8Array;
      }
  );

/** One page of the reply to a pull. */
export interface PullPage {
  /** Number of the newest entry under the checkpoint. The same on all pages. */
  readonly last: number;
  /** Whether the entry that the asker named has another number, or none: there are no items then. */
  readonly moved: boolean;
  readonly items: readonly PulledItem[];
  /** Ciphertext of items on this page and on later ones. */
  readonly blobs: readonly Uint8Array[];
}

/** The part of an envelope that is opened to who is entitled to its entry. */
export const ENTITLED_PART = "content";
/** Most entries that one message asks for. */
export const PULL_LIMIT = 4096;

/** Writes the content of a message of kind `pull`. */
export const encodePull = ({ after, limit }: PullAsk): Uint8Array =>
  encode({ v: 1, limit, ...(after === undefined ? {} : { after: { ...after } }) });

/** @throws {EncodingError} when the bytes are no such content */
export function decodePull(bytes: Uint8Array): PullAsk {
  const map = expectMap(
    decode(bytes, { maxBytes: 256, maxDepth: 2 }),
    "pull",
    ["v", "limit"],
    ["after"],
  );
  expectVersion(map["v"], "pull");
  const limit = expectUint(map["limit"], "pull.limit", PULL_LIMIT);
  if (limit === 0) throw shape("pull.limit");
  if (map["after"] === undefined) return { limit };
  return {
    limit,
    after: expectNumbered(expectMap(map["after"], "pull.after", ["number", "entry"])),
  };
}

/** Writes the content of a page of the reply. */
export function encodePullPage({ last, moved, items, blobs }: PullPage): Uint8Array {
  return encode({
    ...{ v: 1, last, moved, blobs },
    items: items.map((item) => {
      const { number, entry } = item;
      if (item.erasedBy !== undefined) return { number, entry, erasedBy: item.erasedBy };
      const { receipt, key, header, grant } = item;
      return { number, entry, receipt, header, grant, ...keyFields(key) };
    }),
  });
}

/** @throws {EncodingError} when the bytes are no such page */
export function decodePullPage(bytes: Uint8Array): PullPage {
  const limits = { maxBytes: bytes.length, maxDepth: 8, maxItems: 1_000_000, borrow: true };
  const map = expectMap(decode(bytes, limits), "pull page", [
    "v",
    "last",
    "moved",
    "items",
    "blobs",
  ]);
  expectVersion(map["v"], "pull page");
  const { moved } = map;
  if (typeof moved !== "boolean") throw shape("pull page.moved");
  return {
    ...{ last: expectUint(map["last"], "pull page.last"), moved },
    items: expectArray(map["items"], "pull page.items", PAGE_ITEMS).map(expectItem),
    blobs: expectArray(map["blobs"], "pull page.blobs", 65_536).map((given) => {
      const blob = expectBytes(given, "pull page.blobs");
      if (blob.length > MAX_BLOB_BYTES) throw shape("pull page.blobs");
      return blob;
    }),
  };
}

function expectItem(value: unknown): PulledItem {
  if (typeof value === "object" && value !== null && "erasedBy" in value) {
    const map = expectMap(value, "pulled", ["number", "entry", "erasedBy"]);
    return {
      ...expectNumbered(map),
      erasedBy: expectBytes(map["erasedBy"], "pulled.erasedBy", 32),
    };
  }
  const map = expectMap(
    value,
    "pulled",
    ["number", "entry", "receipt", "header", "grant"],
    ["key"],
  );
  const header = expectBytes(map["header"], "pulled.header");
  const grant = expectBytes(map["grant"], "pulled.grant");
  if (header.length > MAX_HEADER_BYTES || grant.length > MAX_GRANT_BYTES) throw shape("pulled");
  return {
    ...expectNumbered(map),
    ...{ receipt: expectBytes(map["receipt"], "pulled.receipt"), header, grant },
    ...expectKey(map["key"]),
  };
}

const expectNumbered = (map: Readonly<Record<string, unknown>>): NumberedEntry => ({
  number: expectUint(map["number"], "number"),
  entry: expectBytes(map["entry"], "entry", 32),
});

const shape = (what: string): EncodingError =>
  new EncodingError("ERR_ENCODING_SHAPE", `${what} is not what it must be`);
