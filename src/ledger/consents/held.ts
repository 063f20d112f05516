import type { CID } from "../../codec/cid.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import type { Directive } from "../../consent/model/model.ts";
import type { DirectiveWitness } from "../../consent/model/witness.ts";
import { equalBytes } from "../../bytes/compare.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { CONSENT_PARTS, decodeFiledForm, namingEntry, openParts } from "./read-consents.ts";
import type { LedgerContext } from "../context.ts";
import type { Subject } from "../entries/subjects.ts";
import { isUnreadable } from "./unreadable-directives.ts";

/** A directive that is kept but does not count, because this custodian does not trust its witness. */
export interface HeldContent {
  /** Names the link entry that keeps it. */
  readonly id: EntryId;
  /** When it was kept, by the ledger's time, in ms since 1970. */
  readonly recordedAt: number;
  readonly cid: CID;
  readonly directive: Directive;
  readonly witness: DirectiveWitness;
  /** The directive as delivered; call `receive` with it again once its witness is trusted. */
  readonly signed: Uint8Array;
  readonly salt: Uint8Array;
}

/**
 * Lists the delivered directives about a person that are held, oldest first. A directive that was filed
 * meanwhile is no longer held.
 */
export async function readHeld(
  context: LedgerContext,
  catalogue: Catalogue,
  subject: Subject,
): Promise<readonly HeldContent[]> {
  const held: HeldContent[] = [];
  const filed: Uint8Array[] = [];
  for (const item of await catalogue.itemsOf(subject.local, ["consent", "erase", "link"])) {
    const isHeld = item.kind === "link" && item.manifest.op === "held";
    if (!isHeld && item.kind !== "consent") continue;
    const parts = await openParts(context, catalogue, item, CONSENT_PARTS).catch(
      (error: unknown) => {
        // An unreadable filed directive must not hide a held one.
        if (isHeld || !isUnreadable(error)) throw error;
      },
    );
    if (parts === undefined) continue;
    const signed = parts.get("content")!;
    if (!isHeld) {
      filed.push(signed);
      continue;
    }
    const form = await namingEntry(item, () => decodeFiledForm(signed));
    if (form.kind !== "witnessed") continue;
    const { by, user, form: how, takenAt } = form.witness;
    held.push({
      id: toEntryId(item.id),
      recordedAt: item.recordedAt,
      cid: form.cid,
      directive: form.directive,
      witness: { by, user, form: how, takenAt, doubted: true },
      signed,
      salt: parts.get("salt")!,
    });
  }
  return held.filter(({ signed }) => !filed.some((one) => equalBytes(one, signed)));
}

/** The readable entry that holds this delivered directive about a person, if there is one. */
export async function findHeld(
  context: LedgerContext,
  catalogue: Catalogue,
  { local }: Subject,
  signed: Uint8Array,
): Promise<CatalogueItem | undefined> {
  for (const item of await catalogue.itemsOf(local, ["erase", "link"])) {
    if (item.kind !== "link" || item.manifest.op !== "held") continue;
    try {
      const parts = await openParts(context, catalogue, item, ["content"]);
      if (parts !== undefined && equalBytes(parts.get("content")!, signed)) return item;
    } catch (error) {
      if (!isUnreadable(error)) throw error;
    }
  }
  return undefined;
}
