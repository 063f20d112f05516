import { InputError } from "../../errors.ts";
import type { EntryId } from "../../codec/ids.ts";
import { bundleSteps, type BundleProblem, type BundleReading } from "../../fhir/bundle.ts";
import type { FhirResource } from "../../fhir/resource.ts";
import { bySlices, giveTurn } from "../../loop/give-turn.ts";
import { afterWriting } from "../../storage/settle.ts";
import {
  MAX_BYTES_TOGETHER,
  MAX_FILED_TOGETHER,
  sizeOfSealed,
  type SealedEntry,
} from "../entries/filing.ts";
import { MAX_URL, type Manifest } from "../entries/manifest.ts";
import type { MergeProposal, PersonIdentifier, Subject, Subjects } from "../entries/subjects.ts";
import { personName, sharedOfAll } from "../turns.ts";
import { findPersons } from "./bundle-persons.ts";
import type { Describing, Description } from "./describe-record.ts";
import { sortIncoming, type KnownRecord, type Sorted } from "./known.ts";
import { labelsWithin } from "./label-context.ts";
import type { RecordContents } from "./record-content.ts";
import {
  version,
  type RecordedVersion,
  type RecordVersions,
  type VersionTools,
} from "./record-versions.ts";
import { assertSamePerson } from "./same-person.ts";

export interface BundleOptions {
  /**
   * Called after every 25 sealed resources and after each transaction, with the number of resources
   * to record, the number sealed, and how many of those are durable.
   */
  readonly onProgress?: (progress: {
    readonly done: number;
    readonly sealed: number;
    readonly total: number;
  }) => void;
  /**
   * Stops before the next transaction is written. Earlier transactions remain, and `onProgress` was
   * called for them; persons who were made known remain too.
   */
  readonly signal?: AbortSignal;
  /**
   * Files every entry as a transaction of its own, so that transactions do not reveal whom an entry
   * is about; slower. Default `false`: then entries of one transaction may be presumed to concern
   * one person.
   */
  readonly mix?: boolean;
  /** Lets recipients of a resource prove single values of it to others. Default `false`. */
  readonly fields?: boolean;
}

/** The outcome of recording a bundle. */
export interface RecordedBundle {
  /** The resources that this call recorded. */
  readonly recorded: readonly (RecordedVersion & {
    readonly subject: Subject;
    readonly type: string;
    /** Position in `Bundle.entry`. */
    readonly index: number;
    /** For a newer version of a record: the entry that was its newest until now. */
    readonly amends?: EntryId;
  })[];
  /**
   * Resources that were on record already and were not recorded again: the same text, or a record
   * at the same address (`fullUrl` on a server) that has a newer version. An erased resource is not
   * recognised, and is recorded again.
   */
  readonly known: readonly (KnownRecord & {
    readonly subject: Subject;
    readonly type: string;
    /** Position in `Bundle.entry`. */
    readonly index: number;
  })[];
  /** Persons found in the bundle, each with one of the identifiers that they are known by. */
  readonly subjects: readonly {
    readonly identifier: PersonIdentifier;
    readonly subject: Subject;
  }[];
  /** Persons in the bundle who may be one with others known here, or with each other; nobody is merged. */
  readonly proposals: readonly MergeProposal[];
  /**
   * Resources that were skipped: they are about no patient, about a patient without an identifier,
   * or about one whose numbers do not tell which known person they are; they were deleted or
   * superseded; or they occur twice in the bundle.
   */
  readonly skipped: readonly {
    readonly type: string;
    readonly index: number;
    readonly why: string;
  }[];
  readonly problems: readonly BundleProblem[];
}

/** A resource of a bundle that is to be filed. */
interface ToFile {
  readonly index: number;
  readonly type: string;
  readonly text: Uint8Array;
  readonly subject: Subject;
  readonly manifest: Description & Pick<Manifest, "fullUrl">;
  /** Bytes of the manifest that creates the record, without the person it is about. */
  readonly draft: Uint8Array;
}

/** Resources of a bundle sealed between two calls of `onProgress`. */
const PROGRESS_EVERY = 25;

/** Why a resource of a bundle is not recorded although its text could be, by finding. */
const NOT_FILED: Readonly<Partial<Record<BundleProblem["code"], string>>> = {
  superseded: "a newer version of it is in the bundle",
  deleted: "it was deleted",
  "not-a-write": "the bundle asks to read, delete or patch it",
  "several-patients": "it is about several patients",
  "other-patient": "its references lead to a different patient from the one that it names",
};

/** Dependencies of recording a bundle. */
export interface BundleTools extends VersionTools {
  readonly subjects: Subjects;
  readonly versions: RecordVersions;
  readonly described: Describing;
  /** Takes in newly filed entries, now or later. */
  readonly keepUp: () => Promise<void>;
  /** Clock, in ms since 1970. */
  readonly now: () => number;
}

/** Records every resource of a bundle that is about one person and not yet on record. */
export async function recordBundle(
  subject: Subject | null,
  input: Uint8Array | string | FhirResource,
  tools: BundleTools,
  options: BundleOptions = {},
): Promise<RecordedBundle> {
  const { catalogue, contents, now } = tools;
  const { onProgress } = options;
  const bundle = await bySlices(bundleSteps(input, { now: now() }));
  const manifests = await describeAll(bundle, options, tools);
  const persons = await personsOf(bundle, subject, options, tools);
  const { mine, skipped, doubts } = sortOut(bundle, manifests, persons);
  const problems = [...bundle.problems, ...doubts];
  await catalogue.catchUp();
  const sorted = await sortIncoming(mine, catalogue, contents.textOf);
  const { fresh: toFile, changed } = sorted;
  for (const { type, index } of sorted.repeated) {
    skipped.push({ type, index, why: "the same resource occurs earlier in the bundle" });
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
  await fileFresh(toFile, { recorded, tell }, options, tools);
  await amendChanged(changed, { recorded, tell }, options, tools);
  const { people, proposals } = persons;
  return { recorded, known, subjects: people, proposals, skipped, problems };
}

type Described = Pick<ToFile, "manifest" | "draft">;

/**
 * Describes the resources about one patient, by index, and makes sure that each can be recorded.
 */
async function describeAll(
  bundle: BundleReading,
  { fields = false, signal }: BundleOptions,
  { contents, described }: BundleTools,
): Promise<ReadonlyMap<number, Described>> {
  const within = labelsWithin(bundle);
  const manifests = new Map<number, Described>();
  for (const { index, resource, text, patients, fullUrl = "" } of bundle.resources) {
    if (patients.length !== 1) continue;
    const address = fullUrl === "" || fullUrl.length > MAX_URL ? {} : { fullUrl };
    const said = await described.manifestOf({ resource, text }, undefined, within);
    const manifest = { ...said, ...address };
    // Before anything is written: an unrecordable resource must not leave others half recorded.
    const path = `Bundle.entry[${index}].resource`;
    const create = { op: "create", ...manifest } as const;
    const draft = await bySlices(contents.assertSealable(create, { text, fields }, path));
    manifests.set(index, { manifest, draft });
    await giveTurn();
    signal?.throwIfAborted();
  }
  return manifests;
}

/** The persons that a bundle is about. */
interface BundlePersons {
  readonly people: RecordedBundle["subjects"];
  /** By their positions in `BundleReading.patients`. */
  readonly byPatient: ReadonlyMap<number, Subject>;
  readonly inDoubt: ReadonlySet<number>;
  readonly proposals: readonly MergeProposal[];
}

async function personsOf(
  bundle: BundleReading,
  subject: Subject | null,
  { signal }: BundleOptions,
  { subjects, now }: BundleTools,
): Promise<BundlePersons> {
  if (subject === null) return findPersons(bundle.patients, { subjects, signal });
  if (bundle.patients.length > 1) {
    throw new InputError(
      "ERR_INPUT_OTHER_PERSON",
      "the bundle is about several patients: pass null to file each under their own identifier",
    );
  }
  await assertSamePerson(subject, bundle.patients, { subjects, now: now() });
  return {
    people: [],
    byPatient: new Map(bundle.patients.map((_, place) => [place, subject])),
    inDoubt: new Set<number>(),
    proposals: [],
  };
}

/** Separates the resources that may be filed from those that are skipped. */
function sortOut(
  bundle: BundleReading,
  manifests: ReadonlyMap<number, Described>,
  { byPatient, inDoubt }: BundlePersons,
) {
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
      ? "its patient's numbers do not tell which person known here they are"
      : "its patient has no identifier";
    const whose = patients.length === 0 ? nobody : unknown;
    skipped.push({ type: resource.resourceType, index, why: reason ?? whose });
  }
  return { mine, skipped, doubts };
}

/** The progress so far, and whom to report it to. */
interface Progress {
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

/** Files newer versions of existing records. */
async function amendChanged(
  changed: Sorted<ToFile>["changed"],
  { recorded, tell }: Progress,
  { signal, fields = false }: BundleOptions,
  { contents, versions, described }: BundleTools,
): Promise<void> {
  for (const { one, record: id, amends } of changed) {
    signal?.throwIfAborted();
    const { text, subject: person, type, index, manifest } = one;
    const correct = () =>
      versions.change(id, async (record) => {
        const attachments = await contents.attachedTo(record);
        const correction = await described.corrected(record, person, manifest);
        return versions.amend(record, correction, { text, fields, attachments });
      });
    const done = await (recorded.length === 0 ? correct() : afterWriting(correct));
    recorded.push({ ...done, subject: person, type, index, amends });
    tell(0);
  }
}
