import { paidBy, paidByFamily, type Tally, usedOf } from "./accumulators.ts";
import { shareOf } from "./amounts.ts";
import type { Adjustment, Day, Minor } from "./model.ts";
import { limitCarc } from "./edit.ts";
import type { OpenLine } from "./screen.ts";

/** What a plan pays of an allowed amount, and what it leaves to the patient. */
export interface Share {
  readonly paid: Minor;
  /** Copay, deductible and coinsurance, as far as the cap leaves them. */
  readonly costs: readonly Adjustment[];
  /** What a limit of money does not pay. */
  readonly beyond?: Adjustment;
  readonly deductible: Minor;
}

/** Whose accumulators count. */
export interface Place {
  readonly year: Day;
  readonly network: string;
  readonly member: string;
}

/** Copay, deductible, coinsurance and cap, in this order; then limits of money. */
export function shareLine(open: OpenLine, allowed: Minor, place: Place, tally: Tally): Share {
  const own = open.benefit?.terms?.[open.network];
  const copay = Math.min(own?.copay ?? 0, allowed);
  const left = deductibleLeft(open, place, tally);
  const deductible = own?.noDeductible === true ? 0 : Math.min(left.amount, allowed - copay);
  const rate = own?.coinsurance ?? open.terms.coinsurance;
  const base = allowed - copay - deductible;
  const coinsurance = shareOf(base, rate);
  const cap = capLeft(open, place, tally);
  const over = Math.max(0, copay + deductible + coinsurance - cap.amount);
  // The plan bears what is above the cap: coinsurance first, then deductible, then copay.
  const less = {
    coinsurance: Math.min(over, coinsurance),
    deductible: Math.min(Math.max(0, over - coinsurance), deductible),
    copay: Math.max(0, over - coinsurance - deductible),
  };
  const capped = over > 0 ? { cap: cap.amount, capOf: cap.of } : {};
  const costs = (
    [
      cost("3", "copay", copay - less.copay, { copay, ...capped }),
      cost("1", "deductible", deductible - less.deductible, {
        left: left.amount,
        leftOf: left.of,
        ...capped,
      }),
      cost("2", "coinsurance", coinsurance - less.coinsurance, { rate, base, ...capped }),
    ] satisfies Adjustment[]
  ).filter(({ amount }) => amount > 0);
  const patient = copay + deductible + coinsurance - over;
  return limitPaid(open, place, tally, {
    paid: allowed - patient,
    costs,
    deductible: deductible - less.deductible,
  });
}

const cost = (
  carc: string,
  step: "copay" | "deductible" | "coinsurance",
  amount: Minor,
  basis: Adjustment["basis"],
): Adjustment => ({ group: "PR", carc, amount, step, basis });

interface Left {
  readonly amount: Minor;
  /** Whose it is: the one that leaves less. */
  readonly of: "member" | "family" | "none";
}

const least = (member: Minor | undefined, family: Minor | undefined, none: Minor): Left => {
  const [m, f] = [Math.max(0, member ?? Infinity), Math.max(0, family ?? Infinity)];
  if (m === Infinity && f === Infinity) return { amount: none, of: "none" };
  return m <= f ? { amount: m, of: "member" } : { amount: f, of: "family" };
};

function deductibleLeft({ terms: { deductible } }: OpenLine, place: Place, tally: Tally): Left {
  if (deductible === undefined) return { amount: 0, of: "none" };
  const ofFamily = deductible.family;
  return least(
    deductible.kind === "aggregate"
      ? undefined
      : deductible.individual - paidBy(tally, place, "deductible"),
    ofFamily === undefined ? undefined : ofFamily - paidByFamily(tally, place, "deductible"),
    0,
  );
}

function capLeft({ terms: { cap } }: OpenLine, place: Place, tally: Tally): Left {
  const { individual, family } = cap ?? {};
  return least(
    individual === undefined ? undefined : individual - paidBy(tally, place, "outOfPocket"),
    family === undefined ? undefined : family - paidByFamily(tally, place, "outOfPocket"),
    Infinity,
  );
}

function limitPaid(open: OpenLine, { year, member }: Place, tally: Tally, share: Share): Share {
  const { benefit } = open;
  const left = moneyLeft(open, year, member, tally);
  if (left === undefined || share.paid <= left) return share;
  const basis = { left, benefit: benefit!.name };
  return {
    ...share,
    paid: left,
    beyond: {
      group: "PR",
      carc: limitCarc(open),
      amount: share.paid - left,
      step: "limit",
      basis,
    },
  };
}

/** What the plan may still pay for a benefit, if that has a limit of money. */
function moneyLeft(
  { benefit }: OpenLine,
  year: Day,
  member: string,
  tally: Tally,
): Minor | undefined {
  const limit = benefit?.limit;
  if (benefit === undefined || limit === undefined || !("paid" in limit)) return undefined;
  const place = { year: limit.per === "year" ? year : "lifetime", member, benefit: benefit.name };
  return Math.max(0, limit.paid - usedOf(tally, place));
}
