import type { Coding } from "../consent/model/model.ts";
import type { ConsentResource, ResourceLabels } from "../consent/model/resource.ts";
import type { ResourceDescription } from "./manifest.ts";
import type { FhirCoding, FhirReference } from "./resource.ts";

export interface ConsentResourceContext {
  /** What a labeller found; absent: the resource's own `meta.security`, without a stamp. */
  readonly labels?: ResourceLabels;
  /** The organisation whose record this is. */
  readonly controller?: string;
  /** ISO 3166 codes of the law the record is under. */
  readonly jurisdictions?: readonly string[];
  /** When it was recorded, in milliseconds. */
  readonly recordedAt?: number;
}

/**
 * Gives a resource's description the form in which consent is evaluated.
 *
 * The record is named as references name it: `Observation/o1`. Codes without a code system are left
 * out: nothing can be matched with them, so that what is left is not all that there is to know; nor is
 * it where an old description does not tell which codes stand elsewhere in the record. Where no author is stated, or one of them only by words, nobody knows who the authors are.
 */
export function toConsentResource(
  description: ResourceDescription,
  context: ConsentResourceContext = {},
): ConsentResource {
  const { type, id, versionId, period, references } = description;
  const encounter = description.encounter && nameOf(description.encounter);
  const authors = description.authors.map(nameOf);
  const uncoded =
    description.uncoded ||
    description.otherCodes === undefined ||
    description.codes.some(({ system }) => system === undefined);
  const otherCodes = withSystem(description.otherCodes ?? []);
  return {
    ...(id !== undefined && { id: `${type}/${id}` }),
    ...(versionId !== undefined && { versionId }),
    type,
    codes: withSystem(description.codes),
    ...(otherCodes.length > 0 && { otherCodes }),
    ...(uncoded && { uncoded }),
    labels: context.labels ?? ownLabels(description),
    ...(period && {
      period: {
        ...(period.from !== undefined && { from: period.from }),
        ...(period.to !== undefined && { to: period.to }),
      },
    }),
    ...(authors.length > 0 && authors.every((name) => name !== undefined) && { authors }),
    ...(encounter !== undefined && { encounter }),
    references,
    ...(context.controller !== undefined && { controller: context.controller }),
    ...(context.jurisdictions && { jurisdictions: context.jurisdictions }),
    ...(context.recordedAt !== undefined && { recordedAt: context.recordedAt }),
  };
}

function withSystem(codings: readonly FhirCoding[]): readonly Coding[] {
  return codings.flatMap(({ system, code }) => (system === undefined ? [] : [{ system, code }]));
}

function ownLabels({ labels }: ResourceDescription): ResourceLabels | null {
  const codes = withSystem(labels);
  return codes.length === 0 ? null : { codes, stamp: null };
}

/** A literal reference, else `system|value` of the logical one. */
function nameOf({ reference, identifier }: FhirReference): string | undefined {
  if (reference !== undefined) return reference;
  if (identifier?.value === undefined) return undefined;
  return `${identifier.system ?? ""}|${identifier.value}`;
}
