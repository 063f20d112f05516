import { toHex } from "../../bytes/hex.ts";
import type { RecordId } from "../../codec/ids.ts";
import { compareVersions, type StatedVersion } from "../../fhir/version-order.ts";
import type { SourceVersion } from "../entries/manifest.ts";
import type { FoldedRecord } from "./current-record.ts";
import { baseOf, ofServer, type OnRecord } from "./sources.ts";

/** A version of a resource that its source sends. */
export interface SentVersion {
  readonly kind: "version";
  /** Name of the person that it is about. */
  readonly person: string;
  readonly stated: StatedVersion;
  /** Keyed digest of its text, as hex. */
  readonly digest: string;
  readonly isError: boolean;
  /** URL of its server, if the entry states it. */
  readonly base: string | undefined;
}

/** A deletion that a source sends. */
export interface SentDeletion {
  readonly kind: "deletion";
  /** The only person whose records may end; all persons, if it is `undefined`. */
  readonly person: string | undefined;
  readonly stated: StatedVersion;
  readonly base: string | undefined;
}

export type Sent = SentVersion | SentDeletion;

/** A record on the ledger, or one that the plan creates. */
export interface PlannedRecord {
  readonly person: string;
  /** As it is on the ledger; `undefined` for one that the plan creates. */
  readonly record: FoldedRecord | undefined;
  base: string | undefined;
  stated: StatedVersion;
  /** Digest of its newest content; `undefined` if it is not known. */
  digest: string | undefined;
  readonly digests: Set<string>;
  isEnded: boolean;
  /** Set if its source ended it. */
  ended: SourceVersion | undefined;
}

/** What is to be done about what a source sent. */
export type Action<T extends Sent> =
  | ({ readonly does: "create" | "amend"; readonly sent: T; readonly on: PlannedRecord } & {
      /** It is current because it came last: nothing says that it is newer. */
      readonly byArrival: boolean;
    })
  | {
      readonly does: "retract";
      readonly sent: T;
      readonly on: PlannedRecord;
      readonly why: "deleted" | "entered in error";
    }
  | { readonly does: "remember"; readonly sent: T }
  | {
      readonly does: "know";
      readonly sent: T;
      readonly on: PlannedRecord;
      readonly as: "recorded" | "newer" | "ended";
    }
  /** A version older than a deletion of a resource that was never on record. */
  | { readonly does: "skip"; readonly sent: T; readonly why: "deleted later" | "several servers" }
  /** A deletion of what is not on record, of which nothing needs to be remembered. */
  | { readonly does: "skip"; readonly sent: T; readonly why: "not on record" };

/**
 * Plans what to do about the versions and deletions of one resource that its source sent, in their
 * order.
 *
 * @param isOne - whether two persons are the same, or joined
 */
export function planSent<T extends Sent>(
  sent: readonly T[],
  known: OnRecord,
  isOne: (person: string, other: string) => boolean = (person, other) => person === other,
): readonly Action<T>[] {
  const records = Array.from(known.byPerson, ([person, theirs]) =>
    theirs.filter(({ repeats }) => repeats === undefined).map((one) => onLedger(person, one)),
  ).flat();
  const deletions = [...known.deletions];
  const actions: Action<T>[] = [];

  const deletionOf = (one: T & SentDeletion): void => {
    const { person, stated, base } = one;
    const theirs = records.filter((own) => person === undefined || isOne(own.person, person));
    const meant = ofServer(theirs, base);
    if (new Set(meant.flatMap((own) => own.base ?? [])).size > 1) {
      actions.push({ does: "skip", sent: one, why: "several servers" });
      return;
    }
    for (const on of meant) {
      if (on.isEnded) actions.push({ does: "know", sent: one, on, as: "ended" });
      else if (compareVersions(stated, on.stated) === "older") {
        actions.push({ does: "know", sent: one, on, as: "newer" });
      } else {
        on.isEnded = true;
        on.ended = stated;
        actions.push({ does: "retract", sent: one, on, why: "deleted" });
      }
    }
    if (meant.length > 0) return;
    const isStated = stated.versionId !== undefined || stated.lastUpdated !== undefined;
    const isNews = deletions.every(
      (other) =>
        (other.base !== undefined && other.base !== base) || !isNotNewer(stated, other.stated),
    );
    if (isStated && isNews && person === undefined) {
      deletions.push({ stated, base });
      actions.push({ does: "remember", sent: one });
    } else {
      actions.push({ does: "skip", sent: one, why: "not on record" });
    }
  };

  const versionOf = (one: T & SentVersion): void => {
    const { person, stated, digest, base } = one;
    // Those of the person last: a newer version goes to them rather than to somebody joined with them.
    const all = records
      .filter((own) => isOne(own.person, person))
      .sort((one, other) => Number(one.person === person) - Number(other.person === person));
    const theirs = ofServer(all, base);
    const servers = new Set(theirs.flatMap((own) => own.base ?? []));
    if (servers.size > 1) {
      actions.push({ does: "skip", sent: one, why: "several servers" });
      return;
    }
    const living = theirs.findLast(({ isEnded }) => !isEnded);
    if (living !== undefined) return change(one, living);
    const same = theirs.find(({ digests }) => digests.has(digest));
    const last = same ?? theirs.at(-1);
    const isOver = (before: StatedVersion): boolean => isNotNewer(stated, before);
    if (last !== undefined) {
      const isFinal = last === same || last.ended === undefined;
      if (isFinal || isOver(last.ended!) || isOver(last.stated)) {
        actions.push({ does: "know", sent: one, on: last, as: "ended" });
        return;
      }
    }
    const gone = ofServer(deletions, base).map((deletion) => deletion.stated);
    if (gone.some(isOver)) {
      actions.push({ does: "skip", sent: one, why: "deleted later" });
      return;
    }
    const before = [...(last === undefined ? [] : [last.ended!, last.stated]), ...gone];
    const isNewer = before.some((it) => compareVersions(stated, it) === "newer");
    const on: PlannedRecord = {
      ...{ person, record: undefined, base, stated, digest, digests: new Set([digest]) },
      ...{ isEnded: false, ended: undefined },
    };
    records.push(on);
    actions.push({ does: "create", sent: one, on, byArrival: before.length > 0 && !isNewer });
    endIfError(one, on);
  };

  /** A version of a record that has not ended. */
  const change = (one: T & SentVersion, on: PlannedRecord): void => {
    const { stated, digest, base } = one;
    if (on.digests.has(digest)) {
      actions.push({
        ...{ does: "know", sent: one, on },
        as: on.digest === digest ? "recorded" : "newer",
      });
      // A break may have kept the record's end from being filed.
      if (on.digest === digest) endIfError(one, on);
      return;
    }
    const order = compareVersions(stated, on.stated);
    if (order === "older") {
      actions.push({ does: "know", sent: one, on, as: "newer" });
      return;
    }
    on.stated = stated;
    on.digest = digest;
    on.digests.add(digest);
    on.base ??= base;
    actions.push({ does: "amend", sent: one, on, byArrival: order !== "newer" });
    endIfError(one, on);
  };

  const endIfError = (one: T & SentVersion, on: PlannedRecord): void => {
    if (!one.isError) return;
    on.isEnded = true;
    on.ended = one.stated;
    actions.push({ does: "retract", sent: one, on, why: "entered in error" });
  };

  for (const one of sent) {
    if (one.kind === "deletion") deletionOf(one as T & SentDeletion);
    else versionOf(one as T & SentVersion);
  }
  return actions;
}

const isNotNewer = (one: StatedVersion, other: StatedVersion): boolean => {
  const order = compareVersions(one, other);
  return order === "older" || order === "same";
};

function onLedger(person: string, record: FoldedRecord): PlannedRecord {
  const { head, history, retracted } = record;
  const digestOf = ({ manifest: { source } }: (typeof history)[number]): string | undefined =>
    source?.text === undefined ? undefined : toHex(source.text);
  return {
    person,
    record,
    base: baseOf(record),
    stated: head.manifest.resource ?? {},
    digest: digestOf(head),
    digests: new Set(history.map(digestOf).filter((digest) => digest !== undefined)),
    isEnded: retracted,
    ended: history.findLast(({ manifest: { op } }) => op === "retract")?.manifest.ending,
  };
}

/** The id of a record of a plan, if it is on the ledger. */
export const idOf = ({ record }: PlannedRecord): RecordId | undefined => record?.record;
