import { linkSteps, type ResourceLinks } from "../../fhir/links.ts";
import { mayBeAboutNobody } from "../../fhir/nobody.ts";
import { patientSteps } from "../../fhir/patients.ts";
import { isPlaceholder } from "../../fhir/placeholder.ts";
import { isCurrentIdentifier } from "../../fhir/identifier.ts";
import { isObject, list, trimmed, type FhirResource } from "../../fhir/resource.ts";
import { bySlices } from "../../loop/give-turn.ts";
import { MAX_NAMED_BY, MAX_URL, type Manifest, type NobodyMark } from "../entries/manifest.ts";

/** What a manifest says of a resource and those that name nobody. */
export type Marks = Pick<Manifest, "nobody" | "refers" | "identifiers" | "awaits">;

/** The marks of a resource by what it refers to. */
export function marksBy(
  { names }: Pick<ResourceLinks, "names">,
  nobody: NobodyMark | undefined,
  resource: FhirResource,
  now: number,
): Marks {
  const identifiers = nobody === undefined ? [] : identifiersOf(resource, now);
  return {
    ...(nobody === undefined ? {} : { nobody }),
    ...(names.length > 0 && { refers: names }),
    ...(identifiers.length > 0 && { identifiers }),
  };
}

/** The identifiers in use of a resource, by which a conditional reference may name it. */
function identifiersOf(resource: FhirResource, now: number): NonNullable<Marks["identifiers"]> {
  const found: { system: string; value: string }[] = [];
  for (const one of list(resource["identifier"])) {
    if (!isObject(one) || !isCurrentIdentifier(one, now)) continue;
    const [system, value] = [trimmed(one["system"]), trimmed(one["value"])];
    if (system === undefined || value === undefined || isPlaceholder(value)) continue;
    if (system.length > MAX_URL || value.length > MAX_URL) continue;
    if (found.length < MAX_NAMED_BY) found.push({ system, value });
  }
  return found;
}

/** The marks of a document, which names what the resources in it refer to. */
export async function marksInside(whole: FhirResource, now: number): Promise<Marks> {
  const [links] = await bySlices(linkSteps([{ resource: whole, patients: [] }], "collection", now));
  return marksBy(links!, undefined, whole, now);
}

/** The marks of a resource that comes alone. */
export async function marksAlone(resource: FhirResource, now: number): Promise<Marks> {
  const { about, remarks } = await bySlices(patientSteps([{ resource }], now));
  const patients = about[0]!;
  const [links] = await bySlices(linkSteps([{ resource, patients }], "collection", now));
  const isOpen = patients.length > 0 || remarks.length > 0 || links!.namesPerson;
  const namesNobody = !isOpen && mayBeAboutNobody(resource.resourceType);
  return marksBy(links!, namesNobody ? "filed" : undefined, resource, now);
}
