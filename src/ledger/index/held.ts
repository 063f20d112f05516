import { decodeManifest, type ManifestBrief } from "../entries/manifest.ts";
import type { IndexItem } from "./rows.ts";

/** {@link Held.page} of an entry that is in the head of its list. */
export const IN_HEAD = -1;

/** An entry about a person, as memory holds it. */
export interface Held {
  /** Without its manifest as long as `brief` stands in for it. */
  item: IndexItem;
  /** The page that holds it, or {@link IN_HEAD}; `undefined` while it is in memory only. */
  page: number | undefined;
  /**
   * The manifest's bytes, if they were made in this process and are in no page yet, or are not
   * decoded yet.
   */
  encoded: Uint8Array | undefined;
  /**
   * What is looked up in a manifest that was not decoded yet. Most manifests that this process
   * sealed are never asked for, and their objects are several times as large as their bytes.
   */
  brief: ManifestBrief | undefined;
}

/** An entry as it was read. */
export const heldFrom = (item: IndexItem, page: number): Held => ({
  ...{ item, page, encoded: undefined, brief: undefined },
});

/** The parts of {@link Held} that the manifest is known from. */
export type HeldManifest = Pick<Held, "item"> & Partial<Pick<Held, "encoded" | "brief">>;

/** What is looked up in an entry's manifest; `undefined` if the entry was erased. */
export const briefOfHeld = ({ item, brief }: HeldManifest): ManifestBrief | undefined =>
  brief ?? item.manifest;

/** The entry with its manifest, which is decoded now if it was not before. */
export function wholeItem(held: HeldManifest): IndexItem {
  if (held.brief !== undefined) {
    held.item = { ...held.item, manifest: decodeManifest(held.encoded!) };
    held.brief = undefined;
    if ("page" in held && held.page !== undefined) held.encoded = undefined;
  }
  return held.item;
}
