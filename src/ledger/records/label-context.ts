import { appendTo } from "../../bytes/lists.ts";
import { type Labeller, type LabelOptions, labelStepsOf } from "../../consent/labels/labeller.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import type { BundleReading, BundleResource } from "../../fhir/bundle.ts";
import { type Addressable, referenceResolver } from "../../fhir/references.ts";
import type { FhirResource } from "../../fhir/resource.ts";
import { bySlices } from "../../loop/give-turn.ts";

/** Labels a resource, in slices if the labeller is one of this library's. */
export async function labelBySlices(
  labeller: Pick<Labeller, "label">,
  resource: FhirResource,
  options: LabelOptions = {},
): Promise<ResourceLabels | null> {
  const steps = labelStepsOf(labeller, resource, options);
  return steps === undefined ? labeller.label(resource, options) : bySlices(steps);
}

/**
 * Context from a bundle for each of its resources: the targets of their references, resolved
 * against the server of the referring entry, and the labels of the bundle as a whole.
 */
export function labelsWithin(bundle: BundleReading): LabelOptions {
  const { meta, type, resources } = bundle;
  const home = new Map<object, BundleResource>(resources.map((entry) => [entry.resource, entry]));
  const within: unknown[] = [{ resourceType: "Bundle", meta }];
  // A document's labels apply to everything in it, wherever its Composition is placed.
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

/** Makes the function that resolves a literal reference to every version of one resource. */
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
