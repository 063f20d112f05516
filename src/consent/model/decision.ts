import type { CID } from "../../codec/cid.ts";
import { encode } from "../../codec/dag-cbor.ts";
import type { DirectiveWitness } from "./witness.ts";
import type { Residual } from "./residual.ts";

/** The result of a decision; every outcome but `permit` is enforced as a refusal. */
export type Outcome = "permit" | "deny" | "partial" | "not-applicable" | "indeterminate";

/** Who spoke: the law, the patient, or the organisation if the patient was silent. */
export type Layer = "law" | "patient" | "organisation";

/** The kind of ground that a reason is. */
export type ReasonKind =
  /** A rule whose effect became the outcome. */
  | "rule"
  /** No rule matched, so that the directive's default applies. */
  | "default"
  /** The lineage is suspended. */
  | "suspended"
  /** It is unknown whether a suspension or revocation covers this record. */
  | "scope"
  /** The directive has ended, and its default remains. */
  | "ended"
  /** The law requires more of the patient's rule than it says. */
  | "requirement"
  /** The enforcing side cannot carry out an obligation. */
  | "obligation"
  /** No directive, law or policy applies. */
  | "silence";

/** One ground of a decision. */
export interface Reason {
  readonly kind: ReasonKind;
  readonly layer: Layer | null;
  /** The purpose that it was decided for; `null`: all purposes. */
  readonly purpose: string | null;
  readonly directive: CID | null;
  /** Ids of the rules from the root to the one that decided. */
  readonly path: readonly string[];
  readonly effect: "permit" | "deny" | null;
  /** Attributes that the rule was matched on. */
  readonly matchedOn: readonly string[];
  /** Attributes, along the path, that could not be matched for want of knowledge. */
  readonly unknown: readonly string[];
  /** Codes that the reason is about. */
  readonly codes: readonly string[];
  /**
   * Present if the directive bears no signature of its grantor: the organisation that says that the
   * grantor gave it, and the form. Must not be shown as the patient's own signature.
   */
  readonly witnessed?: Witnessed;
}

/** The organisation, by its did:key, that took a directive down, and the form that it has. */
export type Witnessed = Pick<DirectiveWitness, "by" | "form">;

/** The evaluator's answer. Plain data: it encodes canonically as it is. */
export interface Decision {
  readonly outcome: Outcome;
  /** The records that are permitted; present if the outcome is `partial`. */
  readonly filter?: Residual;
  /** Codes of actions that the recipient must perform. */
  readonly obligations: readonly string[];
  /** Codes of actions that the recipient must not perform. */
  readonly refrains: readonly string[];
  /** The statement of the matching rules on breaking the glass; `null`: none. */
  readonly breakGlass: "allowed" | "never" | null;
  readonly reasons: readonly Reason[];
  /** Directives that are ignored, or of which only the denies count, and why. */
  readonly setAside: readonly SetAside[];
  /** Directives and overlays that the reasons come from. */
  readonly basedOn: readonly CID[];
  readonly snapshot: CID;
  /** The legal time of the decision, in milliseconds. */
  readonly asOf: number;
  /** Last instant at which the same snapshot is certain to give the same answer; `null`: no end. */
  readonly expiresAt: number | null;
  readonly evaluator: string;
}

/** Names the evaluation rules that this version implements. */
export const EVALUATOR = "healthledger-consent/1";

/** Encodes a decision in its canonical form. */
export function encodeDecision(decision: Decision): Uint8Array {
  return encode(decision);
}

/** Why a directive is ignored. */
export type SetAsideReason =
  | "void"
  | "capacity-lacking"
  | "capacity-lost"
  | "not-yet-valid"
  | "expired"
  | "contested"
  | "unconfirmed"
  | "zone-unknown";

/** A directive that is ignored, or of which only the denies count, and why. */
export interface SetAside {
  readonly directive: CID;
  readonly why: SetAsideReason;
}
