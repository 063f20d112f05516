import { toEntryId, type EntryId } from "../../codec/ids.ts";
import { giveTurn } from "../../loop/give-turn.ts";
import type { SealedEntry } from "../entries/filing.ts";
import type { ManifestOf, RecordContents } from "./record-content.ts";
import { newestOf } from "./record-versions.ts";
import {
  subjectOf,
  type Acting,
  type BundleTools,
  type Described,
  type FilingProgress,
  type SentItem,
  type SentVersionItem,
  type Writing,
} from "./sent.ts";
import type { PlannedRecord } from "./source-plan.ts";

/** Resources sealed between two calls of `onProgress`. */
export const PROGRESS_EVERY = 25;
/** Seals the entries of a transaction; each about a record follows the one before it. */
export function sealSent(
  writing: readonly Writing[],
  described: ReadonlyMap<SentItem, Described | undefined>,
  { fields, signal, sealed: tell }: FilingProgress,
  tools: BundleTools,
): Promise<readonly SealedEntry[]> {
  const newest = new Map<PlannedRecord, EntryId>();
  return tools.contents.sealMany(async (seal) => {
    const all: SealedEntry[] = [];
    for (const action of writing) {
      const { sent } = action;
      if (action.does === "remember") {
        all.push(await tools.sources.sealDeletion(sent.resource, sent.stated));
      } else {
        const { on } = action;
        const follows = newest.get(on) ?? (on.record && toEntryId(newestOf(on.record)));
        const replaces = follows === undefined ? {} : { replaces: follows };
        const one =
          action.does === "retract"
            ? await seal(subjectOf(on), { ...endOf(sent, action.why), ...replaces })
            : await sealVersion(seal, action, described.get(sent)!, replaces);
        newest.set(on, toEntryId(one.id));
        all.push(one);
      }
      if (all.length % PROGRESS_EVERY === 0) tell(all.length);
      await giveTurn();
      signal?.throwIfAborted();
    }
    return all;
  });

  async function sealVersion(
    seal: RecordContents["seal"],
    { does, on, sent }: Acting,
    { manifest, draft }: Described,
    replaces: Pick<ManifestOf, "replaces">,
  ): Promise<SealedEntry> {
    const { text } = sent as SentVersionItem;
    // Of persons who are joined, the record stays with the one whom it was filed about.
    const subject = subjectOf(on);
    const content = { text, fields, attachments: [] };
    if (does === "create") {
      return seal(subject, { op: "create", ...manifest }, { ...content, draft });
    }
    const correction =
      on.record === undefined
        ? { op: "amend" as const, ...manifest }
        : await tools.described.corrected({ ...on.record, subject }, manifest);
    return seal(subject, { ...correction, ...replaces }, content);
  }
}

/** The operation that ends a record at its source. */
export function endOf(
  { resource, stated }: SentItem,
  why: "deleted" | "entered in error",
): ManifestOf {
  const { source: name, type, id } = resource;
  const reason = why === "deleted" ? "deleted at its source" : "entered in error at its source";
  return { op: "retract", reason, source: { name, type, id }, ending: stated };
}
