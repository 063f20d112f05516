import type { CID } from "multiformats/cid";
import { sha256 } from "#crypto";
import { concatBytes } from "../../bytes/concat.ts";
import { utf8ToBytes } from "../../bytes/utf8.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectCid,
  expectMap,
  expectNoLostText,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
} from "../../codec/shape.ts";
import { StorageError } from "../../errors.ts";
import { decodeManifest, encodeManifest, type Manifest } from "../entries/manifest.ts";

/** Kinds of entries that the index takes in. */
export const INDEXED_KINDS = ["record", "consent", "access", "erase", "link"] as const;

/** An entry about a person, as the index holds it: its manifest, or the entry that erased it. */
export interface IndexItem {
  readonly id: Uint8Array;
  readonly place: EntryPlace;
  readonly kind: string;
  readonly envelope: CID;
  /** Time of the block, in ms. */
  readonly recordedAt: number;
  /** Absent if the entry was erased. */
  readonly manifest?: Manifest;
  /** Id of the erase entry that names this entry. */
  readonly erasedBy?: Uint8Array;
}

/** How many entries are about a person, and a chain of digests over them. */
export interface PersonHead {
  readonly count: number;
  /** 32 bytes. */
  readonly digest: Uint8Array;
  /** Pages that hold the entries. */
  readonly pages: number;
  /** How many of the entries were erased. */
  readonly erased: number;
}

/** A head, and the entries that it holds itself: all of them while there are no pages. */
export interface StoredHead extends PersonHead {
  readonly items: readonly IndexItem[];
}

/** Most entries that a head holds itself; with more of them all are in pages. */
export const HEAD_ITEMS = 2;

/** The head of a person without entries. */
export const NO_ENTRIES: StoredHead = /* @__PURE__ */ Object.freeze({
  count: 0,
  digest: /* @__PURE__ */ new Uint8Array(32),
  pages: 0,
  erased: 0,
  items: /* @__PURE__ */ Object.freeze([]),
});

const DIGEST = /* @__PURE__ */ concatBytes(
  /* @__PURE__ */ utf8ToBytes("healthledger/index/1"),
  /* @__PURE__ */ Uint8Array.of(0),
);

/** The digest after one more entry. */
export const nextDigest = (
  digest: Uint8Array,
  { id, kind, envelope }: Pick<IndexItem, "id" | "kind" | "envelope">,
): Uint8Array => sha256(DIGEST, encode([digest, id, kind, envelope]));

/** @param items - those that the head holds itself */
export const encodeHead = (
  { count, digest, pages, erased }: PersonHead,
  items: readonly PageEntry[] = [],
): Uint8Array => encode({ v: 1, count, digest, pages, erased, items: items.map(itemFields) });

export function decodeHead(bytes: Uint8Array): StoredHead {
  const fields = ["v", "count", "digest", "pages", "erased", "items"];
  const map = expectMap(decode(bytes), "head", fields);
  expectVersion(map["v"], "head");
  return {
    count: expectUint(map["count"], "head.count"),
    digest: expectBytes(map["digest"], "head.digest", 32),
    pages: expectUint(map["pages"], "head.pages"),
    erased: expectUint(map["erased"], "head.erased"),
    items: expectItems(map["items"], "head.items", HEAD_ITEMS),
  };
}

/** Most entries in a page. */
export const PAGE_ITEMS = 32;

/** An entry to be written, with its manifest's bytes if they are at hand. */
export interface PageEntry {
  readonly item: IndexItem;
  readonly encoded?: Uint8Array | undefined;
}

/** Writes some of a person's entries. */
export function encodePage(entries: readonly PageEntry[]): Uint8Array {
  return encode(entries.map(itemFields));
}

function itemFields({ item, encoded }: PageEntry) {
  const { id, place, kind, envelope, recordedAt, manifest, erasedBy } = item;
  return {
    id,
    ...encodePlace(place),
    kind,
    envelope,
    recordedAt,
    ...manifestField(manifest, encoded),
    ...(erasedBy === undefined ? {} : { erasedBy }),
  };
}

function manifestField(
  manifest: Manifest | undefined,
  encoded: Uint8Array | undefined,
): { readonly manifest?: Uint8Array } {
  if (encoded !== undefined) return { manifest: encoded };
  return manifest === undefined ? {} : { manifest: encodeManifest(manifest) };
}

/** @throws {EncodingError} if the bytes are not a page */
export function decodePage(bytes: Uint8Array): IndexItem[] {
  return expectItems(decode(bytes), "page", PAGE_ITEMS);
}

const expectItems = (items: unknown, what: string, most: number): IndexItem[] =>
  expectArray(items, what, most).map((one) => {
    const map = expectMap(one, "page", ITEM, ITEM_OPTIONAL);
    const { manifest, erasedBy } = map;
    const item = {
      id: expectBytes(map["id"], "page.id", 32),
      place: expectPlace(map),
      kind: expectOneOf(map["kind"], "page.kind", INDEXED_KINDS),
      envelope: expectCid(map["envelope"], "page.envelope"),
      recordedAt: expectUint(map["recordedAt"], "page.recordedAt"),
    };
    const whole =
      manifest === undefined
        ? item
        : { ...item, manifest: decodeManifest(expectBytes(manifest, "page.manifest")) };
    return erasedBy === undefined
      ? whole
      : { ...whole, erasedBy: expectBytes(erasedBy, "page.erasedBy", 32) };
  });

/** Row of an entry's id: the person it is about or, if nobody can tell, its place on the ledger. */
export type IdRow =
  | { readonly local: Uint8Array; readonly height: number }
  | {
      readonly local?: undefined;
      readonly kind: string;
      readonly envelope: CID;
      readonly place: EntryPlace;
      readonly height: number;
      readonly erasedBy?: Uint8Array;
    };

export function encodeIdRow(row: IdRow): Uint8Array {
  if (row.local !== undefined) return encode({ local: row.local, height: row.height });
  const { kind, envelope, place, erasedBy } = row;
  return encode({
    ...encodePlace(place),
    kind,
    envelope,
    ...(erasedBy === undefined ? {} : { erasedBy }),
  });
}

/** @throws {EncodingError} if the bytes are not a row of an id */
export function decodeIdRow(bytes: Uint8Array): IdRow {
  const optional = ["local", "transaction", "entry", "kind", "envelope", "erasedBy"];
  const map = expectMap(decode(bytes), "id", ["height"], optional);
  const height = expectUint(map["height"], "id.height");
  if (map["local"] !== undefined) {
    return { local: expectBytes(map["local"], "id.local", 16), height };
  }
  return {
    kind: expectOneOf(map["kind"], "id.kind", INDEXED_KINDS),
    envelope: expectCid(map["envelope"], "id.envelope"),
    place: expectPlace(map),
    height,
    ...(map["erasedBy"] === undefined
      ? {}
      : { erasedBy: expectBytes(map["erasedBy"], "id.erasedBy", 32) }),
  };
}

/** How many ids there are, and a sum over their rows, in each of 256 parts. */
export interface IdSums {
  readonly counts: number[];
  /** 256 times 32 bytes: the exclusive or of the rows' MACs. */
  readonly sums: Uint8Array;
}

export const ID_PARTS = 256;

export const noIds = (): IdSums => ({
  counts: Array.from({ length: ID_PARTS }, () => 0),
  sums: new Uint8Array(32 * ID_PARTS),
});

/** Adds a row to the sums, or takes it away. */
export function sumId(into: IdSums, part: number, mac: Uint8Array, count: 1 | -1 | 0): void {
  into.counts[part]! += count;
  for (let i = 0; i < 32; i++) into.sums[32 * part + i]! ^= mac[i]!;
}

export const encodeIdSums = ({ counts, sums }: IdSums): Uint8Array =>
  encode({ v: 1, counts, sums });

export function decodeIdSums(bytes: Uint8Array): IdSums {
  const map = expectMap(decode(bytes), "ids", ["v", "counts", "sums"]);
  expectVersion(map["v"], "ids");
  return {
    counts: expectArray(map["counts"], "ids.counts", ID_PARTS).map((count) =>
      expectUint(count, "ids.counts"),
    ),
    sums: expectBytes(map["sums"], "ids.sums", 32 * ID_PARTS).slice(),
  };
}

/** An entry that could not be decrypted although nothing erased it, and its person if known. */
export interface Lacking {
  readonly id: Uint8Array;
  readonly kind: string;
  readonly local?: Uint8Array;
  /** The clear subject tag on the ledger, for the kinds of entries that have one. */
  readonly tag?: LackingTag;
}

/** An entry's subject tag, and the values that it is bound to. */
export interface LackingTag {
  readonly body: CID;
  /** 16 bytes. */
  readonly salt: Uint8Array;
  /** 32 bytes. */
  readonly subject: Uint8Array;
}

const MAX_LACKING = 100_000;

/** @throws {StorageError} if there are too many: an entry left out would count as never filed */
export function encodeLacking(all: readonly Lacking[]): Uint8Array {
  if (all.length > MAX_LACKING) {
    throw new StorageError(
      "ERR_STORAGE_CORRUPT",
      `${all.length} entries cannot be decrypted here, although nothing erased them: restore the store`,
    );
  }
  return encode(all.slice());
}

export function decodeLacking(bytes: Uint8Array): Lacking[] {
  return expectArray(decode(bytes), "lacking", MAX_LACKING).map((item) => {
    const map = expectMap(item, "lacking", ["id", "kind"], ["local", "tag"]);
    const { local, tag } = map;
    return {
      id: expectBytes(map["id"], "lacking.id", 32),
      kind: expectOneOf(map["kind"], "lacking.kind", INDEXED_KINDS),
      ...(local === undefined ? {} : { local: expectBytes(local, "lacking.local", 16) }),
      ...(tag === undefined ? {} : { tag: expectTag(tag) }),
    };
  });
}

function expectTag(value: unknown): LackingTag {
  const map = expectMap(value, "lacking.tag", ["body", "salt", "subject"]);
  return {
    body: expectCid(map["body"], "lacking.tag.body"),
    salt: expectBytes(map["salt"], "lacking.tag.salt", 16),
    subject: expectBytes(map["subject"], "lacking.tag.subject", 32),
  };
}

/** A business identifier of a person, as in FHIR. */
export interface PersonIdentifier {
  readonly system: string;
  readonly value: string;
}

/** Most identifiers of one person, and most that one entry makes known. */
export const MAX_IDENTIFIERS = 1024;
export const MAX_IDENTIFIERS_TOGETHER = 64;

/** A custodian's data about a person besides the entries about them. */
export interface StoredSubject {
  readonly identifiers: readonly PersonIdentifier[];
  /** 32 random bytes from which every tag is made; destroying them unlinks the tags permanently. */
  readonly key: Uint8Array;
}

export const encodeSubject = ({ identifiers, key }: StoredSubject): Uint8Array =>
  encode({ v: 1, identifiers: identifiers.map(({ system, value }) => ({ system, value })), key });

/** @throws {EncodingError} if the bytes are not those of a person */
export function decodeSubject(bytes: Uint8Array): StoredSubject {
  const map = expectMap(decode(bytes), "subject", ["v", "identifiers", "key"]);
  expectVersion(map["v"], "subject");
  return {
    identifiers: expectIdentifiers(map["identifiers"], MAX_IDENTIFIERS),
    key: expectBytes(map["key"], "key", 32),
  };
}

/** Writes the content of an `identify` entry. */
export const encodeIdentifiers = (identifiers: readonly PersonIdentifier[]): Uint8Array =>
  encode({ v: 1, identifiers: identifiers.map(({ system, value }) => ({ system, value })) });

/** @throws {EncodingError} if the bytes are not the content of an `identify` entry */
export function decodeIdentifiers(bytes: Uint8Array): PersonIdentifier[] {
  const map = expectMap(decode(bytes), "identify", ["v", "identifiers"]);
  expectVersion(map["v"], "identify");
  expectNoLostText(map, "identify");
  return expectIdentifiers(map["identifiers"], MAX_IDENTIFIERS_TOGETHER);
}

const expectIdentifiers = (value: unknown, most: number): PersonIdentifier[] =>
  expectArray(value, "identifiers", most).map((item) => {
    const fields = expectMap(item, "identifier", ["system", "value"]);
    return {
      system: expectString(fields["system"], "system"),
      value: expectString(fields["value"], "value"),
    };
  });

const PLACE = ["height", "transaction", "entry"];
const ITEM = /* @__PURE__ */ ["id", ...PLACE, "kind", "envelope", "recordedAt"];
const ITEM_OPTIONAL = ["manifest", "erasedBy"];

const encodePlace = ({ height, transaction, entry }: EntryPlace): EntryPlace => ({
  height,
  transaction,
  entry,
});

const expectPlace = (map: Readonly<Record<string, unknown>>): EntryPlace => ({
  height: expectUint(map["height"], "height"),
  transaction: expectUint(map["transaction"], "transaction"),
  entry: expectUint(map["entry"], "entry"),
});
