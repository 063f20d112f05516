import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import { checkClaim } from "../../contract/claims/check-input.ts";
import { dayNumber } from "../../contract/claims/day.ts";
import type { Claim, ClaimLine, CoveredDays, Day, Minor } from "../../contract/claims/model.ts";
import { InputError } from "../../errors.ts";
import { chargeOf, currencyOf, moneyOf } from "./charge.ts";
import {
  codeOf,
  countOf,
  dayOf,
  type Element,
  field,
  flagOf,
  identifierOf,
  listOf,
  optional,
  optionalText,
  readElement,
  referenceOf,
  textOf,
  unsupported,
} from "./element.ts";

/** Options of {@link claimFromFhir}. */
export interface ClaimFromFhirOptions {
  /** The Coverage that the claim is to be decided by. Absent: the one that the Claim contains. */
  readonly coverage?: string | Uint8Array;
  /** Names the member in accumulators. Default: whom the Claim refers to. */
  readonly member?: string;
  /** The claim that this one corrects. Without it, a Claim with a prior one is refused. */
  readonly replaces?: string;
  /** `remainder`: what the total leaves is the charge of the one item that states none. Default: refused. */
  readonly unpriced?: "remainder";
  /** `billable-period`: the days of items that state none. Default: refused. */
  readonly undated?: "billable-period";
}

/** A Claim of FHIR in the form in which it is decided. */
export interface ClaimFromFhir {
  readonly claim: Claim;
  /** When the Coverage covers the member. */
  readonly coverage: CoveredDays;
  /** How many coverages of the Claim come before this one: as many prior payers must be among the facts. */
  readonly priorCoverages: number;
}

const OPTIONS: OptionsOf<ClaimFromFhirOptions> = {
  coverage: true,
  member: true,
  replaces: true,
  unpriced: true,
  undated: true,
};

/**
 * Reads a FHIR R4 Claim and its Coverage. Amounts are exact: they come from the text, digit by digit.
 *
 * @param json - text or UTF-8 bytes; parsed JSON would have lost digits
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` naming the element that cannot be used, and nothing of its content;
 *   `ERR_INPUT_INVALID` when the text is not JSON; `ERR_INPUT_TOO_LARGE`
 * @example
 * const { claim, coverage } = claimFromFhir(claimJson, { coverage: coverageJson });
 */
export function claimFromFhir(
  json: string | Uint8Array,
  options: ClaimFromFhirOptions = {},
): ClaimFromFhir {
  assertOptions(options, OPTIONS, "claimFromFhir");
  const element = readElement(json, "Claim");
  expectCode(field(element, "status"), "active");
  expectCode(field(element, "use"), "claim");
  const { coverage, priorCoverages } = findCoverage(element, options.coverage);
  if (listOf(element, "item").length === 0) throw unsupported({ path: "Claim.item" }, "is missing");
  const currency = currencyOf(element);
  const claim: Claim = {
    v: 1,
    id: nameOf(element),
    member: memberOf(element, coverage, options.member),
    provider: partyOf(field(element, "provider")),
    currency,
    ...replacedBy(element, options.replaces),
    lines: linesOf(element, currency, options),
  };
  checkClaim(claim);
  return { claim, coverage: coveredDays(coverage), priorCoverages };
}

function expectCode(element: Element, code: string): void {
  if (textOf(element) !== code) throw unsupported(element, `is not ${code}`);
}

/** The first identifier of a claim, else its id. */
function nameOf(element: Element): string {
  const [first] = listOf(element, "identifier");
  if (first !== undefined) return identifierOf(first);
  const id = optionalText(element, "id");
  if (id === undefined) throw unsupported({ path: `${element.path}.identifier` }, "is missing");
  return id;
}

function partyOf(element: Element): string {
  const party = referenceOf(element);
  if (party === undefined) throw unsupported(element, "names nobody");
  return party;
}

function memberOf(claim: Element, coverage: Element, given: string | undefined): string {
  const patient = field(claim, "patient");
  const beneficiary = field(coverage, "beneficiary");
  const member = partyOf(patient);
  if (partyOf(beneficiary) !== member)
    throw unsupported(patient, "is not whom the Coverage covers");
  if (given !== undefined) return given;
  // The name of a contained resource means somebody else in the next claim.
  if (member.startsWith("#")) throw unsupported(patient, "is contained, and no member was named");
  return member;
}

function replacedBy(claim: Element, replaces: string | undefined): Pick<Claim, "replaces"> {
  if (replaces !== undefined) return { replaces };
  for (const related of listOf(claim, "related")) {
    const relationship = optional(related, "relationship");
    const codes = relationship === undefined ? [] : listOf(relationship, "coding");
    if (codes.length === 0 || codes.some((coding) => optionalText(coding, "code") === "prior")) {
      throw unsupported(related, "may be a claim that this one corrects");
    }
  }
  return {};
}

function findCoverage(
  claim: Element,
  given: string | Uint8Array | undefined,
): { readonly coverage: Element; readonly priorCoverages: number } {
  const insurance = listOf(claim, "insurance");
  const focal = insurance.filter((one) => flagOf(field(one, "focal")));
  const path = `${claim.path}.insurance`;
  if (focal.length !== 1) throw unsupported({ path }, "has not one focal coverage");
  const at = countOf(field(focal[0]!, "sequence"));
  const priorCoverages = insurance.filter((one) => countOf(field(one, "sequence")) < at).length;
  const reference = field(focal[0]!, "coverage");
  return { coverage: coverageOf(claim, reference, given), priorCoverages };
}

function coverageOf(
  claim: Element,
  reference: Element,
  given: string | Uint8Array | undefined,
): Element {
  const literal = optionalText(reference, "reference");
  if (literal?.startsWith("#") === true) {
    if (given !== undefined)
      throw unsupported(reference, "is contained, and another one was given");
    return containedCoverage(claim, reference, literal.slice(1));
  }
  if (given === undefined) {
    throw new InputError("ERR_INPUT_INVALID", "claimFromFhir needs the Coverage of the Claim");
  }
  const coverage = readElement(given, "Coverage");
  expectSame(reference, literal, coverage);
  return active(coverage);
}

/** Refuses a Coverage that is not the one the Claim refers to, as far as it refers to one. */
function expectSame(reference: Element, literal: string | undefined, coverage: Element): void {
  const id = optionalText(coverage, "id");
  const identifiers = listOf(coverage, "identifier").map(identifierOf);
  if (literal !== undefined) {
    if (id !== undefined && literal.split("/").at(-1) === id) return;
    throw unsupported(reference, "is another Coverage");
  }
  const identifier = optional(reference, "identifier");
  if (identifier !== undefined && !identifiers.includes(identifierOf(identifier))) {
    throw unsupported(reference, "is another Coverage");
  }
}

function containedCoverage(claim: Element, reference: Element, id: string): Element {
  const found = listOf(claim, "contained").filter((one) => optionalText(one, "id") === id);
  if (found.length !== 1 || optionalText(found[0]!, "resourceType") !== "Coverage") {
    throw unsupported(reference, "is no Coverage that the Claim contains");
  }
  return active(found[0]!);
}

function active(coverage: Element): Element {
  expectCode(field(coverage, "status"), "active");
  return coverage;
}

function coveredDays(coverage: Element): CoveredDays {
  const period = field(coverage, "period");
  const from = realDay(field(period, "start"));
  const end = optional(period, "end");
  if (end === undefined) return { from };
  const to = realDay(end);
  if (to < from) throw unsupported(end, "is before the start");
  return { from, to };
}

function realDay(element: Element): Day {
  const day = dayOf(element);
  if (dayNumber(day) === undefined) throw unsupported(element, "names no day");
  return day;
}

function linesOf(
  claim: Element,
  currency: string,
  options: ClaimFromFhirOptions,
): readonly ClaimLine[] {
  const items = listOf(claim, "item");
  const charges = chargesOf(claim, items, currency, options.unpriced);
  return items.map((item, i) => {
    const quantity = optional(item, "quantity");
    return {
      sequence: countOf(field(item, "sequence")),
      code: codeOf(field(item, "productOrService")),
      modifiers: listOf(item, "modifier").map(codeOf),
      ...daysOf(claim, item, options.undated),
      units: quantity === undefined ? 1 : countOf(field(quantity, "value")),
      charge: charges[i]!,
    };
  });
}

function chargesOf(
  claim: Element,
  items: readonly Element[],
  currency: string,
  unpriced: "remainder" | undefined,
): readonly Minor[] {
  const charges = items.map((item) => chargeOf(item, currency));
  const sum = charges.reduce<Minor>((all, one) => all + (one ?? 0), 0);
  const total = optional(claim, "total");
  const stated = total && moneyOf(total, currency);
  const lacking = charges.flatMap((charge, i) => (charge === undefined ? [i] : []));
  const [first, second] = lacking;
  if (first === undefined) {
    if (stated !== undefined && stated !== sum)
      throw unsupported(total!, "is not the sum of the items");
    return charges as readonly Minor[];
  }
  // With two, nobody can say which of them costs what.
  const at = second ?? first;
  if (unpriced !== "remainder" || second !== undefined || stated === undefined) {
    throw unsupported({ path: `${items[at]!.path}.net` }, "is missing");
  }
  if (stated < sum) throw unsupported(total!, "is less than the sum of the items");
  return charges.map((charge) => charge ?? stated - sum);
}

function daysOf(
  claim: Element,
  item: Element,
  undated: "billable-period" | undefined,
): { readonly from: Day; readonly to: Day } {
  const date = optional(item, "servicedDate");
  if (date !== undefined) {
    const day = realDay(date);
    return { from: day, to: day };
  }
  const own = optional(item, "servicedPeriod");
  const period = own ?? (undated === undefined ? undefined : optional(claim, "billablePeriod"));
  if (period === undefined) throw unsupported({ path: `${item.path}.serviced` }, "is missing");
  const from = realDay(field(period, "start"));
  const to = realDay(field(period, "end"));
  if (to < from) throw unsupported(period, "ends before it begins");
  return { from, to };
}
