import { type DataFilter, MAX_RULES, type Rule, type When } from "../../consent/model/model.ts";
import { BTG, defaultTerminology } from "../../consent/terminology/terminology.ts";
import { type Lowered, rule } from "./lower.ts";
import type { Provision } from "./provision.ts";
import { tooLarge, unsupported } from "./refuse.ts";

/**
 * `r4-pcf`: a base and its exceptions. An exception inherits each attribute that it does not
 * restate. One that restates an attribute may reach beyond the base, so it becomes a sibling of the
 * base rather than a child. Exceptions decide before the base, and among them deny before permit.
 */
export function lowerPcf(provision: Provision): Lowered {
  // The period of the outermost provision is the end of the whole consent.
  const { validity: period, ...conditions } = provision.when;
  const base = { ...typedProvision(provision), when: conditions };
  const exceptions = provision.nested.map((one) => ({
    ...typedProvision(one),
    when: inherit(base.when, one.when),
    restated: one.when,
    inside: !restates(base.when, one.when),
  }));
  const rest = { custodian: undefined, period };
  if (exceptions.every((one) => one.inside)) {
    // Nested rules need not repeat what they inherit.
    const rules = provision.nested.map((one) => rule(one.path, one.type!, one.when));
    return { root: rule(base.id, base.effect, base.when, rules), ...rest };
  }
  const around = coveringConditions([base.when, ...exceptions.map((one) => one.when)]);
  // Within the base an inherited condition keeps the base's meaning: a permit of normal data covers
  // less confidential data, a refusal of it covers more confidential data.
  const within = exceptions.filter((one) => one.inside && one.effect !== base.effect);
  if (base.effect === "permit") {
    const inner = within.map((one) => rule(`${base.id}/${one.id}`, "deny", one.restated));
    const own = rule(`${base.id}/base`, "permit", base.when, inner);
    const rules = exceptions.map((one) => rule(one.id, one.effect, one.when));
    return { root: rule(base.id, "deny", around, [own, ...rules]), ...rest };
  }
  // Permits override the base, so each carries the refusals that override it.
  const refusals = exceptions.filter((one) => one.effect === "deny");
  const permits = exceptions.filter((one) => one.effect === "permit");
  if ((refusals.length + 1) * (permits.length + 1) > MAX_RULES) {
    throw tooLarge(`${base.id}.provision`, "expand to too many rules");
  }
  const permitting = (id: string, when: When): Rule =>
    rule(
      id,
      "permit",
      when,
      refusals.map((inner) => rule(`${id}/${inner.id}`, "deny", inner.when)),
    );
  const rules = [
    rule(
      `${base.id}/base`,
      "deny",
      base.when,
      within.map((one) => permitting(one.id, one.restated)),
    ),
    ...refusals.map((one) => rule(one.id, "deny", one.when)),
    ...permits.filter((one) => !one.inside).map((one) => permitting(one.id, one.when)),
  ];
  return {
    root: { ...rule(base.id, "deny", around, rules), combine: "permit-overrides" },
    ...rest,
  };
}

function typedProvision(one: Provision): {
  readonly id: string;
  readonly effect: Rule["effect"];
  readonly when: When;
} {
  if (one.type === undefined) throw unsupported(`${one.path}.type`, "is missing: PCF requires it");
  return { id: one.path, effect: one.type, when: one.when };
}

function inherit(base: When, own: When): When {
  const data = { ...base.data, ...own.data };
  return { ...base, ...own, ...(Object.keys(data).length > 0 && { data }) };
}

/** Whether two sets of conditions have an attribute in common. */
function restates(base: When, own: When): boolean {
  const named = (when: When): string[] => [
    ...Object.keys(when).filter((name) => name !== "data"),
    ...Object.keys(when.data ?? {}).map((name) => `data.${name}`),
  ];
  const before = new Set(named(base));
  return named(own).some((name) => before.has(name));
}

/**
 * Conditions that hold wherever one of the given ones does; beyond them the directive is silent.
 * Only attributes that mean the same for permit and deny are used. Break the glass is covered but
 * not named, since naming it would open it to every nested rule.
 */
function coveringConditions(whens: readonly When[]): When {
  const union = <T>(pick: (when: When) => readonly T[] | undefined): readonly T[] | undefined => {
    const all = new Map<string, T>();
    for (const when of whens) {
      const values = pick(when);
      if (values === undefined) return undefined;
      for (const value of values) all.set(JSON.stringify(value), value);
    }
    return [...all.values()];
  };
  const types = union((when) => when.data?.types);
  const data: DataFilter | undefined = types && { types };
  const actions = union((when) => when.actions);
  let purposes = union((when) => when.purposes);
  if (purposes?.includes(BTG) === true) {
    const rest = purposes.filter((code) => code !== BTG);
    const { purposesBelow } = defaultTerminology();
    purposes = rest.some((code) => purposesBelow(code)?.has(BTG)) ? rest : undefined;
  }
  return { ...(purposes && { purposes }), ...(actions && { actions }), ...(data && { data }) };
}
