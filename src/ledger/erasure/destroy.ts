import type { ErasureClass } from "../../block/entry.ts";
import { toEntryId } from "../../codec/ids.ts";
import { afterWriting } from "../../storage/settle.ts";
import type { LedgerContext } from "../context.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { sealEntry, type Filing } from "../entries/filing.ts";
import { entitledField, erasedField } from "../entries/entitlements.ts";
import type { Manifest } from "../entries/manifest.ts";
import type { Subject } from "../entries/subjects.ts";
import type { CarryingOut, Outcome } from "./carry-out.ts";
import { encodeErasure, type Erasure } from "./erasure-entry.ts";
import { unfinishedErasures } from "./unfinished.ts";

/** Most entries that one erase entry names. */
const MOST_TARGETS = 2000;

/** An erase entry, and what it destroyed. */
export interface Destroyed {
  readonly id: Uint8Array;
  readonly erased: readonly Uint8Array[];
  readonly outcome: readonly Outcome[];
}

/** An entry to destroy, with its manifest if that is known. */
export type Target = Pick<CatalogueItem, "id"> & Partial<Pick<CatalogueItem, "manifest">>;

/** Dependencies of the destruction of entries. */
export interface DestroyTools {
  readonly catalogue: Catalogue;
  readonly filing: Filing;
  readonly carryingOut: CarryingOut;
}

/** Files erase entries for the targets, as many as it takes, and destroys the targets. */
export async function destroyEntries(
  context: LedgerContext,
  tools: DestroyTools,
  subject: Subject,
  what: ErasureClass,
  targets: readonly Target[],
  { reason, forget }: { readonly reason: string; readonly forget: boolean },
): Promise<readonly Destroyed[]> {
  const done: Destroyed[] = [];
  let at = 0;
  do {
    const some = targets.slice(at, at + MOST_TARGETS);
    const ids = some.map(({ id }) => id);
    at += MOST_TARGETS;
    const more = at < targets.length;
    const content = { class: what, targets: ids, reason, forget: forget && !more, more };
    const write = () => destroyTogether(context, tools, subject, content, erasedField(some));
    done.push(await (done.length === 0 ? write() : afterWriting(write)));
  } while (at < targets.length);
  return done;
}

async function destroyTogether(
  context: LedgerContext,
  { catalogue, filing, carryingOut }: DestroyTools,
  subject: Subject,
  content: Erasure,
  erased: Pick<Manifest, "erased">,
): Promise<Destroyed> {
  const { class: what, targets: ids } = content;
  const manifest: Manifest = {
    ...{ v: 1, op: "erase", local: subject.local },
    ...entitledField(context.auditors),
    ...erased,
  };
  const bytes = encodeErasure(content);
  const entry = await sealEntry(context, {
    kind: "erase",
    class: what,
    manifest,
    parts: [{ id: "content", bytes }],
  });
  catalogue.remember(entry);
  const outcome = await carryingOut.outcomeOf(entry.id, async () => {
    // In one commit with the entry, so that the next opening after a crash knows that work remains.
    const pending = { id: toEntryId(entry.id), class: what, since: context.now() };
    await filing.fileAlone([entry], [unfinishedErasures(context.vault).mark(pending)]);
    // Catching up reaches the entry and carries it out.
    await afterWriting(async () => {
      await catalogue.catchUp();
      await catalogue.flush();
    });
  });
  return { id: entry.id, erased: ids, outcome };
}
