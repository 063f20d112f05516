import type { CID } from "../../codec/cid.ts";
import { encode } from "../../codec/dag-cbor.ts";
import type { DirectiveWitness } from "./witness.ts";
import type { Residual } from "./residual.ts";

/** What is decided; everything but `permit` is enforced as a refusal. */
export type Outcome = "permit" | "deny" | "partial" | "not-applicable" | "indeterminate";

/** Who spoke: the law, the patient, or the organisation where the patient was silent. */
export type Layer = "law" | "patient" | "organisation";

/** What kind of ground a reason is. */
export type ReasonKind =
  /** A rule whose effect became the outcome. */
  | "rule"
  /** No rule matched, and the directive's default holds. */
  | "default"
  /** The lineage is suspended. */
  | "suspended"
  /** It is unknown whether a suspension or revocation covers this record. */
  | "scope"
  /** The directive has ended and leaves its default. */
  | "ended"
  /** The law demands more of the patient's rule than it says. */
  | "requirement"
  /** The enforcing side does not understand an obligation. */
  | "obligation"
  /** Nobody said anything that applies. */
  | "silence";

/** One ground of a decision. */
export interface Reason {
  readonly kind: ReasonKind;
  readonly layer: Layer | null;
  /** The purpose it was decided for; `null` when for all. */
  readonly purpose: string | null;
  readonly directive: CID | null;
  /** Ids of the rules from the root to the one that decided. */
  readonly path: readonly string[];
  readonly effect: "permit" | "deny" | null;
  /** Attributes that the rule was held against. */
  readonly matchedOn: readonly string[];
  /** Attributes, on the path, of which it could not be told whether they match. */
  readonly unknown: readonly string[];
  /** Codes that the reason is about. */
  readonly codes: readonly string[];
  /**
   * Present where the directive bears no signature of its grantor: which organisation says that he
   * gave it, and how. Never to be shown as the patient's own signature.
   */
  readonly witnessed?: Witnessed;
}

/** The organisation, by its did:key, that took a directive down, and how. */
export type Witnessed = Pick<DirectiveWitness, "by" | "form">;

/** The evaluator's answer. Plain data: it encodes canonically as it is. */
export interface Decision {
  readonly outcome: Outcome;
  /** For which records it is a permit; present where the outcome is `partial`. */
  readonly filter?: Residual;
  /** Codes of what the recipient must do. */
  readonly obligations: readonly string[];
  /** Codes of what the recipient must not do. */
  readonly refrains: readonly string[];
  /** What matching rules say about breaking the glass; `null`: nothing. */
  readonly breakGlass: "allowed" | "never" | null;
  readonly reasons: readonly Reason[];
  /** Directives that have no say, or only their denies, and why. */
  readonly setAside: readonly SetAside[];
  /** Directives and overlays that the reasons rest on. */
  readonly basedOn: readonly CID[];
  readonly snapshot: CID;
  /** Legal time that was asked about, in milliseconds. */
  readonly asOf: number;
  /** Last instant at which the same snapshot is sure to give the same answer; `null`: no end. */
  readonly expiresAt: number | null;
  readonly evaluator: string;
}

/** Names the rules of evaluation that this version implements. */
export const EVALUATOR = "healthledger-consent/1";

/** Writes a decision in its canonical form. */
export function encodeDecision(decision: Decision): Uint8Array {
  return encode(decision);
}

/** Why a directive has no say. */
export type SetAsideReason =
  | "void"
  | "capacity-lacking"
  | "capacity-lost"
  | "not-yet-valid"
  | "expired"
  | "contested"
  | "unconfirmed"
  | "zone-unknown";

/** A directive that has no say, or only its denies, and why. */
export interface SetAside {
  readonly directive: CID;
  readonly why: SetAsideReason;
}
