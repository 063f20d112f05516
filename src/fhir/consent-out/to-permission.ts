import { encodeDirective } from "../../consent/model/directive.ts";
import type { Directive, Rule, When } from "../../consent/model/model.ts";
import { ACT_CODE } from "../../consent/terminology/terminology.ts";
import { InputError } from "../../errors.ts";
import type { ConsentLoss } from "../consent-in/options.ts";
import type { FhirResource, JsonObject } from "../resource.ts";
import {
  conjunction,
  refusalConditions,
  writeConditions,
  writeDate,
  writePeriod,
  writeReference,
} from "./conditions.ts";
import { restricts, dutiesOf, lossList, namesBtg, type Note, refuses } from "./provisions.ts";

/** A directive as a FHIR R5 Permission, and what the resource does not express. */
export interface ExportedPermission {
  readonly resource: FhirResource;
  /** Paths start with `root` for rules, otherwise with the directive's field. */
  readonly losses: readonly ConsentLoss[];
}

type Combining = "deny-overrides" | "permit-overrides" | "deny-unless-permit";

/** A flat rule of a Permission, with its duties. */
interface FlatRule {
  readonly effect: Rule["effect"];
  readonly when: When;
  readonly duties: readonly string[];
  readonly path: string;
}

/**
 * Writes a directive as a FHIR R5 Permission: a flat list of rules with one way of combining. A
 * base with one level of exceptions fits, more levels do not. What cannot be expressed is written
 * more strictly and listed.
 *
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` for a directive that is not a whole statement
 * @throws {ConsentError} `ERR_CONSENT_INVALID` when the directive contradicts itself
 * @example
 * const { resource, losses } = toPermission(directive);
 * for (const { path, what } of losses) console.warn(`${path}: ${what}`);
 */
export function toPermission(directive: Directive): ExportedPermission {
  encodeDirective(directive);
  const { root, validity } = directive;
  const { uri, version } = directive.basis;
  if (directive.mode !== "replace" || root === undefined) {
    throw new InputError(
      "ERR_INPUT_UNSUPPORTED",
      "only a directive that replaces can be written as a Permission",
    );
  }
  const { losses, note } = lossList();
  const { rules, combining } = flatten(directive, root, note);
  const written = rules.flatMap((rule) => writeRule(rule, note) ?? []);
  const from = writeDate(validity.from);
  const period = writePeriod(validity);
  if (period === undefined) note("root", "when it is in force");
  noteRest(directive, note);
  return {
    resource: {
      resourceType: "Permission",
      status: "active",
      asserter: writeReference(directive.grantor.actor),
      ...(from !== undefined && { date: [from] }),
      ...(period && { validity: period }),
      justification: { basis: [{ text: [uri, version].filter(Boolean).join("|") }] },
      combining,
      rule: period === undefined || written.length === 0 ? [{ type: "deny" }] : written,
    },
    losses,
  };
}

function flatten(
  directive: Directive,
  root: Rule,
  note: Note,
): { readonly rules: readonly FlatRule[]; readonly combining: Combining } {
  const inner = (root.rules ?? []).map((rule) => ({ rule, path: `root/${rule.id}` }));
  const base: FlatRule = {
    effect: root.effect,
    when: root.when,
    duties: dutiesOf(root),
    path: "root",
  };
  noteBreakGlass(root, "root", note);
  if (root.combine === "permit-overrides" && inner.some(({ rule }) => refuses(rule))) {
    note("root", "permits that override refusals beside them");
  }
  if (root.effect === "permit") {
    const rules: FlatRule[] = [base];
    for (const { rule, path } of inner) {
      noteBreakGlass(rule, path, note);
      if (rule.effect === "deny") {
        if (rule.rules !== undefined) note(path, "exceptions to an exception");
        rules.push(flattenException(root, rule, path, note));
      } else if (restricts(rule)) {
        note(path, "what it permits with refusals or duties within what is permitted");
        const strict: Rule = { ...rule, effect: "deny", when: refusalConditions(rule.when) };
        rules.push({ ...flattenException(root, strict, path, note), duties: [] });
      } else if (namesBtg(rule)) note(path, "that it also permits breaking the glass");
    }
    const exact = rules.length === 1 && directive.default === "deny";
    if (!exact && directive.default !== "none") note("default", "the effect where it is silent");
    return { rules, combining: exact ? "deny-unless-permit" : "deny-overrides" };
  }
  if (directive.default !== "none") note("default", "the effect where it is silent");
  // A single refusal among them overrides every permit next to it.
  const bounded = inner.some(({ rule }) => refuses(rule));
  const rules: FlatRule[] = [base];
  for (const { rule, path } of inner) {
    noteBreakGlass(rule, path, note);
    const conditions = conjunction(root.when, rule.when);
    const inside = rule.rules ?? [];
    if (rule.effect === "deny") note(path, "that it refuses within what is refused");
    else if (bounded || inside.some(restricts) || conditions === undefined) {
      note(path, "a permit that other refusals, duties or conditions bound");
    } else {
      if (inside.some(namesBtg)) note(path, "that breaking the glass is permitted inside");
      rules.push({ effect: "permit", when: conditions, duties: dutiesOf(rule), path });
    }
  }
  return { rules, combining: rules.length > 1 ? "permit-overrides" : "deny-overrides" };
}

/** An exception as a separate rule; beyond the base it refuses more than the directive does. */
function flattenException(root: Rule, rule: Rule, path: string, note: Note): FlatRule {
  const when = conjunction(root.when, rule.when);
  if (when === undefined) note(path, "that it refuses only within the conditions around it");
  return { effect: rule.effect, when: when ?? rule.when, duties: dutiesOf(rule), path };
}

function writeRule(rule: FlatRule, note: Note): JsonObject | undefined {
  const { validity, ...when } = rule.when;
  const { elements, lost } = writeConditions(when, "r5");
  const without = [...lost, ...(validity === undefined ? [] : ["validity"])];
  for (const element of ["resourceType", "code"]) {
    if (elements[element] !== undefined) without.push(`data.${element}`);
  }
  const actors = referencesOf(elements["actor"]);
  if (elements["actor"] !== undefined && actors === undefined) without.push("actors");
  if (without.length > 0) {
    note(rule.path, `conditions that FHIR cannot say: ${without.join(", ")}`);
    if (rule.effect === "permit") return undefined;
  }
  const { dataPeriod, securityLabel, data: resource, action, purpose } = elements;
  const data = {
    ...(resource !== undefined && { resource }),
    ...(securityLabel !== undefined && { security: securityLabel }),
    ...(dataPeriod !== undefined && { period: [dataPeriod] }),
  };
  const activity = {
    ...(actors && { actor: actors }),
    ...(action !== undefined && { action }),
    ...(Array.isArray(purpose) && { purpose: purpose.map((coding) => ({ coding: [coding] })) }),
  };
  const limit = rule.duties.map((code) => ({ coding: [{ system: ACT_CODE, code }] }));
  return {
    type: rule.effect,
    ...(Object.keys(data).length > 0 && { data: [data] }),
    ...(Object.keys(activity).length > 0 && { activity: [activity] }),
    ...(limit.length > 0 && { limit }),
  };
}

/** The references of actors; `undefined` if one is a role, which a Permission cannot name. */
function referencesOf(actors: unknown): readonly unknown[] | undefined {
  if (!Array.isArray(actors)) return undefined;
  const references = actors.map((actor: JsonObject) => actor["reference"]);
  return references.includes(undefined) ? undefined : references;
}

function noteBreakGlass(rule: Rule, path: string, note: Note): void {
  if (rule.breakGlass !== undefined) note(path, "what it says about breaking the glass");
}

function noteRest(directive: Directive, note: Note): void {
  const { controller, category, jurisdictions, predecessors, grantor, validity } = directive;
  if (controller !== undefined) note("controller", "whose records it is about");
  if (category !== undefined && category !== "patient-privacy") note("category", "its category");
  if (jurisdictions !== undefined) note("jurisdictions", "where it applies");
  if (predecessors.length > 0) note("predecessors", "what it follows");
  if (grantor.evidence.length > 0) note("grantor.evidence", "its evidence");
  if (grantor.capacity !== "self") note("grantor.capacity", "the capacity of the grantor");
  if (validity.zone !== "UTC") note("validity.zone", "the zone of its dates");
  note("lineage", "the chain of statements it belongs to");
}
