import type { Coding } from "./model.ts";
import type { Period } from "./time.ts";

/** The labeller of a resource, and the version of its rules. */
export interface LabelStamp {
  readonly labeller: string;
  readonly version: string;
}

/**
 * The labels on a resource. Labels without a stamp are the claim of some source: a deny may rely on
 * them, a permit must not, and a label that is missing from them is unknown.
 */
export interface ResourceLabels {
  readonly codes: readonly Coding[];
  readonly stamp: LabelStamp | null;
}

/**
 * The evaluator's view of a resource: the fields of its manifest, never its content. A field that
 * is absent or `null` is unknown, which differs from empty.
 */
export interface ConsentResource {
  /** The name that references use: `Observation/o1`. */
  readonly id?: string;
  readonly versionId?: string;
  /** FHIR resource type. */
  readonly type: string;
  /** Types of contained resources: a refusal considers them, a permit does not. */
  readonly otherTypes?: readonly string[];
  /** Codes that say what the resource is and is about; empty: nothing is known about it. */
  readonly codes: readonly Coding[];
  /**
   * Codes in other elements: a refusal considers them, a permit does not. Absent: no such codes.
   */
  readonly otherCodes?: readonly Coding[];
  /**
   * Whether an element has only text, or a code without a system: the codes are then incomplete.
   */
  readonly uncoded?: boolean;
  readonly labels: ResourceLabels | null;
  /** When the events that the resource describes happened. */
  readonly period?: Period;
  readonly authors?: readonly string[];
  readonly encounter?: string;
  /** Every resource that this one refers to. */
  readonly references?: readonly string[];
  /** Every resource known to refer to this one. */
  readonly referredBy?: readonly string[];
  /** The parts that were asked for; absent: the whole resource. */
  readonly parts?: readonly string[];
  /** The organisation that controls this record. */
  readonly controller?: string;
  /** ISO 3166 codes of the jurisdictions that the record is under. */
  readonly jurisdictions?: readonly string[];
  /** When the record was made, in milliseconds. */
  readonly recordedAt?: number;
  /**
   * The resources inside a document or another Bundle. The whole is permitted only if it is permitted by
   * itself, and each of these is.
   */
  readonly contains?: readonly ConsentResource[];
}
