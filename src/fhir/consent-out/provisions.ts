import type { Effect, Rule } from "../../consent/model/model.ts";
import { BTG, canonicalPurpose } from "../../consent/terminology/terminology.ts";
import type { ConsentLoss } from "../consent-in/options.ts";
import type { JsonObject } from "../resource.ts";
import { refusalConditions, writeConditions } from "./conditions.ts";

/**
 * A rule as far as a provision can express it. What it cannot express is written more strictly: a
 * permit is left out or becomes a refusal, and a refusal loses conditions; never the other way
 * round.
 */
interface Sayable {
  readonly effect: Effect;
  readonly elements: JsonObject;
  /** Nested rules that still count. */
  readonly rules: readonly Rule[];
}

/** Records a loss under the path of the rule that loses it. */
export type Note = (path: string, what: string) => void;

/** Collects losses; a rule's path is `root` and the ids below it. */
export function lossList(): { readonly losses: ConsentLoss[]; readonly note: Note } {
  const losses: ConsentLoss[] = [];
  return { losses, note: (path, what) => losses.push({ path, what }) };
}

/** The expressible part of a rule; `undefined` if leaving it out is the stricter choice. */
export function expressiblePart(
  rule: Rule,
  version: "r4" | "r5",
  path: string,
  note: Note,
): Sayable | undefined {
  const { elements, lost } = writeConditions(rule.when, version);
  if (lost.length > 0) note(path, `conditions that FHIR cannot say: ${lost.join(", ")}`);
  if (rule.breakGlass !== undefined) note(path, "what it says about breaking the glass");
  const duties = dutiesOf(rule);
  if (duties.length > 0) note(path, `obligations and refrains: ${duties.length}`);
  if (combinesDifferently(rule)) note(path, "permits that override refusals beside them");
  const rules = rule.rules ?? [];
  if (rule.effect === "deny") {
    // With fewer conditions it covers more, and the permits nested in it would cover more too.
    return { effect: "deny", elements, rules: lost.length > 0 ? [] : rules };
  }
  if (lost.length === 0 && duties.length === 0) return { effect: "permit", elements, rules };
  // A permit must not be written without its duties, but refusals nested in it must be kept.
  return restricts(rule) ? refusalOf(rule, version) : undefined;
}

/** A permit as the refusal that replaces it. */
function refusalOf(rule: Rule, version: "r4" | "r5"): Sayable {
  const { elements } = writeConditions(refusalConditions(rule.when), version);
  return { effect: "deny", elements, rules: [] };
}

/** Whether a rule or one nested in it refuses. */
export function refuses(rule: Rule): boolean {
  return rule.effect === "deny" || (rule.rules ?? []).some(refuses);
}

/** Obligations and refrains of a rule. */
export function dutiesOf(rule: Rule): readonly string[] {
  return [...(rule.obligations ?? []), ...(rule.refrains ?? [])];
}

/** Whether leaving a permit out, within what is permitted, would permit more. */
export function restricts(rule: Rule): boolean {
  return rule.effect === "deny" || dutiesOf(rule).length > 0 || (rule.rules ?? []).some(restricts);
}

function permits(rule: Rule): boolean {
  return rule.effect === "permit" || (rule.rules ?? []).some(permits);
}

/** Whether FHIR's way of combining, in which refusals prevail, gives another result. */
function combinesDifferently(rule: Rule): boolean {
  const rules = rule.rules ?? [];
  if (rule.combine === "deny-overrides" || rules.length < 2) return false;
  return rules.some(refuses) && rules.some(permits);
}

/** Whether a rule or one nested in it names break the glass, which a permit must name to cover. */
export function namesBtg(rule: Rule): boolean {
  const named = rule.when.purposes?.some((name) => canonicalPurpose(name) === BTG) === true;
  return named || (rule.rules ?? []).some(namesBtg);
}

/** R4: a rule as a typed provision, with the provisions nested in it. */
export function typedProvision(rule: Rule, path: string, note: Note): JsonObject | undefined {
  const said = expressiblePart(rule, "r4", path, note);
  if (said === undefined) return undefined;
  const provision = said.rules.flatMap(
    (inner) => typedProvision(inner, `${path}/${inner.id}`, note) ?? [],
  );
  return { type: said.effect, ...said.elements, ...(provision.length > 0 && { provision }) };
}

/**
 * R5: the exceptions to an effect, whose own exceptions restore it, and so on; each level must
 * reverse the effect.
 *
 * @returns `undefined` if the nested rules cancel all of it
 */
export function writeExceptions(
  rules: readonly Rule[],
  around: Effect,
  outer: JsonObject,
  path: string,
  note: Note,
): readonly JsonObject[] | undefined {
  const found: JsonObject[] = [];
  const refusals: JsonObject[] = [];
  let undone = false;
  for (const rule of rules) {
    const own = `${path}/${rule.id}`;
    const said = expressiblePart(rule, "r5", own, note);
    if (said === undefined) continue;
    const { effect, elements } = said;
    const all = cancelsOuter(elements, outer);
    if (effect === around && effect === "permit") {
      if (namesBtg(rule)) note(own, "that it also permits breaking the glass");
      if (!restricts(rule)) continue;
      note(own, "what it permits within what is permitted, with refusals or duties");
      const strict = refusalOf(rule, "r5").elements;
      if (cancelsOuter(strict, outer)) undone = true;
      else found.push(strict);
    } else if (effect === around) {
      note(own, "that it refuses within what is refused");
      refusals.push(elements);
    } else {
      const inner = all ? undefined : writeExceptions(said.rules, effect, elements, own, note);
      if (all) note(own, "that it cancels all of the rule around it");
      if (inner !== undefined) {
        found.push({ ...elements, ...(inner.length > 0 && { provision: inner }) });
      } else if (effect === "deny") {
        if (all) undone = true;
        else found.push(elements);
      } else if (refuses(rule)) {
        refusals.push(refusalOf(rule, "r5").elements);
      }
    }
  }
  if (undone) return undefined;
  if (around === "permit" || refusals.length === 0) return found;
  // A refusal next to a permit overrides it, so it is an exception to it.
  if (refusals.some((one) => Object.keys(one).length === 0)) return [];
  return found.flatMap((one) => {
    const same = refusals.some((refusal) => JSON.stringify(refusal) === JSON.stringify(own(one)));
    if (same) return [];
    const inside = Array.isArray(one["provision"]) ? (one["provision"] as JsonObject[]) : [];
    return [{ ...one, provision: [...inside, ...refusals] }];
  });
}

/** Whether an exception with these conditions leaves nothing of the rule around it. */
function cancelsOuter(elements: JsonObject, outer: JsonObject): boolean {
  return Object.keys(elements).length === 0 || JSON.stringify(elements) === JSON.stringify(outer);
}

function own(provision: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(provision).filter(([name]) => name !== "provision"));
}
