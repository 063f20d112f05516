/** A day of the Gregorian calendar, `YYYY-MM-DD`. */
export type Day = string;

/** An amount of money in minor units of the plan's currency, such as cents. */
export type Minor = number;

/** A share in basis points: 10,000 are the whole. */
export type BasisPoints = number;

/** Who bears an adjustment: contract or law, the patient, somebody else, or the payer's own decision. */
export type AdjustmentGroup = "CO" | "PR" | "OA" | "PI";

/** What a plan pays once others have paid. */
export type Coordination =
  "standard" | "non-duplication" | "maintenance-of-benefits" | "medicare-secondary";

/** An individual deductible within a family's, or one of the whole family alone. */
export type Deductible =
  | { readonly kind: "embedded"; readonly individual: Minor; readonly family?: Minor }
  | { readonly kind: "aggregate"; readonly family: Minor };

/** Most that one member, and the family together, pay as copay, deductible and coinsurance in a year. */
export interface OutOfPocketCap {
  readonly individual?: Minor;
  readonly family?: Minor;
}

/** What holds with the providers of one network. */
export interface NetworkTerms {
  /** Whether a provider must write off what is charged above the allowed amount. */
  readonly contracted: boolean;
  /** The patient's share of what copay and deductible leave. */
  readonly coinsurance: BasisPoints;
  readonly deductible?: Deductible;
  readonly cap?: OutOfPocketCap;
  /** Allowed amounts for one unit, by code. */
  readonly fees?: Readonly<Record<string, Minor>>;
  /** Share of the charge that is allowed for codes without a fee. */
  readonly unlisted?: BasisPoints;
}

/** What one benefit changes of a network's terms. */
export interface BenefitTerms {
  readonly copay?: Minor;
  readonly coinsurance?: BasisPoints;
  readonly noDeductible?: true;
}

/** Most that a member gets of a benefit: units of service, or money that the plan pays. */
export type BenefitLimit = { readonly per: "year" | "lifetime" } & (
  { readonly units: number } | { readonly paid: Minor }
);

/** Services that the plan treats alike. */
export interface Benefit {
  readonly name: string;
  readonly codes: readonly string[];
  readonly excluded?: true;
  readonly authorisation?: true;
  readonly limit?: BenefitLimit;
  /** By network. */
  readonly terms?: Readonly<Record<string, BenefitTerms>>;
}

/** Two codes of which the second is not paid beside the first on one day. */
export interface CodePair {
  readonly first: string;
  readonly second: string;
  /** Any of these on the second says that it was a service of its own. */
  readonly unless?: readonly string[];
}

/** Procedures of one day of which the first is allowed in full and the others in part. */
export interface ProcedureRanks {
  /** Codes, the highest rank first. */
  readonly order: readonly string[];
  /** What is allowed of the first, second, …; the last holds for all further ones. */
  readonly shares: readonly BasisPoints[];
}

/** A plan of benefits, as it is stored and named by its CID. */
export interface PlanDocument {
  readonly v: 1;
  /** ISO 4217. */
  readonly currency: string;
  /** Month and day on which each plan year begins, `MM-DD`. */
  readonly yearStarts: string;
  /** Days after the last day of service within which a claim must be received; absent: any number. */
  readonly filingDays?: number;
  readonly networks: Readonly<Record<string, NetworkTerms>>;
  readonly benefits: readonly Benefit[];
  /** Whether codes that no benefit lists are covered. */
  readonly otherServices: "covered" | "excluded";
  /** The network whose terms hold for services that are protected from surprise bills. */
  readonly protectedAs?: string;
  readonly pairs?: readonly CodePair[];
  readonly ranks?: ProcedureRanks;
  readonly coordination: Coordination;
}

/** One service that is billed. */
export interface ClaimLine {
  readonly sequence: number;
  /** As the plan's tables spell it: a bare code, or `system|code`. */
  readonly code: string;
  readonly modifiers: readonly string[];
  readonly from: Day;
  readonly to: Day;
  readonly units: number;
  readonly charge: Minor;
}

/** What a provider bills for one member. */
export interface Claim {
  readonly v: 1;
  readonly id: string;
  readonly member: string;
  readonly provider: string;
  readonly currency: string;
  /** The claim that this one corrects; it must have been reversed before this one is decided. */
  readonly replaces?: string;
  readonly lines: readonly ClaimLine[];
}

/** Days on which the member is covered, both inclusive. */
export interface CoveredDays {
  readonly from: Day;
  readonly to?: Day;
}

/** What was asked for beforehand, and answered. */
export interface Authorisation {
  readonly codes: readonly string[];
  readonly status: "approved" | "pended" | "denied";
  readonly from: Day;
  readonly to: Day;
  /** Units that are left of it; absent: any number. */
  readonly units?: number;
}

/** What the payer knows about one line. */
export interface LineFacts {
  readonly sequence: number;
  readonly network?: string;
  /** The allowed amount of the whole line, as the payer's pricer found it; outweighs the plan's fees. */
  readonly allowed?: Minor;
  /** Protected from surprise bills: an emergency, or a provider whom the patient could not choose. */
  readonly protected?: true;
}

/** A line of an earlier claim that was not denied and stands. */
export interface StandingLine {
  readonly claim: string;
  readonly member: string;
  readonly provider: string;
  readonly code: string;
  readonly modifiers: readonly string[];
  readonly from: Day;
  readonly to: Day;
  readonly units: number;
  readonly charge: Minor;
}

/** An adjustment that another payer made. */
export interface PriorAdjustment {
  readonly group: AdjustmentGroup;
  readonly carc: string;
  readonly amount: Minor;
}

/** How a payer who comes before this one decided the claim. */
export interface PriorPayer {
  readonly payer: string;
  readonly lines: readonly {
    readonly sequence: number;
    readonly paid: Minor;
    readonly adjustments: readonly PriorAdjustment[];
  }[];
}

/** What is known when a claim is decided. An empty list says that there is none. */
export interface ClaimFacts {
  readonly received: Day;
  readonly coverage: readonly CoveredDays[];
  readonly network: string;
  readonly lines?: readonly LineFacts[];
  readonly authorisations: readonly Authorisation[];
  readonly standing: readonly StandingLine[];
  /** In the order in which they decided. */
  readonly prior: readonly PriorPayer[];
}

/** What a member has paid and used in one plan year. */
export interface YearAccumulators {
  /** By network and member. */
  readonly networks: Readonly<Record<string, Readonly<Record<string, MemberAmounts>>>>;
  /** What was used of limits, by member and benefit. */
  readonly limits: UsedLimits;
}

export interface MemberAmounts {
  readonly deductible?: Minor;
  readonly outOfPocket?: Minor;
}

/** Units, or minor units of money, by member and name of the benefit. */
export type UsedLimits = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** What the members of one family have paid and used. Nothing stands in it as zero. */
export interface Accumulators {
  readonly v: 1;
  /** By the first day of the plan year. */
  readonly years: Readonly<Record<Day, YearAccumulators>>;
  readonly lifetime: UsedLimits;
}

/** What one decision adds to the accumulators. */
export type AccumulatorChange = { readonly member: string; readonly amount: number } & (
  | {
      readonly kind: "deductible" | "outOfPocket";
      readonly year: Day;
      readonly network: string;
    }
  | { readonly kind: "limit"; readonly year: Day | "lifetime"; readonly benefit: string }
);

/** The step of adjudication at which an amount was taken off. */
export type ClaimStep =
  | "eligibility"
  | "timely-filing"
  | "duplicate"
  | "authorisation"
  | "exclusion"
  | "limit"
  | "code-pair"
  | "rank"
  | "allowed-amount"
  | "copay"
  | "deductible"
  | "coinsurance"
  | "prior-payers";

/** A part of a charge that the plan does not pay, and why. */
export interface Adjustment {
  readonly group: AdjustmentGroup;
  /** Number of a claim adjustment reason code of X12. */
  readonly carc: string;
  /** Number of a remittance advice remark code. */
  readonly rarc?: string;
  readonly amount: Minor;
  readonly step: ClaimStep;
  /** What the step went by, as {@link explainClaim} words it. */
  readonly basis: Readonly<Record<string, number | string>>;
}

/** How one line was decided: `charge` less all adjustments is `paid`. */
export interface LineDecision {
  readonly sequence: number;
  readonly code: string;
  readonly modifiers: readonly string[];
  readonly from: Day;
  readonly to: Day;
  readonly units: number;
  /** First day of the plan year, and the network, by whose accumulators it was decided. */
  readonly year: Day;
  readonly network: string;
  readonly status: "allowed" | "denied" | "pended";
  readonly charge: Minor;
  /** What the plan allows in all, before the patient's share. */
  readonly allowed: Minor;
  /** Units for which that is. */
  readonly allowedUnits: number;
  readonly adjustments: readonly Adjustment[];
  readonly paid: Minor;
  /** The sum of the adjustments of group PR. */
  readonly patient: Minor;
}

export interface ClaimTotals {
  readonly charge: Minor;
  readonly paid: Minor;
  readonly patient: Minor;
}

/** How a claim was decided. */
export interface ClaimDecision {
  readonly v: 1;
  readonly kind: "decision";
  readonly claim: string;
  readonly replaces?: string;
  readonly member: string;
  readonly provider: string;
  readonly currency: string;
  readonly lines: readonly LineDecision[];
  readonly total: ClaimTotals;
  readonly changes: readonly AccumulatorChange[];
}

/** Takes a decision back: every amount of it, negated. */
export interface ClaimReversal {
  readonly v: 1;
  readonly kind: "reversal";
  readonly claim: string;
  readonly currency: string;
  readonly lines: readonly LineDecision[];
  readonly total: ClaimTotals;
}

/** What happened to the claims of a family, oldest first. */
export type ClaimRecord = ClaimDecision | ClaimReversal;

/** A decision, and the accumulators with it. */
export interface Adjudicated {
  readonly decision: ClaimDecision;
  readonly accumulators: Accumulators;
}
