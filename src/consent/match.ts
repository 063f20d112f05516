import { greatest, least } from "../bytes/lists.ts";
import type { ActorRef, Coding, DataFilter, DataRef, Effect, Rule } from "./model.ts";
import type { RequestView } from "./request-view.ts";
import type { ConsentResource } from "./resource.ts";
import {
  ACT_CODE,
  ACT_REASON,
  BTG,
  canonicalPurpose,
  canonicalSystem,
  CONFIDENTIALITY,
  type Terminology,
} from "./terminology.ts";
import { resolvePeriod, type Interval } from "./time.ts";
import type { Zone } from "./zone.ts";

/** Whether an attribute matches. Ordered, so that AND is the least and OR the greatest. */
export type Match = 0 | 1 | 2;
export const NO = 0;
export const UNKNOWN = 1;
export const YES = 2;

/** What a rule is held against: one purpose of one request, one resource, one moment. */
export interface MatchContext {
  readonly request: RequestView;
  readonly asOf: number;
  purpose: string;
  resource: ConsentResource;
  /** Made on first use for each resource. */
  labels: LabelView | undefined;
  /** The resource's period as the zone last asked for reads it; most directives share a zone. */
  period: Interval | undefined;
  periodZone: Zone | undefined;
}

/** The labels of a resource, sorted out once. */
export interface LabelView {
  readonly stamped: boolean;
  readonly sensitivity: readonly string[];
  /** Highest confidentiality, or -1. */
  readonly level: number;
  readonly others: readonly string[];
}

/**
 * A question about a record alone, as data: whether it is within one attribute of a rule with this
 * effect, or within one bound of a directive. Exactly one of the last three is present.
 */
export interface RecordQuestion {
  /** Permits and denies read the same attribute differently. */
  readonly effect: Effect;
  /** In what zone dates are read; `null` where the engine that asked did not know it. */
  readonly zone: string | null;
  /** With a single attribute. */
  readonly data?: DataFilter;
  readonly controller?: string;
  readonly jurisdictions?: readonly string[];
}

/** One attribute of a rule, ready to be tried. */
export interface AttributeTest {
  readonly attribute: string;
  readonly bit: number;
  /** What is asked of the record; absent where request and time answer. */
  readonly question: RecordQuestion | undefined;
  run(context: MatchContext): Match;
}

/** Names of attributes in the order of their bits. */
export const ATTRIBUTES: readonly string[] = [
  "validity",
  "actors",
  "roles",
  "purposes",
  "actions",
  "types",
  "codes",
  "labels",
  "period",
  "refs",
  "parts",
];

/**
 * Makes the tests of a rule, cheapest first.
 *
 * @param zone - the directive's; `undefined` when this engine does not know it, and then whatever
 *   depends on dates is unknown
 */
export function compileTests(
  rule: Rule,
  zone: Zone | undefined,
  terminology: Terminology,
): readonly AttributeTest[] {
  const tests: AttributeTest[] = [];
  const { validity, actors, roles, purposes, actions, data } = rule.when;
  const add = (
    attribute: string,
    run: (context: MatchContext) => Match,
    asked?: DataFilter,
  ): void => {
    const question: RecordQuestion | undefined =
      asked === undefined
        ? undefined
        : {
            effect: rule.effect,
            zone: attribute === "period" ? (zone?.name ?? null) : "UTC",
            data: asked,
          };
    tests.push({ attribute, bit: 1 << ATTRIBUTES.indexOf(attribute), question, run });
  };
  if (validity !== undefined) {
    const interval = zone === undefined ? undefined : resolvePeriod(validity, zone);
    add("validity", ({ asOf }) =>
      interval === undefined ? UNKNOWN : asOf >= interval.start && asOf <= interval.end ? YES : NO,
    );
  }
  if (purposes !== undefined) add("purposes", purposeTest(purposes, terminology));
  if (actions !== undefined) {
    const wanted = new Set(actions);
    add("actions", ({ request }) => (wanted.has(request.action) ? YES : NO));
  }
  if (data?.types !== undefined) {
    const wanted = new Set(data.types);
    add("types", ({ resource }) => (wanted.has(resource.type) ? YES : NO), { types: data.types });
  }
  if (roles !== undefined) {
    add("roles", ({ request }) => {
      let best: Match = NO;
      for (const role of roles) {
        const match = request.hasRole(role);
        if (match > best) best = match;
        if (best === YES) break;
      }
      return best;
    });
  }
  if (actors !== undefined) add("actors", actorTest(actors));
  if (data?.labels !== undefined) {
    const { labels } = data;
    const deny = rule.effect === "deny";
    const test = once(terminology, `${rule.effect} ${JSON.stringify(labels)}`, () =>
      labelTest(labels, deny, terminology),
    );
    add("labels", test, { labels });
  }
  if (data?.codes !== undefined) add("codes", codeTest(data.codes), { codes: data.codes });
  if (data?.period !== undefined) {
    const interval = zone === undefined ? undefined : resolvePeriod(data.period, zone);
    const deny = rule.effect === "deny";
    add(
      "period",
      (context) => {
        const { period } = context.resource;
        if (interval === undefined || zone === undefined || period === undefined) return UNKNOWN;
        if (period.from === undefined && period.to === undefined) return UNKNOWN;
        if (context.periodZone !== zone) {
          context.period = resolvePeriod(period, zone);
          context.periodZone = zone;
        }
        const own = context.period;
        if (own === undefined || own.start > own.end) return UNKNOWN;
        if (own.end < interval.start || own.start > interval.end) return NO;
        if (deny) return YES;
        return own.start >= interval.start && own.end <= interval.end ? YES : UNKNOWN;
      },
      { period: data.period },
    );
  }
  if (data?.refs !== undefined) {
    const refs = data.refs;
    add(
      "refs",
      ({ resource }) => {
        let best: Match = NO;
        for (const ref of refs) {
          const match = matchRef(ref, resource);
          if (match > best) best = match;
        }
        return best;
      },
      { refs },
    );
  }
  if (data?.parts !== undefined) {
    const wanted = new Set(data.parts);
    const deny = rule.effect === "deny";
    add(
      "parts",
      ({ resource }) => {
        if (resource.parts === undefined) return deny ? YES : UNKNOWN;
        let inside = 0;
        for (const part of resource.parts) if (wanted.has(part)) inside++;
        if (inside === 0) return resource.parts.length === 0 ? UNKNOWN : NO;
        return deny || inside === resource.parts.length ? YES : UNKNOWN;
      },
      { parts: data.parts },
    );
  }
  return tests;
}

/**
 * A purpose at or below a named one matches. One above a named one asks for more than the rule
 * speaks of: unknown. `BTG` is the exception: who asks for treatment has not asked to break glass.
 */
function purposeTest(
  purposes: readonly string[],
  terminology: Terminology,
): (context: MatchContext) => Match {
  return once(terminology, `purposes ${JSON.stringify(purposes)}`, () =>
    makePurposeTest(purposes, terminology),
  );
}

/**
 * Tests that rest on a terminology, which can be large: directives mostly name the same few
 * purposes and labels, so each test is made once.
 */
const testsOf = new WeakMap<Terminology, Map<string, (context: MatchContext) => Match>>();
const TESTS_LIMIT = 1024;
/** What is long is seldom met again, and is not kept. */
const KEY_LIMIT = 512;

function once(
  terminology: Terminology,
  key: string,
  make: () => (context: MatchContext) => Match,
): (context: MatchContext) => Match {
  if (key.length > KEY_LIMIT) return make();
  let tests = testsOf.get(terminology);
  if (tests === undefined) testsOf.set(terminology, (tests = new Map()));
  let test = tests.get(key);
  if (test === undefined) {
    if (tests.size >= TESTS_LIMIT) tests.clear();
    tests.set(key, (test = make()));
  }
  return test;
}

function makePurposeTest(
  purposes: readonly string[],
  terminology: Terminology,
): (context: MatchContext) => Match {
  const verdicts = new Map<string, Match>();
  let foreign = false;
  for (const name of purposes) {
    const code = canonicalPurpose(name);
    const below = terminology.purposesBelow(code);
    if (below === undefined) foreign = true;
    for (const item of below ?? [code]) verdicts.set(item, YES);
    if (code === BTG) continue;
    for (const other of Object.keys(terminology.data.purposes)) {
      if (verdicts.has(other)) continue;
      if (terminology.purposesBelow(other)!.has(code)) verdicts.set(other, UNKNOWN);
    }
  }
  return ({ purpose }) => {
    const verdict = verdicts.get(purpose);
    if (verdict !== undefined) return verdict;
    return foreign || terminology.purposesBelow(purpose) === undefined ? UNKNOWN : NO;
  };
}

function actorTest(actors: readonly ActorRef[]): (context: MatchContext) => Match {
  const persons = new Set<string>();
  const organisations = new Set<string>();
  const groups = new Set<string>();
  const devices = new Set<string>();
  const roles: string[] = [];
  for (const { type, id } of actors) {
    if (type === "role") roles.push(id);
    else if (type === "person") persons.add(id);
    else if (type === "organisation") organisations.add(id);
    else if (type === "device") devices.add(id);
    else groups.add(id);
  }
  return ({ request }) => {
    for (const id of request.persons) if (persons.has(id)) return YES;
    for (const id of request.belongsTo) {
      if (organisations.has(id) || groups.has(id)) return YES;
    }
    let best: Match = NO;
    // Who is not named may be anyone.
    if (!request.userStated && (persons.size > 0 || groups.size > 0)) best = UNKNOWN;
    if (devices.size > 0) {
      if (request.device === undefined) best = UNKNOWN;
      else if (devices.has(request.device)) return YES;
    }
    for (const role of roles) {
      const match = request.hasRole(role);
      if (match === YES) return YES;
      if (match > best) best = match;
    }
    return best;
  };
}

function codeTest(codes: readonly Coding[]): (context: MatchContext) => Match {
  const bySystem = new Map<string, Set<string>>();
  for (const { system, code } of codes) {
    const set = bySystem.get(system);
    if (set === undefined) bySystem.set(system, new Set([code]));
    else set.add(code);
  }
  return ({ resource }) => {
    if (resource.codes.length === 0) return UNKNOWN;
    for (const { system, code } of resource.codes) {
      if (bySystem.get(system)?.has(code) === true) return YES;
    }
    return resource.uncoded === true ? UNKNOWN : NO;
  };
}

function labelTest(
  labels: readonly Coding[],
  deny: boolean,
  terminology: Terminology,
): (context: MatchContext) => Match {
  const sensitivity = new Set<string>();
  const others = new Set<string>();
  const levels: number[] = [];
  for (const { system, code } of labels) {
    const known = canonicalSystem(system);
    if (known === ACT_CODE) {
      for (const item of terminology.labelsBelow(code) ?? [code]) sensitivity.add(item);
    } else if (known === CONFIDENTIALITY && terminology.confidentialityLevel(code) !== undefined) {
      levels.push(terminology.confidentialityLevel(code)!);
    } else {
      others.add(`${known}|${code}`);
    }
  }
  // A permit covers what is at most as confidential as named, a deny what is at least.
  const bound = levels.length === 0 ? -1 : deny ? least(levels) : greatest(levels);
  return (context) => {
    if (context.resource.labels === null) return UNKNOWN;
    const view = (context.labels ??= labelView(context.resource, terminology));
    if (!view.stamped && !deny) return UNKNOWN;
    for (const code of view.sensitivity) if (sensitivity.has(code)) return YES;
    for (const token of view.others) if (others.has(token)) return YES;
    if (bound >= 0 && view.level >= 0) {
      if (deny ? view.level >= bound : view.level <= bound) return YES;
    }
    if (!view.stamped) return UNKNOWN;
    return bound >= 0 && view.level < 0 ? UNKNOWN : NO;
  };
}

function labelView(resource: ConsentResource, terminology: Terminology): LabelView {
  const sensitivity: string[] = [];
  const others: string[] = [];
  let level = -1;
  for (const { system, code } of resource.labels!.codes) {
    const known = canonicalSystem(system);
    if (known === ACT_REASON) continue;
    const rank = known === CONFIDENTIALITY ? terminology.confidentialityLevel(code) : undefined;
    if (rank !== undefined) level = Math.max(level, rank);
    else if (known === ACT_CODE) sensitivity.push(code);
    else others.push(`${known}|${code}`);
  }
  return { stamped: resource.labels!.stamp !== null, sensitivity, level, others };
}

function matchRef(ref: DataRef, resource: ConsentResource): Match {
  const { reference } = ref;
  if (ref.meaning === "authoredby") {
    if (resource.authors === undefined) return UNKNOWN;
    return resource.authors.includes(reference) ? YES : NO;
  }
  const own = resource.id === undefined ? UNKNOWN : resource.id === reference ? YES : NO;
  if (own === YES || ref.meaning === "instance") return own;
  if (ref.meaning === "dependents") {
    if (resource.encounter === reference) return YES;
    if (resource.references === undefined) return UNKNOWN;
    return resource.references.includes(reference) ? YES : own;
  }
  if (resource.referredBy === undefined) return UNKNOWN;
  return resource.referredBy.includes(reference) ? YES : own;
}
