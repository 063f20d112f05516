import type { CID } from "multiformats/cid";
import type { SubjectEntry } from "../../block/entry.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import type { LedgerContext } from "../context.ts";
import { INDEXED_KINDS, type IndexItem, type LackingTag } from "../index/rows.ts";
import type { Manifest } from "./manifest.ts";

/** One of the custodian's own entries, with what its envelope says of itself. */
export interface CatalogueItem extends IndexItem {
  readonly manifest: Manifest;
  /** Does not open here, though nothing erased it: whom it is about is known by its tag. */
  readonly lost?: true;
}

/** What the custodian knows under an entry's id. */
export type CatalogueFind =
  | { readonly status: "present"; readonly item: CatalogueItem }
  /** Its envelope was destroyed by the erase entry with this id. */
  | {
      readonly status: "erased";
      readonly by: Uint8Array;
      readonly place: EntryPlace;
      readonly kind: string;
      /** Whom it was about, where that is known still. */
      readonly local?: Uint8Array;
    }
  /** Stands on the ledger; its envelope does not open here, and nothing erased it. */
  | {
      readonly status: "lost";
      readonly place: EntryPlace;
      readonly envelope: CID;
      readonly kind: string;
    }
  /** Provably never was there. */
  | { readonly status: "missing" };

/** The local id under which stand all accesses that must be reviewed, and the reviews. */
export const reviewsLocal = ({ vault }: Pick<LedgerContext, "vault">): Uint8Array =>
  vault.name("pending reviews").slice(0, 16);

export const isIndexed = (kind: string): kind is (typeof INDEXED_KINDS)[number] =>
  (INDEXED_KINDS as readonly string[]).includes(kind);

export const tagOf = ({ body, salt, subject }: SubjectEntry): LackingTag => ({
  body,
  salt,
  subject,
});

/** Below 0 where the first place comes before the second on the ledger. */
export const comparePlaces = (a: EntryPlace, b: EntryPlace): number =>
  a.height - b.height || a.transaction - b.transaction || a.entry - b.entry;

export const byPlace = ({ place: a }: CatalogueItem, { place: b }: CatalogueItem): number =>
  comparePlaces(a, b);

export const isPresent = (item: IndexItem): item is CatalogueItem => item.manifest !== undefined;

/** Whether it is an access to be reviewed, or a review. */
export const isReview = ({ review, op }: Manifest): boolean => review === true || op === "reviewed";
