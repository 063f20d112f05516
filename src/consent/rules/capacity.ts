import { ConsentError } from "../../errors.ts";
import type { Capacity, Rule, CapacityScope } from "../model/model.ts";
import { compileTests } from "./match.ts";
import { holdsAt, type RequestView } from "./request-view.ts";
import { matchScope, type Scope } from "./scope.ts";
import type { ConsentRequest } from "../model/request.ts";
import type { ConsentResource } from "../model/resource.ts";
import type { CapacityFact, ConsentSnapshot, SnapshotDirective } from "../model/snapshot.ts";
import { canonicalPurpose, type Terminology } from "../terminology/terminology.ts";
import { isDateValue, startOf } from "../model/time.ts";
import { UNKNOWN, YES } from "./truth.ts";
import { findZone, type Zone } from "../model/zone.ts";

/** Longest chain of grants, counting facts with `by`. */
export const MAX_CAPACITY_CHAIN = 16;
/** Most chains by which one person may have a capacity, each with different bounds. */
const MAX_CHAINS = 256;

/** The bounds along one chain of grants: all of them apply. */
type Chain = readonly CapacityScope[];

/**
 * The bounds within which a person may speak for the subject at an instant: one list per chain of
 * grants that reaches the person; empty if nobody granted the capacity.
 *
 * @throws {ConsentError} `ERR_CONSENT_INVALID` when there are too many chains to follow
 */
export function chainsOf(
  capacities: readonly CapacityFact[],
  actor: string,
  capacity: Capacity,
  instant: number,
): readonly Chain[] {
  const walked = new Map<string, readonly Reached[]>();
  const go = (actor: string, capacity: Capacity, instant: number, grants: number) => {
    // Walks each step once, so that circular grants do not multiply.
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
  /** How many further grants may follow this one. */
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
    // A capacity by law may be passed on; a proxy's only as far as the grant allows.
    const depth = fact.depth ?? (capacity === "proxy" ? 0 : MAX_CAPACITY_CHAIN);
    if (fact.by === undefined) {
      keep(found, { bounds: own, depth });
      continue;
    }
    if (grants >= MAX_CAPACITY_CHAIN) continue;
    // What a person grants for themselves outlasts their own capacity: that is its purpose.
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
  // Speaking for oneself needs no attestation, unless a fact limits it in time.
  if (capacity === "self" && !known) return [{ bounds: [], depth: MAX_CAPACITY_CHAIN }];
  return [...found.values()];
}

/** Keeps, for each set of bounds, the chain that may be passed on the furthest. */
function keep(found: Map<string, Reached>, reached: Reached): void {
  const key = [...new Set(reached.bounds.map((scope) => JSON.stringify(scope)))].sort().join();
  const other = found.get(key);
  if (other !== undefined && other.depth >= reached.depth) return;
  if (other === undefined && found.size >= MAX_CHAINS) {
    throw new ConsentError("ERR_CONSENT_INVALID", "a capacity is granted by too many chains");
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
 * The bounds within which the grantor of a directive may speak at an instant.
 *
 * @returns `undefined` if unbounded; a record or purpose that may be outside the bounds is unknown
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
  return chains.length === 0 ? undefined : boundsOf(chains, zone, terminology);
}

/** @returns `undefined` if one of the chains has no bounds */
function boundsOf(
  chains: readonly Chain[],
  zone: Zone | undefined,
  terminology: Terminology,
): Scope | undefined {
  if (chains.some((chain) => chain.length === 0)) return undefined;
  return chains.map((chain) =>
    chain.flatMap((scope) => compileTests(asRule(scope), zone, terminology)),
  );
}

/**
 * Makes the test whether a record, and all inside it, is certainly within the bounds of who asks for it in a
 * capacity, for every purpose.
 *
 * @param chains - as {@link chainsOf} gives them
 */
export function withinBounds(
  chains: readonly Chain[],
  { action, purposes }: Pick<ConsentRequest, "action" | "purposes">,
  asOf: number,
  terminology: Terminology,
): (resource: ConsentResource) => boolean {
  const scope = boundsOf(chains, findZone("UTC"), terminology);
  if (scope === undefined) return () => true;
  // Bounds are about records, purposes and actions, never about who asks.
  const nobody = { persons: [], belongsTo: [], userStated: true, device: undefined };
  const request: RequestView = { ...nobody, action, hasRole: () => UNKNOWN };
  const isWithin = (resource: ConsentResource): boolean =>
    purposes.length > 0 &&
    purposes.every((purpose) => {
      const seen = { labels: undefined, period: undefined, periodZone: undefined };
      const asked = { request, asOf, purpose: canonicalPurpose(purpose), resource, ...seen };
      return matchScope(scope, asked) === YES;
    }) &&
    (resource.contains ?? []).every(isWithin);
  return isWithin;
}

/** Bounds match as a permit does: only what is certainly inside is inside. */
const asRule = (when: CapacityScope): Rule => ({
  id: "authority",
  effect: "permit",
  combine: "deny-overrides",
  when,
});

const DATE = /^(\d{4})-(\d{2})-(\d{2})$/;

/**
 * The last instant at which a person is a minor: the end of a guardian's capacity fact. A person
 * born on 29 February comes of age on 1 March in a year without that day.
 *
 * @param birthDate - `YYYY-MM-DD`
 * @param years - age of majority where the person lives
 * @param zone - the zone in which the day begins
 * @throws {RangeError} when the date is not a full date
 * @example
 * const zone = findZone("America/Los_Angeles")!;
 * const to = lastInstantOfMinority("2012-05-14", 18, zone); // 2030-05-13, 23:59:59.999 there
 */
export function lastInstantOfMinority(birthDate: string, years: number, zone: Zone): number {
  const parts = DATE.exec(birthDate);
  if (parts === null)
    throw new RangeError("the date of birth must be a full date that exists: YYYY-MM-DD");
  if (!Number.isSafeInteger(years) || years < 0)
    throw new RangeError("years must be a whole number of at least 0");
  const year = String(Number(parts[1]) + years).padStart(4, "0");
  const start =
    startOf(`${year}-${parts[2]}-${parts[3]}`, zone) ??
    (parts[2] === "02" && parts[3] === "29" ? startOf(`${year}-03-01`, zone) : undefined);
  if (start === undefined || !isDateValue(birthDate)) {
    throw new RangeError("the date of birth must be a full date that exists: YYYY-MM-DD");
  }
  return start - 1;
}
