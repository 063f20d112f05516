import { formatMinor } from "../../contract/claims/amounts.ts";
import type { Adjustment, LineDecision, Minor } from "../../contract/claims/model.ts";

/** A resource of FHIR, or a part of one. */
export type FhirJson = Readonly<Record<string, unknown>>;

const HL7 = "http://terminology.hl7.org/CodeSystem/adjudication";
const CARIN = "http://hl7.org/fhir/us/carin-bb/CodeSystem";
const CARC = "https://x12.org/codes/claim-adjustment-reason-codes";
const RARC = "https://x12.org/codes/remittance-advice-remark-codes";
export const DISCRIMINATOR: string = `${CARIN}/C4BBAdjudicationDiscriminator`;

export const concept = (system: string, ...codes: string[]): FhirJson => ({
  coding: codes.map((code) => ({ system, code })),
});

/** An amount of money. Of 12 digits at most, so a number in JSON holds it exactly. */
export const money = (amount: Minor, currency: string): FhirJson => ({
  value: Number(formatMinor(amount, currency)),
  currency,
});

/** The amounts of some lines by category, in the order in which they are shown. */
export function amountsOf(
  lines: readonly LineDecision[],
): readonly { readonly category: FhirJson; readonly amount: Minor }[] {
  const sum = (of: (line: LineDecision) => Minor): Minor =>
    lines.reduce((total, line) => total + of(line), 0);
  const adjusted = (is: (one: Adjustment) => boolean) =>
    sum(({ adjustments }) =>
      adjustments.reduce((total, one) => total + (is(one) ? one.amount : 0), 0),
    );
  const byStep = (step: Adjustment["step"]): Minor => adjusted((one) => one.step === step);
  const own = (code: string): FhirJson => concept(`${CARIN}/C4BBAdjudication`, code);
  const shown = [
    { category: concept(HL7, "copay"), amount: byStep("copay") },
    { category: concept(HL7, "deductible"), amount: byStep("deductible") },
    { category: own("coinsurance"), amount: byStep("coinsurance") },
    { category: own("priorpayerpaid"), amount: byStep("prior-payers") },
    { category: own("discount"), amount: adjusted(isDiscount) },
    { category: own("noncovered"), amount: adjusted(isNotCovered) },
  ].filter(({ amount }) => amount !== 0);
  return [
    { category: concept(HL7, "submitted"), amount: sum((line) => line.charge) },
    { category: concept(HL7, "eligible"), amount: sum((line) => line.allowed) },
    ...shown,
    { category: own("memberliability"), amount: sum((line) => line.patient) },
    { category: concept(HL7, "benefit"), amount: sum((line) => line.paid) },
    { category: own("paidtoprovider"), amount: sum((line) => line.paid) },
  ];
}

const COSTS: readonly Adjustment["step"][] = ["copay", "deductible", "coinsurance", "prior-payers"];
const isDiscount = ({ group, step }: Adjustment): boolean =>
  group === "CO" && (step === "allowed-amount" || step === "rank");
const isNotCovered = (one: Adjustment): boolean => !COSTS.includes(one.step) && !isDiscount(one);

/** Each adjustment with the number of its reason. */
export const reasonsOf = (line: LineDecision, currency: string): readonly FhirJson[] =>
  line.adjustments.map(({ carc, rarc, amount }) => ({
    category: concept(DISCRIMINATOR, "adjustmentreason"),
    reason: {
      coding: [
        { system: CARC, code: carc },
        ...(rarc === undefined ? [] : [{ system: RARC, code: rarc }]),
      ],
    },
    amount: money(amount, currency),
  }));

/** A network's status, as CARIN's profiles have it. */
export const networkStatus = (category: string, code: string): FhirJson => ({
  category: concept(DISCRIMINATOR, category),
  reason: concept(`${CARIN}/C4BBPayerAdjudicationStatus`, code),
});

/** Whether and how much of a claim was paid. */
export const paymentOf = (decision: {
  readonly currency: string;
  readonly total: { readonly charge: Minor; readonly paid: Minor };
  readonly lines: readonly LineDecision[];
}): FhirJson => {
  const { lines, total, currency } = decision;
  const denied = lines.filter(({ status }) => status !== "allowed").length;
  const code = denied === 0 ? "paid" : denied === lines.length ? "denied" : "partiallypaid";
  return {
    type: concept(`${CARIN}/C4BBPayerAdjudicationStatus`, code),
    amount: money(total.paid, currency),
  };
};
