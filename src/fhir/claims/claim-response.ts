import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import { explainClaim } from "../../contract/claims/explain.ts";
import type { ClaimDecision } from "../../contract/claims/model.ts";
import { amountsOf, type FhirJson, money, paymentOf, reasonsOf } from "./amounts-out.ts";
import { copyOf, field, readElement } from "./element.ts";

/** Options of {@link toClaimResponse}. */
export interface ClaimResponseOptions {
  /** The Claim that was decided. */
  readonly claim: string | Uint8Array;
  /** A reference to that Claim, such as `Claim/c7`. */
  readonly request: string;
  /** A reference to the payer. */
  readonly insurer: string;
  /** When it was decided: a FHIR dateTime. */
  readonly created: string;
}

const OPTIONS: OptionsOf<ClaimResponseOptions> = {
  claim: true,
  request: true,
  insurer: true,
  created: true,
};

/**
 * Writes a decision as a ClaimResponse of FHIR R4, with the reasons of each line in words as its notes.
 *
 * @returns FHIR R4 JSON
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` naming the element of the Claim that is missing
 * @example
 * const response = toClaimResponse(decision, {
 *   claim: claimJson,
 *   request: "Claim/c7",
 *   insurer: "Organization/payer",
 *   created: "2026-03-20T09:00:00Z",
 * });
 */
export function toClaimResponse(decision: ClaimDecision, options: ClaimResponseOptions): FhirJson {
  assertOptions(options, OPTIONS, "toClaimResponse");
  const claim = readElement(options.claim, "Claim");
  const { currency, lines } = decision;
  const notes = explainClaim(decision).lines.map(({ summary, reasons }, i) => ({
    number: i + 1,
    type: "display",
    text: [summary, ...reasons].join(" "),
  }));
  const shown = (of: readonly ClaimDecision["lines"][number][]) =>
    amountsOf(of).map(({ category, amount }) => ({ category, amount: money(amount, currency) }));
  return {
    resourceType: "ClaimResponse",
    status: "active",
    type: copyOf(field(claim, "type")),
    use: "claim",
    patient: copyOf(field(claim, "patient")),
    created: options.created,
    insurer: { reference: options.insurer },
    requestor: copyOf(field(claim, "provider")),
    request: { reference: options.request },
    outcome: lines.some(({ status }) => status === "pended") ? "partial" : "complete",
    item: lines.map((line, i) => ({
      itemSequence: line.sequence,
      noteNumber: [i + 1],
      adjudication: [...shown([line]), ...reasonsOf(line, currency)],
    })),
    total: shown(lines),
    payment: paymentOf(decision),
    processNote: notes,
  };
}
