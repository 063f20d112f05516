import type { CID } from "../../codec/cid.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import type { Directive } from "../../consent/model/model.ts";
import type { DirectiveWitness } from "../../consent/model/witness.ts";
import { equalBytes } from "../../bytes/compare.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { strangersLocal, type CatalogueItem } from "../entries/catalogue-item.ts";
import { CONSENT_PARTS, decodeFiledForm, namingEntry, openParts } from "./read-consents.ts";
import type { LedgerContext } from "../context.ts";
import type { Subject } from "../entries/subjects.ts";
import { decodeIdentifiers, type PersonIdentifier } from "../index/rows.ts";
import { isUnreadable } from "./unreadable-directives.ts";
import type { Witness } from "./witnessed-directive.ts";

/**
 * A delivered directive that is kept and permits nothing: nothing here vouches for it yet, or it follows what is not
 * here. From when it is vouched for, what it refuses counts.
 */
export interface HeldContent {
  /** Names the link entry that keeps it. */
  readonly id: EntryId;
  /** When it was kept, by the ledger's time, in ms since 1970. */
  readonly recordedAt: number;
  readonly cid: CID;
  readonly directive: Directive;
  /** If its grantor did not sign. */
  readonly witness?: DirectiveWitness;
  /** The directive as delivered; call `receive` with it again once its witness is trusted or its key attested. */
  readonly signed: Uint8Array;
  readonly salt: Uint8Array;
  /** The entry of the custodian that delivered it by `deliver`. */
  readonly alias?: EntryId;
  /** By what that custodian knows the person. */
  readonly identifier: PersonIdentifier;
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
    held.push(await namingEntry(item, () => contentOf(item, parts)));
  }
  return held.filter(({ signed }) => !filed.some((one) => equalBytes(one, signed)));
}

function contentOf(
  { id, recordedAt, manifest: { origin } }: CatalogueItem,
  parts: ReadonlyMap<string, Uint8Array>,
): HeldContent {
  const signed = parts.get("content")!;
  const form = decodeFiledForm(signed);
  const { cid, directive } = form;
  return {
    ...{ id: toEntryId(id), recordedAt, cid, directive, signed, salt: parts.get("salt")! },
    ...(form.kind === "signed" ? {} : { witness: doubtedWitness(form.witness) }),
    ...(origin === undefined ? {} : { alias: origin }),
    identifier: decodeIdentifiers(parts.get("identifier")!)[0]!,
  };
}

const doubtedWitness = ({ by, user, form, takenAt }: Witness): DirectiveWitness => ({
  ...{ by, user, form, takenAt, doubted: true },
});

/**
 * Lists the delivered directives that are held because nobody known here has the identifier that they commit to,
 * oldest first. Once a person has it and the directive was received about them, it is no longer listed.
 */
export async function readStrangers(
  context: LedgerContext,
  catalogue: Catalogue,
): Promise<readonly HeldContent[]> {
  await catalogue.catchUp();
  const held: HeldContent[] = [];
  for (const one of await readHeld(context, catalogue, { local: strangersLocal(context) })) {
    const local = await catalogue.personWith(one.identifier);
    if (local === undefined || !(await isReceived(context, catalogue, { local }, one))) {
      held.push(one);
    }
  }
  return held;
}

/** Whether a delivered directive was filed or held about a person. */
async function isReceived(
  context: LedgerContext,
  catalogue: Catalogue,
  person: Subject,
  { signed }: HeldContent,
): Promise<boolean> {
  if ((await findHeld(context, catalogue, person, signed)) !== undefined) return true;
  for (const item of await catalogue.itemsOf(person.local, ["consent", "erase", "link"])) {
    if (item.kind !== "consent") continue;
    const parts = await openParts(context, catalogue, item, ["content"]);
    if (parts !== undefined && equalBytes(parts.get("content")!, signed)) return true;
  }
  return false;
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
