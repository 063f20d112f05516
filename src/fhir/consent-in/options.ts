import type { CID } from "../../codec/cid.ts";
import type { EntryId } from "../../codec/ids.ts";
import type { Capacity, Directive, Effect } from "../../consent/model/model.ts";
import type { DateValue } from "../../consent/model/time.ts";

/**
 * How to interpret a Consent.
 *
 * - `r5`: FHIR R5; `decision` is the base, provisions have no type.
 * - `r4-typed`: FHIR R4; every provision says permit or deny, nested ones within the outer.
 * - `r4-policy-rule`: FHIR R4; `policyRule` (OPTIN, OPTOUT) is the base.
 * - `r4-pcf`: IHE Privacy Consent on FHIR.
 */
export type ConsentDialect = "r5" | "r4-typed" | "r4-policy-rule" | "r4-pcf";

/**
 * The meaning of a provision without a type: an `exception` to what is around it, or the `scope` in
 * which the base applies. HL7's own examples use both, so the caller must say.
 */
export type ConsentReading = "exception" | "scope";

/** Options of {@link fromConsent}. What is left out is never guessed. */
export interface FromConsentOptions {
  /** Absent: the dialect of a declared profile. */
  readonly dialect?: ConsentDialect;
  /** Dialects of further profiles, by canonical URL. IHE PCF's are known. */
  readonly profiles?: Readonly<Record<string, ConsentDialect>>;
  /** Required if a provision has conditions and no type. */
  readonly reading?: ConsentReading;
  /** Zone of dates without a time: `UTC` (default), an offset such as `+01:00`, or an IANA name. */
  readonly zone?: string;
  /** FHIR base URL, ending in `/`, whose resources are known by their relative references. */
  readonly base?: string;
  /**
   * The chain of statements that it belongs to, and may replace or revoke. Default: `fullUrl`,
   * otherwise its only identifier as `system|value`. Never the bare id: `Consent/1` of one server
   * is not another's.
   */
  readonly lineage?: string;
  /**
   * Its address on its server: `https://ehr.example/fhir/Consent/1`, as in `Bundle.entry.fullUrl`.
   * Names its lineage if no `lineage` is passed. Pass it for every version, or for none.
   */
  readonly fullUrl?: string;
  /** Ids of the entries that it follows. Default: none. */
  readonly predecessors?: readonly EntryId[];
  /** The capacity of a grantor other than the patient. Required if there is one. */
  readonly capacity?: Capacity;
  /** CIDs of evidence of the grantor's word, such as the signed paper. Default: none. */
  readonly evidence?: readonly CID[];
  /** Only records of this organisation; `null`: records of any, even if R5 names a controller. */
  readonly controller?: string | null;
  readonly jurisdictions?: readonly string[];
  /** Required if the resource names no policy, or several. */
  readonly basis?: { readonly uri: string; readonly version: string };
  /** When it takes effect; required if the resource does not say when it was given. */
  readonly from?: DateValue;
  /**
   * The effect where the directive is silent. Default `deny`, but `none` for a refusal outside
   * `r4-pcf`.
   */
  readonly default?: Effect | "none";
}

/** Something that one format expresses and the other cannot. */
export interface ConsentLoss {
  /** Path in the Consent (in), or of the rule in the directive (out): `Consent.organization[0]`. */
  readonly path: string;
  readonly what: string;
}

/** A Consent in executable form. */
export interface ImportedConsent {
  readonly directive: Directive;
  /** The patient, as the Consent names them; a directive does not name its subject. */
  readonly patient: string;
  readonly dialect: ConsentDialect;
  /** Every element that was not read, so that the directive does not carry it. */
  readonly losses: readonly ConsentLoss[];
}
