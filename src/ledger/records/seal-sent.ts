import { toEntryId, type EntryId } from "../../codec/ids.ts";
import type { SealedEntry } from "../entries/filing.ts";
import type { Described } from "./describe-entry.ts";
import type { ManifestOf } from "./draft.ts";
import type { RecordToSeal } from "./record-content.ts";
import { newestOf } from "./record-versions.ts";
import {
  subjectOf,
  type Acting,
  type BundleTools,
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
  const { most, bytes: mostBytes } = tools.contents.together;
  return tools.contents.sealMany(async (seal) => {
    const all: SealedEntry[] = [];
    const waiting = new Map<PlannedRecord, RecordToSeal>();
    let bytes = 0;

    async function sealWaiting(): Promise<void> {
      const sealed = await seal([...waiting.values()]);
      for (const [i, on] of [...waiting.keys()].entries()) {
        newest.set(on, toEntryId(sealed[i]!.id));
        add(sealed[i]!);
      }
      waiting.clear();
      bytes = 0;
      signal?.throwIfAborted();
    }

    function add(one: SealedEntry): void {
      all.push(one);
      if (all.length % PROGRESS_EVERY === 0) tell(all.length);
    }

    for (const action of writing) {
      const { sent } = action;
      const isFull = waiting.size === most || bytes > mostBytes;
      // An entry names the one that it follows.
      if (isFull || action.does === "remember" || waiting.has(action.on)) await sealWaiting();
      if (action.does === "remember") {
        add(await tools.sources.sealDeletion(sent.resource, sent));
        continue;
      }
      const { on } = action;
      const follows = newest.get(on) ?? (on.record && toEntryId(newestOf(on.record)));
      const replaces = follows === undefined ? {} : { replaces: follows };
      waiting.set(
        on,
        action.does === "retract"
          ? { subject: subjectOf(on), manifest: { ...endOf(sent, action.why), ...replaces } }
          : await versionOf(action, described.get(sent)!, replaces),
      );
      if (sent.kind === "version") bytes += sent.text.length;
    }
    await sealWaiting();
    return all;
  });

  async function versionOf(
    { does, on, sent }: Acting,
    { manifest, draft }: Described,
    replaces: Pick<ManifestOf, "replaces">,
  ): Promise<RecordToSeal> {
    const { text } = sent as SentVersionItem;
    // Of persons who are joined, the record stays with the one whom it was filed about.
    const subject = subjectOf(on);
    const content = { text, fields, attachments: [] };
    if (does === "create") {
      return { subject, manifest: { op: "create", ...manifest }, content: { ...content, draft } };
    }
    const correction =
      on.record === undefined
        ? { op: "amend" as const, ...manifest }
        : await tools.described.corrected({ ...on.record, subject }, manifest);
    return { subject, manifest: { ...correction, ...replaces }, content };
  }
}

/** The operation that ends a record at its source. */
export function endOf(
  { resource, stated }: SentItem,
  why: "deleted" | "entered in error",
): ManifestOf {
  const { source: name, type, id, copy } = resource;
  const mark = copy === undefined ? {} : { nobody: "served" as const };
  const reason = why === "deleted" ? "deleted at its source" : "entered in error at its source";
  return { op: "retract", reason, source: { name, type, id }, ...mark, ending: stated };
}
