import { addChange, type Tally, usedOf } from "./accumulators.ts";
import { portion, WHOLE } from "./amounts.ts";
import type { Adjustment, AccumulatorChange, Authorisation, ClaimLine, Day } from "./model.ts";
import type { Claim, ClaimFacts } from "./model.ts";
import type { BenefitPlan } from "./plan.ts";
import { authorisationsOf, type Denial, type OpenLine, providersGroup } from "./screen.ts";

/** What is left of a line after authorisation, limits and code pairs. */
export interface KeptLine {
  readonly units: number;
  /** The part of the charge for these units. */
  readonly charge: number;
  /** What was cut off, with the charge for it. */
  readonly cuts: readonly Adjustment[];
  readonly change?: AccumulatorChange;
}

/** Finds what is kept of each line of a claim, one after the other. */
export interface LineEditor {
  keep(open: OpenLine, year: Day): KeptLine | Denial;
}

/**
 * @param screened - the lines that no earlier step denied
 * @param tally - gets the units that lines use of limits
 */
export function editLines(
  plan: BenefitPlan,
  claim: Claim,
  facts: ClaimFacts,
  screened: readonly ClaimLine[],
  tally: Tally,
): LineEditor {
  const left = new Map<Authorisation, number>();
  return {
    keep(open, year) {
      const authorised = drawAuthorised(open, facts.authorisations, left);
      if (authorised === 0) return { ...cutOf(open, "authorisation"), status: "denied" };
      const limit = unitsLeft(open, claim.member, year, tally);
      const units = Math.min(authorised, limit?.left ?? Infinity);
      if (units === 0) return { ...cutOf(open, "limit"), status: "denied" };
      const partner = partnerOf(plan, claim, facts, screened, open.line);
      if (partner !== undefined) return bundled(open, partner);
      useAuthorised(open, units, facts.authorisations, left);
      const change = limit && { ...limit.change, amount: units };
      if (change !== undefined) addChange(tally, change);
      return { ...cutTo(open, authorised, units), ...(change && { change }) };
    },
  };
}

/** Units of a line that its authorisations still have. */
function drawAuthorised(
  { line, benefit }: OpenLine,
  given: readonly Authorisation[],
  left: ReadonlyMap<Authorisation, number>,
): number {
  if (benefit?.authorisation !== true) return line.units;
  let sum = 0;
  for (const one of approvedFor(line, given)) sum += left.get(one) ?? one.units ?? Infinity;
  return Math.min(line.units, sum);
}

function useAuthorised(
  { line, benefit }: OpenLine,
  units: number,
  given: readonly Authorisation[],
  left: Map<Authorisation, number>,
): void {
  if (benefit?.authorisation !== true) return;
  let open = units;
  for (const one of approvedFor(line, given)) {
    const has = left.get(one) ?? one.units ?? Infinity;
    const used = Math.min(open, has);
    left.set(one, has - used);
    open -= used;
  }
}

const approvedFor = (line: ClaimLine, given: readonly Authorisation[]): Authorisation[] =>
  authorisationsOf(line, given).filter(({ status }) => status === "approved");

/** The units that a limit leaves, if the benefit has one of units. */
function unitsLeft(
  { benefit }: OpenLine,
  member: string,
  year: Day,
  tally: Tally,
): { left: number; change: Omit<AccumulatorChange & { kind: "limit" }, "amount"> } | undefined {
  const limit = benefit?.limit;
  if (benefit === undefined || limit === undefined || !("units" in limit)) return undefined;
  const place = { year: limit.per === "year" ? year : "lifetime", member, benefit: benefit.name };
  const left = Math.max(0, limit.units - usedOf(tally, place));
  return { left, change: { kind: "limit", ...place } };
}

/** The adjustment, without an amount, for units that are not kept. */
function cutOf(open: OpenLine, step: "authorisation" | "limit"): Omit<Adjustment, "amount"> {
  const { line, benefit } = open;
  const basis = { units: line.units, kept: 0, benefit: benefit!.name };
  if (step === "authorisation") return { group: providersGroup(open), carc: "198", step, basis };
  return { group: "PR", carc: limitCarc(open), step, basis };
}

/** A benefit's maximum of a period, or of a lifetime. */
export const limitCarc = ({ benefit }: OpenLine): string =>
  benefit?.limit?.per === "lifetime" ? "35" : "119";

function cutTo(open: OpenLine, authorised: number, units: number): KeptLine {
  const { charge, units: billed } = open.line;
  const chargeAuthorised = portion(charge, authorised, billed);
  const chargeKept = portion(charge, units, billed);
  const cuts: Adjustment[] = [];
  if (authorised < billed) {
    const cut = cutOf(open, "authorisation");
    const basis = { ...cut.basis, kept: authorised };
    cuts.push({ ...cut, basis, amount: charge - chargeAuthorised });
  }
  if (units < authorised) {
    const cut = cutOf(open, "limit");
    const basis = { ...cut.basis, units: authorised, kept: units };
    cuts.push({ ...cut, basis, amount: chargeAuthorised - chargeKept });
  }
  return { units, charge: chargeKept, cuts };
}

/** Another service of the day that this one counts as part of. */
function partnerOf(
  plan: BenefitPlan,
  claim: Claim,
  facts: ClaimFacts,
  screened: readonly ClaimLine[],
  line: ClaimLine,
): string | undefined {
  for (const { first, unless = [] } of plan.pairsBySecond.get(line.code) ?? []) {
    if (unless.some((modifier) => line.modifiers.includes(modifier))) continue;
    const isBeside = (other: Pick<ClaimLine, "code" | "from" | "to">): boolean =>
      other.code === first && other.from <= line.to && line.from <= other.to;
    const stands = facts.standing.some(
      (other) =>
        other.claim !== claim.id &&
        other.member === claim.member &&
        other.provider === claim.provider &&
        isBeside(other),
    );
    if (stands || screened.some(isBeside)) return first;
  }
  return undefined;
}

const bundled = (open: OpenLine, partner: string): Denial => ({
  status: "denied",
  group: providersGroup(open),
  carc: "97",
  step: "code-pair",
  basis: { partner },
});

/**
 * What is allowed of each ranked procedure, in basis points by sequence: by rank, not in the order in
 * which they were billed; of one rank, in that order. Each day has a first procedure of its own.
 */
export function rankShares(
  { document: { ranks }, rankByCode }: BenefitPlan,
  lines: readonly ClaimLine[],
): ReadonlyMap<number, { readonly share: number; readonly place: number }> {
  const shares = new Map<number, { share: number; place: number }>();
  if (ranks === undefined) return shares;
  const ranked = lines
    .filter(({ code }) => rankByCode.has(code))
    .sort((a, b) => rankByCode.get(a.code)! - rankByCode.get(b.code)!);
  const places = new Map<Day, number>();
  for (const { sequence, from } of ranked) {
    const place = places.get(from) ?? 0;
    places.set(from, place + 1);
    const share = ranks.shares[Math.min(place, ranks.shares.length - 1)] ?? WHOLE;
    shares.set(sequence, { share, place: place + 1 });
  }
  return shares;
}
