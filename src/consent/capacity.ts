import type { Capacity, Rule, When } from "./model.ts";
import { compileTests } from "./match.ts";
import { holdsAt } from "./request-view.ts";
import type { Scope } from "./scope.ts";
import type { CapacityFact, ConsentSnapshot, SnapshotDirective } from "./snapshot.ts";
import type { Terminology } from "./terminology.ts";
import { isDateValue, startOf } from "./time.ts";
import type { Zone } from "./zone.ts";

/** What someone may speak about, where it is not everything. */
export type CapacityScope = Pick<When, "purposes" | "actions" | "data">;

/** Longest chain of grants that is followed. */
export const MAX_CAPACITY_CHAIN = 16;

/** The bounds met along one chain of grants: all of them hold. */
type Chain = readonly CapacityScope[];

/**
 * In what a person may speak for the subject at an instant: one list of bounds a chain of grants
 * that reaches the person, none where nobody gave the capacity.
 */
export function chainsOf(
  capacities: readonly CapacityFact[],
  actor: string,
  capacity: Capacity,
  instant: number,
): readonly Chain[] {
  const known = new Map<string, readonly Reached[]>();
  return walk(capacities, known, actor, capacity, instant, 0).map(({ bounds }) => bounds);
}

interface Reached {
  readonly bounds: Chain;
  /** How many further grants may hang on this one. */
  readonly depth: number;
}

/** Each step is walked once, so that grants in a circle do not multiply. */
function walk(
  capacities: readonly CapacityFact[],
  walked: Map<string, readonly Reached[]>,
  actor: string,
  capacity: Capacity,
  instant: number,
  links: number,
): readonly Reached[] {
  if (links >= MAX_CAPACITY_CHAIN) return [];
  const step = `${links} ${capacity} ${instant} ${actor}`;
  let reached = walked.get(step);
  if (reached === undefined) {
    const go = (by: string, as: Capacity, when: number): readonly Reached[] =>
      walk(capacities, walked, by, as, when, links + 1);
    walked.set(step, (reached = grantsOf(capacities, actor, capacity, instant, go)));
  }
  return reached;
}

function grantsOf(
  capacities: readonly CapacityFact[],
  actor: string,
  capacity: Capacity,
  instant: number,
  go: (by: string, as: Capacity, when: number) => readonly Reached[],
): readonly Reached[] {
  const found: Reached[] = [];
  let known = false;
  for (const fact of capacities) {
    if (fact.actor !== actor || fact.capacity !== capacity) continue;
    known = true;
    if (!holdsAt(fact, instant)) continue;
    const own = fact.scope === undefined ? [] : [fact.scope];
    // Who has a capacity by law may hand it on; who was made proxy only as far as he was told to.
    const depth = fact.depth ?? (capacity === "proxy" ? 0 : MAX_CAPACITY_CHAIN);
    if (fact.by === undefined) {
      found.push({ bounds: own, depth });
      continue;
    }
    // What a person grants for himself outlasts his own capacity: that is what it is for.
    const when =
      fact.by.capacity === "self" && fact.from !== undefined && fact.from < instant
        ? fact.from
        : instant;
    for (const above of go(fact.by.actor, fact.by.capacity, when)) {
      if (above.depth < 1) continue;
      found.push({ bounds: [...above.bounds, ...own], depth: Math.min(depth, above.depth - 1) });
      if (found.length >= MAX_CAPACITY_CHAIN) return found;
    }
  }
  // Who speaks for himself needs no attestation, unless one says from when or until when.
  if (capacity === "self" && !known) return [{ bounds: [], depth: MAX_CAPACITY_CHAIN }];
  return found;
}

/** Whether the grantor of a directive may speak for the subject at an instant. */
export function hasCapacity(
  source: SnapshotDirective,
  snapshot: ConsentSnapshot,
  instant: number,
): boolean {
  const { actor, capacity } = source.directive.grantor;
  return chainsOf(snapshot.capacities, actor, capacity, instant).length > 0;
}

/**
 * What the grantor of a directive may speak about at an instant.
 *
 * @returns `undefined` when everything; a record or purpose that may be outside is unknown
 */
export function authorityOf(
  source: SnapshotDirective,
  snapshot: ConsentSnapshot,
  instant: number,
  zone: Zone | undefined,
  terminology: Terminology,
): Scope | undefined {
  const { actor, capacity } = source.directive.grantor;
  const chains = chainsOf(snapshot.capacities, actor, capacity, instant);
  if (chains.length === 0 || chains.some((chain) => chain.length === 0)) return undefined;
  return chains.map((chain) =>
    chain.flatMap((scope) => compileTests(asRule(scope), zone, terminology)),
  );
}

/** Bounds are matched as a permit is: only what is surely inside is inside. */
const asRule = (when: CapacityScope): Rule => ({
  id: "authority",
  effect: "permit",
  combine: "deny-overrides",
  when,
});

const DATE = /^(\d{4})-(\d{2})-(\d{2})$/;

/**
 * The last instant at which a person is a minor: what a guardian's capacity fact ends with. Who was
 * born on 29 February comes of age on 1 March where the year has no such day.
 *
 * @param birthDate - `YYYY-MM-DD`
 * @param years - age of majority where the person lives
 * @param zone - where the day begins
 * @throws {RangeError} when the date is not a full date
 */
export function lastInstantOfMinority(birthDate: string, years: number, zone: Zone): number {
  const parts = DATE.exec(birthDate);
  if (parts === null) throw new RangeError("majority needs a full date of birth");
  if (!Number.isSafeInteger(years) || years < 0) throw new RangeError("years must be an age");
  const year = String(Number(parts[1]) + years).padStart(4, "0");
  const start =
    startOf(`${year}-${parts[2]}-${parts[3]}`, zone) ??
    (parts[2] === "02" && parts[3] === "29" ? startOf(`${year}-03-01`, zone) : undefined);
  if (start === undefined || !isDateValue(birthDate)) {
    throw new RangeError("majority needs a full date of birth");
  }
  return start - 1;
}
