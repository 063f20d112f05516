import { toHex } from "../../bytes/hex.ts";
import { identifierOf } from "../../fhir/subject-references.ts";
import type { BundlePatient } from "../../fhir/patients.ts";
import { type FhirReference, isObject, list, referenceOf } from "../../fhir/resource.ts";
import {
  isIdentifier,
  type MergeProposal,
  type Subject,
  type Subjects,
} from "../entries/subjects.ts";

/**
 * Proposes to merge persons whose Patient resources say by `Patient.link` that they are one, as far as both
 * are known here. Nobody is merged by it: such links are often guesses of an index of patients.
 *
 * @param byPatient - persons of the bundle, by position in `patients`
 */
export async function proposeLinked(
  patients: readonly BundlePatient[],
  byPatient: ReadonlyMap<number, Subject>,
  subjects: Pick<Subjects, "find" | "areOne">,
): Promise<readonly MergeProposal[]> {
  const proposals = new Map<string, MergeProposal>();
  for (const [place, { resource }] of patients.entries()) {
    const own = byPatient.get(place);
    if (own === undefined) continue;
    for (const link of list(resource?.["link"])) {
      const other = referenceOf(isObject(link) ? link["other"] : undefined);
      const linked = other && (await personOf(other));
      if (linked === undefined || (await subjects.areOne(own, linked))) continue;
      const pair = [toHex(own.local), toHex(linked.local)].sort().join();
      if (proposals.has(pair)) continue;
      proposals.set(pair, { subjects: [own, linked], because: "Patient.link" });
    }
  }
  return [...proposals.values()];

  /** The person whom a reference names: a patient of the bundle, or whoever bears its identifier. */
  async function personOf(other: FhirReference): Promise<Subject | undefined> {
    const name = other.reference;
    const named = patients.flatMap((one, place) => (one.reference === name ? [place] : []));
    const [place] = named;
    if (name !== undefined && named.length === 1) return byPatient.get(place!);
    const identifier = identifierOf(other);
    return identifier && isIdentifier(identifier) ? subjects.find(identifier) : undefined;
  }
}
