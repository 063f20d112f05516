import type { CID } from "../../codec/cid.ts";
import type { EntryId } from "../../codec/ids.ts";
import type { DateValue, Period } from "./time.ts";
import type { DirectiveForm } from "./witness.ts";

/** A code in a code system. */
export interface Coding {
  readonly system: string;
  readonly code: string;
}

/** What a rule or a directive says. */
export type Effect = "permit" | "deny";
/** How the results of nested rules become one. */
export type Combine = "deny-overrides" | "permit-overrides";
/** What a directive does to the ones before it in its lineage. */
export type DirectiveMode = "replace" | "amend" | "suspend" | "revoke";
/** In what capacity a grantor speaks for the subject. */
export type Capacity = "self" | "guardian" | "proxy" | "court";
/** What kind of party an actor reference means. */
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
  /** When what the data describes happened; permits need containment, denies overlap. */
  readonly period?: Period;
  readonly refs?: readonly DataRef[];
  /** Parts of an envelope. */
  readonly parts?: readonly string[];
}

/** When a rule applies: attributes AND, values of one attribute OR, absent = any. */
export interface When {
  /** When, in legal time, the rule applies; in the directive's zone. */
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
  /** Codes of what must be done when this rule's effect is the outcome. */
  readonly obligations?: readonly string[];
  /** Codes of what must not be done when this rule's effect is the outcome. */
  readonly refrains?: readonly string[];
  readonly breakGlass?: "allowed" | "never";
  readonly rules?: readonly Rule[];
}

/** Who gave a directive, in what capacity, on what evidence. */
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

/** The law or policy that a directive rests on. */
export interface Basis {
  readonly uri: string;
  readonly version: string;
}

/** One consent statement in executable form. */
export interface Directive {
  readonly v: 1;
  /** Names the chain of statements that this one belongs to. */
  readonly lineage: string;
  /** The entries that this statement was made in knowledge of. */
  readonly predecessors: readonly EntryId[];
  readonly mode: DirectiveMode;
  readonly grantor: Grantor;
  /** Only records of this controller; absent: of every one. */
  readonly controller?: string;
  /** FHIR consent scope: `patient-privacy`, `research`, `treatment` or `adr`. */
  readonly category?: string;
  readonly basis: Basis;
  /** ISO 3166 codes; a country covers its parts. */
  readonly jurisdictions?: readonly string[];
  readonly validity: Validity;
  /** What holds where no rule of any directive in force matches. */
  readonly default: Effect | "none";
  /** Absent only in `suspend` and `revoke`. */
  readonly root?: Rule;
}

/** What an overlay demands of the patient's deciding rule. */
export interface Requirement {
  /** The rule or one around it names this label, one below it or one above it. */
  readonly namesLabel?: Coding;
  readonly grantorCapacity?: readonly Capacity[];
  /** The rule or one around it names actors. */
  readonly recipientNamed?: boolean;
  /** How the directive came about: signed by its grantor, or witnessed in one of these forms. */
  readonly form?: readonly DirectiveForm[];
}

/**
 * Law above the patient's word. Without `require` its root permits or denies outright; with
 * `require` its root says where the demand applies, and its obligations and refrains travel with
 * what satisfied it.
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

/** What someone may speak about, where it is not everything. */
export type CapacityScope = Pick<When, "purposes" | "actions" | "data">;
