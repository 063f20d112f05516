import type { Labeller, LabelOptions } from "../../consent/labels/labeller.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import type { ResourceText } from "../../fhir/bundle.ts";
import { describeSteps } from "../../fhir/describe-resource.ts";
import { bySlices } from "../../loop/give-turn.ts";
import type { Manifest } from "../entries/manifest.ts";
import { labelBySlices } from "./label-context.ts";

export const FHIR_JSON = "application/fhir+json";

/** The part of a manifest that describes a resource. */
export interface Description extends Pick<Manifest, "mediaType" | "resource"> {
  readonly labels: ResourceLabels | null;
}

/**
 * Describes and labels a resource.
 *
 * @param labels - used instead of the labeller's
 */
export async function describeText(
  labeller: Pick<Labeller, "label">,
  { resource }: Pick<ResourceText, "resource">,
  labels: ResourceLabels | null | undefined,
  within: LabelOptions = {},
): Promise<Description> {
  return {
    mediaType: FHIR_JSON,
    resource: await bySlices(describeSteps(resource)),
    labels: labels === undefined ? await labelBySlices(labeller, resource, within) : labels,
  };
}
