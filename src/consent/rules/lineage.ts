import type { CID } from "../../codec/cid.ts";
import type { EntryId } from "../../codec/ids.ts";
import { authorityOf, hasCapacity } from "./capacity.ts";
import { byPlace, type ConsentSnapshot, type SnapshotDirective } from "../model/snapshot.ts";
import type { Terminology } from "../terminology/terminology.ts";
import { resolvePeriod } from "../model/time.ts";
import { idsOf, isLacking, namesOf } from "./statement-names.ts";
import { compileTree, type CompiledTree } from "./tree.ts";
import { compileScope, type Scope } from "./scope.ts";
import { DOUBTED, ELSEWHERE, OWN, trustOf, type WitnessTrust } from "../model/trust.ts";
import { findZone, type Zone } from "../model/zone.ts";
import type { SetAsideReason, SetAside } from "../model/decision.ts";

/** A directive ready for evaluation, and its status in its lineage. */
export interface CompiledDirective {
  readonly source: SnapshotDirective;
  /** One object for all uses of this CID in a snapshot. */
  readonly cid: CID;
  /** Position in ledger order within the lineage. */
  readonly position: number;
  readonly start: number;
  readonly end: number;
  /** This engine does not know its zone: its denies count at any time, its permits never. */
  readonly unreadable: boolean;
  readonly zone: Zone | undefined;
  readonly tree: CompiledTree | undefined;
  readonly scope: Scope | undefined;
  /** Its denies count and its permits do not, unless something settles the dispute. */
  contested: boolean;
  /** How far it is accepted as the person's word. */
  trust: WitnessTrust;
  /**
   * Its witness may not decide this alone: it needs confirmation by the grantor or the custodian.
   */
  unconfirmed: boolean;
  /**
   * A doubted revocation or replacement that names the head, or one that waits: it may have
   * ended the directives before it, so that they permit no more.
   */
  doubtful: boolean;
  /** Later, uncontested directives that name it. */
  readonly resolvers: CompiledDirective[];
  readonly ids: Set<EntryId>;
}

/** A chain of statements, oldest first. */
export interface CompiledLineage {
  readonly directives: readonly CompiledDirective[];
}

/** Lineages of one layer, ready for evaluation, and the directives that never count. */
export interface CompiledLayer {
  readonly lineages: readonly CompiledLineage[];
  readonly setAside: readonly SetAside[];
}

/**
 * Sorts the directives of a layer into lineages by ledger order, and finds which of them name the
 * head before them.
 */
export function compileLayer(
  filed: readonly SnapshotDirective[],
  snapshot: ConsentSnapshot,
  terminology: Terminology,
  oneObject: (cid: CID) => CID,
): CompiledLayer {
  const setAside: SetAside[] = [];
  const byLineage = new Map<string, SnapshotDirective[]>();
  // Sorted first: the order in which unrelated lineages were listed must not affect a decision.
  for (const item of [...filed].sort(byPlace)) {
    if (item.place.height > snapshot.height) continue;
    const list = byLineage.get(item.directive.lineage);
    if (list === undefined) byLineage.set(item.directive.lineage, [item]);
    else list.push(item);
  }
  const lineages: CompiledLineage[] = [];
  for (const list of byLineage.values()) {
    lineages.push({ directives: order(list, snapshot, terminology, setAside, oneObject) });
  }
  return { lineages, setAside };
}

function order(
  list: readonly SnapshotDirective[],
  snapshot: ConsentSnapshot,
  terminology: Terminology,
  setAside: SetAside[],
  oneObject: (cid: CID) => CID,
): CompiledDirective[] {
  const directives: CompiledDirective[] = [];
  const byCid = new Map<CID, CompiledDirective>();
  const names = namesOf(list, snapshot, oneObject);
  /** Ids of directives without effect: void, or revocations awaiting confirmation. */
  const mootIds = new Set<EntryId>();
  const contested: CompiledDirective[] = [];
  let head: CompiledDirective | undefined;
  /**
   * Unconfirmed directives that name the head: a directive that names one of them names the head
   * too.
   */
  let beside: CompiledDirective[] = [];
  let own = false;
  let place = 0;
  for (const source of waitingLast(list)) {
    const ids = idsOf(source);
    const { directive } = source;
    const lacking = isLacking(source, snapshot);
    if (source.standing !== "valid" || lacking) {
      setAside.push({ directive: source.cid, why: lacking ? "capacity-lacking" : "void" });
      for (const id of ids) mootIds.add(id);
      continue;
    }
    const cid = oneObject(source.cid);
    const trust = trustOf(source, snapshot);
    const unconfirmed = trust === DOUBTED || (trust === ELSEWHERE && own);
    own ||= trust === OWN;
    const known = byCid.get(cid);
    if (known !== undefined && source.waits === true) continue;
    if (known !== undefined) {
      // Filed again: still the same statement, at its first place.
      for (const id of ids) known.ids.add(id);
      const confirms = known.unconfirmed && trust > known.trust && known.resolvers.length === 0;
      if (!confirms || isLasting(known)) {
        if (trust > known.trust) known.trust = trust;
        if (isLasting(known)) known.unconfirmed &&= unconfirmed;
        continue;
      }
    }
    // A confirmed statement moves to the place of its confirmation: a statement counts once.
    if (known !== undefined) directives.splice(directives.indexOf(known), 1);
    const others = source.waits === true ? undefined : names.get(cid);
    const all = known?.ids ?? new Set([...ids, ...(others ?? [])]);
    const compiled = compileDirective(source, cid, place++, all, terminology);
    compiled.trust = trust;
    compiled.unconfirmed = unconfirmed;
    // Whether it would end older directives, were it not for its key or its witness.
    const wouldEnd = trust === DOUBTED && (source.witness?.by === snapshot.custodian || !own);
    compiled.doubtful = (wouldEnd || source.waits === true) && directive.mode === "revoke";
    directives.push(compiled);
    if (compiled.doubtful) {
      if (source.waits !== true) beside.push(compiled);
      continue;
    }
    if (isIneffective(compiled)) {
      for (const id of ids) mootIds.add(id);
      continue;
    }
    if (source.waits === true && !isLasting(compiled)) {
      compiled.contested = true;
      compiled.doubtful = directive.mode === "replace";
      contested.push(compiled);
      continue;
    }
    byCid.set(cid, compiled);
    if (isLasting(compiled) || source.unreadable === true) {
      head = compiled;
      beside = [];
      continue;
    }
    const named = new Set(directive.predecessors);
    const knows = (other: CompiledDirective): boolean => [...other.ids].some((id) => named.has(id));
    const knowing =
      head === undefined
        ? [...named].every((id) => mootIds.has(id) || beside.some(({ ids }) => ids.has(id)))
        : knows(head) || beside.some(knows);
    if (!knowing || unconfirmed) {
      compiled.contested = true;
      contested.push(compiled);
      if (knowing) {
        beside.push(compiled);
        compiled.doubtful = wouldEnd && directive.mode === "replace";
      }
      continue;
    }
    head = compiled;
    beside = [];
    for (const other of contested) {
      const settles = knows(other) || other.cid === cid;
      // Only the grantor or the custodian can confirm an unconfirmed directive.
      if (settles && (trust === OWN || !other.unconfirmed)) other.resolvers.push(compiled);
    }
  }
  return directives;
}

/**
 * Moves the directives that wait behind those that came after them, up to a revocation or one that names them: what
 * they wait for, once it is here, is still what they followed.
 */
function waitingLast(list: readonly SnapshotDirective[]): SnapshotDirective[] {
  const sorted: SnapshotDirective[] = [];
  let waiting: SnapshotDirective[] = [];
  for (const one of list) {
    if (one.waits === true) {
      waiting.push(one);
      continue;
    }
    const { mode, predecessors } = one.directive;
    const ends = (other: SnapshotDirective): boolean =>
      one.standing === "valid" &&
      (mode === "revoke" || predecessors.some((id) => idsOf(other).has(id)));
    for (const other of waiting) if (ends(other)) sorted.push(other);
    waiting = waiting.filter((other) => !ends(other));
    sorted.push(one);
  }
  return [...sorted, ...waiting];
}

const isLasting = ({ source: { directive } }: CompiledDirective): boolean =>
  directive.mode === "suspend" || directive.mode === "revoke";

/** A revocation on a third party's word alone: it has no effect until it is confirmed. */
const isIneffective = ({ unconfirmed, doubtful, source }: CompiledDirective): boolean =>
  unconfirmed && !doubtful && source.directive.mode === "revoke";

function compileDirective(
  source: SnapshotDirective,
  cid: CID,
  position: number,
  ids: Set<EntryId>,
  terminology: Terminology,
): CompiledDirective {
  const { directive } = source;
  const zone = findZone(directive.validity.zone);
  const interval = zone === undefined ? undefined : resolvePeriod(directive.validity, zone);
  return {
    source,
    cid,
    position,
    start: interval?.start ?? -Infinity,
    end: interval?.end ?? Infinity,
    unreadable: interval === undefined,
    zone,
    tree: directive.root === undefined ? undefined : compileTree(directive.root, zone, terminology),
    scope: compileScope(directive, terminology),
    contested: false,
    trust: OWN,
    unconfirmed: false,
    doubtful: false,
    resolvers: [],
    ids,
  };
}

/** A step from the newest statement to the oldest that can still decide. */
export interface Step {
  readonly directive: CompiledDirective;
  /** A `replace` that has ended, or whose grantor has lost the capacity: only its default is left. */
  readonly ended: boolean;
  /** The grantor's bounds; `undefined`: none. */
  readonly authority: Scope | undefined;
  /**
   * For a contested directive: those that settle the dispute, each for the records that it
   * certainly covers. Where the dispute is settled, the step counts like any other; elsewhere it
   * stays contested. Absent if nothing is contested.
   */
  readonly settledBy?: readonly Step[];
}

/** The steps of a lineage that count at a moment. */
export interface LineagePlan {
  readonly steps: readonly Step[];
  /**
   * Directives whose denies count and whose permits do not, unless they are settled. A `replace`
   * that has ended also withholds the permits before it: it may have been meant to end them.
   */
  readonly contested: readonly Step[];
  /** Suspensions and revocations in effect, newest first: they end what was contested before. */
  readonly stops: readonly Step[];
}

/** Finds the steps of a lineage that count at a moment. */
export function planLineage(
  lineage: CompiledLineage,
  snapshot: ConsentSnapshot,
  asOf: number,
  setAside: SetAside[],
  terminology: Terminology,
): LineagePlan | undefined {
  const steps: Step[] = [];
  const contested: Step[] = [];
  const stops: Step[] = [];
  // Older directives decide nothing. Below a suspension they are still read for a rule that the
  // glass must never be broken.
  let closed = false;
  let audible = true;
  let replaced = false;
  const stoppedBy = (mode: "suspend" | "revoke"): boolean =>
    stops.some((one) => one.directive.source.directive.mode === mode && isUnbounded(one));
  for (let at = lineage.directives.length - 1; at >= 0; at--) {
    const directive = lineage.directives[at]!;
    const { source, zone, start } = directive;
    const { mode } = source.directive;
    const note = (why: SetAsideReason): void => {
      setAside.push({ directive: source.cid, why });
    };
    const authorityAt = (instant: number): Scope | undefined =>
      authorityOf(source, snapshot, instant, zone, terminology);
    if (asOf < start) {
      if (!closed) note("not-yet-valid");
      continue;
    }
    if (directive.doubtful && mode === "revoke") note("unconfirmed");
    if (isIneffective(directive)) {
      note("unconfirmed");
      continue;
    }
    if (mode === "suspend" || mode === "revoke") {
      // Once in effect it lasts, even if its grantor loses the capacity: refusals never lapse into
      // permits.
      if (stoppedBy("revoke")) continue;
      const stop = { directive, ended: false, authority: authorityAt(source.recordedAt ?? asOf) };
      // A third party's word suspends, but settles nothing that was contested here; what waits ends nothing.
      if (!directive.unconfirmed && !(source.waits && mode === "revoke")) stops.push(stop);
      if (!audible) continue;
      steps.push(stop);
      if (!isUnbounded(stop)) continue;
      closed = true;
      if (mode === "revoke") audible = false;
      continue;
    }
    const expired = asOf > directive.end;
    const able = hasCapacity(source, snapshot, asOf);
    const ended = expired || !able;
    // A default that a proxy leaves covers no more than the proxy did.
    const authority = authorityAt(able ? asOf : (source.recordedAt ?? start));
    const settledBy = directive.contested ? settlersOf(directive, asOf, snapshot, terminology) : [];
    const disputed = directive.contested && !settledBy.some(isUnbounded);
    if (disputed || directive.unreadable) {
      if (stoppedBy("revoke") || (directive.unreadable && !disputed && replaced)) continue;
      if (stoppedBy("suspend")) {
        if (!audible && !disputed) continue;
      } else if (ended) note(expired ? "expired" : "capacity-lost");
      else if (directive.unreadable) note("zone-unknown");
      else note(directive.unconfirmed ? "unconfirmed" : "contested");
      // Nothing settles a directive that cannot be read.
      const settlers = directive.unreadable ? [] : settledBy;
      const step = { directive, ended, authority, settledBy: settlers };
      if (!ended || mode === "replace") contested.push(step);
      if (audible && settlers.length > 0 && !(ended && mode === "amend")) {
        steps.push(step);
      }
      continue;
    }
    if (!audible) continue;
    if (ended && !closed) note(expired ? "expired" : "capacity-lost");
    if (mode === "amend") {
      if (!ended) steps.push({ directive, ended, authority });
      continue;
    }
    steps.push({ directive, ended, authority });
    if (authority !== undefined) continue;
    closed = true;
    audible = false;
    replaced = true;
  }
  if (steps.length === 0 && contested.length === 0) return undefined;
  return { steps, contested, stops };
}

/**
 * Whether a contested directive withholds the permits of older ones: it replaces, and has ended or
 * may have, so that it may have been meant to end them.
 */
export function withholdsOlderPermits({ directive, ended }: Step): boolean {
  return (ended || directive.unreadable) && directive.source.directive.mode === "replace";
}

/**
 * Whether a contested directive withholds the permits of older ones wherever it does not itself
 * permit: it replaces, and either refuses by default, which counts as any refusal, or may have been
 * the head.
 */
export const refusesTheRest = ({ directive: { source, doubtful } }: Step): boolean =>
  source.directive.mode === "replace" && (doubtful || source.directive.default === "deny");

/** Directives in effect that settle a dispute: begun, not ended, and with a capable grantor. */
function settlersOf(
  { resolvers }: CompiledDirective,
  asOf: number,
  snapshot: ConsentSnapshot,
  terminology: Terminology,
): readonly Step[] {
  return resolvers
    .filter(({ start, end, unreadable }) => !unreadable && start <= asOf && asOf <= end)
    .filter(({ source }) => hasCapacity(source, snapshot, asOf))
    .map((directive) => ({
      directive,
      ended: false,
      authority: authorityOf(directive.source, snapshot, asOf, directive.zone, terminology),
    }));
}

/** Whether a statement certainly covers every record and purpose. */
function isUnbounded({ directive, authority }: Step): boolean {
  const { doubtful, unreadable, scope } = directive;
  return !doubtful && !unreadable && scope === undefined && authority === undefined;
}
