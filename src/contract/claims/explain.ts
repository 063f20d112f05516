import { formatMinor } from "./amounts.ts";
import type { Adjustment, ClaimRecord, ClaimStep, LineDecision, Minor } from "./model.ts";

/** Words of one line of a claim. */
export interface ExplainedLine {
  readonly sequence: number;
  readonly summary: string;
  /** One sentence for each adjustment, in the order of the decision. */
  readonly reasons: readonly string[];
}

/** A decision in words. */
export interface ExplainedClaim {
  readonly summary: string;
  readonly lines: readonly ExplainedLine[];
}

/**
 * Says in words how each amount of a decision, or of a reversal, came about.
 *
 * The texts are this library's own: code lists of X12 are licensed, and only their numbers are used.
 *
 * @example
 * for (const { reasons } of explainClaim(decision).lines) console.log(reasons.join("\n"));
 */
export function explainClaim(record: ClaimRecord): ExplainedClaim {
  const { currency, total } = record;
  const money = (amount: Minor): string => `${formatMinor(amount, currency)} ${currency}`;
  const taken = record.kind === "reversal" ? "Taken back: of" : "Of";
  return {
    summary:
      `${taken} ${money(total.charge)} charged, the plan pays ${money(total.paid)} ` +
      `and the patient owes ${money(total.patient)}.`,
    lines: record.lines.map((line) => explainLine(line, money)),
  };
}

type Money = (amount: Minor) => string;

function explainLine(line: LineDecision, money: Money): ExplainedLine {
  const { sequence, charge, paid, patient, status } = line;
  const result = status === "pended" ? "waits for an authorisation" : `is ${status}`;
  return {
    sequence,
    summary:
      `Line ${sequence} ${result}: ${money(charge)} charged, ` +
      `${money(paid)} paid, ${money(patient)} owed by the patient.`,
    reasons: line.adjustments.map((one) => {
      const { group, carc, rarc, amount, step } = one;
      const code = rarc === undefined ? `${group}-${carc}` : `${group}-${carc}, ${rarc}`;
      return `${money(amount)} (${code}): ${REASONS[step](one, money)}.`;
    }),
  };
}

type Reason = (of: Adjustment, money: Money) => string;

const REASONS: Readonly<Record<ClaimStep, Reason>> = {
  eligibility: ({ carc, basis }) => `${ELIGIBILITY[carc]} on ${basis["from"]} to ${basis["to"]}`,
  "timely-filing": ({ basis }) =>
    `received ${basis["days"]} days after the service, ` +
    `and the plan accepts claims for ${basis["filingDays"]} days`,
  duplicate: ({ basis }) =>
    basis["claim"] === undefined
      ? `the same service as line ${basis["line"]}`
      : `the same service was decided in another claim`,
  authorisation: ({ carc, basis }) => authorisation(carc, basis),
  exclusion: ({ basis }) =>
    basis["benefit"] === undefined
      ? "no benefit of the plan lists the service"
      : `the plan excludes ${basis["benefit"]}`,
  limit: ({ basis }, money) =>
    basis["left"] === undefined
      ? `of ${basis["units"]} units, the limit of ${basis["benefit"]} leaves ${basis["kept"]}`
      : `the limit of ${basis["benefit"]} leaves ${money(Number(basis["left"]))} for the plan to pay`,
  "code-pair": ({ basis }) => `it is part of ${basis["partner"]} on the same day`,
  rank: ({ basis }, money) =>
    `as procedure ${basis["place"]} of the day, ${percent(basis["share"])} ` +
    `of ${money(Number(basis["allowed"]))} are allowed`,
  "allowed-amount": ({ group, basis }, money) =>
    `the allowed amount is ${money(Number(basis["allowed"]))}, by ${SOURCES[String(basis["source"])]}; ` +
    (group === "CO" ? "the provider writes the rest off" : "the provider may bill the rest"),
  copay: ({ basis }, money) => `copay of ${money(Number(basis["copay"]))}${capped(basis, money)}`,
  deductible: ({ basis }, money) =>
    `deductible, of which ${money(Number(basis["left"]))} were left for the ` +
    `${basis["leftOf"]}${capped(basis, money)}`,
  coinsurance: ({ basis }, money) =>
    `coinsurance of ${percent(basis["rate"])} of ${money(Number(basis["base"]))}` +
    capped(basis, money),
  "prior-payers": ({ basis }, money) =>
    `other payers paid ${money(Number(basis["paid"]))} and wrote off the rest of it`,
};

const ELIGIBILITY: Readonly<Record<string, string>> = {
  "26": "not yet covered",
  "27": "no longer covered",
  "31": "not a member",
  "200": "not covered for some time",
};

const SOURCES: Readonly<Record<string, string>> = {
  fee: "the fee table",
  pricer: "the payer's pricer",
  unlisted: "the share that the network allows of charges without a fee",
};

function authorisation(carc: string, basis: Adjustment["basis"]): string {
  if (carc === "198") return `of ${basis["units"]} units, ${basis["kept"]} were authorised`;
  if (carc === "133") return "its authorisation is still being decided";
  return carc === "39" ? "its authorisation was denied" : "it needed an authorisation";
}

const capped = (basis: Adjustment["basis"], money: Money): string =>
  basis["cap"] === undefined
    ? ""
    : `; ${money(Number(basis["cap"]))} were left until the cap of the ${basis["capOf"]}`;

const percent = (share: number | string | undefined): string =>
  `${formatMinor(Number(share), "USD")} %`;
