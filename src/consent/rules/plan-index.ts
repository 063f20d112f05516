import { looseName, spaceOf } from "./alike.ts";
import { RESOURCE_TYPES } from "../terminology/data/resource-types.ts";
import type { LineagePlan } from "./lineage.ts";
import type { AttributeTest } from "./match.ts";
import type { MatchContext } from "./match-context.ts";
import { NO } from "./truth.ts";
import type { CompiledOverlay } from "./overlay.ts";
import type { Scope } from "./scope.ts";
import type { CompiledRule } from "./tree.ts";

/** Finds the lineages that may apply, without evaluating each. */
export interface PlanIndex {
  /** All lineages, in order. */
  readonly plans: readonly LineagePlan[];
  /** Whether any of their rules has a statement on breaking the glass. */
  readonly saysBreakGlass: boolean;
  /** Lineages that may apply to the context's purpose, requester and type of record. */
  candidates(context: MatchContext): readonly LineagePlan[];
}

/** Up to this many lineages, evaluating each is quicker than an index. */
const WORTH_IT = 8;
/** Most purposes that are cached. */
const MAX_PURPOSES = 64;

/**
 * Indexes lineages by what their rules require. A lineage without default, suspension or revocation
 * does not apply unless one of its roots matches.
 */
export function indexPlans(plans: readonly LineagePlan[]): PlanIndex {
  const saysBreakGlass = plans.some(({ steps, contested }) =>
    [...steps, ...contested].some(({ directive }) => directive.tree?.saysBreakGlass === true),
  );
  if (plans.length <= WORTH_IT) return { plans, saysBreakGlass, candidates: () => plans };
  const always: number[] = [];
  const anyActor: number[] = [];
  const byActor = new Map<string, number[]>();
  /**
   * By the kinds of names in their rules: a party without a name of a kind may be anyone of that
   * kind.
   */
  const bySpace = { persons: new Map<string, number[]>(), groups: new Map<string, number[]>() };
  const anyType: number[] = [];
  const byType = new Map<string, number[]>();
  const purposeBound: { readonly at: number; readonly tests: readonly AttributeTest[] }[] = [];
  const byPurpose = new Map<string, ForPurpose>();
  const put = (map: Map<string, number[]>, key: string, at: number): void => {
    const list = map.get(key);
    if (list === undefined) map.set(key, [at]);
    else if (list.at(-1) !== at) list.push(at);
  };
  plans.forEach((plan, at) => {
    const roots = rootsOf(plan);
    if (roots === undefined) {
      always.push(at);
      return;
    }
    const actors = roots.map(({ rule }) => rule.when.actors);
    const types = roots.map(({ rule }) => rule.when.data?.types);
    const purposes = roots.map(({ tests }) => tests.find((one) => one.attribute === "purposes"));
    if (actors.every((list) => list?.every(({ type }) => type !== "role" && type !== "device"))) {
      anyActor.push(at);
      for (const { type, id } of actors.flatMap((list) => list ?? [])) {
        put(byActor, looseName(id), at);
        put(type === "person" ? bySpace.persons : bySpace.groups, spaceOf(id), at);
      }
    } else if (purposes.every((test) => test !== undefined)) {
      purposeBound.push({ at, tests: purposes });
    } else if (types.every((list) => list?.every((type) => RESOURCE_TYPES.has(type)))) {
      anyType.push(at);
      for (const type of types.flatMap((list) => list ?? [])) put(byType, type, at);
    } else {
      always.push(at);
    }
  });
  /** Lineages that the purpose does not rule out and that are indexed by no requester or type. */
  function forPurpose(context: MatchContext): ForPurpose {
    let known = byPurpose.get(context.purpose);
    if (known !== undefined) return known;
    const found = purposeBound
      .filter(({ tests }) => tests.some((test) => test.run(context) !== NO))
      .map(({ at }) => at);
    const places = [...always, ...found].sort((a, b) => a - b);
    known = { places, plans: places.map((at) => plans[at]!) };
    if (byPurpose.size >= MAX_PURPOSES) byPurpose.clear();
    byPurpose.set(context.purpose, known);
    return known;
  }

  const personSpaces = [...bySpace.persons];
  const groupSpaces = [...bySpace.groups];
  // One request is matched against many records.
  let lastRequest: MatchContext["request"] | undefined;
  let lastPlaces: readonly number[] | undefined;
  function actorPlaces(request: MatchContext["request"]): readonly number[] | undefined {
    if (request === lastRequest) return lastPlaces;
    const { persons, belongsTo } = request;
    const found: (readonly number[])[] = [];
    const named = (name: string): void => {
      const places = byActor.get(looseName(name));
      if (places !== undefined) found.push(places);
    };
    for (const name of persons) named(name);
    for (const name of belongsTo) if (!persons.includes(name)) named(name);
    for (const [space, places] of personSpaces) {
      if (!isToldIn(space, persons)) found.push(places);
    }
    for (const [space, places] of groupSpaces) {
      if (!isToldIn(space, belongsTo)) found.push(places);
    }
    lastRequest = request;
    return (lastPlaces =
      found.length < 2 ? found[0] : [...new Set(found.flat())].sort((a, b) => a - b));
  }

  function typePlaces({
    type,
    otherTypes,
  }: MatchContext["resource"]): readonly number[] | undefined {
    // A refusal of its type may be about a contained resource.
    if (otherTypes !== undefined || !RESOURCE_TYPES.has(type)) return anyType;
    return byType.get(type);
  }

  return {
    plans,
    saysBreakGlass,
    candidates(context) {
      const base = forPurpose(context);
      const { request, resource } = context;
      const typed = anyType.length > 0 ? typePlaces(resource) : anyType;
      const acting = anyActor.length > 0 && request.userStated ? actorPlaces(request) : anyActor;
      const more = unite(typed, acting);
      return more.length === 0 ? base.plans : unite(base.places, more).map((at) => plans[at]!);
    },
  };
}

const isToldIn = (space: string, names: readonly string[]): boolean =>
  names.some((name) => spaceOf(name) === space);

/** Merges two disjoint ascending lists. */
function unite(some: readonly number[] = [], others: readonly number[] = []): readonly number[] {
  if (some.length === 0) return others;
  if (others.length === 0) return some;
  const all: number[] = [];
  let next = 0;
  for (const at of others) {
    while (next < some.length && some[next]! < at) all.push(some[next++]!);
    all.push(at);
  }
  while (next < some.length) all.push(some[next++]!);
  return all;
}

/** Lineages that a purpose does not rule out, with their positions. */
interface ForPurpose {
  readonly places: readonly number[];
  readonly plans: readonly LineagePlan[];
}

/**
 * The roots of a lineage, one of which must match for it to apply; `undefined`: it may always
 * apply.
 */
function rootsOf({ steps, contested }: LineagePlan): readonly CompiledRule[] | undefined {
  const roots: CompiledRule[] = [];
  for (const { directive, ended } of [...steps, ...contested]) {
    const { mode, default: fallback } = directive.source.directive;
    if (mode === "suspend" || mode === "revoke" || fallback !== "none") return undefined;
    if (!ended && directive.tree !== undefined) roots.push(directive.tree.root);
  }
  return roots.length === 0 ? undefined : roots;
}

/** Beyond this many questions, too few records would share answers. */
const MAX_QUESTIONS = 24;

/**
 * Everything that a decision can ask about a record, each question once: records with the same
 * answers get the same decision.
 *
 * @returns `undefined` if there are too many questions
 */
export function questionsOf(
  plans: readonly LineagePlan[],
  overlays: readonly CompiledOverlay[],
  purposes: readonly string[],
  context: MatchContext,
): readonly AttributeTest[] | undefined {
  const tests = new Map<string, AttributeTest>();
  const add = (test: AttributeTest): void => {
    if (test.question === undefined) return;
    const key = JSON.stringify(test.question);
    if (!tests.has(key)) tests.set(key, test);
  };
  const addScope = (scope: Scope | undefined): void => {
    for (const bounds of scope ?? []) for (const test of bounds) add(test);
  };
  const visit = (node: CompiledRule): void => {
    if (tests.size > MAX_QUESTIONS) return;
    const dead = purposes.every((purpose) => {
      context.purpose = purpose;
      return node.tests.some((test) => test.question === undefined && test.run(context) === NO);
    });
    if (dead) return;
    for (const test of node.tests) add(test);
    for (const child of node.children) visit(child);
  };
  for (const { steps, contested, stops } of plans) {
    const settling = [...steps, ...contested].flatMap(({ settledBy }) => settledBy ?? []);
    for (const { directive, authority } of settling) {
      addScope(directive.scope);
      addScope(authority);
    }
    for (const { directive, ended, authority } of [...steps, ...contested, ...stops]) {
      addScope(directive.scope);
      addScope(authority);
      if (!ended && directive.tree !== undefined) visit(directive.tree.root);
      if (tests.size > MAX_QUESTIONS) return undefined;
    }
  }
  for (const { scope, tree } of overlays) {
    addScope(scope);
    visit(tree.root);
  }
  return tests.size > MAX_QUESTIONS ? undefined : [...tests.values()];
}
