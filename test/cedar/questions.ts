import type {
  ConsentRequest,
  ConsentResource,
  ConsentSnapshot,
  DataFilter,
  Rule,
  When,
} from "../../src/consent/index.ts";
import type { Dice } from "../consent/random.ts";
import {
  at,
  confidentiality,
  filed,
  labelled,
  onLedger,
  overlay,
  requestOf,
  resourceOf,
  sensitivity,
  snapshotOf,
  type Filed,
  type Statement,
} from "../consent/support.ts";

// Random consents and questions of which every attribute is stated, and where no request asks for
// more than a rule speaks of: the part of the rules that Cedar can say.

const few = <T>(dice: Dice, make: () => T): T[] =>
  dice.chance(0.35) ? [make(), make()] : [make()];
const CODES = ["2339-0", "75622-1", "4548-4"].map((code) => ({ system: "http://loinc.org", code }));
const LABELS = ["PSY", "ETH", "SUD", "HIV"].map(sensitivity);
const LEVELS = ["L", "N", "R"].map(confidentiality);
/** What rules name; none of it is below anything that is asked for, but break the glass. */
const NAMED = ["TREAT", "TREAT", "TREAT", "BTG", "HPAYMT", "HRESCH"];
const ASKED = ["TREAT", "TREAT", "ETREAT", "COC", "BTG", "HPAYMT", "CLINTRCH", "HMARKT"];

function dataOf(dice: Dice): DataFilter {
  switch (dice.below(7)) {
    case 0:
      return { types: few(dice, () => dice.pick("Observation", "Condition", "Procedure")) };
    case 1:
      return { codes: few(dice, () => dice.pick(...CODES)) };
    case 2:
      return { labels: few(dice, () => dice.pick(...LABELS)) };
    case 3:
      return {
        labels: [dice.pick(...LEVELS), ...(dice.chance(0.3) ? [dice.pick(...LABELS)] : [])],
      };
    case 4:
      return {
        period: dice.pick(
          { from: "2023" },
          { to: "2022-12" },
          { from: "2023-05-01", to: "2023-05-02" },
          { from: at("2023-05-01T12:00Z") },
        ),
      };
    case 5:
      return {
        refs: few(dice, () =>
          dice.pick(
            { meaning: "instance" as const, reference: "Observation/1" },
            { meaning: "authoredby" as const, reference: "dr-author" },
            { meaning: "dependents" as const, reference: "Encounter/1" },
            { meaning: "related" as const, reference: "Procedure/1" },
          ),
        ),
      };
    default:
      return { types: [dice.pick("Observation", "Condition")], parts: ["manifest"] };
  }
}

function whenOf(dice: Dice): When {
  const when: { -readonly [K in keyof When]: When[K] } = {};
  if (dice.chance(0.3)) when.purposes = few(dice, () => dice.pick(...NAMED));
  if (dice.chance(0.2)) {
    when.actors = few(dice, () =>
      dice.pick(
        { type: "person" as const, id: "dr-who" },
        { type: "person" as const, id: "dr-other" },
        { type: "organisation" as const, id: "hospital-b" },
        { type: "care-team" as const, id: "team" },
        { type: "group" as const, id: "privileged" },
        { type: "device" as const, id: "pump" },
        { type: "role" as const, id: "nurse" },
      ),
    );
  }
  if (dice.chance(0.1)) when.roles = few(dice, () => dice.pick("nurse", "psychiatrist"));
  if (dice.chance(0.1)) when.actions = few(dice, () => dice.pick("access", "use"));
  if (dice.chance(0.1)) {
    when.validity = dice.pick({ to: "2024-06-14" }, { from: "2024" }, { from: "2025-01" });
  }
  return dice.chance(0.5) ? { ...when, data: dataOf(dice) } : when;
}

function ruleOf(dice: Dice, depth: number, mixed: boolean, ids = { next: 0 }): Rule {
  const rules: Rule[] = [];
  const id = `r${ids.next++}`;
  if (depth > 1 && dice.chance(0.6)) {
    for (let i = dice.below(3); i >= 0; i--) rules.push(ruleOf(dice, depth - 1, mixed, ids));
  }
  return {
    id,
    effect: dice.pick("permit", "permit", "deny"),
    combine: mixed && dice.chance(0.4) ? "permit-overrides" : "deny-overrides",
    when: whenOf(dice),
    ...(rules.length === 0 ? {} : { rules }),
  };
}

const treeOf = (dice: Dice, depth: number): Rule => ruleOf(dice, depth, dice.chance(0.3));

function lineageOf(dice: Dice, prefix: string): Filed[] {
  const length = dice.pick(1, 1, 1, 2, 3);
  return Array.from({ length }, (_, index) => {
    const mode =
      index === 0 ? "replace" : dice.pick("replace", "amend", "amend", "suspend", "revoke");
    const lasting = mode === "suspend" || mode === "revoke";
    const ends = dice.pick<Pick<Statement, "from" | "to">>(
      ...Array.from({ length: 6 }, () => ({})),
      { from: "2024-06-15" },
      { from: "2025" },
      { to: "2024-01-31" },
      { to: "2024-06-15" },
    );
    const { to: __, ...begins } = ends;
    return filed(`${prefix}${index}`, {
      lineage: prefix,
      after: index === 0 ? [] : [`${prefix}${index - 1}`],
      mode,
      zone: dice.pick("UTC", "UTC", "+02:00", "-05:30"),
      ...(lasting ? begins : ends),
      ...(dice.chance(0.1) ? { controller: dice.pick("hospital-a", "clinic-a") } : {}),
      ...(dice.chance(0.1) ? { jurisdictions: [dice.pick("US", "DE", "US-CA")] } : {}),
      ...(dice.chance(0.1)
        ? { category: dice.pick("patient-privacy", "research", "treatment") }
        : {}),
      default: mode === "replace" ? dice.pick("permit", "deny", "none", "none") : "none",
      ...(lasting ? {} : { root: treeOf(dice, 3) }),
    });
  });
}

/** Consents, default policies and law. */
export function snapshotFrom(dice: Dice): ConsentSnapshot {
  const patient = Array.from({ length: dice.pick(0, 1, 1, 2, 2) }, (_, index) =>
    lineageOf(dice, `p${index}-`),
  );
  return snapshotOf(patient.flat(), {
    organisation: onLedger(dice.chance(0.3) ? lineageOf(dice, "org-") : []),
    overlays: dice.chance(0.15)
      ? [
          overlay(ruleOf(dice, 2, false), {
            ...(dice.chance(0.5) ? { jurisdictions: [dice.pick("US", "DE")] } : {}),
            validity: dice.pick(
              { from: "2000", zone: "UTC" },
              { from: "2000", to: "2024-06", zone: "+02:00" },
            ),
          }),
        ]
      : [],
    memberships: [
      { member: "dr-who", of: "team" },
      { member: "team", of: "privileged" },
      { member: "dr-other", of: "privileged", to: at("2024-06-15") },
      { member: "clinic-c", of: "hospital-b" },
    ],
    roles: [{ actor: "dr-other", code: "psychiatrist", attestedBy: "hospital-a" }],
  });
}

export function requestFrom(dice: Dice): ConsentRequest {
  return requestOf({
    requester: dice.pick("hospital-b", "clinic-c", "dr-other"),
    user: dice.pick("dr-who", "dr-other"),
    client: { device: dice.pick("pump", "phone") },
    roles: dice.pick([], [{ code: "nurse", attestedBy: "hospital-b" }]),
    purposes: [
      ...new Set(dice.chance(0.1) ? few(dice, () => dice.pick(...ASKED)) : [dice.pick(...ASKED)]),
    ],
    action: dice.pick("access", "access", "use"),
  });
}

export function recordFrom(dice: Dice): ConsentResource {
  const day = dice.pick<number | string>("2022-11-30", "2023-05-01", at("2023-05-01T23:00Z"));
  // An instant, so that no bound can fall inside of it.
  const moment = typeof day === "string" ? at(day) : day;
  return resourceOf({
    id: dice.pick("Observation/1", "Observation/2"),
    type: dice.pick("Observation", "Condition"),
    codes: dice.pick([CODES[0]!], CODES.slice(0, 2), [CODES[2]!]),
    labels: labelled(
      dice.pick(...LEVELS, confidentiality("V")),
      ...dice.pick(
        [],
        [],
        [sensitivity("PSY")],
        [sensitivity("ETHUD")],
        [sensitivity("OPIOIDUD"), sensitivity("HIV")],
      ),
    ),
    period: { from: moment, to: moment },
    authors: dice.pick(["dr-author"], ["dr-who"]),
    encounter: dice.pick("Encounter/1", "Encounter/2"),
    references: dice.pick([], ["Encounter/1"]),
    referredBy: dice.pick([], ["Procedure/1"]),
    controller: dice.pick("hospital-a", "clinic-a"),
    jurisdictions: dice.pick(["US-CA"], ["DE"]),
    parts: [dice.pick("manifest", "content")],
  });
}

/** Legal times about the bounds of the consents. */
export const momentFrom = (dice: Dice): number =>
  dice.pick(
    at("2024-06-15"),
    at("2024-06-15"),
    at("2024-06-15T22:30Z"),
    at("2024-06-14T22:30Z"),
    at("2024-01-10"),
    at("2026-01-01"),
  );
