import { isOutdated, type Labeller } from "../../consent/labels/labeller.ts";
import { isNormal } from "../../consent/labels/unite-labels.ts";
import type { ConsentResource, ResourceLabels } from "../../consent/model/resource.ts";
import { toConsentResource } from "../../fhir/consent-resource.ts";
import type { FoldedRecord } from "./current-record.ts";
import type { PartFinder } from "./wholes.ts";

/**
 * The labels of a record that can be trusted under the current rules. If outdated rules stamped
 * them, "normal" and the stamp are dropped, since the current rules may find more, or may be unable
 * to judge it; every label that the older rules found is kept.
 */
function believedLabels(
  labels: ResourceLabels | null,
  labeller: Pick<Labeller, "name" | "version" | "replaces">,
): ResourceLabels | null {
  if (labels?.stamp == null || !isOutdated(labels.stamp, labeller)) return labels;
  return { codes: labels.codes.filter((code) => !isNormal(code)), stamp: null };
}

/** A record in the form in which consent judges it. */
export function judgedForm(
  record: FoldedRecord,
  {
    controller,
    labeller,
    jurisdictions,
    parts,
  }: {
    readonly controller: string;
    /** Tells whose rules an older stamp came from. */
    readonly labeller: Pick<Labeller, "name" | "version" | "replaces">;
    readonly jurisdictions?: readonly string[];
    /** Finds the records of the resources that the record contains. */
    readonly parts: PartFinder;
  },
): ConsentResource {
  const { head } = record;
  const labels = believedLabels(record.labels, labeller);
  const description = head.manifest.resource;
  if (description === undefined) {
    return {
      type: "unknown",
      codes: [],
      labels,
      controller,
      ...(jurisdictions === undefined ? {} : { jurisdictions }),
      recordedAt: head.recordedAt,
    };
  }
  return toConsentResource(description, {
    // An unstamped `null` must not fall back to the labels in the resource itself.
    labels: labels ?? { codes: [], stamp: null },
    controller,
    ...(jurisdictions === undefined ? {} : { jurisdictions }),
    recordedAt: head.recordedAt,
    labelsOfPart: (part) =>
      parts.labelsOf(part, record, (one) => believedLabels(one.labels, labeller)),
  });
}
