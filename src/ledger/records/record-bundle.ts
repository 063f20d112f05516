import { toHex } from "../../bytes/hex.ts";
import { InputError } from "../../errors.ts";
import type { BundleProblem, BundleReading } from "../../fhir/bundle.ts";
import type { BundleResource } from "../../fhir/bundle.ts";
import type { BundlePatient } from "../../fhir/patients.ts";
import { serverNameIn, type ServerName } from "../../fhir/source-name.ts";
import { isEnteredInError, statedVersion } from "../../fhir/version-order.ts";
import { giveTurn } from "../../loop/give-turn.ts";
import { afterWriting } from "../../storage/settle.ts";
import type { Subject } from "../entries/subjects.ts";
import type { BundleOptions, RecordedBundle } from "./bundle-options.ts";
import { findPersons, type BundlePersons } from "./bundle-persons.ts";
import { describeEntry, type EntryContext } from "./describe-entry.ts";
import { nameOfEntry } from "./entry-name.ts";
import { fileKnownByText, type ToFile } from "./file-bundle.ts";
import { fileSent } from "./file-sent.ts";
import { labelsWithin } from "./label-context.ts";
import { openPatientNames } from "./named-patients.ts";
import { assertNamed, assertSamePerson } from "./same-person.ts";
import { findServing, type Serving } from "./serving.ts";
import type { Marks } from "./marks.ts";
import type { BundleTools, Described, FilingProgress, Outcome, SentItem } from "./sent.ts";

/** Why a resource of a bundle is not recorded although its text could be, by finding. */
const NOT_FILED: Readonly<Partial<Record<BundleProblem["code"], string>>> = {
  superseded: "a newer version of it is in the bundle",
  deleted: "it was deleted",
  "not-a-write": "the bundle asks to read, delete or patch it",
  "several-patients": "it is about several patients",
  "other-patient": "its references lead to a different patient from the one that it names",
};

/** What a source's own record of versions decides, and not the bundle alone. */
const DECIDED_BY_SOURCE: ReadonlySet<BundleProblem["code"]> = new Set(["superseded", "deleted"]);

/** Without the findings that are decided by what is on record of the source. */
export function withoutDecided(bundle: BundleReading, { source }: BundleOptions): BundleReading {
  if (source === undefined) return bundle;
  const deleted = new Set((bundle.deletions ?? []).map(({ index }) => index));
  const handled = new Set(Array.from(deleted, (index) => `Bundle.entry[${index}]`));
  return {
    ...bundle,
    resources: bundle.resources.filter(({ index }) => !deleted.has(index)),
    problems: bundle.problems.filter(
      ({ code, path }) => !DECIDED_BY_SOURCE.has(code) && !handled.has(path),
    ),
  };
}

/** How the resources of a bundle are recorded. */
export interface EntriesOptions extends BundleOptions {
  /**
   * Whether a resource that cannot be sealed is skipped, and described only when it is to be recorded; otherwise
   * such a resource keeps everything from being recorded.
   */
  readonly isLenient: boolean;
  /** What the bundle was part of, such as another Bundle: its labels may apply. */
  readonly around: readonly unknown[];
}

/** Records the resources of a bundle that was read, each by itself. */
export async function recordEntries(
  subject: Subject | null,
  bundle: BundleReading,
  tools: BundleTools,
  options: EntriesOptions,
): Promise<{ readonly said: RecordedBundle; readonly persons: BundlePersons }> {
  const { onProgress, signal, source, mix = false, fields = false, isLenient, around } = options;
  const serving = await findServing(bundle, tools.now());
  const marksOf = (one: BundleResource): Marks =>
    serving.marksOf(one, subject === null ? "served" : "filed");
  const labels = labelsWithin(bundle, around);
  const within = { within: labels, type: bundle.type, source, fields, marksOf };
  const isWanted = (one: BundleResource): boolean =>
    one.patients.length === 1 ||
    (subject === null ? serving.isServing(one) : serving.lacksPerson(one));
  const described = isLenient
    ? undefined
    : await describeAll(bundle.resources.filter(isWanted), within, signal, tools);
  const persons = await personsOf(bundle, subject, options, tools);
  const { mine, skipped, doubts } = sortOut(bundle, { subject, source }, persons, serving);
  const { sent, others } = sendersOf(mine, source, bundle.type, skipped);
  const describe = async (one: BundleResource): Promise<Described | undefined> =>
    described?.get(one.index) ?? describeLeniently(one, within, tools);

  const result = emptyResult();
  const total = mine.length;
  const tell = (waiting: number): void => {
    const done = result.recorded.length;
    onProgress?.({ done, sealed: done + waiting, total });
  };
  const toFile: ToFile[] = [];
  for (const { one, person } of others) {
    const about = await describe(one);
    const { index, text, resource } = one;
    const { resourceType: type } = resource;
    if (about === undefined) skipped.push({ type, index, why: "it cannot be sealed" });
    else toFile.push({ index, type, text, subject: person, ...about });
  }
  await fileKnownByText(toFile, { ...result, skipped, tell }, options, tools);
  const items = [
    ...sent.map(({ one, person, name }) =>
      itemOf(one, person, name, { source: source!, tools, describe }),
    ),
    ...deletionsOf(bundle, subject, source, skipped),
  ].sort((a, b) => a.index - b.index);
  await fileSent(
    items,
    bundle.type,
    {
      ...{ mix, fields, signal },
      hasWritten: () => result.recorded.length + result.retracted.length > 0,
      tell(outcomes) {
        for (const outcome of outcomes) addOutcome(outcome, { ...result, skipped });
        tell(0);
      },
      sealed: tell,
    },
    tools,
  );
  const problems = [...bundle.problems, ...doubts];
  const { people } = persons;
  const proposals = persons.proposals.map(({ subjects, because }) => ({ subjects, because }));
  return { said: { ...result, subjects: people, proposals, skipped, problems }, persons };
}

/** Records one resource of a known person, as an entry of a bundle would be. */
export async function recordOne(
  one: BundleResource,
  person: Subject,
  tools: BundleTools,
  { context, how }: { readonly context: EntryContext; readonly how: FilingProgress },
): Promise<Omit<RecordedBundle, "subjects" | "proposals" | "problems">> {
  const { type, source } = context;
  const skipped: RecordedBundle["skipped"][number][] = [];
  const result = emptyResult();
  const mine = [{ one, person }];
  const [sent] = sendersOf(mine, source, type, skipped).sent;
  const describe = (of: BundleResource) => describeLeniently(of, context, tools);
  if (sent !== undefined) {
    const item = itemOf(one, person, sent.name, { source: source!, tools, describe });
    const tell = (outcomes: readonly Outcome[]): void => {
      for (const outcome of outcomes) addOutcome(outcome, { ...result, skipped });
    };
    await fileSent([item], type, { ...how, tell }, tools);
  } else if (skipped.length === 0) {
    const { index, text, resource } = one;
    const about = await describe(one);
    if (about === undefined) {
      skipped.push({ type: resource.resourceType, index, why: "it cannot be sealed" });
    } else {
      const toFile = [{ index, type: resource.resourceType, text, subject: person, ...about }];
      const { mix, fields, signal } = how;
      const options = { mix, fields, ...(signal === undefined ? {} : { signal }) };
      await fileKnownByText(toFile, { ...result, skipped, tell: how.sealed }, options, tools);
    }
  }
  return { ...result, skipped };
}

const emptyResult = () => ({
  recorded: [] as RecordedBundle["recorded"][number][],
  retracted: [] as RecordedBundle["retracted"][number][],
  known: [] as RecordedBundle["known"][number][],
});

/** Lists what became of something that a source sent. */
function addOutcome(
  outcome: Outcome,
  into: ReturnType<typeof emptyResult> & { readonly skipped: RecordedBundle["skipped"][number][] },
): void {
  const { index, resource } = outcome.sent;
  const { type } = resource;
  if (outcome.does === "skip") {
    into.skipped.push({ type, index, why: outcome.why });
    return;
  }
  const { record: id, entry, subject } = outcome;
  if (outcome.does === "know") {
    into.known.push({ id, entry, as: outcome.as, subject, type, index });
    return;
  }
  const { place, labels, amends, byArrival } = outcome;
  const version = { id, entry, place, labels, subject, type, index };
  if (outcome.does === "retract") {
    const why = outcome.sent.kind === "deletion" ? "deleted" : "entered in error";
    into.retracted.push({ ...version, why });
    return;
  }
  into.recorded.push({
    ...version,
    ...(amends === undefined ? {} : { amends }),
    ...(byArrival ? { byArrival } : {}),
  });
}

/**
 * Describes resources, by index, and makes sure that each can be recorded.
 */
async function describeAll(
  resources: readonly BundleResource[],
  context: EntryContext,
  signal: AbortSignal | undefined,
  tools: BundleTools,
): Promise<ReadonlyMap<number, Described>> {
  const described = new Map<number, Described>();
  for (const one of resources) {
    // Before anything is written: an unrecordable resource must not leave others half recorded.
    described.set(one.index, await describeEntry(one, context, tools));
    await giveTurn();
    signal?.throwIfAborted();
  }
  return described;
}

async function describeLeniently(
  one: BundleResource,
  context: EntryContext,
  tools: BundleTools,
): Promise<Described | undefined> {
  try {
    return await describeEntry(one, context, tools);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return undefined;
  }
}

async function personsOf(
  bundle: BundleReading,
  subject: Subject | null,
  { signal, source }: BundleOptions,
  tools: BundleTools,
): Promise<BundlePersons> {
  const { subjects, proposals, now } = tools;
  const names = source === undefined ? undefined : await openPatientNames(bundle, source, tools);
  if (subject === null) {
    const found = await findPersons(bundle.patients, { subjects, proposals, signal, names });
    // Before anything is filed about them.
    await afterWriting(() => proposals.file(found.proposals));
    return found;
  }
  if (bundle.patients.length > 1) {
    throw new InputError(
      "ERR_INPUT_OTHER_PERSON",
      "the bundle is about several patients: pass null to file each under their own identifier",
    );
  }
  await assertSamePerson(subject, bundle.patients, { subjects, now: now() });
  if (names !== undefined) await assertNamed(subject, bundle.patients.keys(), { names, subjects });
  return {
    people: [],
    proposals: [],
    byPatient: new Map(bundle.patients.map((_, place) => [place, subject])),
    inDoubt: new Map(),
  };
}

/** A resource of a bundle that may be filed, and the person whom it is about. */
interface Mine {
  readonly one: BundleResource;
  readonly person: Subject;
}

/** Separates the resources that may be filed from those that are skipped. */
function sortOut(
  bundle: BundleReading,
  { subject, source }: { readonly subject: Subject | null; readonly source: string | undefined },
  { byPatient, inDoubt }: BundlePersons,
  serving: Serving,
) {
  const whyNot = new Map<string, string>();
  const unresolved = new Set<string>();
  for (const { code, path } of bundle.problems) {
    const why = NOT_FILED[code];
    if (why !== undefined) whyNot.set(path, why);
    if (code === "unresolved-patient") unresolved.add(path);
  }
  const skipped: RecordedBundle["skipped"][number][] = [];
  const doubts: BundleProblem[] = [];
  const mine: Mine[] = [];
  const nobodys: BundleResource[] = [];
  for (const one of bundle.resources) {
    const { index, resource, patients } = one;
    const path = `Bundle.entry[${index}]`;
    const reason = whyNot.get(path);
    const named = patients.length === 1 ? byPatient.get(patients[0]!) : undefined;
    const person = subject !== null && serving.lacksPerson(one) ? subject : named;
    const isOpen = person === undefined && reason === undefined && source === undefined;
    if (isOpen && serving.namesNobody(one)) {
      nobodys.push(one);
      continue;
    }
    if (person !== undefined && reason === undefined) {
      mine.push({ one, person });
      continue;
    }
    const nobody = unresolved.has(path)
      ? "it cannot be told whom it is about"
      : "it is about no patient";
    const doubt = patients.map((place) => inDoubt.get(place)).find((why) => why !== undefined);
    if (doubt !== undefined && reason === undefined) {
      doubts.push({ code: "unresolved-patient", path });
    }
    const unknown = doubt ?? whyUnknown(bundle.patients[patients[0] ?? 0], source);
    const whose = patients.length === 0 ? nobody : unknown;
    skipped.push({ type: resource.resourceType, index, why: reason ?? whose });
  }
  const served = serving.personsServed(mine);
  for (const one of nobodys) {
    const persons = served.get(one) ?? [];
    for (const person of persons) mine.push({ one, person });
    const { resource, index } = one;
    const why = "it names nobody, and nothing about a known person refers to it";
    if (persons.length === 0) skipped.push({ type: resource.resourceType, index, why });
  }
  return { mine, skipped, doubts };
}

/** Why a patient names nobody. */
function whyUnknown(patient: BundlePatient | undefined, source: string | undefined): string {
  if (patient?.resource !== undefined)
    return "its patient has no identifier that tells who they are";
  return source === undefined && serverNameIn(patient?.reference)?.type === "Patient"
    ? "its patient is named by a reference only, which names nobody without a source"
    : "its patient is not in the bundle, and has no identifier";
}

/** Separates the resources that have a name at the source from those that are known by their text. */
function sendersOf(
  mine: readonly Mine[],
  source: string | undefined,
  type: string,
  skipped: RecordedBundle["skipped"][number][],
) {
  const sent: (Mine & { readonly name: ServerName })[] = [];
  const others: Mine[] = [];
  for (const one of mine) {
    const name = source === undefined ? undefined : nameOfEntry(one.one, type);
    if (name === undefined) others.push(one);
    else if (name !== "unclear") sent.push({ ...one, name });
    else {
      const { resource, index } = one.one;
      const why = "its id, its fullUrl and its request name different resources";
      skipped.push({ type: resource.resourceType, index, why });
    }
  }
  return { sent, others };
}

function itemOf(
  one: BundleResource,
  subject: Subject,
  { type, id, base }: ServerName,
  how: {
    readonly source: string;
    readonly tools: BundleTools;
    readonly describe: (one: BundleResource) => Promise<Described | undefined>;
  },
): SentItem {
  const { text, resource, index } = one;
  return {
    ...{ kind: "version", index, text, subject, base, person: toHex(subject.local) },
    resource: { source: how.source, type, id },
    stated: statedVersion(resource),
    digest: toHex(how.tools.sources.digestOf(text)),
    isError: isEnteredInError(resource),
    describe: () => how.describe(one),
  };
}

function deletionsOf(
  bundle: BundleReading,
  subject: Subject | null,
  source: string | undefined,
  skipped: RecordedBundle["skipped"][number][],
): readonly SentItem[] {
  if (source === undefined) return [];
  const person = subject === null ? undefined : toHex(subject.local);
  return (bundle.deletions ?? []).flatMap((one): readonly SentItem[] => {
    const { index, stated } = one;
    const name = nameOfEntry(one, bundle.type);
    if (name === undefined || name === "unclear") {
      const type =
        /^(?:.*\/)?([A-Z][A-Za-z]{1,63})(?:[/?]|$)/.exec(one.request.url)?.[1] ?? "Resource";
      skipped.push({ type, index, why: "its deletion does not name one resource" });
      return [];
    }
    const { type, id, base } = name;
    return [{ kind: "deletion", index, stated, person, base, resource: { source, type, id } }];
  });
}
