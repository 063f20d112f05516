import { fromHex } from "../../bytes/hex.ts";
import type { BundlePatient } from "../../fhir/patients.ts";
import { isSameServer, serverNameIn } from "../../fhir/source-name.ts";
import type { Subject } from "../entries/subjects.ts";
import type { BundlePersons } from "./bundle-persons.ts";
import { baseOf, type OnRecord } from "./sources.ts";
import type { BundleTools } from "./sent.ts";

/**
 * Finds patients who are named by reference only, such as `Patient/123`, by the Patient resources that are
 * on record of the source.
 */
export async function personsBySource(
  patients: readonly BundlePatient[],
  source: string,
  found: BundlePersons,
  { catalogue, sources, subjects }: Pick<BundleTools, "catalogue" | "sources" | "subjects">,
): Promise<BundlePersons> {
  const unknown = patients.flatMap(({ reference }, place) => {
    const name = serverNameIn(reference);
    const isOpen = !found.byPatient.has(place) && !found.inDoubt.has(place);
    return isOpen && name?.type === "Patient" ? [{ place, name }] : [];
  });
  if (unknown.length === 0) return found;
  await catalogue.catchUp();
  const known = await sources.onRecord(
    unknown.map(({ name: { type, id } }) => ({ source, type, id })),
  );
  const byPatient = new Map(found.byPatient);
  for (const [i, { place, name }] of unknown.entries()) {
    const person = await personOf(known[i]!, name.base, subjects);
    if (person !== undefined) byPatient.set(place, person);
  }
  return { ...found, byPatient };
}

/**
 * The person whose Patient resource is on record of the source under the name that a patient of a bundle
 * has, such as `Patient/123`; `undefined` if nobody's is.
 */
export async function personOnRecord(
  { reference }: BundlePatient,
  source: string,
  { sources, subjects }: Pick<BundleTools, "sources" | "subjects">,
): Promise<Subject | undefined> {
  const name = serverNameIn(reference);
  if (name?.type !== "Patient") return undefined;
  const [known] = await sources.onRecord([{ source, type: name.type, id: name.id }]);
  return personOf(known!, name.base, subjects);
}

/** The only person whose Patient resource is on record; several who are joined are one. */
async function personOf(
  { byPerson }: OnRecord,
  base: string | undefined,
  subjects: BundleTools["subjects"],
): Promise<Subject | undefined> {
  const people = Array.from(byPerson).filter(([, theirs]) =>
    theirs.some((record) => !record.retracted && isSameServer(baseOf(record), base)),
  );
  const [first, ...others] = people.map(([hex]): Subject => ({ local: fromHex(hex) }));
  for (const other of others) if (!(await subjects.areOne(first!, other))) return undefined;
  return first;
}
