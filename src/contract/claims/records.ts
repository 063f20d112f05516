import { InputError } from "../../errors.ts";
import { addChange, openTally } from "./accumulators.ts";
import type {
  Accumulators,
  ClaimDecision,
  ClaimRecord,
  ClaimReversal,
  LineDecision,
  Minor,
  StandingLine,
} from "./model.ts";

/**
 * Takes a decision back: each adjustment is negated under its own group.
 *
 * @example
 * const reversal = reverseClaim(decision);
 */
export function reverseClaim(decision: ClaimDecision): ClaimReversal {
  const { claim, currency, total } = decision;
  const lines = decision.lines.map((line): LineDecision => {
    const adjustments = line.adjustments.map((one) => ({ ...one, amount: negate(one.amount) }));
    const { charge, allowed, paid, patient } = line;
    return {
      ...line,
      charge: negate(charge),
      allowed: negate(allowed),
      paid: negate(paid),
      patient: negate(patient),
      adjustments,
    };
  });
  return {
    v: 1,
    kind: "reversal",
    claim,
    currency,
    lines,
    total: {
      charge: negate(total.charge),
      paid: negate(total.paid),
      patient: negate(total.patient),
    },
  };
}

/** Never -0, which has no bytes. */
const negate = (amount: Minor): Minor => 0 - amount;

/**
 * The decisions that were not taken back, oldest first.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when a claim is decided while a decision on it stands, or
 *   reversed while none stands
 * @example
 * const standing = standingDecisions(records);
 */
export function standingDecisions(records: readonly ClaimRecord[]): readonly ClaimDecision[] {
  const standing = new Map<string, ClaimDecision>();
  for (const record of records) {
    const { claim } = record;
    if (record.kind === "reversal") {
      if (!standing.delete(claim)) throw invalid("a claim is reversed that is not decided");
    } else if (standing.has(claim)) throw invalid("a claim is decided twice");
    else standing.set(claim, record);
  }
  return [...standing.values()];
}

const invalid = (message: string): InputError => new InputError("ERR_INPUT_INVALID", message);

/**
 * The accumulators of a family: what was there at first, and what each standing decision adds.
 *
 * @param start - such as {@link emptyAccumulators}; not changed
 * @throws {InputError} as {@link standingDecisions}, and when `start` lacks a plan year
 * @example
 * const accumulators = foldDecisions(emptyAccumulators(["2026-01-01"]), records);
 */
export function foldDecisions(start: Accumulators, records: readonly ClaimRecord[]): Accumulators {
  const tally = openTally(start);
  for (const { changes } of standingDecisions(records)) {
    for (const change of changes) addChange(tally, change);
  }
  return tally;
}

/**
 * The lines by which duplicates and code pairs of later claims are found: those that stand and were
 * not denied.
 *
 * @example
 * const facts = { received: "2026-03-05", standing: standingLines(records) };
 */
export function standingLines(records: readonly ClaimRecord[]): readonly StandingLine[] {
  return standingDecisions(records).flatMap(({ claim, member, provider, lines }) =>
    lines
      .filter(({ status }) => status === "allowed")
      .map(({ code, modifiers, from, to, units, charge }) => {
        const billed = { code, modifiers, from, to, units, charge };
        return { claim, member, provider, ...billed };
      }),
  );
}

/**
 * The claims to be decided anew once one was reversed: those decided since that stand, and that may
 * have been decided by what the reversed one had added or billed. Oldest first.
 *
 * @param records - with the reversal
 * @param claim - the one that was reversed
 * @throws {InputError} `ERR_INPUT_INVALID` when its last record is no reversal
 * @example
 * for (const id of claimsToReadjudicate(records, reversal.claim)) decideAgain(id);
 */
export function claimsToReadjudicate(
  records: readonly ClaimRecord[],
  claim: string,
): readonly string[] {
  const decided = records.findLastIndex((one) => one.claim === claim && one.kind === "decision");
  const reversed = records.findLastIndex((one) => one.claim === claim);
  const record = records[decided];
  if (record === undefined || reversed === decided || record.kind !== "decision") {
    throw invalid("the claim was not reversed");
  }
  const since = new Set(records.slice(decided + 1).map((one) => one.claim));
  return standingDecisions(records)
    .filter((other) => since.has(other.claim) && dependsOn(other, record))
    .map((other) => other.claim);
}

/**
 * Whether a decision may be another's consequence: of the same member, or by accumulators of the
 * family that the other one changed.
 */
function dependsOn(later: ClaimDecision, earlier: ClaimDecision): boolean {
  if (later.member === earlier.member) return true;
  return earlier.changes.some(
    (change) =>
      change.kind !== "limit" &&
      later.lines.some(({ year, network }) => year === change.year && network === change.network),
  );
}
