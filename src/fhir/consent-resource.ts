import type { Coding } from "../consent/model/model.ts";
import type { ConsentResource, ResourceLabels } from "../consent/model/resource.ts";
import { isNormal } from "../consent/labels/unite-labels.ts";
import type { PartDescription, ResourceDescription } from "./describe-resource.ts";
import type { FhirCoding, FhirReference } from "./resource.ts";

export interface ConsentResourceContext {
  /** A labeller's result; absent: the resource's own `meta.security`, without a stamp. */
  readonly labels?: ResourceLabels;
  /** The organisation that controls this record. */
  readonly controller?: string;
  /** ISO 3166 codes of the jurisdictions that the record is under. */
  readonly jurisdictions?: readonly string[];
  /** When the record was made, in milliseconds. */
  readonly recordedAt?: number;
  /** The labels of a resource inside this one; default: as far as those of the whole tell. */
  readonly labelsOfPart?: (part: PartDescription) => ResourceLabels | null;
}

/**
 * Converts a resource's description to the form in which consent is evaluated.
 *
 * The record has the name that references use: `Observation/o1`. Codes without a code system are
 * omitted, since nothing can be matched with them; the codes then count as incomplete, as they do
 * if an old description does not list the other codes in the record. Authors are unknown if none is
 * stated, or if one of them is given only as text.
 *
 * @example
 * const resource = toConsentResource(describeResource(observation), {
 *   labels: labeller.label(observation) ?? undefined,
 * });
 */
export function toConsentResource(
  description: ResourceDescription,
  context: ConsentResourceContext = {},
): ConsentResource {
  const { type, id, versionId, period, references } = description;
  const encounter = description.encounter && partyName(description.encounter);
  const authors = description.authors.map(partyName);
  const uncoded =
    description.uncoded ||
    description.otherCodes === undefined ||
    description.codes.some(({ system }) => system === undefined);
  const otherCodes = withSystem(description.otherCodes ?? []);
  const labels = context.labels ?? ownLabels(description);
  return {
    ...(id !== undefined && { id: `${type}/${id}` }),
    ...(versionId !== undefined && { versionId }),
    type,
    ...(description.otherTypes && { otherTypes: description.otherTypes }),
    codes: withSystem(description.codes),
    ...(otherCodes.length > 0 && { otherCodes }),
    ...(uncoded && { uncoded }),
    labels,
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
    ...containedIn(description, labels, context),
  };
}

/** What is known of a resource that could not be described. */
const UNKNOWN: ConsentResource = { type: "unknown", codes: [], uncoded: true, labels: null };

function containedIn(
  { parts = [], moreParts }: ResourceDescription,
  whole: ResourceLabels | null,
  context: ConsentResourceContext,
): Pick<ConsentResource, "contains"> {
  if (parts.length === 0 && moreParts === undefined) return {};
  const { labelsOfPart = () => labelsWithin(whole), labels: _, ...rest } = context;
  const contains = parts.map((part) =>
    toConsentResource(part, { ...rest, labels: labelsOfPart(part) ?? { codes: [], stamp: null } }),
  );
  return { contains: moreParts === undefined ? contains : [...contains, UNKNOWN] };
}

/**
 * The labels of a resource as far as those of the whole that it is in tell: it may have any of them, and has no
 * others. If the whole has some, it is not known which of them this one lacks.
 */
export function labelsWithin(whole: ResourceLabels | null): ResourceLabels | null {
  if (whole === null || whole.codes.every(isNormal)) return whole;
  return { codes: whole.codes, stamp: null };
}

function withSystem(codings: readonly FhirCoding[]): readonly Coding[] {
  return codings.flatMap(({ system, code }) => (system === undefined ? [] : [{ system, code }]));
}

function ownLabels({ labels }: ResourceDescription): ResourceLabels | null {
  const codes = withSystem(labels);
  return codes.length === 0 ? null : { codes, stamp: null };
}

/** A literal reference, otherwise `system|value` of the logical one. */
function partyName({ reference, identifier }: FhirReference): string | undefined {
  if (reference !== undefined) return reference;
  if (identifier?.value === undefined) return undefined;
  return `${identifier.system ?? ""}|${identifier.value}`;
}
