import { InputError } from "../../errors.ts";
import { expectDay } from "./expect.ts";
import type { AccumulatorChange, Accumulators, Day, UsedLimits } from "./model.ts";

/** The same as {@link Accumulators}, while a claim is being decided. */
export interface Tally {
  readonly v: 1;
  readonly years: Record<Day, { networks: Record<string, Table>; limits: Table }>;
  readonly lifetime: Table;
}

/** Numbers by two names; what is 0 is not in it. */
type Table = Record<string, Record<string, number>>;

/**
 * The accumulators of a family before anything was decided.
 *
 * @param years - first days of the plan years; a claim of any other year is refused
 * @throws {EncodingError} `ERR_ENCODING_SHAPE` when one is no day
 * @example
 * const accumulators = emptyAccumulators(["2026-01-01"]);
 */
export function emptyAccumulators(years: readonly Day[]): Accumulators {
  for (const year of years) expectDay(year, "years[]");
  return {
    v: 1,
    years: Object.fromEntries(years.map((year) => [year, { networks: {}, limits: {} }])),
    lifetime: {},
  };
}

const copyTable = (table: UsedLimits): Table =>
  Object.fromEntries(Object.entries(table).map(([name, row]) => [name, { ...row }]));

/** A copy that may be changed. */
export function openTally({ years, lifetime }: Accumulators): Tally {
  const copies = Object.entries(years).map(([from, { networks, limits }]) => {
    const copied = Object.entries(networks).map(([name, members]) => [
      name,
      copyTable(members as UsedLimits),
    ]);
    return [from, { networks: Object.fromEntries(copied), limits: copyTable(limits) }];
  });
  return { v: 1, years: Object.fromEntries(copies), lifetime: copyTable(lifetime) };
}

const own = <T>(table: Readonly<Record<string, T>> | undefined, name: string): T | undefined =>
  table !== undefined && Object.hasOwn(table, name) ? table[name] : undefined;

/** The year's values; a missing year is not taken for one in which nothing was paid. */
export function yearIn(tally: Tally, year: Day): Tally["years"][Day] {
  const found = own(tally.years, year);
  if (found === undefined) {
    throw new InputError("ERR_INPUT_INVALID", `accumulators lack the plan year ${year}`);
  }
  return found;
}

/** What one member has paid in a year and network. */
export function paidBy(
  tally: Tally,
  { year, network, member }: { year: Day; network: string; member: string },
  kind: "deductible" | "outOfPocket",
): number {
  return own(own(own(yearIn(tally, year).networks, network), member), kind) ?? 0;
}

/** What all members have paid in a year and network. */
export function paidByFamily(
  tally: Tally,
  { year, network }: { year: Day; network: string },
  kind: "deductible" | "outOfPocket",
): number {
  const members = own(yearIn(tally, year).networks, network) ?? {};
  return Object.values(members).reduce((sum, amounts) => sum + (own(amounts, kind) ?? 0), 0);
}

/** What a member has used of a benefit's limit. */
export function usedOf(
  tally: Tally,
  { year, member, benefit }: { year: Day | "lifetime"; member: string; benefit: string },
): number {
  return own(own(limitsOf(tally, year), member), benefit) ?? 0;
}

const limitsOf = (tally: Tally, year: Day | "lifetime"): Table =>
  year === "lifetime" ? tally.lifetime : yearIn(tally, year).limits;

/** Adds a change in place; what becomes 0 is taken out. */
export function addChange(tally: Tally, change: AccumulatorChange): void {
  if (change.kind === "limit") {
    addTo(limitsOf(tally, change.year), change.member, change.benefit, change.amount);
    return;
  }
  const { networks } = yearIn(tally, change.year);
  const table = own(networks, change.network) ?? {};
  addTo(table, change.member, change.kind, change.amount);
  if (Object.keys(table).length === 0) delete networks[change.network];
  else networks[change.network] = table;
}

function addTo(table: Table, row: string, column: string, amount: number): void {
  const cells = own(table, row) ?? {};
  const sum = (own(cells, column) ?? 0) + amount;
  if (sum === 0) delete cells[column];
  else cells[column] = sum;
  if (Object.keys(cells).length === 0) delete table[row];
  else table[row] = cells;
}
