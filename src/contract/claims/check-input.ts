import {
  expectArray,
  expectMap,
  expectOneOf,
  expectUint,
  expectVersion,
} from "../../codec/shape.ts";
import { EncodingError, InputError } from "../../errors.ts";
import { MAX_AMOUNT, MAX_UNITS } from "./amounts.ts";
import {
  expectCode,
  expectCurrency,
  expectDay,
  expectName,
  expectTable,
  expectTrue,
} from "./expect.ts";
import type { AdjustmentGroup, Claim, ClaimFacts } from "./model.ts";

/** Most lines of a claim, as in a professional or institutional claim of X12. */
export const MOST_LINES = 999;
const MOST_MODIFIERS = 8;
const MOST_PERIODS = 1_024;
const MOST_CODES = 4_096;
const MOST_STANDING = 65_536;
const MOST_PAYERS = 16;
const MOST_ADJUSTMENTS = 99;
const MOST_MEMBERS = 256;
const MOST_YEARS = 128;
const GROUPS: readonly AdjustmentGroup[] = ["CO", "PR", "OA", "PI"];

/**
 * Checks a claim.
 *
 * @throws {EncodingError} `ERR_ENCODING_SHAPE` naming the field
 * @throws {InputError} `ERR_INPUT_INVALID` where fields contradict each other
 */
export function checkClaim(value: Claim): void {
  const claim = expectMap(
    value,
    "claim",
    ["v", "id", "member", "provider", "currency", "lines"],
    ["replaces"],
  );
  expectVersion(claim["v"], "claim");
  for (const name of ["id", "member", "provider"]) expectName(claim[name], `claim.${name}`);
  expectCurrency(claim["currency"], "claim.currency");
  if (Object.hasOwn(claim, "replaces")) {
    if (expectName(claim["replaces"], "claim.replaces") === claim["id"]) {
      throw invalid("claim.replaces is the claim itself");
    }
  }
  const lines = expectArray(claim["lines"], "claim.lines", MOST_LINES);
  if (lines.length === 0) throw invalid("claim.lines is empty");
  const seen = new Set<unknown>();
  for (const [i, one] of lines.entries()) {
    const what = `claim.lines[${i}]`;
    const line = expectMap(one, what, ["sequence", ...BILLED]);
    checkSequence(line["sequence"], what, seen);
    checkBilled(line, what);
  }
}

const BILLED = ["code", "modifiers", "from", "to", "units", "charge"];

function checkBilled(line: Readonly<Record<string, unknown>>, what: string): void {
  expectCode(line["code"], `${what}.code`);
  const modifiers = expectArray(line["modifiers"], `${what}.modifiers`, MOST_MODIFIERS);
  for (const modifier of modifiers) expectName(modifier, `${what}.modifiers[]`);
  checkDays(line, what);
  if (expectUint(line["units"], `${what}.units`, MAX_UNITS) === 0) {
    throw invalid(`${what}.units is 0`);
  }
  expectUint(line["charge"], `${what}.charge`, MAX_AMOUNT);
}

function checkDays(fields: Readonly<Record<string, unknown>>, what: string): void {
  const from = expectDay(fields["from"], `${what}.from`);
  if (!Object.hasOwn(fields, "to")) return;
  if (expectDay(fields["to"], `${what}.to`) < from) throw invalid(`${what} ends before it begins`);
}

function checkSequence(value: unknown, what: string, seen: Set<unknown>): void {
  if (seen.has(expectUint(value, `${what}.sequence`))) {
    throw invalid(`${what}.sequence is that of another line`);
  }
  seen.add(value);
}

/**
 * Checks the facts by which a claim is to be decided.
 *
 * @throws {EncodingError} `ERR_ENCODING_SHAPE` naming the field
 * @throws {InputError} `ERR_INPUT_INVALID` where they contradict each other or the claim
 */
export function checkFacts(value: ClaimFacts, claim: Claim): void {
  const facts = expectMap(
    value,
    "facts",
    ["received", "coverage", "network", "authorisations", "standing", "prior"],
    ["lines"],
  );
  expectDay(facts["received"], "facts.received");
  for (const [i, one] of expectArray(facts["coverage"], "facts.coverage", MOST_PERIODS).entries()) {
    const what = `facts.coverage[${i}]`;
    checkDays(expectMap(one, what, ["from"], ["to"]), what);
  }
  expectName(facts["network"], "facts.network");
  if (Object.hasOwn(facts, "lines")) checkLineFacts(facts["lines"], claim);
  const given = expectArray(facts["authorisations"], "facts.authorisations", MOST_PERIODS);
  for (const [i, one] of given.entries()) checkAuthorisation(one, `facts.authorisations[${i}]`);
  const standing = expectArray(facts["standing"], "facts.standing", MOST_STANDING);
  for (const [i, one] of standing.entries()) {
    const what = `facts.standing[${i}]`;
    const line = expectMap(one, what, ["claim", "member", "provider", ...BILLED]);
    for (const name of ["claim", "member", "provider"]) expectName(line[name], `${what}.${name}`);
    checkBilled(line, what);
  }
  for (const [i, one] of expectArray(facts["prior"], "facts.prior", MOST_PAYERS).entries()) {
    checkPayer(one, `facts.prior[${i}]`, claim);
  }
}

function checkLineFacts(value: unknown, claim: Claim): void {
  const seen = new Set<unknown>();
  for (const [i, one] of expectArray(value, "facts.lines", MOST_LINES).entries()) {
    const what = `facts.lines[${i}]`;
    const line = expectMap(one, what, ["sequence"], ["network", "allowed", "protected"]);
    checkSequence(line["sequence"], what, seen);
    expectLine(claim, line["sequence"], what);
    if (Object.hasOwn(line, "network")) expectName(line["network"], `${what}.network`);
    if (Object.hasOwn(line, "allowed")) expectUint(line["allowed"], `${what}.allowed`, MAX_AMOUNT);
    if (Object.hasOwn(line, "protected")) expectTrue(line["protected"], `${what}.protected`);
  }
}

function expectLine(claim: Claim, sequence: unknown, what: string): Claim["lines"][number] {
  const line = claim.lines.find((one) => one.sequence === sequence);
  if (line === undefined) throw invalid(`${what} is about no line of the claim`);
  return line;
}

function checkAuthorisation(value: unknown, what: string): void {
  const one = expectMap(value, what, ["codes", "status", "from", "to"], ["units"]);
  for (const code of expectArray(one["codes"], `${what}.codes`, MOST_CODES)) {
    expectCode(code, `${what}.codes[]`);
  }
  expectOneOf(one["status"], `${what}.status`, ["approved", "pended", "denied"]);
  checkDays(one, what);
  if (Object.hasOwn(one, "units")) expectUint(one["units"], `${what}.units`, MAX_UNITS * 100);
}

/** Every line of the claim must be there, and what was paid and adjusted must make up its charge. */
function checkPayer(value: unknown, what: string, claim: Claim): void {
  const payer = expectMap(value, what, ["payer", "lines"]);
  expectName(payer["payer"], `${what}.payer`);
  const lines = expectArray(payer["lines"], `${what}.lines`, MOST_LINES);
  const seen = new Set<unknown>();
  for (const [i, one] of lines.entries()) {
    const name = `${what}.lines[${i}]`;
    const line = expectMap(one, name, ["sequence", "paid", "adjustments"]);
    checkSequence(line["sequence"], name, seen);
    const billed = expectLine(claim, line["sequence"], name);
    let sum = expectUint(line["paid"], `${name}.paid`, MAX_AMOUNT);
    const adjustments = expectArray(line["adjustments"], `${name}.adjustments`, MOST_ADJUSTMENTS);
    for (const adjustment of adjustments) {
      const fields = expectMap(adjustment, `${name}.adjustments[]`, ["group", "carc", "amount"]);
      expectOneOf(fields["group"], `${name}.adjustments[].group`, GROUPS);
      expectName(fields["carc"], `${name}.adjustments[].carc`);
      sum += expectUint(fields["amount"], `${name}.adjustments[].amount`, MAX_AMOUNT);
    }
    if (sum !== billed.charge) throw invalid(`${name} does not add up to the charge of the line`);
  }
  if (seen.size !== claim.lines.length) throw invalid(`${what} lacks a line of the claim`);
}

/** Checks accumulators. @throws {EncodingError} `ERR_ENCODING_SHAPE` naming the field */
export function checkAccumulators(value: unknown): void {
  const given = expectMap(value, "accumulators", ["v", "years", "lifetime"]);
  expectVersion(given["v"], "accumulators");
  const years = expectTable(given["years"], "accumulators.years", MOST_YEARS, (one, what) => {
    const year = expectMap(one, what, ["networks", "limits"]);
    expectTable(year["networks"], `${what}.networks`, MOST_MEMBERS, (network, name) =>
      expectTable(network, name, MOST_MEMBERS, checkAmounts),
    );
    checkLimits(year["limits"], `${what}.limits`);
  });
  for (const day of Object.keys(years)) expectDay(day, "a key of accumulators.years");
  checkLimits(given["lifetime"], "accumulators.lifetime");
}

function checkAmounts(value: unknown, what: string): void {
  const amounts = expectMap(value, what, [], ["deductible", "outOfPocket"]);
  for (const [name, amount] of Object.entries(amounts)) expectAbove0(amount, `${what}.${name}`);
}

function checkLimits(value: unknown, what: string): void {
  expectTable(value, what, MOST_MEMBERS, (member, name) =>
    expectTable(member, name, MOST_CODES, expectAbove0),
  );
}

/** Zero is never written, so that equal accumulators have equal bytes. */
function expectAbove0(value: unknown, what: string): void {
  if (expectUint(value, what) === 0) {
    throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must be above 0, or absent`);
  }
}

const invalid = (message: string): InputError => new InputError("ERR_INPUT_INVALID", message);
