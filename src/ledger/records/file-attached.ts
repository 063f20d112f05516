import { endOf } from "./seal-sent.ts";
import {
  onLedger,
  subjectOf,
  withoutSent,
  type Acting,
  type BundleTools,
  type FilingProgress,
  type SentVersionItem,
  type Unit,
} from "./sent.ts";

/**
 * Changes a record whose attachments must be sealed again, which takes a transaction of its own.
 *
 * @returns what is left to be filed
 */
export async function fileAttached(
  action: Acting,
  units: readonly Unit[],
  { fields, tell }: FilingProgress,
  { versions, contents, described }: BundleTools,
): Promise<readonly Unit[]> {
  const { on, sent, does } = action;
  const subject = subjectOf(on);
  const about = action.does === "retract" ? undefined : await versionOf(action).describe();
  if (does !== "retract" && about === undefined) {
    tell([{ does: "skip", sent, why: "it cannot be sealed" }]);
    return withoutSent(units, new Set([sent]));
  }
  const { record, newest } = onLedger(on)!;
  const done = await versions.change(record, async (living) => {
    if (action.does === "retract") return versions.appendVersion(living, endOf(sent, action.why));
    const attachments = await contents.attachedTo(living);
    const correction = await described.corrected(living, about!.manifest);
    const { text } = versionOf(action);
    return versions.amend(living, correction, { text, fields, attachments });
  });
  const told = { does, sent, record, subject, amends: newest, byArrival: false };
  tell([{ ...told, entry: done.entry, place: done.place, labels: done.labels }]);
  // The next look-up finds the others whose records end, and the end of what was entered in error.
  if (does === "retract" || versionOf(action).isError) return units;
  return withoutSent(units, new Set([sent]));
}

const versionOf = ({ sent }: Acting): SentVersionItem => sent as SentVersionItem;
