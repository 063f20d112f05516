import type {
  ConsentRequest,
  ConsentResource,
  ConsentSnapshot,
  Decision,
  Rule,
} from "../../src/consent/index.ts";
import { HL7_TERMINOLOGY } from "../../src/consent/index.ts";

// A second evaluator, slow and literal, written from the prose of docs/spec/directive.md for the
// attributes that the random tests use. It shares the published hierarchies with the first, and
// nothing else.

type Truth = "yes" | "no" | "unknown";
type Answer = "permit" | "deny" | "indeterminate" | "none";

const parentsOf = (table: Record<string, readonly string[]>, code: string): string[] =>
  (table[code] ?? []).slice(1);
function within(table: Record<string, readonly string[]>, code: string, above: string): boolean {
  return code === above || parentsOf(table, code).some((parent) => within(table, parent, above));
}

const purposes = HL7_TERMINOLOGY.purposes as unknown as Record<string, readonly string[]>;
const labels: Record<string, readonly string[]> = {
  ...(HL7_TERMINOLOGY.sensitivity as unknown as Record<string, readonly string[]>),
  SUD: ["", "SPI", "ETH"],
  ETHUD: ["", "SUD", "ETH"],
  OPIOIDUD: ["", "SUD", "ETH"],
};

function day(text: string, end: boolean): number {
  const [y, m, d] = text.split("-").map(Number) as [number, number?, number?];
  if (!end) return Date.UTC(y, (m ?? 1) - 1, d ?? 1);
  if (m === undefined) return Date.UTC(y + 1, 0, 1) - 1;
  return d === undefined ? Date.UTC(y, m, 1) - 1 : Date.UTC(y, m - 1, d + 1) - 1;
}
const span = (period: { from?: unknown; to?: unknown }): [number, number] => [
  period.from === undefined ? -Infinity : day(String(period.from), false),
  period.to === undefined ? Infinity : day(String(period.to), true),
];

const or = (truths: readonly Truth[]): Truth =>
  truths.includes("yes") ? "yes" : truths.includes("unknown") ? "unknown" : "no";
const and = (truths: readonly Truth[]): Truth =>
  truths.includes("no") ? "no" : truths.includes("unknown") ? "unknown" : "yes";
const truth = (value: boolean): Truth => (value ? "yes" : "no");

function matches(
  rule: Rule,
  purpose: string,
  snapshot: ConsentSnapshot,
  request: ConsentRequest,
  resource: ConsentResource,
  asOf: number,
): Truth {
  const { when, effect } = rule;
  const truths: Truth[] = [];
  if (when.purposes) {
    truths.push(
      or(
        when.purposes.map((named): Truth => {
          if (purpose === named) return "yes";
          if (!(purpose in purposes) || !(named in purposes)) return "unknown";
          if (within(purposes, purpose, named)) return "yes";
          return within(purposes, named, purpose) && named !== "BTG" ? "unknown" : "no";
        }),
      ),
    );
  }
  if (when.actions) truths.push(truth(when.actions.includes(request.action)));
  if (when.roles) {
    truths.push(
      or(
        when.roles.map((role): Truth => {
          const claims = (request.roles ?? []).filter((claim) => claim.code === role);
          if (claims.some((claim) => snapshot.members.includes(claim.attestedBy))) return "yes";
          return claims.length > 0 ? "unknown" : "no";
        }),
      ),
    );
  }
  if (when.actors) {
    truths.push(
      or(
        when.actors.map(({ type, id }): Truth => {
          const who = [request.requester, request.user];
          const teams = snapshot.memberships.filter((m) => who.includes(m.member)).map((m) => m.of);
          if (type === "organisation") return truth([...who, ...teams].includes(id));
          const reached = type === "person" ? who : [...who, ...teams];
          if (reached.includes(id)) return "yes";
          return request.user === undefined ? "unknown" : "no";
        }),
      ),
    );
  }
  if (when.validity) {
    const [start, end] = span(when.validity);
    truths.push(truth(start <= asOf && asOf <= end));
  }
  if (when.data?.types) truths.push(truth(when.data.types.includes(resource.type)));
  if (when.data?.labels) {
    const own = resource.labels;
    if (own === null || (own.stamp === null && effect === "permit")) truths.push("unknown");
    else {
      const order = "ULMNRV";
      const confidential = own.codes.filter(({ system }) => system.endsWith("Confidentiality"));
      const level = Math.max(-1, ...confidential.map(({ code }) => order.indexOf(code)));
      const found = or(
        when.data.labels.map(({ system, code }): Truth => {
          if (!system.endsWith("Confidentiality")) {
            return truth(own.codes.some((label) => within(labels, label.code, code)));
          }
          if (level < 0) return "unknown";
          const bound = order.indexOf(code);
          return truth(effect === "permit" ? level <= bound : level >= bound);
        }),
      );
      truths.push(own.stamp === null && found === "no" ? "unknown" : found);
    }
  }
  if (when.data?.period) {
    const [start, end] = span(when.data.period);
    const own = resource.period ?? {};
    const [from, to] = span(own);
    if (own.from === undefined && own.to === undefined) truths.push("unknown");
    else if (to < start || from > end) truths.push("no");
    else if (effect === "deny" || (from >= start && to <= end)) truths.push("yes");
    else truths.push("unknown");
  }
  return and(truths);
}

const strongest = (answers: readonly Answer[], order: readonly Answer[]): Answer =>
  order.find((answer) => answers.includes(answer)) ?? "none";
const DENY_FIRST: readonly Answer[] = ["deny", "indeterminate", "permit"];

export const SPECIFICATION = {
  decide(
    snapshot: ConsentSnapshot,
    request: ConsentRequest,
    resource: ConsentResource,
    asOf: number,
  ): Decision["outcome"] {
    function tree(rule: Rule, purpose: string, named: boolean): Answer {
      const match = matches(rule, purpose, snapshot, request, resource, asOf);
      if (match === "no") return "none";
      const names = named || (rule.when.purposes ?? []).includes("BTG");
      const nested = (rule.rules ?? []).map((child) => tree(child, purpose, names));
      const order = rule.combine === "deny-overrides" ? DENY_FIRST : [...DENY_FIRST].reverse();
      let answer = strongest(nested, order);
      if (answer === "none") {
        answer = rule.effect === "permit" && purpose === "BTG" && !names ? "none" : rule.effect;
      }
      if (match === "yes") return answer;
      return answer === "permit" || answer === "none" ? "none" : "indeterminate";
    }
    // One directive a lineage, valid and in force: that is what the random tests make.
    const answers = request.purposes.map((purpose): Answer => {
      const explicit = snapshot.directives.map((one) => tree(one.directive.root!, purpose, false));
      const said = strongest(explicit, DENY_FIRST);
      if (said !== "none") return said;
      const defaults = snapshot.directives.map((one) => one.directive.default);
      return strongest(
        defaults.filter((one) => !(one === "permit" && purpose === "BTG")),
        DENY_FIRST,
      );
    });
    const outcome = strongest(answers, ["deny", "indeterminate", "none", "permit"]);
    return outcome === "none" ? "not-applicable" : outcome;
  },
};
