import { InputError } from "../../errors.ts";
import { portion, shareOf, WHOLE } from "./amounts.ts";
import type { KeptLine } from "./edit.ts";
import type { Adjustment, Minor } from "./model.ts";
import { type OpenLine, providersGroup } from "./screen.ts";

/** What is allowed of a line, before anybody's share. */
export interface Price {
  readonly allowed: Minor;
  /** What its rank among the procedures of the day takes off. */
  readonly rankCut?: Adjustment;
  /** What is charged above the allowed amount. */
  readonly excess: Adjustment;
}

/**
 * The allowed amount of what is kept of a line, at most its charge.
 *
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when neither pricer nor plan knows one
 */
export function priceLine(
  open: OpenLine,
  kept: KeptLine,
  rank: { readonly share: number; readonly place: number } | undefined,
): Price {
  const { amount, source } = listed(open, kept);
  const before = Math.min(amount, kept.charge);
  const allowed = rank === undefined ? before : shareOf(before, rank.share);
  const writesOff = open.terms.contracted || open.facts.protected === true;
  const excess: Adjustment = {
    group: writesOff ? "CO" : "PR",
    carc: "45",
    amount: kept.charge - before,
    step: "allowed-amount",
    basis: { charge: kept.charge, allowed: before, source },
  };
  if (rank === undefined || rank.share === WHOLE) return { allowed, excess };
  return {
    allowed,
    excess,
    rankCut: {
      group: providersGroup(open),
      carc: "59",
      amount: before - allowed,
      step: "rank",
      basis: { place: rank.place, share: rank.share, allowed: before },
    },
  };
}

function listed(open: OpenLine, kept: KeptLine): { amount: Minor; source: string } {
  const { line, facts, terms } = open;
  if (facts.allowed !== undefined) {
    return { amount: portion(facts.allowed, kept.units, line.units), source: "pricer" };
  }
  if (terms.fees !== undefined && Object.hasOwn(terms.fees, line.code)) {
    return { amount: terms.fees[line.code]! * kept.units, source: "fee" };
  }
  if (terms.unlisted === undefined) {
    throw new InputError(
      "ERR_INPUT_UNSUPPORTED",
      `line ${line.sequence} has neither a fee nor an amount of the pricer`,
    );
  }
  return { amount: shareOf(kept.charge, terms.unlisted), source: "unlisted" };
}
