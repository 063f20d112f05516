import type { Coding } from "./model.ts";
import type { Period } from "./time.ts";

/** Who labelled a resource, by which version of which rules. */
export interface LabelStamp {
  readonly labeller: string;
  readonly version: string;
}

/**
 * The labels on a resource. Without a stamp they are what a source happened to say: enough to deny
 * by, never enough to permit by, and silent about what they do not mention.
 */
export interface ResourceLabels {
  readonly codes: readonly Coding[];
  readonly stamp: LabelStamp | null;
}

/**
 * What the evaluator sees of a resource: the fields of its manifest, never its content. What is
 * absent or `null` is unknown, which is not the same as none.
 */
export interface ConsentResource {
  /** As references name it: `Observation/o1`. */
  readonly id?: string;
  readonly versionId?: string;
  /** FHIR resource type. */
  readonly type: string;
  /** Codes that tell what it is and is about; an empty list means that nothing is known about it. */
  readonly codes: readonly Coding[];
  /** Codes that stand elsewhere in it: a refusal counts them, a permit does not. Absent: none. */
  readonly otherCodes?: readonly Coding[];
  /** Whether something in it has only words, or a code of no system: then these codes are not all. */
  readonly uncoded?: boolean;
  readonly labels: ResourceLabels | null;
  /** When what the resource describes happened. */
  readonly period?: Period;
  readonly authors?: readonly string[];
  readonly encounter?: string;
  /** Every resource that this one refers to. */
  readonly references?: readonly string[];
  /** Every resource known to refer to this one. */
  readonly referredBy?: readonly string[];
  /** The parts asked for; absent: the whole resource. */
  readonly parts?: readonly string[];
  /** The organisation whose record this is. */
  readonly controller?: string;
  /** ISO 3166 codes of the law the record is under. */
  readonly jurisdictions?: readonly string[];
  /** When it was recorded, in milliseconds. */
  readonly recordedAt?: number;
}
