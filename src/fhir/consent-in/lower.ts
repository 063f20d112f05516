import type { Effect, Rule } from "../../consent/model/model.ts";
import type { Period } from "../../consent/model/time.ts";
import type { ConsentReading } from "./options.ts";
import type { Provision } from "./provision.ts";
import { unsupported } from "./refuse.ts";

/** A tree of rules, and the one organisation whose records it is about, if the scope says so. */
export interface Lowered {
  readonly root: Rule;
  readonly custodian: string | undefined;
  /** When the whole is in force, unless a rule says so. */
  readonly period: Period | undefined;
}

/** A rule as every dialect writes it: among nested rules deny overrides permit. */
export function rule(
  id: string,
  effect: Effect,
  when: Rule["when"],
  rules: readonly Rule[] = [],
): Rule {
  return { id, effect, combine: "deny-overrides", when, ...(rules.length > 0 && { rules }) };
}

/**
 * If an outermost rule is all that a directive has, its period becomes the directive's: before it,
 * the replaced directive still applies, and afterwards the default.
 */
function withPeriod(root: Rule, custodian: string | undefined): Lowered {
  const { validity: period, ...when } = root.when;
  return { root: { ...root, when }, custodian, period };
}

/** Whether a provision has any condition. */
export function hasConditions(provision: Provision): boolean {
  return Object.keys(provision.when).length > 0 || provision.custodian !== undefined;
}

const opposite = (effect: Effect): Effect => (effect === "permit" ? "deny" : "permit");

/** The default of a directive if neither its dialect nor the caller gives one. */
export function usualDefault(root: Rule): Effect | "none" {
  const permits = (rule: Rule): boolean =>
    rule.effect === "permit" || (rule.rules ?? []).some(permits);
  // Agreeing to something is not agreeing to the rest; refusing something says no more than that.
  return permits(root) ? "deny" : "none";
}

/** `r4-typed`: each provision is a rule, nested in the one around it. */
export function lowerTyped(provision: Provision): Lowered {
  const visit = (one: Provision): Rule => {
    if (one !== provision) refuseCustodian(one);
    if (one.type === undefined) {
      throw unsupported(
        `${one.path}.type`,
        "is missing: the dialect r4-typed needs it; if policyRule says it, pass dialect: " +
          '"r4-policy-rule"',
      );
    }
    return rule(one.path, one.type, one.when, one.nested.map(visit));
  };
  return withPeriod(visit(provision), provision.custodian);
}

/**
 * `r4-policy-rule` and `r5`: a base, and provisions that are exceptions to it or that limit it;
 * `reading` decides for provisions without a type.
 */
export function lowerOntoBase(
  base: Effect,
  provisions: readonly Provision[],
  reading: ConsentReading | undefined,
  path: string,
): Lowered {
  // R4 has one outermost provision, which may be a mere container.
  const outer = provisions.flatMap((one) =>
    one.path === "Consent.provision" && one.type === undefined && !hasConditions(one)
      ? one.nested
      : [one],
  );
  if (reading === "scope" && outer.some((one) => one.type !== opposite(base))) {
    return lowerScope(base, outer);
  }
  const rules = outer.map((one) => exception(one, base, {}, reading));
  return { root: rule(path, base, {}, rules), custodian: undefined, period: undefined };
}

function exception(
  one: Provision,
  around: Effect,
  outerWhen: Rule["when"],
  reading: ConsentReading | undefined,
): Rule {
  if (one.type === undefined && reading !== "exception") {
    throw unsupported(
      one.path,
      'has no type: pass reading: "exception" if it is an exception to what is around it, or ' +
        'reading: "scope" if it limits that',
    );
  }
  const effect = one.type ?? opposite(around);
  if (effect === around) {
    throw unsupported(
      one.path,
      `says ${effect} inside a provision that says ${effect}: pass reading: "scope" if it limits ` +
        "that provision",
    );
  }
  refuseCustodian(one);
  if (!hasConditions(one) || JSON.stringify(one.when) === JSON.stringify(outerWhen)) {
    throw unsupported(
      one.path,
      "has the same conditions as the provision around it, and so cancels all of it",
    );
  }
  const rules = one.nested.map((inner) => exception(inner, effect, one.when, reading));
  return rule(one.path, effect, one.when, rules);
}

/** The base applies only where the provisions say; nested ones narrow it further. */
function lowerScope(base: Effect, outer: readonly Provision[]): Lowered {
  const scopes = outer.filter((one) => (one.type ?? base) === base);
  const stray = outer.find((one) => (one.type ?? base) !== base);
  if (stray !== undefined) throw unsupported(stray.path, "is an exception next to a scope");
  const [first] = scopes;
  const custodian = first?.custodian;
  for (const one of scopes) {
    if (one.custodian !== custodian) {
      throw unsupported(one.path, "is about another custodian than the provision before it");
    }
  }
  if (scopes.length === 1) return withPeriod(scope(first!, base, true), custodian);
  if (base === "deny") throw unsupported(scopes[1]!.path, "is a second scope of one refusal");
  const rules = scopes.map((one) => scope(one, base, true));
  return { root: rule("Consent", "deny", {}, rules), custodian, period: undefined };
}

function scope(one: Provision, base: Effect, outermost: boolean): Rule {
  if (!outermost) refuseCustodian(one);
  const narrower = one.nested.filter((inner) => (inner.type ?? base) === base);
  const others = one.nested.filter((inner) => (inner.type ?? base) !== base);
  if (narrower.length === 0) {
    const rules = others.map((inner) => exception(inner, base, one.when, "exception"));
    return rule(one.path, base, one.when, rules);
  }
  if (base === "deny") {
    throw unsupported(narrower[0]!.path, "is a refusal within a refusal");
  }
  // Outside every narrower scope the permission does not apply.
  const rules = [
    ...narrower.map((inner) => scope(inner, base, false)),
    ...others.map((inner) => exception(inner, base, one.when, "exception")),
  ];
  return rule(one.path, "deny", one.when, rules);
}

function refuseCustodian(one: Provision): void {
  if (one.custodian === undefined) return;
  throw unsupported(
    `${one.path}.actor`,
    "names a custodian: whose records they are bounds a directive as a whole, not a rule; in " +
      'r4-typed, and under reading: "scope", the outermost provision can say so',
  );
}
