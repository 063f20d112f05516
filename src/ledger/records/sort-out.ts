import type { BundleProblem, BundleReading, BundleResource } from "../../fhir/bundle.ts";
import type { BundlePatient } from "../../fhir/patients.ts";
import { serverNameIn, type ServerName } from "../../fhir/source-name.ts";
import type { BundlePersons } from "./bundle-persons.ts";
import { nameOfEntry } from "./entry-name.ts";
import type { Subject } from "../entries/subjects.ts";
import type { RecordedBundle } from "./bundle-options.ts";
import type { NobodyPlan } from "./feed-nobody.ts";
import type { Serving } from "./serving.ts";

/** Why a resource of a bundle is not recorded although its text could be, by finding. */
const NOT_FILED: Readonly<Partial<Record<BundleProblem["code"], string>>> = {
  superseded: "a newer version of it is in the bundle",
  deleted: "it was deleted",
  "not-a-write": "the bundle asks to read, delete or patch it",
  "several-patients": "it is about several patients",
  "other-patient": "its references lead to a different patient from the one that it names",
};

/** A resource of a bundle that may be filed, and the person whom it is about. */
export interface Mine {
  readonly one: BundleResource;
  readonly person: Subject;
}

/** A resource, and its name at the source. */
interface Named {
  readonly one: BundleResource;
  readonly name: ServerName;
}

/** What is to become of a bundle's resources. */
export interface SortedOut {
  readonly mine: readonly Mine[];
  /** What the custodian keeps for everybody. */
  readonly kept: readonly Named[];
  /** What names nobody and may have data about a person, with those whom it serves within the bundle. */
  readonly personal: readonly (Named & { readonly persons: readonly Subject[] })[];
  readonly skipped: RecordedBundle["skipped"][number][];
  readonly doubts: readonly BundleProblem[];
}

/** Separates the resources that may be filed from those that are skipped. */
export function sortOut(
  bundle: BundleReading,
  subject: Subject | null,
  { byPatient, inDoubt }: BundlePersons,
  { source, ...serving }: Serving & NobodyPlan & { readonly source: string | undefined },
): SortedOut {
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
  const kept: Named[] = [];
  const personal: SortedOut["personal"][number][] = [];
  for (const one of bundle.resources) {
    const { index, resource, patients } = one;
    const path = `Bundle.entry[${index}]`;
    const reason = whyNot.get(path);
    const named = patients.length === 1 ? byPatient.get(patients[0]!) : undefined;
    const person = subject !== null && serving.lacksPerson(one) ? subject : named;
    const name = reason === undefined ? serving.keptAs(one) : undefined;
    if (name !== undefined) {
      kept.push({ one, name });
      continue;
    }
    if (person === undefined && reason === undefined && serving.namesNobody(one)) {
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
    const name = source === undefined ? undefined : nameOfEntry(one, bundle.type);
    if (name !== undefined && name !== "unclear") {
      personal.push({ one, name, persons });
      continue;
    }
    for (const person of persons) mine.push({ one, person });
    const { resource, index } = one;
    const why = "it names nobody, and nothing about a known person refers to it";
    if (persons.length === 0) skipped.push({ type: resource.resourceType, index, why });
  }
  return { mine, kept, personal, skipped, doubts };
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
export function sendersOf(
  mine: readonly Mine[],
  source: string | undefined,
  type: string,
  skipped: RecordedBundle["skipped"][number][],
): {
  readonly sent: readonly (Mine & { readonly name: ServerName })[];
  readonly others: readonly Mine[];
} {
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
