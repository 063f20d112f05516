import { appendTo } from "../../bytes/lists.ts";
import { type Labeller, type LabelOptions, labelStepsOf } from "../../consent/labels/labeller.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import type { BundleReading, BundleResource } from "../../fhir/bundle.ts";
import { type Addressable, referenceResolver } from "../../fhir/references.ts";
import type { FhirResource } from "../../fhir/resource.ts";
import { bySlices } from "../../loop/give-turn.ts";

/** Labels a resource, by slices where the labeller is one of this library. */
export async function labelBySlices(
  labeller: Pick<Labeller, "label">,
  resource: FhirResource,
  options: LabelOptions = {},
): Promise<ResourceLabels | null> {
  const steps = labelStepsOf(labeller, resource, options);
  return steps === undefined ? labeller.label(resource, options) : bySlices(steps);
}

/**
 * What a bundle tells of each of its resources: what their references name, by the server of the
 * entry that has them, and what labels the whole bears.
 */
export function labelsWithin(bundle: BundleReading): LabelOptions {
  const { meta, type, resources } = bundle;
  const home = new Map<object, BundleResource>(resources.map((entry) => [entry.resource, entry]));
  const within: unknown[] = [{ resourceType: "Bundle", meta }];
  // A document's labels are true of all that is in it, wherever in it its Composition stands.
  if (type === "document" || type === "message") {
    const whole = resources.map(({ resource }) => resource).filter(isWhole);
    appendTo(within, [resources[0]?.resource, ...whole]);
  }
  const find = findVersions(resources);
  return {
    within,
    resolve(reference, from) {
      const entry = home.get(from);
      return entry === undefined ? undefined : find(reference, entry).map((one) => one.resource);
    },
  };
}

const isWhole = ({ resourceType }: FhirResource): boolean =>
  resourceType === "Composition" || resourceType === "MessageHeader";

/** Makes the function that finds what a literal reference names: every version of one resource. */
export function findVersions<T extends Addressable>(
  entries: readonly T[],
): (reference: string, from: Addressable) => readonly T[] {
  let resolve: ReturnType<typeof referenceResolver> | undefined;
  return (reference, from) => {
    resolve ??= referenceResolver(entries, undefined);
    const found = resolve({ reference }, from);
    return found.kind === "entry" ? found.versions.map((index) => entries[index]!) : [];
  };
}
