import type { CID } from "../../codec/cid.ts";
import type { EntryId } from "../../codec/ids.ts";
import type { Capacity, Directive, Effect } from "../../consent/model/model.ts";
import type { DateValue } from "../../consent/model/time.ts";

/**
 * How a Consent is to be understood.
 *
 * - `r5`: FHIR R5; `decision` is the base, provisions have no type.
 * - `r4-typed`: FHIR R4; every provision says permit or deny, nested ones within the outer.
 * - `r4-policy-rule`: FHIR R4; `policyRule` (OPTIN, OPTOUT) is the base.
 * - `r4-pcf`: IHE Privacy Consent on FHIR.
 */
export type ConsentDialect = "r5" | "r4-typed" | "r4-policy-rule" | "r4-pcf";

/**
 * What a provision without a type means: an `exception` to what stands around it, or the `scope`
 * in which the base holds. HL7's own examples use both, so it is the caller's to say.
 */
export type ConsentReading = "exception" | "scope";

/** How {@link fromConsent} reads a Consent. What is left out is never guessed. */
export interface FromConsentOptions {
  /** Absent: the one that a declared profile stands for. */
  readonly dialect?: ConsentDialect;
  /** Dialects of further profiles, by canonical URL. IHE PCF's are known. */
  readonly profiles?: Readonly<Record<string, ConsentDialect>>;
  /** Needed where a provision has conditions and no type. */
  readonly reading?: ConsentReading;
  /** Zone of dates without time: `UTC` (default), an offset such as `+01:00`, or an IANA name. */
  readonly zone?: string;
  /** FHIR base URL whose resources are known by their relative references, ending in `/`. */
  readonly base?: string;
  /**
   * The chain of statements that it belongs to, and may replace or revoke. Default `fullUrl`, else the
   * one identifier as `system|value`. Never the bare id: `Consent/1` of one server is not another's.
   */
  readonly lineage?: string;
  /**
   * Where it stands on its server: `https://ehr.example/fhir/Consent/1`, as in `Bundle.entry.fullUrl`.
   * Names its lineage where no `lineage` is passed. Pass it for every version, or for none.
   */
  readonly fullUrl?: string;
  /** Ids of the entries that it follows. Default none. */
  readonly predecessors?: readonly EntryId[];
  /** In what capacity a grantor other than the patient speaks. Needed where there is one. */
  readonly capacity?: Capacity;
  /** CIDs of what proves the grantor's word, such as the signed paper. Default none. */
  readonly evidence?: readonly CID[];
  /** Only records of this organisation; `null`: of every one, also where R5 names a controller. */
  readonly controller?: string | null;
  readonly jurisdictions?: readonly string[];
  /** Needed where the resource names no policy, or several. */
  readonly basis?: { readonly uri: string; readonly version: string };
  /** When it begins to hold; needed where the resource says nothing of when it was given. */
  readonly from?: DateValue;
  /** What holds where it is silent. Default `deny`, but `none` for a refusal outside `r4-pcf`. */
  readonly default?: Effect | "none";
}

/** Something that one side says and the other cannot. */
export interface ConsentLoss {
  /** Path in the Consent (in), or of the rule in the directive (out): `Consent.organization[0]`. */
  readonly path: string;
  readonly what: string;
}

/** A Consent in executable form. */
export interface ImportedConsent {
  readonly directive: Directive;
  /** Whose data it is about, as the Consent names him; a directive does not say. */
  readonly patient: string;
  readonly dialect: ConsentDialect;
  /** Every element that is there and was not read, so that the directive does not carry it. */
  readonly losses: readonly ConsentLoss[];
}
