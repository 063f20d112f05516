import { toHex } from "../../bytes/hex.ts";
import { identifierOf } from "../../fhir/subject-references.ts";
import type { BundlePatient } from "../../fhir/patients.ts";
import { serverNameIn } from "../../fhir/source-name.ts";
import { type FhirReference, isObject, list, referenceOf } from "../../fhir/resource.ts";
import {
  isIdentifier,
  type MergeProposal,
  type Subject,
  type Subjects,
} from "../entries/subjects.ts";
import type { PatientNames } from "./named-patients.ts";

/**
 * Proposes to merge persons whose Patient resources say by `Patient.link` that they are one, as far as both
 * are known here. Nobody is merged by it: such links are often guesses of an index of patients.
 *
 * @param byPatient - persons of the bundle, by position in `patients`
 */
export async function proposeLinked(
  patients: readonly BundlePatient[],
  byPatient: ReadonlyMap<number, Subject>,
  {
    subjects,
    names,
  }: {
    readonly subjects: Pick<Subjects, "find" | "areOne">;
    readonly names?: PatientNames | undefined;
  },
): Promise<readonly MergeProposal[]> {
  const proposals = new Map<string, MergeProposal>();
  for (const [place, { resource }] of patients.entries()) {
    const own = byPatient.get(place);
    if (own === undefined) continue;
    for (const link of list(resource?.["link"])) {
      const other = referenceOf(isObject(link) ? link["other"] : undefined);
      const linked = other && (await personOf(other, place));
      if (linked === undefined || (await subjects.areOne(own, linked))) continue;
      const pair = [toHex(own.local), toHex(linked.local)].sort().join();
      if (proposals.has(pair)) continue;
      proposals.set(pair, { subjects: [own, linked], because: "Patient.link" });
    }
  }
  return [...proposals.values()];

  /** The person whom a reference in a Patient names: one of the bundle, or who is known here. */
  async function personOf(other: FhirReference, from: number): Promise<Subject | undefined> {
    const { reference } = other;
    const exact = patients.flatMap((one, place) => (one.reference === reference ? [place] : []));
    const [place] = exact;
    if (reference !== undefined && exact.length === 1) return byPatient.get(place!);
    const identifier = identifierOf(other);
    const bearer =
      identifier && isIdentifier(identifier) ? await subjects.find(identifier) : undefined;
    return bearer ?? (await namedBy(reference, from));
  }

  /** The person whom a reference names at the source: a relative one means a Patient of the same server. */
  async function namedBy(reference: string | undefined, from: number) {
    const name = serverNameIn(reference);
    if (names === undefined || name?.type !== "Patient") return undefined;
    const own = names.nameOf(from)?.name;
    const base = name.base ?? (own === "unclear" ? undefined : own?.base);
    const place = [...byPatient.keys()].find((one) => {
      const theirs = names.nameOf(one)?.name;
      return theirs !== "unclear" && theirs?.id === name.id && theirs.base === base;
    });
    if (place !== undefined) return byPatient.get(place);
    const named = await names.whoIs({ ...name, ...(base === undefined ? {} : { base }) });
    return named.is === "person" ? named.person : undefined;
  }
}
