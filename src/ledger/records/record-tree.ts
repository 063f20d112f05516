import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { appendTo } from "../../bytes/lists.ts";
import { InputError } from "../../errors.ts";
import {
  bundleSteps,
  isWhole,
  type BundleProblem,
  type BundleReading,
  type BundleResource,
} from "../../fhir/bundle.ts";
import { innerSteps } from "../../fhir/inner-resources.ts";
import type { FhirResource } from "../../fhir/resource.ts";
import { bySlices } from "../../loop/give-turn.ts";
import { afterWriting } from "../../storage/settle.ts";
import type { Subject } from "../entries/subjects.ts";
import type { BundleOptions, RecordedBundle } from "./bundle-options.ts";
import type { BundlePersons } from "./bundle-persons.ts";
import { labelsWithin } from "./label-context.ts";
import { openPatientNames } from "./named-patients.ts";
import { marksInside } from "./marks.ts";
import { recordEntries, recordOne, withoutDecided, type EntriesOptions } from "./record-bundle.ts";
import { assertNamed, assertSamePerson } from "./same-person.ts";
import { WHY_SKIPPED, type BundleTools } from "./sent.ts";
import { assertSource } from "./sources.ts";

/** The position at which a document or message itself is listed. */
const ITSELF = -1;

/** A bundle, and the documents and messages in it. */
interface BundleTree {
  readonly reading: BundleReading;
  readonly inner: readonly { readonly at: BundleResource; readonly tree: BundleTree }[];
}

/** Whom all of a bundle is about; or why it cannot be kept as a whole. */
type About = { readonly people: readonly Subject[] } | { readonly why: string };

/**
 * Records every resource of a bundle that is about one person and not yet on record. A document or message, also one
 * that is a resource of a bundle, is a record itself, beside its resources.
 */
export async function recordBundle(
  subject: Subject | null,
  input: Uint8Array | string | FhirResource,
  tools: BundleTools,
  options: BundleOptions = {},
): Promise<RecordedBundle> {
  if (options.source !== undefined) assertSource(options.source);
  const bundle = await bySlices(bundleSteps(input, { now: tools.now() }));
  return recordReading(subject, bundle, tools, options);
}

/**
 * Records a bundle that was read.
 *
 * @param isLenient - see {@link EntriesOptions}
 */
export async function recordReading(
  subject: Subject | null,
  bundle: BundleReading,
  tools: BundleTools,
  options: BundleOptions,
  isLenient = false,
): Promise<RecordedBundle> {
  const tree = await treeOf(withoutDecided(bundle, options), tools, options);
  if (subject !== null) {
    for (const { tree: inner } of tree.inner) await assertAllAbout(subject, inner, tools, options);
  }
  const how = { ...options, isLenient, around: [] };
  const top = { index: ITSELF, within: bundle.type };
  return (await recordTree(subject, tree, tools, how, top)).said;
}

async function treeOf(
  reading: BundleReading,
  tools: BundleTools,
  options: BundleOptions,
): Promise<BundleTree> {
  const inner: BundleTree["inner"][number][] = [];
  for (const at of reading.resources) {
    const { resourceType, type } = at.resource;
    if (resourceType !== "Bundle" || !isWhole(type)) continue;
    const own = await readInner(at.text, tools);
    if (own === undefined) continue;
    inner.push({ at, tree: await treeOf(withoutDecided(own, options), tools, options) });
  }
  return { reading, inner };
}

/** The Bundle in a text; `undefined` if it is malformed. */
export async function readInner(
  text: Uint8Array,
  { now }: Pick<BundleTools, "now">,
): Promise<BundleReading | undefined> {
  try {
    return await bySlices(bundleSteps(text, { now: now() }));
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** Refuses a bundle in which somebody other than the person is named, before anything of it is written. */
async function assertAllAbout(
  subject: Subject,
  { reading, inner }: BundleTree,
  tools: BundleTools,
  options: BundleOptions,
): Promise<void> {
  const { source } = options;
  const { patients } = reading;
  const { subjects } = tools;
  if (patients.length > 1) {
    const why = "a document in the bundle is about several patients";
    throw new InputError("ERR_INPUT_OTHER_PERSON", why);
  }
  await assertSamePerson(subject, patients, { subjects, now: tools.now() });
  if (source !== undefined) {
    const names = await openPatientNames(reading, source, tools);
    await assertNamed(subject, patients.keys(), { names, subjects });
  }
  for (const { tree } of inner) await assertAllAbout(subject, tree, tools, options);
}

/** Where a bundle stood in the input, and how it is named there. */
interface Standing extends Pick<BundleResource, "index" | "fullUrl" | "request"> {
  /** Type of the bundle that it is an entry of, or else its own. */
  readonly within: string;
}

async function recordTree(
  subject: Subject | null,
  { reading, inner }: BundleTree,
  tools: BundleTools,
  options: EntriesOptions,
  standing: Standing,
): Promise<{ readonly said: RecordedBundle; readonly about: About }> {
  const apart = new Set(inner.map(({ at }) => at.index));
  const resources = reading.resources.filter(({ index }) => !apart.has(index));
  const isRead = new Set([...apart].map((index) => `Bundle.entry[${index}]`));
  const problems = reading.problems.filter(
    ({ code, path }) => !isRead.has(path) || (code !== "nested" && code !== "no-patient"),
  );
  const entries = { ...reading, resources, problems };
  const { said, persons } = await recordEntries(subject, entries, tools, options);
  const all = openResult(said);
  const goOn = <T>(work: () => Promise<T>): Promise<T> =>
    all.hasWritten() ? afterWriting(work) : work();
  const { onProgress: _, ...quiet } = options;
  const around = labelsWithin(reading, options.around).within;
  const abouts = [await aboutEntries(entries, persons)];
  for (const { at, tree } of inner) {
    const { index, fullUrl, request } = at;
    const named = { ...(fullUrl !== undefined && { fullUrl }), ...(request && { request }) };
    const there = { index, ...named, within: reading.type };
    const one = await goOn(() => recordTree(subject, tree, tools, { ...quiet, around }, there));
    abouts.push(one.about);
    all.addInner(one.said, index);
  }
  const about = await together(subject, abouts, tools);
  if (reading.whole !== undefined) {
    const { within, ...place } = standing;
    const itself = { ...reading.whole, ...place, patients: [] };
    all.add(await goOn(() => recordWhole(itself, within, about, all.result(), tools, options)));
  }
  return { said: all.result(), about };
}

/** Records a document or message itself, beside its resources. */
async function recordWhole(
  itself: BundleResource,
  within: string,
  about: About,
  { skipped }: RecordedBundle,
  tools: BundleTools,
  { source, mix = false, fields = false, signal, around }: EntriesOptions,
): Promise<Partial<RecordedBundle>> {
  const skip = (why: string) => ({ skipped: [{ type: "Bundle", index: itself.index, why }] });
  if ("why" in about) return skip(about.why);
  const [person] = about.people;
  if (person === undefined) return skip("it is about no patient");
  if (skipped.some(({ why }) => why === WHY_SKIPPED["deleted later"])) {
    return skip("its source deleted a later version of a resource in it");
  }
  const { more } = await bySlices(innerSteps(itself.resource));
  if (more) return skip("it has more resources than can be described");
  const marks = await marksInside(itself.resource, tools.now());
  const marksOf = () => marks;
  const context = { within: { within: around }, type: within, source, fields, marksOf };
  const nothing = (): void => undefined;
  const how = { mix, fields, signal, hasWritten: () => false, tell: nothing, sealed: nothing };
  return recordOne(itself, person, tools, { context, how });
}

/** Findings about a resource of a bundle after which nobody can tell whom all of the bundle is about. */
const UNCLEAR: Readonly<Partial<Record<BundleProblem["code"], string>>> = {
  "several-patients": "it is about several patients",
  "other-patient": "it is about several patients",
  "unresolved-patient": "it cannot be told whom all of it is about",
};

/** Whom the resources of a bundle are about, without the documents and messages in it. */
async function aboutEntries(
  { problems, resources }: BundleReading,
  { byPatient }: BundlePersons,
): Promise<About> {
  for (const { code } of problems) {
    const why = UNCLEAR[code];
    if (why !== undefined) return { why };
  }
  for (const { resource } of resources) {
    const { resourceType: type } = resource;
    if (type !== "Bundle" && type !== "Parameters") continue;
    const { parts, more } = await bySlices(innerSteps(resource));
    if (more || parts.length > 0) return { why: "resources inside a resource of it are not read" };
  }
  const people = new Map<string, Subject>();
  for (const place of resources.flatMap(({ patients }) => patients)) {
    const person = byPatient.get(place);
    if (person === undefined) return { why: "it is not known who its patient is" };
    people.set(toHex(person.local), person);
  }
  return { people: [...people.values()] };
}

/** Whom the parts of a bundle are about together. */
async function together(
  subject: Subject | null,
  abouts: readonly About[],
  { subjects }: BundleTools,
): Promise<About> {
  const people: Subject[] = [];
  for (const about of abouts) {
    if ("why" in about) return about;
    appendTo(people, about.people);
  }
  const [first = subject, ...rest] = people;
  for (const other of rest) {
    if (!(await subjects.areOne(first!, other))) return { why: "it is about several patients" };
  }
  return { people: first === null ? [] : [first] };
}

/** Gathers what became of a bundle and of those in it. */
function openResult(said: RecordedBundle) {
  const { recorded, retracted, known, skipped, problems, subjects, proposals } = said;
  const all = {
    kept: [...said.kept],
    copied: [...said.copied],
    recorded: [...recorded],
    retracted: [...retracted],
    known: [...known],
    skipped: [...skipped],
    problems: [...problems],
    subjects: [...subjects],
    proposals: [...proposals],
  };
  const add = (more: Partial<RecordedBundle>): void => {
    appendTo(all.kept, more.kept ?? []);
    appendTo(all.copied, more.copied ?? []);
    appendTo(all.recorded, more.recorded ?? []);
    appendTo(all.retracted, more.retracted ?? []);
    appendTo(all.known, more.known ?? []);
    appendTo(all.skipped, more.skipped ?? []);
    appendTo(all.problems, more.problems ?? []);
    appendTo(all.proposals, more.proposals ?? []);
    for (const one of more.subjects ?? []) {
      const isKnown = all.subjects.some(({ subject }) => isSame(subject, one.subject));
      if (!isKnown) all.subjects.push(one);
    }
  };
  return {
    add,
    /** Adds what became of a bundle that is an entry of this one. */
    addInner(inner: RecordedBundle, index: number): void {
      const there = <T extends object>(list: readonly T[]) =>
        list.map((one) => ({ ...one, index }));
      add({
        ...inner,
        kept: there(inner.kept),
        recorded: there(inner.recorded),
        retracted: there(inner.retracted),
        known: there(inner.known),
        skipped: there(inner.skipped),
        problems: inner.problems.map(({ code, path }) => ({
          code,
          path: path.replace("Bundle", `Bundle.entry[${index}].resource`),
        })),
      });
    },
    hasWritten: () => all.recorded.length + all.retracted.length + all.kept.length > 0,
    result: (): RecordedBundle => all,
  };
}

const isSame = (one: Subject, other: Subject): boolean => equalBytes(one.local, other.local);
