import type {
  Benefit,
  Claim,
  ClaimFacts,
  ClaimLine,
  PlanDocument,
} from "../../../src/contract/claims/index.ts";

// A second reading of docs/spec/claims.md that counts every cent by itself: slow, and in a form
// of its own, so that it errs elsewhere than the library.

/** One cent, or unit, that a decision counted. */
interface Counted {
  readonly what: string;
}

export interface LiteralLine {
  /** Amounts by group and code, without zeros. */
  readonly adjust: Record<string, number>;
  readonly paid: number;
}

export interface Literal {
  readonly lines: readonly LiteralLine[];
  readonly counted: readonly Counted[];
}

const days = (from: string, to: string): string[] => {
  const found: string[] = [];
  for (let at = Date.parse(from); at <= Date.parse(to); at += 86_400_000) {
    found.push(new Date(at).toISOString().slice(0, 10));
  }
  return found;
};

/** n / d, half up. */
const round = (n: number, d: number): number =>
  Number((2n * BigInt(n) + BigInt(d)) / (2n * BigInt(d)));

const count = (list: readonly Counted[], is: (what: string) => boolean): number =>
  list.filter(({ what }) => is(what)).length;

interface Reading {
  readonly line: ClaimLine;
  readonly network: string;
  readonly isProtected: boolean;
  readonly priced: number | undefined;
  readonly benefit: Benefit | undefined;
  /** The code that denies it, with its group. */
  denial: string | undefined;
}

/** @param before - what all standing decisions counted */
export function literally(
  plan: PlanDocument,
  claim: Claim,
  before: readonly Counted[],
  facts: ClaimFacts,
): Literal {
  const counted: Counted[] = [];
  const readings = claim.lines.map((line): Reading => {
    const own = facts.lines?.filter(({ sequence }) => sequence === line.sequence)[0];
    const isProtected = own?.protected === true;
    return {
      line,
      isProtected,
      network: isProtected ? plan.protectedAs! : (own?.network ?? facts.network),
      priced: own?.allowed,
      benefit: plan.benefits.find(({ codes }) => codes.includes(line.code)),
      denial: undefined,
    };
  });
  for (const [i, reading] of readings.entries()) {
    reading.denial = screen(plan, claim, facts, readings.slice(0, i), reading);
  }
  const eligible = readings.filter(({ denial }) => denial === undefined);
  const kept = new Map<Reading, { authorised: number; units: number }>();
  const authorised = facts.authorisations.map(({ units }) => units ?? Number.MAX_SAFE_INTEGER);
  for (const reading of eligible) {
    const { line, benefit } = reading;
    const writesOff = plan.networks[reading.network]!.contracted || reading.isProtected;
    const limit = benefit?.limit;
    const limited = `limit ${limit?.per === "year" ? yearOf(line.from) : "ever"} ${claim.member} ${benefit?.name}`;
    const used = count([...before, ...counted], (what) => what === limited);
    // Unit by unit: each needs one of an authorisation, then one of the limit.
    const draws = [...authorised];
    let [ofLeave, ofLimit] = [0, 0];
    for (let unit = 0; unit < line.units; unit++) {
      if (benefit?.authorisation === true) {
        const from = facts.authorisations.findIndex(
          (one, at) => one.status === "approved" && covers(one, line) && draws[at]! > 0,
        );
        if (from < 0) break;
        draws[from]!--;
      }
      ofLeave++;
      if (limit !== undefined && "units" in limit && used + ofLimit >= limit.units) continue;
      ofLimit++;
    }
    const isBundled = (plan.pairs ?? []).some(
      ({ first, second, unless = [] }) =>
        second === line.code &&
        !unless.some((modifier) => line.modifiers.includes(modifier)) &&
        (eligible.some((other) => other.line.code === first && overlap(other.line, line)) ||
          facts.standing.some(
            (other) =>
              other.claim !== claim.id &&
              other.member === claim.member &&
              other.provider === claim.provider &&
              other.code === first &&
              overlap(other, line),
          )),
    );
    if (ofLeave === 0) reading.denial = writesOff ? "CO-198" : "PI-198";
    else if (ofLimit === 0) reading.denial = limit!.per === "year" ? "PR-119" : "PR-35";
    else if (isBundled) reading.denial = writesOff ? "CO-97" : "PI-97";
    else {
      kept.set(reading, { authorised: ofLeave, units: ofLimit });
      let open = ofLimit;
      for (const [at, one] of facts.authorisations.entries()) {
        if (benefit?.authorisation !== true || one.status !== "approved" || !covers(one, line)) {
          continue;
        }
        const draw = Math.min(open, authorised[at]!);
        authorised[at]! -= draw;
        open -= draw;
      }
      if (limit !== undefined && "units" in limit) {
        for (let unit = 0; unit < ofLimit; unit++) counted.push({ what: limited });
      }
    }
  }
  const lines = readings.map((reading): LiteralLine => {
    const units = kept.get(reading);
    const ranked = [...kept.keys()]
      .filter(
        (one) =>
          one.line.from === reading.line.from && plan.ranks?.order.includes(one.line.code) === true,
      )
      .sort(
        (a, b) => plan.ranks!.order.indexOf(a.line.code) - plan.ranks!.order.indexOf(b.line.code),
      );
    const place = ranked.indexOf(reading);
    const share = place < 0 ? 10_000 : (plan.ranks!.shares[place] ?? plan.ranks!.shares.at(-1)!);
    return pay(plan, claim, facts, reading, units, share, [...before, ...counted], counted);
  });
  return { lines, counted };
}

const yearOf = (day: string): string => `${day.slice(0, 4)}-01-01`;
const covers = (one: { from: string; to: string }, line: ClaimLine): boolean =>
  days(line.from, line.to).every((day) => one.from <= day && day <= one.to);
const overlap = (a: { from: string; to: string }, b: { from: string; to: string }): boolean =>
  days(a.from, a.to).some((day) => days(b.from, b.to).includes(day));

function screen(
  plan: PlanDocument,
  claim: Claim,
  facts: ClaimFacts,
  earlier: readonly Reading[],
  { line, network, isProtected, benefit }: Reading,
): string | undefined {
  const owner = plan.networks[network]!.contracted || isProtected ? "CO" : "PI";
  const covered = (day: string): boolean =>
    facts.coverage.some(({ from, to = "9999-12-31" }) => from <= day && day <= to);
  const lacking = days(line.from, line.to).find((day) => !covered(day));
  if (lacking !== undefined) {
    if (facts.coverage.length === 0) return "PR-31";
    if (facts.coverage.every(({ from }) => from > lacking)) return "PR-26";
    return facts.coverage.some(({ from }) => from > lacking) ? "PR-200" : "PR-27";
  }
  const late = (Date.parse(facts.received) - Date.parse(line.to)) / 86_400_000;
  if (plan.filingDays !== undefined && late > plan.filingDays) return `${owner}-29`;
  const key = (one: Omit<ClaimLine, "sequence">): string =>
    JSON.stringify([one.code, [...one.modifiers].sort(), one.from, one.to, one.units, one.charge]);
  const others = [
    ...earlier.map((other) => key(other.line)),
    ...facts.standing
      .filter((one) => one.claim !== claim.id)
      .filter((one) => one.member === claim.member && one.provider === claim.provider)
      .map(key),
  ];
  if (others.includes(key(line))) return "OA-18";
  if (benefit?.authorisation === true) {
    const states = facts.authorisations
      .filter((one) => one.codes.includes(line.code) && covers(one, line))
      .map(({ status }) => status);
    if (!states.includes("approved")) {
      if (states.includes("pended")) return "OA-133";
      return states.length > 0 ? `${owner}-39` : `${owner}-197`;
    }
  }
  const isExcluded = benefit === undefined ? plan.otherServices === "excluded" : benefit.excluded;
  return isExcluded === true ? "PR-96" : undefined;
}

function pay(
  plan: PlanDocument,
  claim: Claim,
  facts: ClaimFacts,
  { line, network, isProtected, priced, benefit, denial }: Reading,
  units: { authorised: number; units: number } | undefined,
  rank: number,
  known: readonly Counted[],
  counted: Counted[],
): LiteralLine {
  const terms = plan.networks[network]!;
  const writesOff = terms.contracted || isProtected;
  const owner = writesOff ? "CO" : "PI";
  const adjust: Record<string, number> = {};
  const put = (code: string, amount: number): void => {
    if (amount > 0) adjust[code] = (adjust[code] ?? 0) + amount;
  };
  // What the payers before did.
  let [booked, priorPaid, priorAllowed] = [0, 0, 0];
  for (const payer of facts.prior) {
    const own = payer.lines.find(({ sequence }) => sequence === line.sequence)!;
    priorPaid += own.paid;
    booked += own.paid;
    let allowed = own.paid;
    for (const { group, carc, amount } of own.adjustments) {
      if (["CO", "PI"].includes(group)) booked += amount;
      if (group === "PR" && ["1", "2", "3"].includes(carc)) allowed += amount;
    }
    priorAllowed = Math.max(priorAllowed, allowed);
  }
  booked = Math.min(booked, line.charge);
  if (denial !== undefined && ["OA-18", "OA-133"].includes(denial)) {
    put(denial, line.charge);
    return { adjust, paid: 0 };
  }
  put("OA-23", booked);
  if (units === undefined) {
    put(denial!, line.charge - booked);
    return { adjust, paid: 0 };
  }
  const chargeOf = (some: number): number => round(line.charge * some, line.units);
  const charge = chargeOf(units.units);
  const full =
    priced === undefined
      ? terms.fees !== undefined && line.code in terms.fees
        ? terms.fees[line.code]! * units.units
        : round(charge * terms.unlisted!, 10_000)
      : round(priced * units.units, line.units);
  const before = Math.min(full, charge);
  const allowed = round(before * rank, 10_000);
  const shared =
    plan.coordination === "maintenance-of-benefits" ? Math.max(0, allowed - priorPaid) : allowed;

  // Cent by cent: copay, deductible, coinsurance, each while the cap lasts.
  const place = `${yearOf(line.from)} ${network}`;
  const all = (kind: string, who = ""): number =>
    count(known, (what) => what.startsWith(`${kind} ${place} ${who}`));
  const { individual = Infinity, family = Infinity } = terms.cap ?? {};
  const [oopOfMember, oopOfFamily] = [all("oop", claim.member), all("oop")];
  const isOut = (): boolean => oopOfMember + spent >= individual || oopOfFamily + spent >= family;
  const own = benefit?.terms?.[network];
  let spent = 0;
  const costs: Record<string, number> = { "PR-3": 0, "PR-1": 0, "PR-2": 0 };
  const owe = (code: string): void => {
    if (isOut()) return;
    costs[code]!++;
    spent++;
  };
  let cents = shared;
  for (let cent = 0; cent < (own?.copay ?? 0) && cents > 0; cent++, cents--) owe("PR-3");
  const leftOf = ((): number => {
    const { deductible } = terms;
    if (deductible === undefined || own?.noDeductible === true) return 0;
    const ofFamily = (deductible.family ?? Infinity) - all("ded");
    const ofMember =
      deductible.kind === "aggregate" ? Infinity : deductible.individual - all("ded", claim.member);
    return Math.min(ofFamily, ofMember);
  })();
  for (let cent = 0; cent < leftOf && cents > 0; cent++, cents--) owe("PR-1");
  const part = round(cents * (own?.coinsurance ?? terms.coinsurance), 10_000);
  for (let cent = 0; cent < part; cent++) owe("PR-2");
  let alone = shared - spent;
  const limit = benefit?.limit;
  const limited = `limit ${limit?.per === "year" ? yearOf(line.from) : "ever"} ${claim.member} ${benefit?.name}`;
  let beyond = 0;
  if (limit !== undefined && "paid" in limit) {
    const used = count(known, (what) => what === limited);
    while (alone > 0 && used + alone > limit.paid) {
      alone--;
      beyond++;
    }
  }
  let paid = alone;
  let open = line.charge - booked;
  if (facts.prior.length > 0) {
    if (plan.coordination === "non-duplication") paid = alone - priorPaid;
    if (plan.coordination === "medicare-secondary") {
      const obliged = line.charge - (booked - priorPaid);
      paid = Math.min(obliged - priorPaid, alone, Math.max(allowed, priorAllowed) - priorPaid);
    }
    paid = Math.max(0, Math.min(paid, open));
  }
  open -= paid;
  const pour = (code: string, amount: number): number => {
    const poured = Math.max(0, Math.min(amount, open));
    put(code, poured);
    open -= poured;
    return poured;
  };
  pour(`${owner}-198`, line.charge - chargeOf(units.authorised));
  const limitCode = limit?.per === "lifetime" ? "PR-35" : "PR-119";
  pour(limitCode, chargeOf(units.authorised) - charge);
  pour(`${owner}-59`, before - allowed);
  let most =
    facts.prior.length > 0 && writesOff ? Math.max(0, allowed - priorPaid - paid) : Infinity;
  for (const [code, amount] of Object.entries(costs)) {
    const poured = pour(code, Math.min(amount, most));
    most -= poured;
    for (let cent = 0; cent < poured; cent++) {
      counted.push({ what: `oop ${place} ${claim.member}` });
    }
  }
  for (let cent = 0; cent < costs["PR-1"]!; cent++) {
    counted.push({ what: `ded ${place} ${claim.member}` });
  }
  pour(limitCode, Math.min(beyond, most));
  put(writesOff ? "CO-45" : "PR-45", open);
  if (limit !== undefined && "paid" in limit) {
    for (let cent = 0; cent < paid; cent++) counted.push({ what: limited });
  }
  return { adjust, paid };
}
