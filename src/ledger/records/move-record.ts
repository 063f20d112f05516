import { toEntryId } from "../../codec/ids.ts";
import { afterWriting } from "../../storage/settle.ts";
import type { Filing } from "../entries/filing.ts";
import type { Subject } from "../entries/subjects.ts";
import { sourceOf } from "./current-record.ts";
import { describe } from "./describe-record.ts";
import type { RecordContents } from "./record-content.ts";
import {
  changedMeanwhile,
  newestOf,
  version,
  type LivingRecord,
  type RecordedVersion,
  type RecordVersions,
} from "./record-versions.ts";

/** Files a record's content under another person, and ends the original record. */
export async function moveRecord(
  record: LivingRecord,
  to: Subject,
  reason: string,
  {
    versions,
    filing,
    contents,
  }: {
    readonly versions: RecordVersions;
    readonly filing: Filing;
    readonly contents: RecordContents;
  },
): Promise<RecordedVersion> {
  const { findBy, appendVersion, amend, concurrentEntries, assertKept } = versions;
  const { labels } = record;
  const replaces = newestOf(record);
  const end = { replaces: toEntryId(replaces), reason };
  const manifest = { op: "reattribute", ...end, ...describe(record) } as const;
  const copy = await contents.copyOf(record);
  const [filed, ended] = await contents.prepare(to, manifest, copy, async (content) => {
    // The record may have been erased while its attachments were being sealed.
    if (content.upload !== undefined) await findBy(replaces);
    const moved = await contents.seal(to, manifest, content);
    const gone = await contents.seal(record.subject, {
      op: "retract",
      ...end,
      ...sourceOf(record),
    });
    return filing.fileAlone([moved, gone]);
  });
  const unseen = await afterWriting(async () => {
    const others = await concurrentEntries(record.subject, ended!.id, replaces);
    await assertKept(replaces, [
      { subject: to, id: filed!.id },
      { subject: record.subject, id: ended!.id },
    ]);
    return others;
  });
  if (unseen.length === 0) return version(filed!, labels);
  return afterWriting(async () => {
    const there: LivingRecord = { ...(await findBy(filed!.id)) };
    if (unseen.some(({ manifest: { op } }) => op === "retract")) {
      // The record had ended or been moved elsewhere: this copy must not exist beside that.
      await appendVersion(there, { op: "retract", reason });
      throw changedMeanwhile();
    }
    const last = await findBy(replaces);
    return amend(there, { op: "amend", ...describe(last) }, await contents.copyOf(last));
  });
}
