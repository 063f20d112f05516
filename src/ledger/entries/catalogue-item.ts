import { equalBytes } from "../../bytes/compare.ts";
import type { CID } from "multiformats/cid";
import type { SubjectEntry } from "../../block/entry.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import type { LedgerContext } from "../context.ts";
import { INDEXED_KINDS, type IndexItem, type LackingTag } from "../index/rows.ts";
import type { Manifest, ManifestBrief } from "./manifest.ts";
import {
  awaitedLocal,
  copiesLocal,
  copyOf,
  identifiedLocal,
  listOf,
  sourceLocal,
} from "./source-names.ts";

/** One of the custodian's own entries, with its envelope's manifest. */
export interface CatalogueItem extends IndexItem {
  readonly manifest: Manifest;
  /** Set if the entry does not open although nothing erased it; its tag tells whom it is about. */
  readonly lost?: true;
}

/** The result of looking up an entry by its id. */
export type CatalogueFind =
  | { readonly status: "present"; readonly item: CatalogueItem }
  /** Its envelope was destroyed by the erase entry with this id. */
  | {
      readonly status: "erased";
      readonly by: Uint8Array;
      readonly place: EntryPlace;
      readonly kind: string;
      /** The person that it was about, if still known. */
      readonly local?: Uint8Array;
    }
  /** It is on the ledger, but its envelope does not open here although nothing erased it. */
  | {
      readonly status: "lost";
      readonly place: EntryPlace;
      readonly envelope: CID;
      readonly kind: string;
    }
  /** It provably never existed. */
  | { readonly status: "missing" };

/** The local id under which the index lists all accesses that must be reviewed, and the reviews. */
export const reviewsLocal = ({ vault }: Pick<LedgerContext, "vault">): Uint8Array =>
  vault.name("pending reviews").slice(0, 16);

export const isIndexed = (kind: string): kind is (typeof INDEXED_KINDS)[number] =>
  (INDEXED_KINDS as readonly string[]).includes(kind);

export const tagOf = ({ body, salt, subject }: SubjectEntry): LackingTag => ({
  body,
  salt,
  subject,
});

/** Negative if the first place comes before the second on the ledger. */
export const comparePlaces = (a: EntryPlace, b: EntryPlace): number =>
  a.height - b.height || a.transaction - b.transaction || a.entry - b.entry;

export const byPlace = ({ place: a }: IndexItem, { place: b }: IndexItem): number =>
  comparePlaces(a, b);

export const isPresent = (item: IndexItem): item is CatalogueItem => item.manifest !== undefined;

/** Whether an entry creates a record, instead of following an entry about one. */
export const createsRecord = (kind: string, { op }: Pick<Manifest, "op">): boolean =>
  kind === "record" && (op === "create" || op === "reattribute");

/** The local id under which the index lists what was recorded with an idempotency key. */
export const keyLocal = (idempotency: Uint8Array): Uint8Array => idempotency.slice(0, 16);

/** The local id under which the index lists what was filed of an alias. */
export const aliasLocal = (alias: Uint8Array): Uint8Array => alias.slice(0, 16);

/** The local id under which the index lists the merges and partings of a person. */
export const linksLocal = (
  { vault }: Pick<LedgerContext, "vault">,
  local: Uint8Array,
): Uint8Array => vault.name("links", local).slice(0, 16);

/** The local id under which the index lists all proposals, and what became of them. */
export const proposalsLocal = ({ vault }: Pick<LedgerContext, "vault">): Uint8Array =>
  vault.name("proposals").slice(0, 16);

/** The local id under which the index lists the proposals about a person. */
export const proposalsAbout = (
  { vault }: Pick<LedgerContext, "vault">,
  local: Uint8Array,
): Uint8Array => vault.name("proposals", local).slice(0, 16);

/** The local id under which the index lists the entries that a member is entitled to. */
export const entitledLocal = ({ vault }: Pick<LedgerContext, "vault">, actor: string): Uint8Array =>
  vault.name("entitled", actor).slice(0, 16);
/** The local id under which the index lists what is to be delivered, and what became of it. */
export const deliveriesLocal = ({ vault }: Pick<LedgerContext, "vault">): Uint8Array =>
  vault.name("deliveries").slice(0, 16);

/** The local id under which directives are held that were delivered about nobody known here. */
export const strangersLocal = ({ vault }: Pick<LedgerContext, "vault">): Uint8Array =>
  vault.name("held about strangers").slice(0, 16);

/** The local ids under which the index lists an entry besides that of its person. */
export function alsoListed(
  context: Pick<LedgerContext, "vault">,
  brief: ManifestBrief,
): readonly Uint8Array[] {
  const { review, op, local, other, source, idempotency, alias, entitled = [] } = brief;
  const places: Uint8Array[] = [];
  if (review === true || op === "reviewed") places.push(reviewsLocal(context));
  if (op === "deliver" || op === "delivered") places.push(deliveriesLocal(context));
  if (source !== undefined && op !== "deleted") {
    for (const place of sourcePlaces(context, brief, source)) places.push(place);
  }
  for (const actor of entitled) places.push(entitledLocal(context, actor));
  if (idempotency !== undefined) places.push(keyLocal(idempotency));
  if (alias !== undefined) places.push(aliasLocal(alias));
  const both = other === undefined ? [local] : [local, other];
  if (other !== undefined) places.push(other);
  if (op === "merge" || op === "unmerge") {
    for (const one of both) places.push(linksLocal(context, one));
  }
  if (op === "propose" || op === "dismiss") {
    places.push(proposalsLocal(context));
    for (const one of both) places.push(proposalsAbout(context, one));
  }
  return places.filter((place) => !equalBytes(place, local));
}

/** The local ids under which the index lists an entry about a resource of a source. */
function sourcePlaces(
  context: Pick<LedgerContext, "vault">,
  { local, nobody, identifiers = [], awaits = [] }: ManifestBrief,
  { name: source, type, id }: NonNullable<ManifestBrief["source"]>,
): readonly Uint8Array[] {
  const resource = { source, type, id };
  const isCopy = nobody === "served" || nobody === "filed";
  const own = isCopy
    ? [listOf(context, { ...resource, copy: copyOf(local) }), copiesLocal(context, resource)]
    : [sourceLocal(context, resource)];
  const known = nobody === "kept" ? identifiers : [];
  return [
    ...own,
    ...known.map((one) => identifiedLocal(context, source, type, one)),
    ...awaits.map((awaited) => awaitedLocal(context, source, awaited)),
  ];
}
