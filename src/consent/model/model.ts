import type { CID } from "../../codec/cid.ts";
import type { EntryId } from "../../codec/ids.ts";
import type { DateValue, Period } from "./time.ts";
import type { DirectiveForm } from "./witness.ts";

/** A code in a code system. */
export interface Coding {
  readonly system: string;
  readonly code: string;
}

/** The effect of a rule or a directive. */
export type Effect = "permit" | "deny";
/** How the results of nested rules are combined. */
export type Combine = "deny-overrides" | "permit-overrides";
/** The effect of a directive on the earlier ones in its lineage. */
export type DirectiveMode = "replace" | "amend" | "suspend" | "revoke";
/** The capacity in which a grantor speaks for the subject. */
export type Capacity = "self" | "guardian" | "proxy" | "court";
/** The kind of party that an actor reference names. */
export type ActorType = "person" | "organisation" | "care-team" | "group" | "device" | "role";
/** How a resource relates to the one that a reference names (FHIR `consent-data-meaning`). */
export type RefMeaning = "instance" | "related" | "dependents" | "authoredby";

/** A party that a rule is about; for a role, `id` is the role's code. */
export interface ActorRef {
  readonly type: ActorType;
  readonly id: string;
}

/** A resource that a rule is about, directly or by relation. */
export interface DataRef {
  readonly meaning: RefMeaning;
  readonly reference: string;
}

/** Which data a rule is about: attributes AND, values of one attribute OR, absent = any. */
export interface DataFilter {
  /** FHIR resource types. */
  readonly types?: readonly string[];
  readonly codes?: readonly Coding[];
  /** Sensitivity and confidentiality labels, by subsumption and order. */
  readonly labels?: readonly Coding[];
  /** When the events in the data happened; permits need containment, denies overlap. */
  readonly period?: Period;
  readonly refs?: readonly DataRef[];
  /** Parts of an envelope. */
  readonly parts?: readonly string[];
}

/** When a rule applies: attributes AND, values of one attribute OR, absent = any. */
export interface When {
  /** The legal time in which the rule applies; in the directive's zone. */
  readonly validity?: Period;
  readonly actors?: readonly ActorRef[];
  readonly roles?: readonly string[];
  /** HL7 ActReason codes bare, others as `system|code`. */
  readonly purposes?: readonly string[];
  readonly actions?: readonly string[];
  readonly data?: DataFilter;
}

/** One rule; its effect holds where it matches and no nested rule decides. */
export interface Rule {
  /** Unique within the directive. */
  readonly id: string;
  readonly effect: Effect;
  readonly combine: Combine;
  readonly when: When;
  /** Codes of actions that are required if this rule's effect is the outcome. */
  readonly obligations?: readonly string[];
  /** Codes of actions that are forbidden if this rule's effect is the outcome. */
  readonly refrains?: readonly string[];
  readonly breakGlass?: "allowed" | "never";
  readonly rules?: readonly Rule[];
}

/** The party that gave a directive, its capacity and its evidence. */
export interface Grantor {
  readonly actor: string;
  readonly capacity: Capacity;
  readonly evidence: readonly CID[];
}

/** When a directive is in force. Both ends are inclusive; dates are days in `zone`. */
export interface Validity {
  readonly from: DateValue;
  readonly to?: DateValue;
  /** `UTC`, a fixed offset such as `+01:00`, or an IANA name. */
  readonly zone: string;
}

/** The law or policy that a directive is based on. */
export interface Basis {
  readonly uri: string;
  readonly version: string;
}

/** One consent statement in executable form. */
export interface Directive {
  readonly v: 1;
  /** Names the chain of statements that this directive belongs to. */
  readonly lineage: string;
  /** The entries that the grantor knew of when making this statement. */
  readonly predecessors: readonly EntryId[];
  readonly mode: DirectiveMode;
  readonly grantor: Grantor;
  /** Only records of this controller; absent: records of any. */
  readonly controller?: string;
  /** FHIR consent scope: `patient-privacy`, `research`, `treatment` or `adr`. */
  readonly category?: string;
  readonly basis: Basis;
  /** ISO 3166 codes; a country includes its subdivisions. */
  readonly jurisdictions?: readonly string[];
  readonly validity: Validity;
  /** The result if no rule of any directive in force matches. */
  readonly default: Effect | "none";
  /** Absent only in `suspend` and `revoke`. */
  readonly root?: Rule;
}

/** Conditions of an overlay on the patient's deciding rule. */
export interface Requirement {
  /** The rule or one around it names this label, or a label below or above it. */
  readonly namesLabel?: Coding;
  readonly grantorCapacity?: readonly Capacity[];
  /** The rule or one around it names actors. */
  readonly recipientNamed?: boolean;
  /** How the directive was made: signed by its grantor, or witnessed in one of these forms. */
  readonly form?: readonly DirectiveForm[];
}

/**
 * Law that takes precedence over the patient. Without `require`, its root permits or denies
 * outright. With `require`, its root says where the requirement applies, and its obligations and
 * refrains are added to a permit that satisfies the requirement.
 */
export interface Overlay {
  readonly v: 1;
  readonly basis: Basis;
  readonly jurisdictions?: readonly string[];
  readonly validity: Validity;
  readonly root: Rule;
  readonly require?: Requirement;
}

/** Most bytes of one encoded directive. */
export const MAX_DIRECTIVE_BYTES = 4_194_304;
/** Most rules of one directive. */
export const MAX_RULES = 10_000;
/** Deepest nesting of rules, the root being 1. */
export const MAX_RULE_DEPTH = 12;
/** Most values of one attribute. */
export const MAX_VALUES = 4096;
/** Longest string, in UTF-16 units. */
export const MAX_TEXT = 512;

/** Bounds of what someone may speak about, if not everything. */
export type CapacityScope = Pick<When, "purposes" | "actions" | "data">;
