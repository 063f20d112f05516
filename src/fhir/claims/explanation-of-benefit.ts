import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import type { ClaimDecision, LineDecision } from "../../contract/claims/model.ts";
import { InputError } from "../../errors.ts";
import {
  amountsOf,
  concept,
  type FhirJson,
  money,
  networkStatus,
  paymentOf,
  reasonsOf,
} from "./amounts-out.ts";
import { copyOf, type Element, field, listOf, optional, readElement } from "./element.ts";
import { checkNeeds, profileOf } from "./profiles.ts";

/** Options of {@link toExplanationOfBenefit}. */
export interface ExplanationOfBenefitOptions {
  /** The Claim that was decided, whose clinical content is repeated. */
  readonly claim: string | Uint8Array;
  /** How the payer names the claim. */
  readonly identifier: { readonly system?: string; readonly value: string };
  /** A reference to the payer, such as `Organization/payer`. */
  readonly insurer: string;
  /** When it was decided: a FHIR dateTime. */
  readonly created: string;
  /** When the payer's record of it last changed: a FHIR instant. */
  readonly lastUpdated: string;
  /** The plan's networks that count as in network. */
  readonly inNetwork: readonly string[];
}

const OPTIONS: OptionsOf<ExplanationOfBenefitOptions> = {
  claim: true,
  identifier: true,
  insurer: true,
  created: true,
  lastUpdated: true,
  inNetwork: true,
};

/**
 * Writes a decision as an ExplanationOfBenefit in the CARIN Blue Button 2.2.0 profile of its Claim's type:
 * professional and vision, oral, pharmacy, inpatient or outpatient institutional.
 *
 * @returns FHIR R4 JSON
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` naming the element of the Claim that the profile needs and that
 *   is missing or has another code system; `ERR_INPUT_INVALID` when the Claim has other lines than the decision
 * @example
 * const eob = toExplanationOfBenefit(decision, {
 *   claim: claimJson,
 *   identifier: { value: "EOB-7" },
 *   insurer: "Organization/payer",
 *   created: "2026-03-20T09:00:00Z",
 *   lastUpdated: "2026-03-20T09:00:00Z",
 *   inNetwork: ["in"],
 * });
 */
export function toExplanationOfBenefit(
  decision: ClaimDecision,
  options: ExplanationOfBenefitOptions,
): FhirJson {
  assertOptions(options, OPTIONS, "toExplanationOfBenefit");
  const claim = readElement(options.claim, "Claim");
  const profile = profileOf(claim);
  checkNeeds(claim, profile);
  const { currency, lines } = decision;
  const status = (line: LineDecision): string =>
    options.inNetwork.includes(line.network) ? "innetwork" : "outofnetwork";
  const all = new Set(lines.map(status));
  const ofClaim = all.size === 1 ? [...all][0]! : "other";
  const items = listOf(claim, "item");
  if (items.length !== lines.length) {
    throw new InputError("ERR_INPUT_INVALID", "the Claim has other lines than the decision");
  }
  return {
    resourceType: "ExplanationOfBenefit",
    meta: {
      lastUpdated: options.lastUpdated,
      profile: [`http://hl7.org/fhir/us/carin-bb/StructureDefinition/${profile.id}|2.2.0`],
    },
    identifier: [
      {
        type: concept("http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBIdentifierType", "uc"),
        ...options.identifier,
      },
    ],
    status: "active",
    type: copyOf(field(claim, "type")),
    ...copied(claim, ["subType"]),
    use: "claim",
    patient: copyOf(field(claim, "patient")),
    billablePeriod: billablePeriod(claim, lines),
    created: options.created,
    insurer: { reference: options.insurer },
    provider: copyOf(field(claim, "provider")),
    outcome: lines.some((line) => line.status === "pended") ? "partial" : "complete",
    ...copied(claim, ["careTeam", "supportingInfo", "diagnosis", "procedure"]),
    insurance: listOf(claim, "insurance").map((one) => copied(one, ["focal", "coverage"])),
    item: lines.map((line) => itemOf(items, line, { currency, status: status(line), profile })),
    ...headerOf(profile, ofClaim),
    total: amountsOf(lines).map(({ category, amount }) => ({
      category,
      amount: money(amount, currency),
    })),
    payment: paymentOf(decision),
  };
}

const copied = (from: Element, names: readonly string[]): FhirJson =>
  Object.fromEntries(
    names.flatMap((name) => {
      const found = optional(from, name);
      return found === undefined ? [] : [[name, copyOf(found)]];
    }),
  );

function billablePeriod(claim: Element, lines: readonly LineDecision[]): unknown {
  const stated = optional(claim, "billablePeriod");
  if (stated !== undefined && optional(stated, "start") !== undefined) return copyOf(stated);
  const days = lines.flatMap(({ from, to }) => [from, to]).sort();
  return { start: days[0], end: days.at(-1) };
}

const ITEM = [
  ...["sequence", "careTeamSequence", "diagnosisSequence", "procedureSequence"],
  ...["informationSequence", "revenue", "productOrService", "modifier", "servicedDate"],
  ...["servicedPeriod", "locationCodeableConcept", "quantity", "bodySite", "subSite"],
];

function itemOf(
  items: readonly Element[],
  line: LineDecision,
  {
    currency,
    status,
    profile,
  }: { currency: string; status: string; profile: ReturnType<typeof profileOf> },
): FhirJson {
  const item = items.find((one) => copyOf(field(one, "sequence")) === line.sequence);
  if (item === undefined) {
    throw new InputError("ERR_INPUT_INVALID", "the Claim has other lines than the decision");
  }
  return {
    ...copied(item, ITEM),
    adjudication: [
      ...amountsOf([line]).map(({ category, amount }) => ({
        category,
        amount: money(amount, currency),
      })),
      ...reasonsOf(line, currency),
      ...(profile.itemStatus ? [networkStatus("benefitpaymentstatus", status)] : []),
    ],
  };
}

/** What a profile wants to be said of the claim as a whole; amounts stand at the items only. */
function headerOf(
  { headerStatus, rendering }: ReturnType<typeof profileOf>,
  status: string,
): FhirJson {
  const ofProvider = status === "innetwork" ? "innetwork" : "outofnetwork";
  const adjudication = [
    ...(rendering ? [networkStatus("renderingnetworkstatus", ofProvider)] : []),
    ...(headerStatus ? [networkStatus("benefitpaymentstatus", status)] : []),
  ];
  return adjudication.length === 0 ? {} : { adjudication };
}
