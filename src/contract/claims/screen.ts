import { dayNumber, daysBetween } from "./day.ts";
import type {
  Authorisation,
  Claim,
  ClaimFacts,
  ClaimLine,
  ClaimStep,
  CoveredDays,
  LineFacts,
  NetworkTerms,
  StandingLine,
} from "./model.ts";
import type { Adjustment, AdjustmentGroup, Benefit } from "./model.ts";
import type { BenefitPlan } from "./plan.ts";

/** One line with what it is decided by. */
export interface OpenLine {
  readonly line: ClaimLine;
  readonly facts: LineFacts;
  /** Whose terms hold: those of the protected network where the line is protected. */
  readonly network: string;
  readonly terms: NetworkTerms;
  readonly benefit: Benefit | undefined;
}

/** Why nothing of a line is paid, as far as no other payer has paid or written it off. */
export interface Denial extends Omit<Adjustment, "amount"> {
  readonly status: "denied" | "pended";
  /** Whether it stands for the whole charge, also where other payers come first. */
  readonly whole?: true;
}

/** Who bears what the provider should have done otherwise. */
export const providersGroup = ({ terms, facts }: OpenLine): AdjustmentGroup =>
  terms.contracted || facts.protected === true ? "CO" : "PI";

/**
 * The first five steps: eligibility, timely filing, duplicate, authorisation, exclusion.
 *
 * @param earlier - the lines of the claim before this one
 */
export function screenLine(
  plan: BenefitPlan,
  claim: Claim,
  facts: ClaimFacts,
  open: OpenLine,
  earlier: readonly ClaimLine[],
): Denial | undefined {
  return (
    checkEligible(open.line, facts.coverage) ??
    checkFiling(plan.document.filingDays, facts.received, open) ??
    checkDuplicate(claim, facts.standing, open.line, earlier) ??
    checkAuthorised(open, facts.authorisations) ??
    checkExcluded(plan, open)
  );
}

const deny = (
  group: AdjustmentGroup,
  carc: string,
  step: ClaimStep,
  basis: Denial["basis"],
): Denial => ({ status: "denied", group, carc, step, basis });

function checkEligible(
  { from, to }: ClaimLine,
  coverage: readonly CoveredDays[],
): Denial | undefined {
  const sorted = [...coverage].sort((a, b) => (a.from < b.from ? -1 : 1));
  const last = dayNumber(to)!;
  let day = dayNumber(from)!;
  for (const period of sorted) {
    if (dayNumber(period.from)! > day) break;
    if (period.to === undefined) return undefined;
    day = Math.max(day, dayNumber(period.to)! + 1);
    if (day > last) return undefined;
  }
  const basis = { from, to };
  if (sorted.length === 0) return deny("PR", "31", "eligibility", basis);
  if (dayNumber(sorted[0]!.from)! > day) return deny("PR", "26", "eligibility", basis);
  const ended = sorted.every((period) => dayNumber(period.from)! <= day);
  return deny("PR", ended ? "27" : "200", "eligibility", basis);
}

function checkFiling(
  filingDays: number | undefined,
  received: string,
  open: OpenLine,
): Denial | undefined {
  if (filingDays === undefined) return undefined;
  const days = daysBetween(open.line.to, received);
  if (days <= filingDays) return undefined;
  return deny(providersGroup(open), "29", "timely-filing", { days, filingDays });
}

/** Whether two lines are the same service billed twice, and not a repeat that a modifier states. */
const isSame = (a: ClaimLine, b: Omit<ClaimLine, "sequence">): boolean =>
  a.code === b.code &&
  a.from === b.from &&
  a.to === b.to &&
  a.units === b.units &&
  a.charge === b.charge &&
  a.modifiers.length === b.modifiers.length &&
  [...a.modifiers].sort().join("\n") === [...b.modifiers].sort().join("\n");

function checkDuplicate(
  claim: Claim,
  standing: readonly StandingLine[],
  line: ClaimLine,
  earlier: readonly ClaimLine[],
): Denial | undefined {
  const twin = earlier.find((other) => isSame(line, other));
  const other = standing.find(
    (one) =>
      one.claim !== claim.id &&
      one.member === claim.member &&
      one.provider === claim.provider &&
      isSame(line, one),
  );
  if (twin === undefined && other === undefined) return undefined;
  const basis = twin === undefined ? { claim: other!.claim } : { line: twin.sequence };
  // X12: with group OA only. The other one reports what other payers did.
  return { ...deny("OA", "18", "duplicate", basis), whole: true };
}

/** The authorisations that are about a line. */
export const authorisationsOf = (
  { code, from, to }: ClaimLine,
  given: readonly Authorisation[],
): readonly Authorisation[] =>
  given.filter((one) => one.codes.includes(code) && one.from <= from && to <= one.to);

function checkAuthorised(open: OpenLine, given: readonly Authorisation[]): Denial | undefined {
  if (open.benefit?.authorisation !== true) return undefined;
  const known = authorisationsOf(open.line, given);
  if (known.some(({ status }) => status === "approved")) return undefined;
  if (known.some(({ status }) => status === "pended")) {
    // X12: with group OA only, and reversed once the line is decided.
    return { ...deny("OA", "133", "authorisation", {}), status: "pended", whole: true };
  }
  const carc = known.length === 0 ? "197" : "39";
  return deny(providersGroup(open), carc, "authorisation", {});
}

function checkExcluded(plan: BenefitPlan, { benefit }: OpenLine): Denial | undefined {
  const isExcluded =
    benefit === undefined ? plan.document.otherServices === "excluded" : benefit.excluded === true;
  if (!isExcluded) return undefined;
  const basis = benefit === undefined ? {} : { benefit: benefit.name };
  return { ...deny("PR", "96", "exclusion", basis), rarc: "N130" };
}
