import { afterWriting } from "../../storage/settle.ts";
import {
  MAX_BYTES_TOGETHER,
  MAX_FILED_TOGETHER,
  sizeOfSealed,
  type SealedEntry,
} from "../entries/filing.ts";
import type { Subject } from "../entries/subjects.ts";
import { personName, sharedOfAll } from "../turns.ts";
import type { BundleOptions, RecordedBundle } from "./bundle-options.ts";
import type { Described } from "./describe-entry.ts";
import { sortIncoming, type Sorted } from "./known.ts";
import type { RecordContents, SealTogether } from "./record-content.ts";
import { version } from "./record-versions.ts";
import { PROGRESS_EVERY } from "./seal-sent.ts";
import type { BundleTools } from "./sent.ts";

/** A resource of a bundle that is to be filed. */
export interface ToFile extends Described {
  readonly index: number;
  readonly type: string;
  readonly text: Uint8Array;
  readonly subject: Subject;
}

/** Lists of what became of resources. */
interface Outcomes extends Progress {
  readonly known: RecordedBundle["known"][number][];
  readonly skipped: RecordedBundle["skipped"][number][];
}

/** Files resources that are known by their text, or by their address on a server. */
export async function fileKnownByText(
  mine: readonly ToFile[],
  { known, skipped, ...progress }: Outcomes,
  options: BundleOptions,
  tools: BundleTools,
): Promise<void> {
  const { catalogue, contents } = tools;
  await catalogue.catchUp();
  const sorted = await sortIncoming(mine, catalogue, contents.textOf);
  for (const { type, index } of sorted.repeated) {
    skipped.push({ type, index, why: "the same resource occurs earlier in the bundle" });
  }
  for (const { one, known: found } of sorted.known) {
    const { subject, type, index } = one;
    known.push({ ...found, subject, type, index });
  }
  await fileFresh(sorted.fresh, progress, options, tools);
  await amendChanged(sorted.changed, progress, options, tools);
}

/** The progress so far, and whom to report it to. */
export interface Progress {
  readonly recorded: RecordedBundle["recorded"][number][];
  /** @param waiting - how many more are sealed */
  readonly tell: (waiting: number) => void;
}

/** Files resources that are not on record, in batches. */
async function fileFresh(
  toFile: readonly ToFile[],
  { recorded, tell }: Progress,
  { signal, mix = false, fields = false }: BundleOptions,
  { contents, filing, turns, keepUp }: BundleTools,
): Promise<void> {
  for (let at = 0; at < toFile.length;) {
    signal?.throwIfAborted();
    const some = toFile.slice(at, at + MAX_FILED_TOGETHER);
    const people = some.map((one) => personName(one.subject));
    const sealSome = async (seal: SealTogether): Promise<readonly SealedEntry[]> => {
      const sealed: SealedEntry[] = [];
      let bytes = 0;
      while (sealed.length < some.length && bytes <= MAX_BYTES_TOGETHER) {
        const next = sealableTogether(some, sealed.length, contents.together);
        const fresh = await seal(
          next.map(({ subject: person, manifest, text, draft }) => ({
            subject: person,
            manifest: { op: "create", ...manifest },
            content: { text, fields, attachments: [], draft },
          })),
        );
        for (const one of fresh) {
          sealed.push(one);
          bytes += sizeOfSealed(one);
          if (sealed.length % PROGRESS_EVERY === 0) tell(sealed.length);
        }
        signal?.throwIfAborted();
      }
      return sealed;
    };
    const file = async () => {
      const sealed = await contents.sealMany(sealSome);
      const filed = mix
        ? (await Promise.all(sealed.map((one) => filing.fileAlone([one])))).flat()
        : await filing.fileAlone(sealed);
      return { sealed, filed };
    };
    const fileInTurn = () => sharedOfAll(turns, people, file);
    // If one of several transactions fails, others may have been filed.
    const { sealed, filed } =
      at === 0 && !mix ? await fileInTurn() : await afterWriting(fileInTurn);
    const chunk = toFile.slice(at, (at += sealed.length));
    await keepUp();
    for (const [i, one] of filed.entries()) {
      const { subject: person, type, index } = chunk[i]!;
      const labels = sealed[i]!.manifest.labels ?? null;
      recorded.push({ ...version(one, labels), subject: person, type, index });
    }
    tell(0);
  }
}

/** The resources from one on that are sealed together: at least one. */
function sealableTogether(
  all: readonly ToFile[],
  from: number,
  { most, bytes: mostBytes }: RecordContents["together"],
): readonly ToFile[] {
  let bytes = all[from]!.text.length;
  let to = from + 1;
  while (to < all.length && to - from < most) {
    bytes += all[to]!.text.length;
    if (bytes > mostBytes) break;
    to++;
  }
  return all.slice(from, to);
}

/** Files newer versions of existing records. */
async function amendChanged(
  changed: Sorted<ToFile>["changed"],
  { recorded, tell }: Progress,
  { signal, fields = false }: BundleOptions,
  { contents, versions, described }: BundleTools,
): Promise<void> {
  for (const { one, record: id, amends } of changed) {
    signal?.throwIfAborted();
    const { text, type, index, manifest } = one;
    const correct = () =>
      versions.change(id, async (record) => {
        const attachments = await contents.attachedTo(record);
        const correction = await described.corrected(record, manifest);
        const amended = await versions.amend(record, correction, { text, fields, attachments });
        // Of persons who are joined, the record stays with the one whom it was filed about.
        return { ...amended, subject: record.subject };
      });
    const done = await (recorded.length === 0 ? correct() : afterWriting(correct));
    recorded.push({ ...done, type, index, amends });
    tell(0);
  }
}
