import { ConsentError } from "../../errors.ts";
import type { Capacity, Rule, CapacityScope } from "../model/model.ts";
import { compileTests } from "./match.ts";
import { holdsAt } from "./request-view.ts";
import type { Scope } from "./scope.ts";
import type { CapacityFact, ConsentSnapshot, SnapshotDirective } from "../model/snapshot.ts";
import type { Terminology } from "../terminology/terminology.ts";
import { isDateValue, startOf } from "../model/time.ts";
import type { Zone } from "../model/zone.ts";

/** Most grants of a chain: facts that say by whom. */
export const MAX_CAPACITY_CHAIN = 16;
/** Most ways in which one person may have come by a capacity, each bounded differently. */
const MAX_CHAINS = 256;

/** The bounds met along one chain of grants: all of them hold. */
type Chain = readonly CapacityScope[];

/**
 * In what a person may speak for the subject at an instant: one list of bounds a chain of grants
 * that reaches the person, none where nobody gave the capacity.
 *
 * @throws {ConsentError} `ERR_CONSENT_INVALID` when there are too many to follow
 */
export function chainsOf(
  capacities: readonly CapacityFact[],
  actor: string,
  capacity: Capacity,
  instant: number,
): readonly Chain[] {
  const walked = new Map<string, readonly Reached[]>();
  const go = (actor: string, capacity: Capacity, instant: number, grants: number) => {
    // Each step is walked once, so that grants in a circle do not multiply.
    const step = JSON.stringify([grants, capacity, instant, actor]);
    let reached = walked.get(step);
    if (reached === undefined) {
      reached = grantsOf(capacities, actor, capacity, instant, grants, go);
      walked.set(step, reached);
    }
    return reached;
  };
  return go(actor, capacity, instant, 0).map(({ bounds }) => bounds);
}

interface Reached {
  readonly bounds: Chain;
  /** How many further grants may hang on this one. */
  readonly depth: number;
}

function grantsOf(
  capacities: readonly CapacityFact[],
  actor: string,
  capacity: Capacity,
  instant: number,
  grants: number,
  go: (by: string, as: Capacity, when: number, grants: number) => readonly Reached[],
): readonly Reached[] {
  const found = new Map<string, Reached>();
  let known = false;
  for (const fact of capacities) {
    if (fact.actor !== actor || fact.capacity !== capacity) continue;
    known = true;
    if (!holdsAt(fact, instant)) continue;
    const own = fact.scope === undefined ? [] : [fact.scope];
    // Who has a capacity by law may hand it on; who was made proxy only as far as he was told to.
    const depth = fact.depth ?? (capacity === "proxy" ? 0 : MAX_CAPACITY_CHAIN);
    if (fact.by === undefined) {
      keep(found, { bounds: own, depth });
      continue;
    }
    if (grants >= MAX_CAPACITY_CHAIN) continue;
    // What a person grants for himself outlasts his own capacity: that is what it is for.
    const when =
      fact.by.capacity === "self" && fact.from !== undefined && fact.from < instant
        ? fact.from
        : instant;
    for (const above of go(fact.by.actor, fact.by.capacity, when, grants + 1)) {
      if (above.depth < 1) continue;
      keep(found, {
        bounds: [...above.bounds, ...own],
        depth: Math.min(depth, above.depth - 1),
      });
    }
  }
  // Who speaks for himself needs no attestation, unless one says from when or until when.
  if (capacity === "self" && !known) return [{ bounds: [], depth: MAX_CAPACITY_CHAIN }];
  return [...found.values()];
}

/** Keeps one chain for each set of bounds, the one that may be handed on the furthest. */
function keep(found: Map<string, Reached>, reached: Reached): void {
  const key = [...new Set(reached.bounds.map((scope) => JSON.stringify(scope)))].sort().join();
  const other = found.get(key);
  if (other !== undefined && other.depth >= reached.depth) return;
  if (other === undefined && found.size >= MAX_CHAINS) {
    throw new ConsentError("ERR_CONSENT_INVALID", "a capacity is granted in too many ways");
  }
  found.set(key, reached);
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
