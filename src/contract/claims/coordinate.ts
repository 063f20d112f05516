import { InputError } from "../../errors.ts";
import type { ClaimLine, Coordination, Minor, PriorAdjustment, PriorPayer } from "./model.ts";

/** What the payers before this one did with a line. */
export interface PriorImpact {
  /** What they paid and wrote off: the provider has booked it. */
  readonly booked: Minor;
  readonly paid: Minor;
  /** The largest amount that one of them allowed. */
  readonly allowed: Minor;
}

/** The steps of X12 by which patients share costs: deductible, coinsurance, copay. */
const COSTS: readonly string[] = ["1", "2", "3"];

/**
 * Adds up what prior payers did with a line, or `undefined` where there are none.
 *
 * What they left to the patient is not among it, nor do their OA adjustments count: those report what
 * was booked before, or book nothing.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when one reports the impact of a payer that is not given
 */
export function impactOf(
  prior: readonly PriorPayer[],
  { sequence, charge }: ClaimLine,
): PriorImpact | undefined {
  if (prior.length === 0) return undefined;
  let [booked, paid, allowed] = [0, 0, 0];
  for (const { lines } of prior) {
    const line = lines.find((one) => one.sequence === sequence)!;
    const sum = (is: (one: PriorAdjustment) => boolean): Minor =>
      line.adjustments.reduce((total, one) => total + (is(one) ? one.amount : 0), 0);
    if (sum(({ group, carc }) => group === "OA" && carc === "23") > booked) {
      throw new InputError(
        "ERR_INPUT_INVALID",
        "facts.prior lacks a payer whose impact another one reports",
      );
    }
    paid += line.paid;
    booked += line.paid + sum(({ group }) => group === "CO" || group === "PI");
    const shared = sum(({ group, carc }) => group === "PR" && COSTS.includes(carc));
    allowed = Math.max(allowed, line.paid + shared);
  }
  return { booked: Math.min(booked, charge), paid, allowed };
}

/** The amounts from which a later payer's payment is found. */
export interface Coordinated {
  readonly charge: Minor;
  /** What this plan allows. */
  readonly allowed: Minor;
  /** What it would pay if it came first; under maintenance of benefits, of what the others leave. */
  readonly alone: Minor;
  readonly impact: PriorImpact;
}

/**
 * What a plan pays that comes after others: never more than is open with the provider.
 *
 * @see 42 CFR 411.33(a) for `medicare-secondary`
 */
export function payAfter(
  method: Coordination,
  { charge, allowed, alone, impact }: Coordinated,
): Minor {
  const open = charge - impact.booked;
  return Math.max(0, Math.min(open, byMethod[method]({ charge, allowed, alone, impact })));
}

const byMethod: Readonly<Record<Coordination, (of: Coordinated) => Minor>> = {
  standard: ({ alone }) => alone,
  "non-duplication": ({ alone, impact }) => alone - impact.paid,
  "maintenance-of-benefits": ({ alone }) => alone,
  "medicare-secondary": ({ charge, allowed, alone, impact }) => {
    // What the provider must accept as payment in full, where that is less than the charge.
    const obliged = charge - (impact.booked - impact.paid);
    const higher = Math.max(allowed, impact.allowed);
    return Math.min(obliged - impact.paid, alone, higher - impact.paid);
  },
};
