import {
  expectArray,
  expectMap,
  expectOneOf,
  expectUint,
  expectVersion,
  type Fields,
} from "../../codec/shape.ts";
import { EncodingError, InputError } from "../../errors.ts";
import { MAX_AMOUNT, MAX_UNITS, WHOLE } from "./amounts.ts";
import {
  expectCode,
  expectCurrency,
  expectName,
  expectOwn,
  expectTable,
  expectTrue,
} from "./expect.ts";
import { isYearStart } from "./day.ts";
import type { PlanDocument } from "./model.ts";

const MOST_NETWORKS = 64;
const MOST_BENEFITS = 4_096;
const MOST_CODES = 65_536;
const MOST_RANKS = 16;
const MOST_MODIFIERS = 64;
const MOST_DAYS = 36_525;

/**
 * Checks that a decoded value is a plan.
 *
 * @throws {EncodingError} `ERR_ENCODING_SHAPE`
 * @throws {InputError} `ERR_INPUT_INVALID` where fields contradict each other
 */
export function checkPlan(value: unknown): PlanDocument {
  const plan = expectMap(
    value,
    "plan",
    ["v", "currency", "yearStarts", "networks", "benefits", "otherServices", "coordination"],
    ["filingDays", "protectedAs", "pairs", "ranks"],
  );
  expectVersion(plan["v"], "plan");
  expectCurrency(plan["currency"], "plan.currency");
  if (typeof plan["yearStarts"] !== "string" || !isYearStart(plan["yearStarts"])) {
    throw new EncodingError("ERR_ENCODING_SHAPE", "plan.yearStarts must be a day MM-DD");
  }
  if (Object.hasOwn(plan, "filingDays")) {
    expectUint(plan["filingDays"], "plan.filingDays", MOST_DAYS);
  }
  const networks = expectTable(plan["networks"], "plan.networks", MOST_NETWORKS, checkNetwork);
  const names = new Set<string>();
  for (const [i, one] of expectArray(plan["benefits"], "plan.benefits", MOST_BENEFITS).entries()) {
    const name = checkBenefit(one, `plan.benefits[${i}]`, networks);
    if (names.has(name)) throw invalid("plan.benefits has two of one name");
    names.add(name);
  }
  expectOneOf(plan["otherServices"], "plan.otherServices", ["covered", "excluded"]);
  if (Object.hasOwn(plan, "protectedAs")) {
    expectNetwork(plan["protectedAs"], "plan.protectedAs", networks);
  }
  if (Object.hasOwn(plan, "pairs")) checkPairs(plan["pairs"]);
  if (Object.hasOwn(plan, "ranks")) checkRanks(plan["ranks"]);
  expectOneOf(plan["coordination"], "plan.coordination", [
    "standard",
    "non-duplication",
    "maintenance-of-benefits",
    "medicare-secondary",
  ]);
  return plan as unknown as PlanDocument;
}

function checkNetwork(value: unknown, what: string): void {
  const terms = expectMap(
    value,
    what,
    ["contracted", "coinsurance"],
    ["deductible", "cap", "fees", "unlisted"],
  );
  if (typeof terms["contracted"] !== "boolean") {
    throw new EncodingError("ERR_ENCODING_SHAPE", `${what}.contracted must be a boolean`);
  }
  expectUint(terms["coinsurance"], `${what}.coinsurance`, WHOLE);
  if (Object.hasOwn(terms, "deductible")) checkDeductible(terms["deductible"], what);
  if (Object.hasOwn(terms, "cap")) {
    amounts(terms["cap"], `${what}.cap`, [], ["individual", "family"]);
  }
  if (Object.hasOwn(terms, "fees")) {
    expectTable(terms["fees"], `${what}.fees`, MOST_CODES, (fee, name) =>
      expectUint(fee, name, MAX_AMOUNT / 10_000),
    );
  }
  if (Object.hasOwn(terms, "unlisted")) expectUint(terms["unlisted"], `${what}.unlisted`, WHOLE);
}

function checkDeductible(value: unknown, network: string): void {
  const what = `${network}.deductible`;
  const kind = expectOwn(value, what, "kind");
  if (expectOneOf(kind, `${what}.kind`, ["embedded", "aggregate"]) === "embedded") {
    amounts(value, what, ["individual"], ["family", "kind"]);
  } else amounts(value, what, ["family"], ["kind"]);
}

/** Checks a map of amounts, besides its `kind`. */
function amounts(
  value: unknown,
  what: string,
  required: readonly string[],
  optional: readonly string[],
): void {
  const fields = expectMap(value, what, required, optional);
  for (const [name, amount] of Object.entries(fields)) {
    if (name !== "kind") expectUint(amount, `${what}.${name}`, MAX_AMOUNT);
  }
}

function checkBenefit(value: unknown, what: string, networks: Fields): string {
  const benefit = expectMap(
    value,
    what,
    ["name", "codes"],
    ["excluded", "authorisation", "limit", "terms"],
  );
  const name = expectName(benefit["name"], `${what}.name`);
  for (const code of expectArray(benefit["codes"], `${what}.codes`, MOST_CODES)) {
    expectCode(code, `${what}.codes[]`);
  }
  if (Object.hasOwn(benefit, "excluded")) expectTrue(benefit["excluded"], `${what}.excluded`);
  if (Object.hasOwn(benefit, "authorisation")) {
    expectTrue(benefit["authorisation"], `${what}.authorisation`);
  }
  if (Object.hasOwn(benefit, "limit")) checkLimit(benefit["limit"], `${what}.limit`);
  if (Object.hasOwn(benefit, "terms")) {
    const terms = expectTable(benefit["terms"], `${what}.terms`, MOST_NETWORKS, checkTerms);
    for (const network of Object.keys(terms)) {
      expectNetwork(network, `a key of ${what}.terms`, networks);
    }
  }
  return name;
}

function checkTerms(value: unknown, what: string): void {
  const terms = expectMap(value, what, [], ["copay", "coinsurance", "noDeductible"]);
  if (Object.hasOwn(terms, "copay")) expectUint(terms["copay"], `${what}.copay`, MAX_AMOUNT);
  if (Object.hasOwn(terms, "coinsurance")) {
    expectUint(terms["coinsurance"], `${what}.coinsurance`, WHOLE);
  }
  if (Object.hasOwn(terms, "noDeductible")) {
    expectTrue(terms["noDeductible"], `${what}.noDeductible`);
  }
}

function checkLimit(value: unknown, what: string): void {
  const limit = expectMap(value, what, ["per"], ["units", "paid"]);
  expectOneOf(limit["per"], `${what}.per`, ["year", "lifetime"]);
  if (Object.hasOwn(limit, "units") === Object.hasOwn(limit, "paid")) {
    throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must have either units or paid`);
  }
  if (Object.hasOwn(limit, "units")) expectUint(limit["units"], `${what}.units`, MAX_UNITS * 100);
  else expectUint(limit["paid"], `${what}.paid`, MAX_AMOUNT);
}

function checkPairs(value: unknown): void {
  for (const [i, one] of expectArray(value, "plan.pairs", MOST_CODES).entries()) {
    const what = `plan.pairs[${i}]`;
    const pair = expectMap(one, what, ["first", "second"], ["unless"]);
    const first = expectCode(pair["first"], `${what}.first`);
    if (expectCode(pair["second"], `${what}.second`) === first) {
      throw invalid(`${what} pairs a code with itself`);
    }
    if (!Object.hasOwn(pair, "unless")) continue;
    for (const modifier of expectArray(pair["unless"], `${what}.unless`, MOST_MODIFIERS)) {
      expectName(modifier, `${what}.unless[]`);
    }
  }
}

function checkRanks(value: unknown): void {
  const ranks = expectMap(value, "plan.ranks", ["order", "shares"]);
  const order = expectArray(ranks["order"], "plan.ranks.order", MOST_CODES);
  for (const code of order) expectCode(code, "plan.ranks.order[]");
  if (new Set(order).size < order.length) throw invalid("plan.ranks.order has a code twice");
  const shares = expectArray(ranks["shares"], "plan.ranks.shares", MOST_RANKS);
  if (shares.length === 0) throw invalid("plan.ranks.shares is empty");
  for (const share of shares) expectUint(share, "plan.ranks.shares[]", WHOLE);
}

function expectNetwork(value: unknown, what: string, networks: Fields): void {
  if (!Object.hasOwn(networks, expectName(value, what))) {
    throw invalid(`${what} is none of plan.networks`);
  }
}

const invalid = (message: string): InputError => new InputError("ERR_INPUT_INVALID", message);
