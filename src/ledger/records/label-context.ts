import { appendTo } from "../../bytes/lists.ts";
import {
  type Labeller,
  type LabelOptions,
  labelStepsOf,
  type ResolveReference,
} from "../../consent/labels/labeller.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import {
  isWhole as isWholeType,
  type BundleReading,
  type BundleResource,
} from "../../fhir/bundle.ts";
import type { FhirResource } from "../../fhir/resource.ts";
import { bySlices } from "../../loop/give-turn.ts";
import { findVersions, labelBundle } from "./label-bundle.ts";

/** What a bundle says about the labels of its resources. */
export interface LabelContext extends LabelOptions {
  readonly within: readonly unknown[];
}

/** Labels a resource, in slices if the labeller is one of this library's. */
export async function labelBySlices(
  labeller: Pick<Labeller, "label">,
  resource: FhirResource,
  options: LabelOptions = {},
): Promise<ResourceLabels | null> {
  if (resource.resourceType === "Bundle") {
    return labelBundle(resource, options, (one, how) => labelBySlices(labeller, one, how));
  }
  const steps = labelStepsOf(labeller, resource, options);
  return steps === undefined ? labeller.label(resource, options) : bySlices(steps);
}

/**
 * Context from a bundle for each of its resources: the targets of their references, resolved
 * against the server of the referring entry, and the labels of the bundle as a whole.
 *
 * @param around - what the bundle was part of itself
 */
export function labelsWithin(bundle: BundleReading, around: readonly unknown[] = []): LabelContext {
  const { meta, type, resources } = bundle;
  const within: unknown[] = [...around, { resourceType: "Bundle", meta }];
  // A document's labels apply to everything in it, wherever its Composition is placed.
  if (isWholeType(type)) {
    const whole = resources.map(({ resource }) => resource).filter(isWhole);
    appendTo(within, [resources[0]?.resource, ...whole]);
  }
  return { within, resolve: resolveWithin(resources) };
}

/** Makes the function that resolves the references between a bundle's resources. */
export function resolveWithin(resources: readonly BundleResource[]): ResolveReference {
  const home = new Map<object, BundleResource>(resources.map((entry) => [entry.resource, entry]));
  const find = findVersions(resources);
  return (reference, from) => {
    const entry = home.get(from);
    return entry === undefined ? undefined : find(reference, entry).map((one) => one.resource);
  };
}

const isWhole = ({ resourceType }: FhirResource): boolean =>
  resourceType === "Composition" || resourceType === "MessageHeader";
