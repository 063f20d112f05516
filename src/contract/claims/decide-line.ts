import { addChange, type Tally } from "./accumulators.ts";
import { impactOf, payAfter, type PriorImpact } from "./coordinate.ts";
import type { KeptLine } from "./edit.ts";
import type {
  AccumulatorChange,
  Adjustment,
  Coordination,
  LineDecision,
  Minor,
  PriorPayer,
} from "./model.ts";
import { type Price, priceLine } from "./price.ts";
import type { Denial, OpenLine } from "./screen.ts";
import { type Place, type Share, shareLine } from "./share.ts";

/** One decided line, and what it adds to the accumulators. */
export interface Decided {
  readonly line: LineDecision;
  readonly changes: readonly AccumulatorChange[];
}

/** Decides a line that is not paid at all. */
export function denyLine(
  open: OpenLine,
  { status, whole, ...adjustment }: Denial,
  year: string,
  prior: readonly PriorPayer[],
): Decided {
  const { charge } = open.line;
  const impact = whole === true ? undefined : impactOf(prior, open.line);
  const adjustments = [
    ...booked(impact),
    { ...adjustment, amount: charge - (impact?.booked ?? 0) },
  ].filter(({ amount }) => amount > 0);
  const line = lineOf(open, year, { status, allowed: 0, allowedUnits: 0, adjustments, paid: 0 });
  return { line, changes: [] };
}

/** What a line is paid by. */
export interface PaidBy {
  readonly method: Coordination;
  readonly prior: readonly PriorPayer[];
  readonly rank: { readonly share: number; readonly place: number } | undefined;
  readonly place: Place;
  /** Gets what the line adds. */
  readonly tally: Tally;
}

/** Decides a line of which something is kept. */
export function payLine(open: OpenLine, kept: KeptLine, by: PaidBy): Decided {
  const { method, prior, rank, place, tally } = by;
  const price = priceLine(open, kept, rank);
  const impact = impactOf(prior, open.line);
  const before = method === "maintenance-of-benefits" ? (impact?.paid ?? 0) : 0;
  const share = shareLine(open, Math.max(0, price.allowed - before), place, tally);
  const { allowed } = price;
  const paid =
    impact === undefined
      ? share.paid
      : payAfter(method, { charge: open.line.charge, allowed, alone: share.paid, impact });
  const adjustments = balance(open, kept, { price, share, impact, paid });
  const line = lineOf(open, place.year, {
    status: "allowed",
    allowed,
    allowedUnits: kept.units,
    adjustments,
    paid,
  });
  const changes = changesOf(open, place, { share, adjustments, paid });
  for (const change of changes) addChange(tally, change);
  return { line, changes };
}

/**
 * Explains every part of the charge that is not paid.
 *
 * Where others come first, what they booked is reported once, and the rest of the reasons share what
 * is open with the provider: first what is not paid for at all, then the patient's share, and what is
 * left is above the allowed amount.
 */
function balance(
  open: OpenLine,
  { cuts }: KeptLine,
  {
    price,
    share,
    impact,
    paid,
  }: { price: Price; share: Share; impact: PriorImpact | undefined; paid: Minor },
): readonly Adjustment[] {
  const { excess, rankCut, allowed } = price;
  const taken: Adjustment[] = [...booked(impact)];
  let left = open.line.charge - (impact?.booked ?? 0) - paid;
  const take = (reasons: readonly Adjustment[], most: Minor): Minor => {
    let sum = 0;
    for (const reason of reasons) {
      const amount = Math.min(reason.amount, left, most - sum);
      if (amount > 0) taken.push({ ...reason, amount });
      left -= Math.max(0, amount);
      sum += Math.max(0, amount);
    }
    return sum;
  };
  take([...cuts, ...(rankCut === undefined ? [] : [rankCut])], Infinity);
  // A provider under contract gets no more than the allowed amount, the patient's share with it.
  const most =
    impact === undefined || excess.group === "PR"
      ? Infinity
      : Math.max(0, allowed - impact.paid - paid);
  const shared = take(share.costs, most);
  take(share.beyond === undefined ? [] : [share.beyond], most - shared);
  take([{ ...excess, amount: left }], Infinity);
  return taken;
}

const booked = (impact: PriorImpact | undefined): Adjustment[] =>
  impact === undefined || impact.booked === 0
    ? []
    : [
        {
          group: "OA",
          carc: "23",
          amount: impact.booked,
          step: "prior-payers",
          basis: { paid: impact.paid },
        },
      ];

function lineOf(
  { line, network }: OpenLine,
  year: string,
  decided: Pick<LineDecision, "status" | "allowed" | "allowedUnits" | "adjustments" | "paid">,
): LineDecision {
  const { sequence, code, modifiers, from, to, units, charge } = line;
  const patient = decided.adjustments.reduce(
    (sum, { group, amount }) => sum + (group === "PR" ? amount : 0),
    0,
  );
  const billed = { sequence, code, modifiers: [...modifiers], from, to, units, charge };
  return { ...billed, year, network, ...decided, patient };
}

/**
 * A secondary plan credits to its deductible what it would have credited if it came first; the cap
 * counts what the patient owes.
 *
 * @see NAIC Coordination of Benefits Model Regulation, section 7
 */
function changesOf(
  { benefit }: OpenLine,
  { year, network, member }: Place,
  { share, adjustments, paid }: { share: Share; adjustments: readonly Adjustment[]; paid: Minor },
): readonly AccumulatorChange[] {
  const costs = adjustments.filter(({ step }) => COSTS.includes(step));
  const outOfPocket = costs.reduce((sum, { amount }) => sum + amount, 0);
  const place = { year, network, member };
  const limit = benefit?.limit;
  const changes: AccumulatorChange[] = [
    { kind: "deductible", ...place, amount: share.deductible },
    { kind: "outOfPocket", ...place, amount: outOfPocket },
  ];
  if (benefit !== undefined && limit !== undefined && "paid" in limit) {
    const period = limit.per === "year" ? year : "lifetime";
    changes.push({ kind: "limit", year: period, member, benefit: benefit.name, amount: paid });
  }
  return changes.filter(({ amount }) => amount > 0);
}

const COSTS: readonly Adjustment["step"][] = ["copay", "deductible", "coinsurance"];
