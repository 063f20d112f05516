import type {
  ActorRef,
  Coding,
  ConsentRequest,
  ConsentResource,
  ConsentSnapshot,
  DataFilter,
  DataRef,
  Directive,
  Overlay,
  Rule,
  SnapshotDirective,
  When,
} from "../../src/consent/index.ts";
import { HL7_TERMINOLOGY } from "../../src/consent/index.ts";

// Directives in Cedar, written from the prose of docs/spec/directive.md for the part of it that has
// two truth values: everything asked about is stated, and no bound is crossed halfway. It takes from
// the library the published hierarchies, and nothing else. Where every rule combines by
// deny-overrides, each becomes one policy, and Cedar's own "forbid overrides permit" does the rest.

/** Cedar text that is true or false. */
type Condition = string;

const TRUE: Condition = "true";
const FALSE: Condition = "false";
const and = (...of: readonly Condition[]): Condition => {
  const left = of.filter((one) => one !== TRUE);
  if (left.includes(FALSE)) return FALSE;
  return left.length === 0 ? TRUE : left.length === 1 ? left[0]! : `(${left.join(" && ")})`;
};
const or = (...of: readonly Condition[]): Condition => {
  const left = of.filter((one) => one !== FALSE);
  if (left.includes(TRUE)) return TRUE;
  return left.length === 0 ? FALSE : left.length === 1 ? left[0]! : `(${left.join(" || ")})`;
};
const not = (of: Condition): Condition => (of === TRUE ? FALSE : of === FALSE ? TRUE : `!(${of})`);

const quoted = (text: string): string => JSON.stringify(text);
const listed = (texts: readonly string[]): string => `[${texts.map(quoted).join(", ")}]`;
const named = (type: string, ids: readonly string[]): string =>
  `[${ids.map((id) => `${type}::${quoted(id)}`).join(", ")}]`;

/** First and last millisecond of a date, or of a span of them, at an offset from UTC. */
function milliseconds(value: unknown, last: boolean, zone: string): number {
  if (typeof value === "number") return value;
  const [year, month, day] = String(value).split("-").map(Number) as [number, number?, number?];
  const begin = Date.UTC(year, (month ?? 1) - 1, day ?? 1);
  const end =
    month === undefined
      ? Date.UTC(year + 1, 0)
      : day === undefined
        ? Date.UTC(year, month)
        : begin + 86_400_000;
  const [, sign, hours, minutes] = /^([+-])(\d\d):(\d\d)$/.exec(zone) ?? [zone, "+", "0", "0"];
  const offset = (Number(hours) * 60 + Number(minutes)) * 60_000 * (sign === "-" ? -1 : 1);
  return (last ? end - 1 : begin) - offset;
}
const startOf = (period: { from?: unknown }, zone: string): number | undefined =>
  period.from === undefined ? undefined : milliseconds(period.from, false, zone);
const endOf = (period: { to?: unknown }, zone: string): number | undefined =>
  period.to === undefined ? undefined : milliseconds(period.to, true, zone);

function within(moment: string, period: { from?: unknown; to?: unknown }, zone: string): Condition {
  const start = startOf(period, zone);
  const end = endOf(period, zone);
  return and(
    start === undefined ? TRUE : `${moment} >= ${start}`,
    end === undefined ? TRUE : `${moment} <= ${end}`,
  );
}

const CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
const LEVELS = "ULMNRV";

function actorsOf(actors: readonly ActorRef[]): Condition {
  return or(
    ...actors.map(({ type, id }): Condition => {
      const party = `Actor::${quoted(id)}`;
      if (type === "person") return or(`principal == ${party}`, `context.requester == ${party}`);
      if (type === "role") return rolesOf([id]);
      if (type === "device") return `context.device == ${quoted(id)}`;
      return or(`principal in ${party}`, `context.requester in ${party}`);
    }),
  );
}
const rolesOf = (roles: readonly string[]): Condition =>
  or(`principal in ${named("Role", roles)}`, `context.requester in ${named("Role", roles)}`);

function labelsOf(labels: readonly Coding[], effect: Rule["effect"]): Condition {
  return or(
    ...labels.map(({ system, code }): Condition => {
      if (system !== CONFIDENTIALITY) return `resource in Label::${quoted(code)}`;
      return `resource.level ${effect === "permit" ? "<=" : ">="} ${LEVELS.indexOf(code)}`;
    }),
  );
}

function refOf({ meaning, reference }: DataRef): Condition {
  const text = quoted(reference);
  const itself = `resource.name == ${text}`;
  switch (meaning) {
    case "instance":
      return itself;
    case "authoredby":
      return `resource.authors.contains(${text})`;
    case "related":
      return or(itself, `resource.referredBy.contains(${text})`);
    case "dependents":
      return or(itself, `resource.encounter == ${text}`, `resource.references.contains(${text})`);
  }
}

function dataOf(data: DataFilter, effect: Rule["effect"], zone: string): Condition {
  const { types, codes, labels, period, refs, parts } = data;
  const start = period && startOf(period, zone);
  const end = period && endOf(period, zone);
  // A permit contains the record's period, a deny touches it.
  const [first, last] = effect === "permit" ? ["start", "end"] : ["end", "start"];
  return and(
    types ? `${listed(types)}.contains(resource.type)` : TRUE,
    codes
      ? `resource.codes.containsAny(${listed(codes.map((one) => `${one.system}|${one.code}`))})`
      : TRUE,
    labels ? labelsOf(labels, effect) : TRUE,
    start === undefined ? TRUE : `resource.${first} >= ${start}`,
    end === undefined ? TRUE : `resource.${last} <= ${end}`,
    refs ? or(...refs.map(refOf)) : TRUE,
    parts ? `${listed(parts)}.contains(resource.part)` : TRUE,
  );
}

function matchOf({ when, effect }: Rule, zone: string): Condition {
  const { validity, actors, roles, purposes, actions, data }: When = when;
  return and(
    validity ? within("context.asOf", validity, zone) : TRUE,
    purposes ? `context.purpose in ${named("Purpose", purposes)}` : TRUE,
    actions ? `action in ${named("Action", actions)}` : TRUE,
    actors ? actorsOf(actors) : TRUE,
    roles ? rolesOf(roles) : TRUE,
    data ? dataOf(data, effect, zone) : TRUE,
  );
}

const NOT_BTG = `context.purpose != Purpose::"BTG"`;
const namesBtg = (rule: Rule): boolean => rule.when.purposes?.includes("BTG") === true;

/** Where a rule has its effect, if nothing nested decides. */
function reachOf(rule: Rule, btg: boolean): Condition {
  return rule.effect === "deny" || btg || namesBtg(rule) ? TRUE : NOT_BTG;
}

/** Where a rule, or one inside it, says anything at all. */
function appliesOf(rule: Rule, zone: string, btg = false): Condition {
  const inner = (rule.rules ?? []).map((one) => appliesOf(one, zone, btg || namesBtg(rule)));
  return and(matchOf(rule, zone), or(reachOf(rule, btg), ...inner));
}

interface Policy {
  readonly effect: Rule["effect"];
  readonly when: Condition;
}

const denyOverridesOnly = (rule: Rule): boolean =>
  rule.combine === "deny-overrides" && (rule.rules ?? []).every(denyOverridesOnly);

/** One policy a rule: it holds unless a rule nested in it says something. */
function policiesOf(
  rule: Rule,
  zone: string,
  around: Condition = TRUE,
  btg = false,
): readonly Policy[] {
  const path = and(around, matchOf(rule, zone));
  const inner = rule.rules ?? [];
  const own = btg || namesBtg(rule);
  const silent = not(or(...inner.map((one) => appliesOf(one, zone, own))));
  return [
    { effect: rule.effect, when: and(path, silent, reachOf(rule, btg)) },
    ...inner.flatMap((one) => policiesOf(one, zone, path, own)),
  ];
}

/** Where a rule comes to permit, and where to deny, by its own way of combining. */
function combined(
  rule: Rule,
  zone: string,
  btg = false,
): { readonly permit: Condition; readonly deny: Condition } {
  const inner = (rule.rules ?? []).map((one) => combined(one, zone, btg || namesBtg(rule)));
  const permits = or(...inner.map(({ permit }) => permit));
  const denies = or(...inner.map(({ deny }) => deny));
  const own = and(not(permits), not(denies), reachOf(rule, btg));
  const match = matchOf(rule, zone);
  const first = rule.combine === "deny-overrides";
  return {
    permit: and(
      match,
      or(first ? and(permits, not(denies)) : permits, rule.effect === "permit" ? own : FALSE),
    ),
    deny: and(
      match,
      or(first ? denies : and(denies, not(permits)), rule.effect === "deny" ? own : FALSE),
    ),
  };
}

function treePolicies(root: Rule, zone: string): readonly Policy[] {
  if (denyOverridesOnly(root)) return policiesOf(root, zone);
  const { permit, deny } = combined(root, zone);
  return [
    { effect: "permit", when: permit },
    { effect: "deny", when: deny },
  ];
}

const RESEARCH = ["HRESCH", "CLINTRL"];

function scopeOf(fields: Pick<Directive, "controller" | "category" | "jurisdictions">): Condition {
  const { controller, category, jurisdictions } = fields;
  return and(
    controller === undefined ? TRUE : `resource.controller == ${quoted(controller)}`,
    jurisdictions === undefined ? TRUE : `resource.places.containsAny(${listed(jurisdictions)})`,
    category === "research" ? `context.purpose in ${named("Purpose", RESEARCH)}` : TRUE,
    category === "treatment" ? FALSE : TRUE,
  );
}

interface Layer {
  readonly explicit: readonly Policy[];
  readonly fallback: readonly Policy[];
}

/** From the newest statement to the oldest; each names the one before it. */
function lineagePolicies(newestFirst: readonly Directive[]): Layer {
  const explicit: Policy[] = [];
  const fallback: Policy[] = [];
  let alive: Condition = TRUE;
  for (const { mode, root, validity, default: held, ...fields } of newestFirst) {
    const { zone } = validity;
    const begun = within("context.asOf", { from: validity.from }, zone);
    const scope = scopeOf(fields);
    if (mode === "suspend" || mode === "revoke") {
      const acting = and(begun, scope);
      if (mode === "suspend") explicit.push({ effect: "deny", when: and(alive, acting) });
      alive = and(alive, not(acting));
      continue;
    }
    const open = within("context.asOf", { to: validity.to }, zone);
    const acting = and(alive, begun, open, scope);
    for (const { effect, when } of treePolicies(root!, zone)) {
      explicit.push({ effect, when: and(acting, when) });
    }
    const said = appliesOf(root!, zone);
    if (mode === "amend") {
      alive = and(alive, not(and(begun, open, scope, said)));
      continue;
    }
    if (held === "deny") {
      fallback.push({ effect: "deny", when: and(alive, begun, scope, not(and(open, said))) });
    }
    if (held === "permit") {
      fallback.push({ effect: "permit", when: and(acting, not(said), NOT_BTG) });
    }
    alive = and(alive, not(begun));
  }
  return { explicit, fallback };
}

/** What a layer says: rules first, and defaults where no rule says anything. */
function layerPolicies(filed: readonly SnapshotDirective[]): readonly Policy[] {
  const names = [...new Set(filed.map(({ directive }) => directive.lineage))];
  const layers = names.map((name) =>
    lineagePolicies(
      filed
        .map(({ directive }) => directive)
        .filter(({ lineage }) => lineage === name)
        .reverse(),
    ),
  );
  const explicit = layers.flatMap((one) => one.explicit);
  const spoken = or(...explicit.map(({ when }) => when));
  const fallback = layers.flatMap((one) => one.fallback);
  return [
    ...explicit,
    ...fallback.map(({ effect, when }) => ({ effect, when: and(when, not(spoken)) })),
  ];
}

function lawPolicies(overlays: readonly Overlay[]): readonly Policy[] {
  return overlays.flatMap(({ root, validity, ...fields }) =>
    treePolicies(root, validity.zone).map(({ effect, when }) => ({
      effect,
      when: and(within("context.asOf", validity, validity.zone), scopeOf(fields), when),
    })),
  );
}

/** A snapshot as a Cedar policy set: each layer speaks where the ones above it are silent. */
export function toCedar(snapshot: ConsentSnapshot): string {
  const layers = [
    lawPolicies(snapshot.overlays.map(({ overlay }) => overlay)),
    layerPolicies(snapshot.directives),
    layerPolicies(snapshot.organisation),
  ];
  let silent: Condition = TRUE;
  const texts: string[] = [];
  for (const layer of layers) {
    for (const { effect, when } of layer) {
      const condition = and(silent, when);
      if (condition === FALSE) continue;
      const word = effect === "permit" ? "permit" : "forbid";
      texts.push(`${word}(principal, action, resource) when { ${condition} };`);
    }
    silent = and(silent, not(or(...layer.map(({ when }) => when))));
  }
  return texts.join("\n");
}

interface EntityName {
  readonly type: string;
  readonly id: string;
}
interface Entity {
  readonly uid: EntityName;
  readonly attrs: Record<string, unknown>;
  readonly parents: readonly EntityName[];
}

/** A concept and all above it, as entities. */
function conceptEntities(
  type: string,
  codes: readonly string[],
  parentsOf: (code: string) => readonly string[],
): readonly Entity[] {
  const found = new Set(codes);
  for (const code of found) for (const parent of parentsOf(code)) found.add(parent);
  return [...found].map((id) => ({
    uid: { type, id },
    attrs: {},
    parents: parentsOf(id).map((parent) => ({ type, id: parent })),
  }));
}

const { purposes, sensitivity } = HL7_TERMINOLOGY;
const purposeParents = (code: string): readonly string[] => (purposes[code] ?? []).slice(1);
// IHE PCF nests what HL7 has under SUD under ETH: a rule about either reaches both.
const PCF: Readonly<Record<string, readonly string[]>> = {
  SUD: ["ETH"],
  ETHUD: ["ETH", "SUD"],
  OPIOIDUD: ["ETH", "SUD"],
};
const labelParents = (code: string): readonly string[] => [
  ...new Set([...(sensitivity[code] ?? []).slice(1), ...(PCF[code] ?? [])]),
];

/** What Cedar is asked for one purpose of a request. */
export interface CedarQuestion {
  readonly principal: EntityName;
  readonly action: EntityName;
  readonly resource: EntityName;
  readonly context: Record<string, unknown>;
  readonly entities: readonly Entity[];
}

/** Writes a question, with all that Cedar has to know, for one of its purposes. */
export function toQuestion(
  snapshot: ConsentSnapshot,
  request: ConsentRequest,
  record: ConsentResource,
  asOf: number,
  purpose: string,
): CedarQuestion {
  const holds = (fact: { from?: number; to?: number }): boolean =>
    (fact.from ?? -Infinity) <= asOf && asOf <= (fact.to ?? Infinity);
  const actor = (id: string): EntityName => ({ type: "Actor", id });
  const belongs = snapshot.memberships.filter(holds);
  const user = request.user!;
  const role = ({ code }: { code: string }): EntityName => ({ type: "Role", id: code });
  const rolesOfParty = (id: string): readonly EntityName[] => [
    ...(id === user ? (request.roles ?? []).map(role) : []),
    ...snapshot.roles.filter((one) => one.actor === id && holds(one)).map(role),
  ];
  const parties = new Set([
    user,
    request.requester,
    ...belongs.flatMap((one) => [one.member, one.of]),
  ]);
  const codes = record.labels!.codes;
  const levels = codes
    .filter(({ system }) => system === CONFIDENTIALITY)
    .map(({ code }) => LEVELS.indexOf(code));
  const labels = codes.filter(({ system }) => system !== CONFIDENTIALITY).map(({ code }) => code);
  const { period = {} } = record;
  const places = record.jurisdictions!.flatMap((place) => {
    const steps = place.split("-");
    return steps.map((_, at) => steps.slice(0, at + 1).join("-"));
  });
  return {
    principal: actor(user),
    action: { type: "Action", id: request.action },
    resource: { type: "Record", id: record.id! },
    context: {
      purpose: { __entity: { type: "Purpose", id: purpose } },
      requester: { __entity: actor(request.requester) },
      device: request.client!.device!,
      asOf,
    },
    entities: [
      ...[...parties].map((id) => ({
        uid: actor(id),
        attrs: {},
        parents: [
          ...belongs.filter(({ member }) => member === id).map(({ of }) => actor(of)),
          ...rolesOfParty(id),
        ],
      })),
      ...conceptEntities("Purpose", [purpose], purposeParents),
      ...conceptEntities("Label", labels, labelParents),
      {
        uid: { type: "Record", id: record.id! },
        attrs: {
          name: record.id!,
          type: record.type,
          codes: record.codes.map(({ system, code }) => `${system}|${code}`),
          level: Math.max(...levels),
          start: milliseconds(period.from, false, "UTC"),
          end: milliseconds(period.to, true, "UTC"),
          authors: record.authors!,
          encounter: record.encounter!,
          references: record.references!,
          referredBy: record.referredBy!,
          part: record.parts![0]!,
          controller: record.controller!,
          places,
        },
        parents: labels.map((id) => ({ type: "Label", id })),
      },
    ],
  };
}
