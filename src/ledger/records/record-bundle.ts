import { appendTo } from "../../bytes/lists.ts";
import { InputError } from "../../errors.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import type { BundleProblem, BundleReading } from "../../fhir/bundle.ts";
import type { BundleResource } from "../../fhir/bundle.ts";
import { giveTurn } from "../../loop/give-turn.ts";
import type { Subject } from "../entries/subjects.ts";
import {
  addKept,
  addOutcome,
  arrivalOf,
  deletionsOf,
  emptyResult,
  itemOf,
  personalItems,
  settled,
} from "./bundle-items.ts";
import type { BundleOptions, RecordedBundle } from "./bundle-options.ts";
import { findPersons, type BundlePersons } from "./bundle-persons.ts";
import type { Described, EntryContext } from "./describe-entry.ts";
import { describerOf, type Describer } from "./describer.ts";
import { copiesOf, planNobody, serveAfter } from "./feed-nobody.ts";
import { fileKnownByText, type ToFile } from "./file-bundle.ts";
import { fileSent } from "./file-sent.ts";
import type { AwaitedResource } from "./kept.ts";
import { labelsWithin, type LabelContext } from "./label-context.ts";
import { openPatientNames } from "./named-patients.ts";
import { assertNamed, assertSamePerson } from "./same-person.ts";
import type { BundleTools, FilingProgress, Outcome, SentItem } from "./sent.ts";
import { findServing } from "./serving.ts";
import { sendersOf, sortOut } from "./sort-out.ts";

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
  const plan = await planNobody(bundle, serving, { subject, source }, tools);
  const { marksOf } = plan;
  const labels = labelsWithin(bundle, around);
  const context = { within: labels, type: bundle.type, source, fields, marksOf };
  const describer = describerOf(bundle, context, signal, tools);
  const isWanted = (one: BundleResource): boolean =>
    one.patients.length === 1 ||
    plan.keptAs(one) !== undefined ||
    (subject === null ? serving.isServing(one) : serving.lacksPerson(one));
  const described = isLenient
    ? undefined
    : await describeAll(bundle.resources.filter(isWanted), describer, signal);
  const persons = await personsOf(bundle, subject, options, tools);
  const sorted = sortOut(bundle, subject, persons, {
    ...{ ...serving, ...plan },
    source,
  });
  const { mine, kept, skipped, doubts } = sorted;
  const { sent, others } = sendersOf(mine, source, bundle.type, skipped);
  const describe = async (one: BundleResource): Promise<Described | undefined> =>
    described?.get(one.index) ?? unlessRefused(describer.describe(one));
  const labelsOf = async (one: BundleResource): Promise<ResourceLabels | null | undefined> => {
    const known = described?.get(one.index);
    return known === undefined ? unlessRefused(describer.labelsOf(one)) : known.manifest.labels;
  };

  const result = emptyResult();
  const total = mine.length + kept.length;
  const tell = (waiting: number): void => {
    const done = result.recorded.length;
    onProgress?.({ done, sealed: done + waiting, total });
  };
  // The others were described before.
  const ahead = (indices: readonly number[]): void => {
    const wanted = new Set(indices);
    if (isLenient) describer.ahead(bundle.resources.filter(({ index }) => wanted.has(index)));
  };
  ahead(others.map(({ one }) => one.index));
  const toFile: ToFile[] = [];
  for (const { one, person } of others) {
    const about = await describe(one);
    const { index, text, resource } = one;
    const { resourceType: type } = resource;
    if (about === undefined) skipped.push({ type, index, why: "it cannot be sealed" });
    else toFile.push({ index, type, text, subject: person, ...about });
  }
  await fileKnownByText(toFile, { ...result, skipped, tell }, options, tools);
  const how = {
    ...{ mix, fields, signal },
    hasWritten: () => result.recorded.length + result.retracted.length + result.kept.length > 0,
  };
  if (source !== undefined) {
    const toItem = ({ one, person, name }: (typeof sent)[number]): SentItem =>
      itemOf(one, person, name, { source, tools, describe, labels: labelsOf });
    const items = [
      ...sent.flatMap((one) =>
        serving.namesNobody(one.one) ? copiesOf(toItem(one), [one.person]) : [toItem(one)],
      ),
      ...kept.map(({ one, name }) =>
        toItem({ one, name, person: tools.kept.poolOf({ source, type: name.type, id: name.id }) }),
      ),
      ...(await personalItems(sorted.personal, source, toItem, { ...tools, plan }, skipped)),
      ...(await deletionsOf(bundle, subject, source, tools, skipped)),
    ].sort((a, b) => a.index - b.index);
    const byIndex = new Map(kept.map((one) => [one.one.index, one]));
    const arrived: AwaitedResource[] = [];
    await fileSent(
      items,
      bundle.type,
      {
        ...how,
        ahead: (wanted) => ahead(wanted.map(({ index }) => index)),
        tell(outcomes) {
          for (const outcome of outcomes) {
            if (outcome.does === "skip" || !tools.kept.isPool(outcome.subject)) {
              addOutcome(outcome, { ...result, skipped });
              continue;
            }
            addKept(outcome, result);
            const named = byIndex.get(outcome.sent.index);
            const isNews = outcome.does === "create" || outcome.does === "amend";
            if (named !== undefined && isNews) arrived.push(arrivalOf(named, source, plan));
          }
          tell(0);
        },
        sealed: tell,
      },
      tools,
    );
    const all =
      subject === null ? mine : [...mine, ...kept.map(({ one }) => ({ one, person: subject }))];
    const origin = { subject, source };
    const copies = await serveAfter(origin, { mine: all, arrived }, plan, how, tools);
    appendTo(result.copied, copies);
  }
  const problems = [...bundle.problems, ...doubts];
  const { people } = persons;
  const proposals = persons.proposals.map(({ subjects, because }) => ({ subjects, because }));
  const said = {
    ...result,
    ...{ subjects: people, proposals, skipped: settled(skipped, result), problems },
  };
  return { said, persons };
}

/** Records one resource of a known person, as an entry of a bundle would be. */
export async function recordOne(
  one: BundleResource,
  person: Subject,
  tools: BundleTools,
  {
    context,
    how,
  }: {
    readonly context: EntryContext & { readonly within: LabelContext };
    readonly how: FilingProgress;
  },
): Promise<Omit<RecordedBundle, "subjects" | "proposals" | "problems">> {
  const { type, source } = context;
  const skipped: RecordedBundle["skipped"][number][] = [];
  const result = emptyResult();
  const mine = [{ one, person }];
  const [sent] = sendersOf(mine, source, type, skipped).sent;
  const describer = describerOf({ resources: [one] }, context, how.signal, tools);
  const describe = (of: BundleResource) => unlessRefused(describer.describe(of));
  const labels = (of: BundleResource) => unlessRefused(describer.labelsOf(of));
  if (sent !== undefined) {
    const item = itemOf(one, person, sent.name, { source: source!, tools, describe, labels });
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

/**
 * Describes resources, by index, and makes sure that each can be recorded.
 */
async function describeAll(
  resources: readonly BundleResource[],
  describer: Describer,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<number, Described>> {
  const described = new Map<number, Described>();
  describer.ahead(resources);
  for (const one of resources) {
    // Before anything is written: an unrecordable resource must not leave others half recorded.
    described.set(one.index, await describer.describe(one));
    await giveTurn();
    signal?.throwIfAborted();
  }
  return described;
}

/** What was said of a resource; `undefined` if it cannot be sealed. */
async function unlessRefused<T>(said: Promise<T>): Promise<T | undefined> {
  try {
    return await said;
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
    return findPersons(bundle.patients, { subjects, proposals, signal, names });
  }
  if (bundle.patients.length > 1) {
    throw new InputError(
      "ERR_INPUT_OTHER_PERSON",
      "the bundle is about several patients: pass null to file each under their own identifier",
    );
  }
  await assertSamePerson(subject, bundle.patients, { subjects, now: now() });
  if (names !== undefined) {
    await assertNamed(subject, bundle.patients.keys(), { names, subjects });
    await names.addAll(subject, bundle.patients.keys());
  }
  return {
    people: [],
    proposals: [],
    byPatient: new Map(bundle.patients.map((_, place) => [place, subject])),
    inDoubt: new Map(),
  };
}
