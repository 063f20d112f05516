import { fromHex } from "../../bytes/hex.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { toEntryId, toRecordId, type EntryId, type RecordId } from "../../codec/ids.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import type { ListedResource } from "../entries/source-names.ts";
import type { Filed, SealedEntry } from "../entries/filing.ts";
import type { Subject, Subjects } from "../entries/subjects.ts";
import type { Labeller } from "../../consent/labels/labeller.ts";
import type { WorkerThreads } from "../workers.ts";
import type { Described } from "./describe-entry.ts";
import type { Describing } from "./describe-record.ts";
import type { KeptResources } from "./kept.ts";
import { newestOf, type RecordVersions, type VersionTools } from "./record-versions.ts";
import type { Action, PlannedRecord, SentDeletion, SentVersion } from "./source-plan.ts";
import type { Proposals } from "../persons/proposals.ts";
import type { Sources } from "./sources.ts";

/** Dependencies of filing resources. */
export interface BundleTools extends VersionTools {
  readonly subjects: Subjects;
  readonly sources: Sources;
  readonly proposals: Proposals;
  readonly kept: KeptResources;
  readonly versions: RecordVersions;
  readonly described: Describing;
  readonly labeller: Labeller;
  /** Other threads that describe and label; without them, this one does. */
  readonly workers?: WorkerThreads | undefined;
  /** Takes in newly filed entries, now or later. */
  readonly keepUp: () => Promise<void>;
  /** Clock, in ms since 1970. */
  readonly now: () => number;
}

/** Something that a source sent, and where it stood in the input. */
export type SentItem = (
  | (SentVersion & {
      readonly subject: Subject;
      readonly text: Uint8Array;
      /** Describes it, when it is to be filed; `undefined` if it cannot be sealed. */
      readonly describe: () => Promise<Described | undefined>;
      /** The labels that its description would have, without the rest; `undefined` if it cannot be labelled. */
      readonly labels: () => Promise<ResourceLabels | null | undefined>;
    })
  | SentDeletion
) & { readonly resource: ListedResource; readonly index: number };

/** A version of a resource that its source sent. */
export type SentVersionItem = SentItem & { readonly kind: "version" };

/** What became of something that a source sent. */
export type Outcome =
  | {
      readonly does: "create" | "amend" | "retract";
      readonly sent: SentItem;
      readonly record: RecordId;
      readonly entry: EntryId;
      readonly place: EntryPlace;
      readonly subject: Subject;
      readonly labels: ResourceLabels | null;
      /** The entry that it follows. */
      readonly amends: EntryId | undefined;
      readonly byArrival: boolean;
    }
  | {
      readonly does: "know";
      readonly sent: SentItem;
      readonly as: "recorded" | "newer" | "ended";
      readonly record: RecordId;
      readonly entry: EntryId;
      readonly subject: Subject;
    }
  | { readonly does: "skip"; readonly sent: SentItem; readonly why: string };

/** Follows and stops the filing. */
export interface FilingProgress {
  readonly mix: boolean;
  readonly fields: boolean;
  readonly signal: AbortSignal | undefined;
  /** Called before many things that were sent are described. */
  readonly ahead?: (wanted: readonly SentItem[]) => void;
  /** Whether something of the call is on the ledger already. */
  readonly hasWritten: () => boolean;
  /** Called with the outcomes of each transaction, once it is durable. */
  readonly tell: (outcomes: readonly Outcome[]) => void;
  /** Called with the number of sealed entries that are not durable yet. */
  readonly sealed: (waiting: number) => void;
}

/** Versions and deletions of one resource, in their order. */
export interface Unit {
  readonly resource: ListedResource;
  readonly sent: readonly SentItem[];
}

/** What is to be done about a record. */
export type Acting = Extract<Action<SentItem>, { readonly does: "create" | "amend" | "retract" }>;
/** What is to be written. */
export type Writing = Acting | Extract<Action<SentItem>, { readonly does: "remember" }>;

/** Whether something is to be done about a record. */
export const isActing = (action: Action<SentItem>): action is Acting =>
  action.does === "create" || action.does === "amend" || action.does === "retract";

/** Whether something is to be written. */
export const isWriting = (action: Action<SentItem>): action is Writing =>
  isActing(action) || action.does === "remember";

/** Why something that a source sent is not recorded. */
export const WHY_SKIPPED = {
  "deleted later": "its source deleted a later version",
  "several servers": "its source has several servers with such a resource: it needs a fullUrl",
  "not on record": "it was deleted at its source, and is not on record",
} as const;

/** The person whom a record of a plan is about. */
export const subjectOf = ({ person }: PlannedRecord): Subject => ({ local: fromHex(person) });

/** What became of everything, once what was to be written is durable. */
export function outcomesOf(
  actions: readonly Action<SentItem>[],
  writing: readonly Writing[],
  sealed: readonly SealedEntry[],
  places: readonly Filed[],
): readonly Outcome[] {
  const at = new Map(writing.map((action, i) => [action as Action<SentItem>, i]));
  const made = new Map<PlannedRecord, { readonly record: RecordId; newest: EntryId }>();
  return actions.map((action): Outcome => {
    const { sent } = action;
    if (action.does === "skip") return { does: "skip", sent, why: WHY_SKIPPED[action.why] };
    if (action.does === "remember") {
      return { does: "skip", sent, why: WHY_SKIPPED["not on record"] };
    }
    const { on } = action;
    const subject = subjectOf(on);
    const before = made.get(on) ?? onLedger(on);
    if (action.does === "know") {
      return {
        does: "know",
        sent,
        as: action.as,
        subject,
        record: before!.record,
        entry: before!.newest,
      };
    }
    const filed = places[at.get(action)!]!;
    const record = before?.record ?? toRecordId(filed.id);
    const entry = toEntryId(filed.id);
    made.set(on, { record, newest: entry });
    return {
      ...{ does: action.does, sent, record, entry, place: filed.place, subject },
      amends: before?.newest,
      labels: sealed[at.get(action)!]!.manifest.labels ?? null,
      byArrival: action.does !== "retract" && action.byArrival,
    };
  });
}

/** The record and its newest entry, if it is on the ledger. */
export const onLedger = ({
  record,
}: PlannedRecord): { readonly record: RecordId; readonly newest: EntryId } | undefined =>
  record && { record: record.record, newest: toEntryId(newestOf(record)) };

/** Units without some of what was sent. */
export const withoutSent = (units: readonly Unit[], gone: ReadonlySet<SentItem>): readonly Unit[] =>
  units
    .map(({ resource, sent }) => ({ resource, sent: sent.filter((one) => !gone.has(one)) }))
    .filter(({ sent }) => sent.length > 0);

/** Units with only some of what was sent. */
export const onlySent = (units: readonly Unit[], kept: ReadonlySet<SentItem>): readonly Unit[] =>
  withoutSent(units, new Set(units.flatMap(({ sent }) => sent.filter((one) => !kept.has(one)))));
