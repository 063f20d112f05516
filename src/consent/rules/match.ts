import type { ActorRef, Coding, DataFilter, DataRef, Rule } from "../model/model.ts";
import type { ConsentResource } from "../model/resource.ts";
import { BTG, canonicalPurpose, type Terminology } from "../terminology/terminology.ts";
import {
  compareNames,
  isComparable,
  isComposable,
  isExpression,
  isSystemName,
  looseCoding,
  spaceOf,
} from "./alike.ts";
import { CONSENT_ACTIONS } from "../terminology/data/consent-actions.ts";
import { RESOURCE_TYPES } from "../terminology/data/resource-types.ts";
import { resolvePeriod } from "../model/time.ts";
import { anyMatch, NO, UNKNOWN, YES, type Match } from "./truth.ts";
import type { Zone } from "../model/zone.ts";
import type { RecordQuestion } from "../model/record-question.ts";
import { labelTest } from "./match-labels.ts";
import type { MatchContext } from "./match-context.ts";

/** The test of one attribute of a rule. */
export interface AttributeTest {
  readonly attribute: string;
  readonly bit: number;
  /** The question about the record; absent if request and time give the answer. */
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
 * @param zone - the directive's; `undefined` if this engine does not know it: then everything that
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
    // A word that is not FHIR's may mean any of its actions.
    const foreign = actions.some((action) => !CONSENT_ACTIONS.has(action));
    add("actions", ({ request: { action } }) =>
      wanted.has(action) ? YES : foreign || !CONSENT_ACTIONS.has(action) ? UNKNOWN : NO,
    );
  }
  if (data?.types !== undefined) {
    const wanted = new Set(data.types);
    const foreign = data.types.some((type) => !RESOURCE_TYPES.has(type));
    const test = (type: string): Match =>
      wanted.has(type) ? YES : foreign || !RESOURCE_TYPES.has(type) ? UNKNOWN : NO;
    const deny = rule.effect === "deny";
    add(
      "types",
      ({ resource: { type, otherTypes } }) =>
        otherTypes === undefined || !deny ? test(type) : anyMatch([type, ...otherTypes], test),
      { types: data.types },
    );
  }
  if (roles !== undefined) {
    add("roles", ({ request }) => anyMatch(roles, request.hasRole));
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
  if (data?.codes !== undefined) {
    add("codes", codeTest(data.codes, rule.effect === "deny"), { codes: data.codes });
  }
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
        if (own === undefined) return UNKNOWN;
        if (own.end < interval.start || own.start > interval.end) return NO;
        if (deny) return YES;
        return own.start >= interval.start && own.end <= interval.end ? YES : UNKNOWN;
      },
      { period: data.period },
    );
  }
  if (data?.refs !== undefined) {
    const refs = data.refs;
    add("refs", ({ resource }) => anyMatch(refs, (ref) => matchRef(ref, resource)), { refs });
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
 * A purpose at or below a named one matches. A purpose above a named one asks for more than the
 * rule covers: unknown. `BTG` is the exception: a request for treatment is not a request to break
 * the glass.
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
 * Tests that depend on a terminology, which can be large: directives mostly name the same few
 * purposes and labels, so each test is made once.
 */
const testsOf = new WeakMap<Terminology, Map<string, (context: MatchContext) => Match>>();
const TESTS_LIMIT = 1024;
/** Long keys rarely repeat, so they are not cached. */
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
  const named = (...types: readonly ActorRef["type"][]): readonly string[] =>
    actors.filter(({ type }) => types.includes(type)).map(({ id }) => id);
  const persons = namesTest(named("person"));
  const groups = namesTest(named("care-team", "group"));
  const organisations = namesTest(named("organisation"));
  const devices = namesTest(named("device"));
  const roles = named("role");
  const byPerson = actors.some(({ type }) => ["person", "care-team", "group"].includes(type));
  return ({ request }) => {
    let best: Match = NO;
    const consider = (match: Match): boolean => {
      if (match > best) best = match;
      return best === YES;
    };
    if (persons !== undefined && consider(persons(request.persons))) return YES;
    if (organisations !== undefined && consider(organisations(request.belongsTo))) return YES;
    if (groups !== undefined && consider(groups(request.belongsTo))) return YES;
    // A user who is not named may be anyone.
    if (!request.userStated && byPerson) best = UNKNOWN;
    if (devices !== undefined) {
      if (request.device === undefined) best = UNKNOWN;
      else if (consider(devices([request.device]))) return YES;
    }
    consider(anyMatch(roles, request.hasRole));
    return best;
  };
}

/**
 * Whether a party's names include one of those named. The answer is a certain no only if the party
 * has another name of each kind that is named.
 */
function namesTest(named: readonly string[]): ((own: readonly string[]) => Match) | undefined {
  if (named.length === 0) return undefined;
  const exact = new Set(named);
  const bySpace = new Map<string, string[]>();
  for (const name of named) {
    const space = spaceOf(name);
    const list = bySpace.get(space);
    if (list === undefined) bySpace.set(space, [name]);
    else list.push(name);
  }
  const compare = (own: readonly string[]): Match => {
    for (const name of own) if (exact.has(name)) return YES;
    for (const [space, names] of bySpace) {
      let told = false;
      for (const name of own) {
        if (spaceOf(name) !== space) continue;
        told = true;
        // Two spellings may be one name, such as a reference with and without its server.
        const match = anyMatch(names, (one) => compareNames(one, name));
        if (match !== NO) return match;
      }
      if (!told) return UNKNOWN;
    }
    return NO;
  };
  // One request is matched against many records.
  let last: readonly string[] | undefined;
  let match: Match = NO;
  return (own) => {
    if (own !== last) match = compare((last = own));
    return match;
  };
}

/** A permit matches a code where the record says what it is; a refusal matches it anywhere. */
function codeTest(codes: readonly Coding[], deny: boolean): (context: MatchContext) => Match {
  const bySystem = new Map<string, Set<string>>();
  const loose = new Set(codes.map(looseCoding));
  const expressible = codes.some(({ system }) => isComposable(system));
  const foreign = codes.some((coding) => !isComparable(coding));
  for (const { system, code } of codes) {
    const set = bySystem.get(system);
    if (set === undefined) bySystem.set(system, new Set([code]));
    else set.add(code);
  }
  return ({ resource }) => {
    const { otherCodes = [] } = resource;
    const counted =
      deny && otherCodes.length > 0 ? [...resource.codes, ...otherCodes] : resource.codes;
    for (const { system, code } of counted) {
      if (bySystem.get(system)?.has(code) === true) return YES;
    }
    if (resource.codes.length === 0 || foreign || resource.uncoded === true) return UNKNOWN;
    const alike = counted.some(
      (own) =>
        loose.has(looseCoding(own)) ||
        !isSystemName(own.system) ||
        (expressible && isExpression(own)),
    );
    return alike ? UNKNOWN : NO;
  };
}

function matchRef({ meaning, reference }: DataRef, resource: ConsentResource): Match {
  const among = (names: readonly string[] | undefined): Match =>
    names === undefined
      ? UNKNOWN
      : // A contained resource is not another record.
        anyMatch(names, (name) => (name.startsWith("#") ? NO : compareNames(reference, name)));
  if (meaning === "authoredby") return among(resource.authors);
  const own = resource.id === undefined ? UNKNOWN : compareNames(reference, resource.id);
  if (own === YES || meaning === "instance") return own;
  const other =
    meaning === "related"
      ? among(resource.referredBy)
      : anyMatch(
          [resource.encounter === undefined ? [] : [resource.encounter], resource.references],
          among,
        );
  return other > own ? other : own;
}
