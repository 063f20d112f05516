import { InputError } from "../../errors.ts";
import { openTally, type Tally } from "./accumulators.ts";
import { checkAccumulators, checkClaim, checkFacts } from "./check-input.ts";
import { type Decided, denyLine, payLine } from "./decide-line.ts";
import { yearOf } from "./day.ts";
import { editLines, type KeptLine, rankShares } from "./edit.ts";
import type {
  Accumulators,
  Adjudicated,
  Claim,
  ClaimDecision,
  ClaimFacts,
  ClaimLine,
  LineFacts,
  Minor,
} from "./model.ts";
import type { BenefitPlan } from "./plan.ts";
import { type Denial, type OpenLine, screenLine } from "./screen.ts";

/**
 * Decides a claim. Pure: the same plan, claim, accumulators and facts have the same result anywhere.
 *
 * The steps are those of the specification, in its order: eligibility, timely filing, duplicate,
 * authorisation, exclusion, limits, code pairs and ranks, allowed amount, copay, deductible,
 * coinsurance, cap; then what prior payers did. For each line, `charge` less all adjustments is `paid`.
 *
 * @param accumulators - of the member's family, with every plan year in which a line begins
 * @throws {EncodingError} `ERR_ENCODING_SHAPE` naming the field that is malformed
 * @throws {InputError} `ERR_INPUT_INVALID` where the arguments contradict each other;
 *   `ERR_INPUT_UNSUPPORTED` when a line has no allowed amount
 * @example
 * const { decision, accumulators: after } = adjudicate(plan, claim, accumulators, facts);
 * decision.total.paid;
 */
export function adjudicate(
  plan: BenefitPlan,
  claim: Claim,
  accumulators: Accumulators,
  facts: ClaimFacts,
): Adjudicated {
  checkClaim(claim);
  checkFacts(facts, claim);
  checkAccumulators(accumulators);
  if (claim.currency !== plan.document.currency) {
    throw invalid("claim.currency is not that of the plan");
  }
  if (facts.standing.some((line) => line.claim === claim.replaces)) {
    throw invalid("the claim that this one replaces was not reversed");
  }
  const tally = openTally(accumulators);
  const decided = decideLines(plan, claim, facts, tally);
  return { decision: decisionOf(claim, decided), accumulators: tally };
}

const invalid = (message: string): InputError => new InputError("ERR_INPUT_INVALID", message);

/** A line that is open or denied, and what is kept of it. */
interface Edited {
  readonly open: OpenLine;
  readonly year: string;
  readonly kept: KeptLine | Denial;
}

function decideLines(
  plan: BenefitPlan,
  claim: Claim,
  facts: ClaimFacts,
  tally: Tally,
): readonly Decided[] {
  const lines = claim.lines.map((line) => openLine(plan, facts, line));
  const denials = lines.map((open, i) =>
    screenLine(plan, claim, facts, open, claim.lines.slice(0, i)),
  );
  const screened = claim.lines.filter((_, i) => denials[i] === undefined);
  const editor = editLines(plan, claim, facts, screened, tally);
  const edited = lines.map((open, i): Edited => {
    const year = yearOf(open.line.from, plan.document.yearStarts);
    return { open, year, kept: denials[i] ?? editor.keep(open, year) };
  });
  const payable = edited.flatMap(({ open, kept }) => ("status" in kept ? [] : [open.line]));
  const ranks = rankShares(plan, payable);
  return edited.map(({ open, year, kept }) => {
    const { prior } = facts;
    if ("status" in kept) return denyLine(open, kept, year, prior);
    const paid = payLine(open, kept, {
      method: plan.document.coordination,
      prior,
      rank: ranks.get(open.line.sequence),
      place: { year, network: open.network, member: claim.member },
      tally,
    });
    if (kept.change === undefined) return paid;
    return { line: paid.line, changes: [kept.change, ...paid.changes] };
  });
}

function openLine(plan: BenefitPlan, facts: ClaimFacts, line: ClaimLine): OpenLine {
  const found = facts.lines?.find(({ sequence }) => sequence === line.sequence);
  const own: LineFacts = found ?? { sequence: line.sequence };
  const { networks, protectedAs } = plan.document;
  if (own.protected === true && protectedAs === undefined) {
    throw invalid("a line is protected, and the plan does not say as which network");
  }
  const network = own.protected === true ? protectedAs! : (own.network ?? facts.network);
  if (!Object.hasOwn(networks, network)) throw invalid("facts name no network of the plan");
  const terms = networks[network]!;
  return { line, facts: own, network, terms, benefit: plan.benefitByCode.get(line.code) };
}

function decisionOf(claim: Claim, decided: readonly Decided[]): ClaimDecision {
  const lines = decided.map(({ line }) => line);
  const sum = (of: "charge" | "paid" | "patient"): Minor =>
    lines.reduce((total, line) => total + line[of], 0);
  const { id, replaces, member, provider, currency } = claim;
  return {
    v: 1,
    kind: "decision",
    claim: id,
    ...(replaces !== undefined && { replaces }),
    member,
    provider,
    currency,
    lines,
    total: { charge: sum("charge"), paid: sum("paid"), patient: sum("patient") },
    changes: decided.flatMap(({ changes }) => changes),
  };
}
