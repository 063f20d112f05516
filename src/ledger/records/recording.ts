import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import {
  recordIdBytes,
  toEntryId,
  toRecordId,
  type EntryId,
  type RecordId,
} from "../../codec/ids.ts";
import type { LabelOptions, Labeller } from "../../consent/labels/labeller.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import { InputError, StorageError } from "../../errors.ts";
import {
  bundleSteps,
  readSteps,
  type BundleProblem,
  type ResourceText,
} from "../../fhir/bundle.ts";
import { describeSteps } from "../../fhir/manifest.ts";
import type { FhirResource } from "../../fhir/resource.ts";
import { bySlices, giveTurn } from "../../loop/give-turn.ts";
import { findPersons } from "./bundle-persons.ts";
import { assertAttachments, type Attachment, type AttachmentInput } from "./attachments.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { lostEntry } from "../entries/own-envelope.ts";
import {
  MAX_BYTES_TOGETHER,
  MAX_FILED_TOGETHER,
  sizeOfSealed,
  type Filed,
  type Filing,
  type SealedEntry,
} from "../entries/filing.ts";
import { sortIncoming, type KnownRecord } from "./known.ts";
import { labelBySlices, labelsWithin } from "./label-context.ts";
import { MAX_URL, type Manifest } from "../entries/manifest.ts";
import type { RecordContent, RecordContents, UploadProgress } from "./record-content.ts";
import {
  currentRecords,
  giveRecord,
  type CurrentRecord,
  type FoldedRecord,
} from "./current-record.ts";
import type { PersonIdentifier, Subject, Subjects } from "../entries/subjects.ts";
import { afterWriting } from "../../storage/settle.ts";
import { assertAbout, assertSamePerson } from "./same-person.ts";
import { besideAttachments, freshLabels, isSameLabels } from "./fresh-labels.ts";
import { personName, sharedOfAll, type Turns } from "../turns.ts";
import { isOwn, uniteLabels } from "../../consent/labels/unite-labels.ts";

/** FHIR JSON: as UTF-8 bytes or a string, which keep every digit, or parsed. */
export type ResourceInput = Uint8Array | string | FhirResource;

/** A version of a record that was filed. */
export interface RecordedVersion {
  /** Names the record through all its versions. */
  readonly id: RecordId;
  /** Names the entry of this version. */
  readonly entry: EntryId;
  readonly place: EntryPlace;
  /** Labels that consent will judge it by; `null` where nothing could be told. */
  readonly labels: ResourceLabels | null;
}

export interface RecordOptions extends UploadProgress {
  /**
   * Labels to use instead of the labeller's. An amendment without them keeps those that somebody
   * else than the labeller had set, beside the labeller's.
   */
  readonly labels?: ResourceLabels | null;
  /**
   * Bytes that belong to the resource, such as a PDF or the images of a study: at most 250, sealed
   * as they come, in constant memory, whatever their length. An amendment without them keeps those
   * that were there, by sealing them again; with `[]` it has none.
   */
  readonly attachments?: readonly AttachmentInput[];
  /** Lets whoever is given the record prove single values of it to others. Default `false`. */
  readonly fields?: boolean;
}

export interface BundleOptions {
  /**
   * Told after every 25 resources that were sealed and after each transaction: how many resources there
   * are to record, how many are sealed, and how many of those are durable.
   */
  readonly onProgress?: (progress: {
    readonly done: number;
    readonly sealed: number;
    readonly total: number;
  }) => void;
  /**
   * Ends it before the next transaction is written. Those before it stand, and `onProgress` was told of
   * them; so do persons who were made known.
   */
  readonly signal?: AbortSignal;
  /**
   * Files every entry as a transaction of its own, so that transactions say nothing of who it is
   * about; slower. Default `false`: then entries of one transaction may be presumed to concern one
   * person.
   */
  readonly mix?: boolean;
  /** As in {@link RecordOptions}, for every resource. */
  readonly fields?: boolean;
}

/** What became of a bundle. */
export interface RecordedBundle {
  /** What was recorded now. */
  readonly recorded: readonly (RecordedVersion & {
    readonly subject: Subject;
    readonly type: string;
    /** Place in `Bundle.entry`. */
    readonly index: number;
    /** Of a newer version of a record: the entry that was its newest before. */
    readonly amends?: EntryId;
  })[];
  /**
   * What was on record already, and was not recorded again: the text itself, or a newer version at
   * its address (`fullUrl` on a server). What was erased is not known, and recorded anew.
   */
  readonly known: readonly (KnownRecord & {
    readonly subject: Subject;
    readonly type: string;
    /** Place in `Bundle.entry`. */
    readonly index: number;
  })[];
  /** Persons found in the bundle, each filed under an identifier of theirs. */
  readonly subjects: readonly {
    readonly identifier: PersonIdentifier;
    readonly subject: Subject;
  }[];
  /**
   * Resources that are about no patient, or about one without identifier, or of whom his numbers do not
   * tell which person known here he is; that do not stand any more, or that stand in the bundle twice.
   */
  readonly skipped: readonly {
    readonly type: string;
    readonly index: number;
    readonly why: string;
  }[];
  readonly problems: readonly BundleProblem[];
}

/** Seals records and files them. */
export interface Recording {
  record(subject: Subject, input: ResourceInput, options?: RecordOptions): Promise<RecordedVersion>;
  /** Files a new version of a record that is there, named by the id of any of its entries. */
  amend(id: RecordId, input: ResourceInput, options?: RecordOptions): Promise<RecordedVersion>;
  recordBundle(
    subject: Subject | null,
    bundle: Uint8Array | string | FhirResource,
    options?: BundleOptions,
  ): Promise<RecordedBundle>;
  relabel(record: RecordId, labels?: ResourceLabels | null): Promise<RecordedVersion>;
  /** Labels anew by the current rules; `undefined` where that changes nothing. */
  refreshLabels(record: RecordId, former?: Labeller): Promise<RecordedVersion | undefined>;
  retract(record: RecordId, reason: string): Promise<RecordedVersion>;
  reattribute(record: RecordId, to: Subject, reason: string): Promise<RecordedVersion>;
  /** A person's records as they stand now. */
  list(subject: Subject): Promise<readonly CurrentRecord[]>;
  /** The newest content of a record: its exact FHIR JSON. */
  read(id: RecordId): Promise<Uint8Array>;
  /** What is attached to the newest content. */
  attachments(id: RecordId): Promise<readonly Attachment[]>;
}

/** A resource of a bundle that is to be filed. */
interface ToFile {
  readonly index: number;
  readonly type: string;
  readonly text: Uint8Array;
  readonly subject: Subject;
  readonly manifest: Pick<Manifest, "mediaType" | "resource" | "fullUrl"> & {
    readonly labels: ResourceLabels | null;
  };
  /** Bytes of the manifest that creates the record, but for whom it is about. */
  readonly draft: Uint8Array;
}

/** Resources of a bundle that are sealed between two calls of `onProgress`. */
const PROGRESS_EVERY = 25;

/** Why a resource of a bundle is not recorded although its text could be, by what was found. */
const NOT_FILED: Readonly<Partial<Record<BundleProblem["code"], string>>> = {
  superseded: "a newer version of it is in the bundle",
  deleted: "it was deleted",
  "not-a-write": "the bundle asks to read, delete or patch it",
  "several-patients": "it is about several patients",
  "other-patient": "it leads to another patient than the one that it names",
};

const FHIR_JSON = "application/fhir+json";

/** What describes a correction, and the labels that its author gave. */
interface Correction extends Pick<Manifest, "mediaType" | "resource"> {
  readonly labels: ResourceLabels | null;
  readonly given?: ResourceLabels | null | undefined;
  readonly attachments?: readonly unknown[] | undefined;
}

type LivingRecord = FoldedRecord & { readonly subject: Subject };

const changedMeanwhile = (): StorageError =>
  new StorageError("ERR_STORAGE_CONFLICT", "another process changed this record meanwhile");

const wasErased = (): StorageError =>
  new StorageError("ERR_STORAGE_ERASED", "this record was erased");

function assertReason(reason: unknown): void {
  if (typeof reason !== "string" || reason.length > 4096 || reason.includes("\0")) {
    throw new InputError(
      "ERR_INPUT_INVALID",
      "a reason is a string of at most 4096 characters without U+0000",
    );
  }
}

function assertLiving({ retracted }: FoldedRecord): void {
  if (retracted) throw new InputError("ERR_INPUT_INVALID", "this record was retracted or moved");
}

/** Id of the entry that the next one about a record follows. */
const newestOf = ({ history }: FoldedRecord): Uint8Array => history.at(-1)!.id;

/** Starts recording. */
export function createRecording(options: {
  readonly catalogue: Catalogue;
  readonly filing: Filing;
  readonly subjects: Subjects;
  readonly labeller: Labeller;
  readonly turns: Turns;
  readonly contents: RecordContents;
  /** Destroys what was filed about a record while it was erased. */
  readonly abandon: (subject: Subject, ids: readonly Uint8Array[]) => Promise<void>;
  /** Clock, in ms since 1970. */
  readonly now: () => number;
}): Recording {
  const { catalogue, filing, subjects, labeller, turns, contents, abandon, now } = options;

  async function manifestOf(
    { resource }: ResourceText,
    labels: ResourceLabels | null | undefined,
    within: LabelOptions = {},
  ): Promise<ToFile["manifest"]> {
    return {
      mediaType: FHIR_JSON,
      resource: await bySlices(describeSteps(resource)),
      labels: labels === undefined ? await labelBySlices(labeller, resource, within) : labels,
    };
  }

  /** The labeller's labels for a record's newest content. */
  async function labelsOf(head: CatalogueItem): Promise<ResourceLabels | null> {
    const { resource } = await bySlices(readSteps(await contents.textOf(head)));
    const labels = await labelBySlices(labeller, resource);
    return besideAttachments(labels, head.manifest.attachments);
  }

  /** Takes in what was filed, now or later: what is recorded is acknowledged whatever comes of it. */
  const keepUp = (): Promise<void> => catalogue.keepUp().catch(() => undefined);

  /** The record that an entry belongs to, as it is now. */
  async function findBy(id: Uint8Array): Promise<LivingRecord> {
    await catalogue.catchUp();
    const found = await catalogue.find(id);
    if (found.status === "erased") {
      throw wasErased();
    }
    if (found.status === "lost") throw lostEntry(found.kind, id);
    if (found.status === "missing" || found.item.kind !== "record") {
      throw new StorageError("ERR_STORAGE_MISSING", "this custodian has no such record");
    }
    const subject = { local: found.item.manifest.local };
    const records = currentRecords(await catalogue.itemsOf(subject.local));
    for (const record of records.values()) {
      if (record.history.some((item) => equalBytes(item.id, id))) return { ...record, subject };
    }
    throw new StorageError("ERR_STORAGE_MISSING", "the record's first version is not there");
  }

  /** The record with an id, as it is now. */
  async function find(id: RecordId): Promise<LivingRecord> {
    const found = await findBy(recordIdBytes(id));
    if (found.record === id) return found;
    throw new InputError(
      "ERR_INPUT_INVALID",
      "this names one version of a record: the record has the id of the entry that created it",
    );
  }

  /**
   * Changes a record while nobody else in this process does. Nor are the persons forgotten
   * meanwhile.
   */
  async function change<T>(
    id: RecordId,
    work: (record: LivingRecord) => Promise<T>,
    ...others: readonly Subject[]
  ): Promise<T> {
    const { record, subject } = await find(id);
    const people = [subject, ...others].map(personName);
    return sharedOfAll(turns, people, () =>
      turns.exclusive(`record ${record}`, async () => {
        const living = await find(id);
        assertLiving(living);
        return work(living);
      }),
    );
  }

  /** What another process filed about a record, unseen, before this entry that follows another. */
  async function concurrentEntries(
    subject: Subject,
    entry: Uint8Array,
    replaces: Uint8Array,
  ): Promise<readonly CatalogueItem[]> {
    await catalogue.catchUp();
    for (const { history } of currentRecords(await catalogue.itemsOf(subject.local)).values()) {
      const ids = history.map(({ id }) => toHex(id));
      const at = ids.indexOf(toHex(entry));
      if (at >= 0) return history.slice(ids.indexOf(toHex(replaces)) + 1, at);
    }
    return [];
  }

  /** What was filed; the first version of a record unless it is said of which one. */
  const version = (
    { id, place }: Filed,
    labels: ResourceLabels | null,
    record: RecordId = toRecordId(id),
  ): RecordedVersion => ({ id: record, entry: toEntryId(id), place, labels });

  /**
   * Makes sure that an entry was not erased, unseen, before others followed it: they would outlive
   * what they follow.
   */
  async function assertKept(
    replaces: Uint8Array,
    followers: readonly { readonly subject: Subject; readonly id: Uint8Array }[],
  ): Promise<void> {
    if ((await catalogue.find(replaces)).status !== "erased") return;
    for (const { subject, id } of followers) await abandon(subject, [id]);
    throw wasErased();
  }

  /** Files one operation on a record that is there. */
  async function appendVersion(
    record: LivingRecord,
    manifest: Omit<Manifest, "v" | "local" | "replaces">,
    content?: RecordContent,
  ): Promise<RecordedVersion> {
    const replaces = newestOf(record);
    const prepared = content?.upload?.manifest.replaces;
    if (prepared !== undefined) {
      // Somebody may have been quicker while the attachments were sealed.
      const current = await findBy(replaces);
      if (prepared !== toEntryId(newestOf(current))) throw changedMeanwhile();
    }
    const full = { ...manifest, replaces: toEntryId(replaces) };
    const sealed = await contents.seal(record.subject, full, content);
    const filed = (await filing.file([sealed]))[0]!;
    const unseen = await afterWriting(async () => {
      const others = await concurrentEntries(record.subject, filed.id, replaces);
      await assertKept(replaces, [{ subject: record.subject, id: filed.id }]);
      return others;
    });
    if (manifest.op !== "retract" && unseen.length > 0) throw changedMeanwhile();
    return version(filed, manifest.labels ?? null, record.record);
  }

  /** The labels of a correction that brings none. */
  async function keptLabels(
    record: LivingRecord,
    fresh: ResourceLabels | null,
  ): Promise<ResourceLabels | null> {
    const { head, labels: current } = record;
    if (current?.stamp != null && isOwn(current.stamp, labeller)) return fresh;
    return uniteLabels(fresh, current, await labelsOf(head), labeller);
  }

  /** Files a record's content under another person, and ends it where it was. */
  async function move(record: LivingRecord, to: Subject, reason: string): Promise<RecordedVersion> {
    const { labels } = record;
    const replaces = newestOf(record);
    const end = { replaces: toEntryId(replaces), reason };
    const manifest = { op: "reattribute", ...end, ...describe(record) } as const;
    const copy = await contents.copyOf(record);
    const [filed, ended] = await contents.prepare(to, manifest, copy, async (content) => {
      // It may have been erased while its attachments were sealed.
      if (content.upload !== undefined) await findBy(replaces);
      const moved = await contents.seal(to, manifest, content);
      const gone = await contents.seal(record.subject, { op: "retract", ...end });
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
        // It had ended, or was moved elsewhere: this copy must not stand beside that.
        await appendVersion(there, { op: "retract", reason });
        throw changedMeanwhile();
      }
      const last = await findBy(replaces);
      return amend(there, { op: "amend", ...describe(last) }, await contents.copyOf(last));
    });
  }

  /** Its labels by the current rules, and by the person's other records. */
  async function freshLabelsOf(
    record: LivingRecord,
    former?: Labeller,
  ): Promise<ResourceLabels | null> {
    const among = currentRecords(await catalogue.itemsOf(record.subject.local)).values();
    return freshLabels(record, { labeller, former, among: [...among], textOf: contents.textOf });
  }

  /** The labeller's labels; what somebody found who left open what else there is stays. */
  async function labellersOwn(record: LivingRecord): Promise<ResourceLabels | null> {
    if (record.labels !== null && record.labels.stamp === null) return freshLabelsOf(record);
    return labelsOf(record.head);
  }

  /** Files a correction of a record that is there. */
  const amend = async (
    record: LivingRecord,
    manifest: Omit<Manifest, "v" | "local" | "replaces">,
    content: RecordContent,
  ): Promise<RecordedVersion> => {
    const full = { ...manifest, replaces: toEntryId(newestOf(record)) };
    return contents.prepare(record.subject, full, content, (ready) =>
      appendVersion(record, manifest, ready),
    );
  };

  /** A record stays where it stood: by that its references are read. */
  const addressOf = ({ manifest: { fullUrl } }: CatalogueItem): Pick<Manifest, "fullUrl"> =>
    fullUrl === undefined ? {} : { fullUrl };

  /** The manifest of a correction; without labels of its own it keeps what others had set. */
  async function corrected(
    record: LivingRecord,
    subject: Subject,
    { given, attachments = record.head.manifest.attachments, ...manifest }: Correction,
  ) {
    if (toHex(record.subject.local) !== toHex(subject.local)) {
      throw new InputError("ERR_INPUT_INVALID", "the amended record is about another person");
    }
    const correction = { op: "amend", ...manifest, ...addressOf(record.head) } as const;
    if (given !== undefined) return { ...correction, labels: given };
    const kept = await keptLabels(record, manifest.labels);
    return { ...correction, labels: besideAttachments(kept, attachments) };
  }

  const describe = ({ head, labels }: FoldedRecord) => ({
    labels,
    mediaType: head.manifest.mediaType ?? FHIR_JSON,
    ...(head.manifest.resource === undefined ? {} : { resource: head.manifest.resource }),
    ...addressOf(head),
  });

  return {
    async record(subject, input, { labels, attachments, ...how } = {}) {
      if (attachments !== undefined) assertAttachments(attachments);
      const text = await bySlices(readSteps(input));
      await assertAbout(subject, text.resource, { subjects, now: now() });
      const manifest = await manifestOf(text, labels);
      const given = labels === undefined ? besideAttachments(manifest.labels, attachments) : labels;
      const create = { op: "create", ...manifest, labels: given } as const;
      const all = { text: text.text, ...how, attachments: attachments ?? [] };
      return contents.prepare(subject, create, all, (ready) =>
        turns.shared(personName(subject), async () => {
          const [filed] = await filing.file([await contents.seal(subject, create, ready)]);
          await keepUp();
          return version(filed!, create.labels);
        }),
      );
    },
    async amend(id, input, { labels, attachments, ...how } = {}) {
      if (attachments !== undefined) assertAttachments(attachments);
      const text = await bySlices(readSteps(input));
      const before = await find(id);
      await assertAbout(before.subject, text.resource, { subjects, now: now() });
      const manifest = await manifestOf(text, labels);
      const content = { text: text.text, ...how };
      const amended = (record: LivingRecord) =>
        corrected(record, before.subject, { ...manifest, given: labels, attachments });
      if (attachments === undefined || attachments.length === 0) {
        return change(id, async (record) => {
          const correction = await amended(record);
          const attached = attachments ?? (await contents.attachedTo(record));
          return amend(record, correction, { ...content, attachments: attached });
        });
      }
      // Others need not wait for what may take minutes; if one was quicker, it is noticed.
      assertLiving(before);
      const correction = await amended(before);
      const full = { ...correction, replaces: toEntryId(newestOf(before)) };
      return contents.prepare(before.subject, full, { ...content, attachments }, (ready) =>
        change(id, (record) => appendVersion(record, correction, ready)),
      );
    },
    async recordBundle(subject, input, { onProgress, signal, mix = false, fields = false } = {}) {
      const bundle = await bySlices(bundleSteps(input, { now: now() }));
      const within = labelsWithin(bundle);
      const manifests = new Map<number, Pick<ToFile, "manifest" | "draft">>();
      for (const { index, resource, text, patients, fullUrl = "" } of bundle.resources) {
        if (patients.length !== 1) continue;
        const address = fullUrl === "" || fullUrl.length > MAX_URL ? {} : { fullUrl };
        const described = await manifestOf({ resource, text }, undefined, within);
        const manifest = { ...described, ...address };
        // Before anything is written: one that cannot be recorded must not leave others half recorded.
        const path = `Bundle.entry[${index}].resource`;
        const create = { op: "create", ...manifest } as const;
        const draft = await bySlices(contents.assertSealable(create, { text, fields }, path));
        manifests.set(index, { manifest, draft });
        await giveTurn();
        signal?.throwIfAborted();
      }
      if (subject !== null && bundle.patients.length > 1) {
        throw new InputError(
          "ERR_INPUT_INVALID",
          "the bundle is about several patients: pass null to file each under his own identifier",
        );
      }
      if (subject !== null) {
        await assertSamePerson(subject, bundle.patients, { subjects, now: now() });
      }
      const { people, byPatient, inDoubt } =
        subject === null
          ? await findPersons(bundle.patients, { subjects, signal })
          : {
              people: [],
              byPatient: new Map(bundle.patients.map((_, place) => [place, subject])),
              inDoubt: new Set<number>(),
            };
      const whyNot = new Map<string, string>();
      const unresolved = new Set<string>();
      for (const { code, path } of bundle.problems) {
        const why = NOT_FILED[code];
        if (why !== undefined) whyNot.set(path, why);
        if (code === "unresolved-patient") unresolved.add(path);
      }
      const skipped: { type: string; index: number; why: string }[] = [];
      const doubts: BundleProblem[] = [];
      const mine: ToFile[] = [];
      for (const { index, resource, text, patients } of bundle.resources) {
        const path = `Bundle.entry[${index}]`;
        const reason = whyNot.get(path);
        const person = patients.length === 1 ? byPatient.get(patients[0]!) : undefined;
        if (person !== undefined && reason === undefined) {
          const { resourceType: type } = resource;
          mine.push({ index, type, text, subject: person, ...manifests.get(index)! });
          continue;
        }
        const nobody = unresolved.has(path)
          ? "it cannot be told whom it is about"
          : "it is about no patient";
        const isDoubted = patients.some((place) => inDoubt.has(place));
        if (isDoubted && reason === undefined) doubts.push({ code: "unresolved-patient", path });
        const unknown = isDoubted
          ? "its patient's numbers do not tell which of the persons known here he is"
          : "its patient has no identifier";
        const whose = patients.length === 0 ? nobody : unknown;
        skipped.push({ type: resource.resourceType, index, why: reason ?? whose });
      }
      const problems = [...bundle.problems, ...doubts];
      await catalogue.catchUp();
      const sorted = await sortIncoming(mine, catalogue, contents.textOf);
      const { fresh: toFile, changed } = sorted;
      for (const { type, index } of sorted.repeated) {
        skipped.push({ type, index, why: "the same stands in the bundle before it" });
      }
      const known = sorted.known.map(({ one: { subject: person, type, index }, known: found }) => ({
        ...{ ...found, subject: person, type, index },
      }));
      const total = toFile.length + changed.length;
      const recorded: RecordedBundle["recorded"][number][] = [];
      const tell = (waiting: number): void => {
        const done = recorded.length;
        onProgress?.({ done, sealed: done + waiting, total });
      };
      for (let at = 0; at < toFile.length;) {
        signal?.throwIfAborted();
        const some = toFile.slice(at, at + MAX_FILED_TOGETHER);
        const people = some.map((one) => personName(one.subject));
        const sealSome = async (seal: RecordContents["seal"]): Promise<SealedEntry[]> => {
          const sealed: SealedEntry[] = [];
          let bytes = 0;
          for (const { manifest, draft, text, subject: person } of some) {
            if (bytes > MAX_BYTES_TOGETHER) break;
            const content = { text, fields, attachments: [], draft };
            sealed.push(await seal(person, { op: "create", ...manifest }, content));
            bytes += sizeOfSealed(sealed.at(-1)!);
            if (sealed.length % PROGRESS_EVERY === 0) tell(sealed.length);
            await giveTurn();
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
        // Of several transactions some may stand when one fails.
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
      for (const { one, record: id, amends } of changed) {
        signal?.throwIfAborted();
        const { text, subject: person, type, index, manifest } = one;
        const correct = () =>
          change(id, async (record) => {
            const attachments = await contents.attachedTo(record);
            const correction = await corrected(record, person, manifest);
            return amend(record, correction, { text, fields, attachments });
          });
        const done = await (recorded.length === 0 ? correct() : afterWriting(correct));
        recorded.push({ ...done, subject: person, type, index, amends });
        tell(0);
      }
      return { recorded, known, subjects: people, skipped, problems };
    },
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
            throw new InputError("ERR_INPUT_INVALID", "the record is about this person already");
          }
          return move(record, to, reason);
        },
        to,
      );
    },
    async list(subject) {
      await subjects.assertKnown(subject);
      const items = await catalogue.itemsOf(subject.local, ["erase", "record"]);
      return Array.from(currentRecords(items).values(), giveRecord);
    },
    read: async (id) => contents.textOf((await find(id)).head),
    attachments: async (id) => contents.attachmentsOf(await find(id)),
  };
}
