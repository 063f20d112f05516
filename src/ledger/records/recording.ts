import { toHex } from "../../bytes/hex.ts";
import { toEntryId, type RecordId } from "../../codec/ids.ts";
import type { Labeller } from "../../consent/labels/labeller.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import { InputError } from "../../errors.ts";
import { readSteps } from "../../fhir/bundle.ts";
import type { FhirResource } from "../../fhir/resource.ts";
import { bySlices } from "../../loop/give-turn.ts";
import type { Subject, Subjects } from "../entries/subjects.ts";
import { personName } from "../turns.ts";
import type { LedgerContext } from "../context.ts";
import { createAssigning, type Assigning } from "./assigning.ts";
import { assertAttachments, type Attachment, type AttachmentInput } from "./attachments.ts";
import { describing } from "./describe-record.ts";
import { besideAttachments, isSameLabels } from "./fresh-labels.ts";
import { openKept } from "./kept.ts";
import { marksAlone } from "./marks.ts";
import { moveRecord } from "./move-record.ts";
import type { BundleOptions, RecordedBundle } from "./bundle-options.ts";
import type { NdjsonInput } from "./ndjson-lines.ts";
import { assertReason } from "./reason.ts";
import { recordBundle } from "./record-tree.ts";
import { recordNdjson, type NdjsonOptions, type RecordedNdjson } from "./record-ndjson.ts";
import type { UploadProgress } from "./record-content.ts";
import {
  assertLiving,
  newestOf,
  recordVersions,
  version,
  type LivingRecord,
  type RecordedVersion,
  type VersionTools,
} from "./record-versions.ts";
import { recordOnce } from "./record-once.ts";
import { assertAbout } from "./same-person.ts";
import type { BundleTools } from "./sent.ts";
import type { Proposals } from "../persons/proposals.ts";
import type { Sources } from "./sources.ts";

/** FHIR JSON: as UTF-8 bytes or a string, which preserve every digit, or parsed. */
export type ResourceInput = Uint8Array | string | FhirResource;

export interface RecordOptions extends UploadProgress {
  /**
   * Labels to use instead of the labeller's. An amendment without them keeps those set by anyone
   * other than the labeller, in addition to the labeller's.
   */
  readonly labels?: ResourceLabels | null;
  /**
   * Bytes that belong to the resource, such as a PDF or the images of a study: at most 250
   * attachments, sealed as they arrive, in constant memory, whatever their length. An amendment
   * without this option keeps the existing attachments by sealing them again; with `[]` it has
   * none.
   */
  readonly attachments?: readonly AttachmentInput[];
  /** Lets recipients of the record prove single values of it to others. Default `false`. */
  readonly fields?: boolean;
}

export interface RecordOnceOptions extends RecordOptions {
  /**
   * A name of the caller's for this recording, 1 to 256 characters: calling again with the same key for
   * the same person records nothing, and gives the version that the first call recorded, whatever was
   * done to the record since. Another text, or other media types of attachments, is refused. Once the
   * record is erased, the key is unused.
   */
  readonly idempotencyKey?: string;
}

/** Seals records and files them. */
export interface Recording extends Assigning {
  record(
    subject: Subject,
    input: ResourceInput,
    options?: RecordOnceOptions,
  ): Promise<RecordedVersion>;
  /** Files a new version of an existing record, named by the id of any of its entries. */
  amend(id: RecordId, input: ResourceInput, options?: RecordOptions): Promise<RecordedVersion>;
  recordBundle(
    subject: Subject | null,
    bundle: Uint8Array | string | FhirResource,
    options?: BundleOptions,
  ): Promise<RecordedBundle>;
  recordNdjson(input: NdjsonInput, options: NdjsonOptions): Promise<RecordedNdjson>;
  relabel(record: RecordId, labels?: ResourceLabels | null): Promise<RecordedVersion>;
  /** Relabels by the current rules; `undefined` if that changes nothing. */
  refreshLabels(record: RecordId, former?: Labeller): Promise<RecordedVersion | undefined>;
  retract(record: RecordId, reason: string): Promise<RecordedVersion>;
  reattribute(record: RecordId, to: Subject, reason: string): Promise<RecordedVersion>;
  /** The newest content of a record: its exact FHIR JSON. */
  read(id: RecordId): Promise<Uint8Array>;
  /** The attachments of the newest content. */
  attachments(id: RecordId): Promise<readonly Attachment[]>;
}

/** Starts recording. */
export function createRecording(
  context: LedgerContext,
  options: VersionTools & {
    readonly subjects: Subjects;
    readonly sources: Sources;
    readonly proposals: Proposals;
    readonly labeller: Labeller;
    /** Clock, in ms since 1970. */
    readonly now: () => number;
  },
): Recording {
  const { catalogue, filing, subjects, sources, turns, contents, now } = options;
  const versions = recordVersions(options);
  const { find, change, appendVersion, amend } = versions;
  const described = describing(options);
  const { manifestOf, corrected, freshLabelsOf, labellersOwn } = described;

  /**
   * Takes in newly filed entries, now or later: the recording is acknowledged even if this fails.
   */
  const keepUp = (): Promise<void> => catalogue.keepUp().catch(() => undefined);

  const kept = openKept(context, { catalogue });
  const { workers } = context;
  const tools: BundleTools = { ...options, kept, versions, described, keepUp, workers };

  return {
    ...createAssigning(context, tools),
    async record(subject, input, { labels, attachments, idempotencyKey, ...how } = {}) {
      if (attachments !== undefined) assertAttachments(attachments);
      const idempotency =
        idempotencyKey === undefined ? undefined : sources.keyOf(subject, idempotencyKey);
      const text = await bySlices(readSteps(input));
      await assertAbout(subject, text.resource, { subjects, now: now() });
      const marks = await marksAlone(text.resource, now());
      const manifest = { ...(await manifestOf(text, labels)), ...marks };
      const given = labels === undefined ? besideAttachments(manifest.labels, attachments) : labels;
      const create = {
        op: "create" as const,
        ...{ ...manifest, labels: given },
        ...(idempotency === undefined ? {} : { idempotency }),
      };
      const all = { text: text.text, ...how, attachments: attachments ?? [] };
      const file = () =>
        contents.prepare(subject, create, all, (ready) =>
          turns.shared(personName(subject), async () => {
            const [filed] = await filing.file([await contents.seal(subject, create, ready)]);
            await keepUp();
            return version(filed!, create.labels);
          }),
        );
      if (idempotency === undefined) return file();
      const keyed = { subject, key: idempotencyKey!, idempotency, ...all };
      return recordOnce(context, file, keyed, tools);
    },
    async amend(id, input, { labels, attachments, ...how } = {}) {
      if (attachments !== undefined) assertAttachments(attachments);
      const text = await bySlices(readSteps(input));
      const before = await find(id);
      await assertAbout(before.subject, text.resource, { subjects, now: now() });
      const marks = await marksAlone(text.resource, now());
      const manifest = { ...(await manifestOf(text, labels)), ...marks };
      const content = { text: text.text, ...how };
      const amended = (record: LivingRecord) =>
        corrected(record, { ...manifest, given: labels, attachments });
      if (attachments === undefined || attachments.length === 0) {
        return change(id, async (record) => {
          const correction = await amended(record);
          const attached = attachments ?? (await contents.attachedTo(record));
          return amend(record, correction, { ...content, attachments: attached });
        });
      }
      // Others need not wait for work that may take minutes; a concurrent change is noticed.
      assertLiving(before);
      const correction = await amended(before);
      const full = { ...correction, replaces: toEntryId(newestOf(before)) };
      return contents.prepare(before.subject, full, { ...content, attachments }, (ready) =>
        change(id, (record) => appendVersion(record, correction, ready)),
      );
    },
    recordBundle: (subject, input, how) => recordBundle(subject, input, tools, how),
    recordNdjson: (input, how) => recordNdjson(input, tools, how),
    relabel: (id, labels) =>
      change(id, async (record) => {
        const given = labels === undefined ? await labellersOwn(record) : labels;
        return appendVersion(record, { op: "relabel", labels: given });
      }),
    refreshLabels: (id, former) =>
      change(id, async (record) => {
        const labels = await freshLabelsOf(record, former);
        if (isSameLabels(labels, record.labels)) return undefined;
        return appendVersion(record, { op: "relabel", labels });
      }),
    retract: (id, reason) =>
      change(id, async (record) => {
        assertReason(reason);
        return appendVersion(record, { op: "retract", reason });
      }),
    async reattribute(id, to, reason) {
      assertReason(reason);
      return change(
        id,
        async (record) => {
          if (toHex(record.subject.local) === toHex(to.local)) {
            throw new InputError("ERR_INPUT_INVALID", "the record is already about this person");
          }
          return moveRecord(record, to, reason, { versions, filing, contents });
        },
        to,
      );
    },
    read: async (id) => contents.textOf((await find(id)).head),
    attachments: async (id) => contents.attachmentsOf(await find(id)),
  };
}
