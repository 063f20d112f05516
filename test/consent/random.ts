import type {
  CapacityFact,
  ConsentRequest,
  ConsentResource,
  ConsentSnapshot,
  DataFilter,
  Rule,
  When,
} from "../../src/consent/index.ts";
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
} from "./support.ts";

/** A random source that a seed determines. */
export interface Dice {
  chance(probability: number): boolean;
  below(count: number): number;
  pick<T>(...items: readonly T[]): T;
}

/** mulberry32. */
export function diceOf(seed: number): Dice {
  let state = (seed * 0x9e3779b1 + 0x6d2b79f5) >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (count: number): number => Math.floor(next() * count);
  return {
    chance: (probability) => next() < probability,
    below,
    pick: (...items) => items[below(items.length)]!,
  };
}

/** Everything one evaluation takes. */
export interface Triple {
  readonly snapshot: ConsentSnapshot;
  readonly request: ConsentRequest;
  readonly resource: ConsentResource;
  readonly asOf: number;
  readonly supportedObligations: readonly string[];
}

export const NOW = at("2024-06-15");
const PURPOSES = ["TREAT", "ETREAT", "BTG", "HRESCH", "CLINTRCH", "HPAYMT"] as const;
const CODES = [
  { system: "http://loinc.org", code: "2339-0" },
  { system: "http://loinc.org", code: "75622-1" },
];

const ACT_CODE_2024 = "http://terminology.hl7.org/CodeSystem/v3-ActCode|2024";
/** Words that nothing knows: each may mean any other of its kind. */
const ODD_CODES = [
  { system: "http://loinc.org|2.77", code: "2339-0" },
  { system: "https://loinc.org/", code: "2339-0" },
  { system: "http://hl7.org/fhir/ValueSet/observation-codes", code: "2339-0" },
  { system: "http://loinc.org", code: "2339 - 0" },
];
const ODD_NAMES = [
  "Observation/1/_history/2",
  "http://h.example/fhir/Observation/1",
  "https://H.example/fhir/Observation/1",
  "http://other.example/fhir/Observation/1",
  "urn:uuid:0b9d6d6e-7f2a-4c1e-9a57-3f1f3c1b2a10",
  "urn:x|1",
  "1",
];
const odd = (dice: Dice): boolean => dice.chance(0.08);

const few = <T>(dice: Dice, make: () => T): T[] => (dice.chance(0.3) ? [make(), make()] : [make()]);

function dataOf(dice: Dice): DataFilter {
  const data: { -readonly [K in keyof DataFilter]: DataFilter[K] } = {};
  const names = [
    "labels",
    "labels",
    "labels",
    "labels",
    "types",
    "period",
    "codes",
    "refs",
    "parts",
  ];
  for (const name of few(dice, () => dice.pick(...names))) {
    if (name === "types") {
      data.types = few(dice, () =>
        odd(dice) ? dice.pick("observation", "Labs") : dice.pick("Observation", "Condition"),
      );
    }
    if (name === "labels") {
      data.labels = few(dice, () =>
        dice.pick(
          sensitivity("PSY"),
          sensitivity("ETH"),
          sensitivity("SUD"),
          confidentiality("N"),
          confidentiality("R"),
          ...(odd(dice)
            ? [{ system: ACT_CODE_2024, code: "PSY" }, sensitivity("psy"), confidentiality("X")]
            : []),
        ),
      );
    }
    if (name === "period") {
      data.period = dice.pick(
        { from: "2023" },
        { to: "2022-12" },
        { from: "2023-05-01", to: "2023-05-02" },
      );
    }
    if (name === "codes") {
      data.codes = [odd(dice) ? dice.pick(...ODD_CODES) : dice.pick(...CODES)];
    }
    if (name === "refs") {
      const strange = odd(dice) ? dice.pick(...ODD_NAMES) : undefined;
      data.refs = [
        dice.pick(
          ...(strange === undefined
            ? []
            : [
                { meaning: "instance" as const, reference: strange },
                { meaning: "authoredby" as const, reference: strange },
                { meaning: "dependents" as const, reference: strange },
                { meaning: "related" as const, reference: strange },
              ]),
          { meaning: "instance" as const, reference: "Observation/1" },
          { meaning: "authoredby" as const, reference: "dr-author" },
          { meaning: "dependents" as const, reference: "Encounter/1" },
          { meaning: "related" as const, reference: "Procedure/1" },
        ),
      ];
    }
    if (name === "parts") data.parts = few(dice, () => dice.pick("manifest", "content"));
  }
  return data;
}

function whenOf(dice: Dice): When {
  if (dice.chance(0.25)) return {};
  const when: { -readonly [K in keyof When]: When[K] } = {};
  if (dice.chance(0.35)) when.purposes = few(dice, () => dice.pick(...PURPOSES));
  if (dice.chance(0.2)) {
    when.actors = few(dice, () =>
      dice.pick(
        { type: "person" as const, id: "dr-who" },
        { type: "person" as const, id: "dr-other" },
        { type: "organisation" as const, id: "hospital-b" },
        { type: "group" as const, id: "privileged" },
        { type: "device" as const, id: "pump" },
        { type: "role" as const, id: "nurse" },
        ...(odd(dice)
          ? [
              { type: "person" as const, id: "Practitioner/1" },
              { type: "person" as const, id: "DR-WHO" },
              { type: "organisation" as const, id: "did:key:zB" },
              { type: "group" as const, id: "urn:x|group" },
              { type: "device" as const, id: "Device/1" },
              { type: "role" as const, id: "urn:x|Nurse" },
            ]
          : []),
      ),
    );
  }
  if (dice.chance(0.1)) when.roles = [odd(dice) ? "NURSE" : dice.pick("nurse", "psychiatrist")];
  if (dice.chance(0.1)) when.actions = [odd(dice) ? "read" : dice.pick("access", "use")];
  if (dice.chance(0.1)) {
    when.validity = dice.pick({ to: "2024-06-14" }, { from: "2024" }, { from: "2025" });
  }
  return dice.chance(0.6) ? { ...when, data: dataOf(dice) } : when;
}

/** A tree of rules, at most `depth` deep. */
export function ruleOf(dice: Dice, depth: number, ids = { next: 0 }): Rule {
  const rules: Rule[] = [];
  const id = `r${ids.next++}`;
  if (depth > 1 && dice.chance(0.6)) {
    for (let i = dice.below(3); i >= 0; i--) rules.push(ruleOf(dice, depth - 1, ids));
  }
  return {
    id,
    effect: dice.pick("permit", "deny"),
    combine: dice.pick("deny-overrides", "permit-overrides"),
    when: whenOf(dice),
    ...(dice.chance(0.08) ? { obligations: [dice.pick("DELAU", "ENCRYPT")] } : {}),
    ...(dice.chance(0.05) ? { refrains: [dice.pick("NORDSCLCD", "NOCOLLECT")] } : {}),
    ...(dice.chance(0.15) ? { breakGlass: dice.pick("allowed" as const, "never" as const) } : {}),
    ...(rules.length === 0 ? {} : { rules }),
  };
}

function statementOf(dice: Dice, mode: NonNullable<Statement["mode"]>, prefix: string): Statement {
  const speaker = dice.pick(
    ...(["patient", "patient", "patient", "patient", "mother", "daughter", "neighbour"] as const),
  );
  const lasting = mode === "suspend" || mode === "revoke";
  const period = dice.pick<Pick<Statement, "from" | "to">>(
    {},
    {},
    {},
    {},
    { to: "2024-01-31" },
    { to: "2024-06-15" },
    { from: "2025" },
  );
  return {
    mode,
    by: speaker,
    capacity: speaker === "patient" ? "self" : speaker === "mother" ? "guardian" : "proxy",
    ...(lasting ? (period.from === undefined ? {} : { from: period.from }) : period),
    ...(dice.chance(0.04) ? { zone: "Nowhere/Known" } : {}),
    ...(dice.chance(0.08) ? { controller: dice.pick("hospital-a", "clinic-a") } : {}),
    ...(dice.chance(0.08) ? { jurisdictions: [dice.pick("US", "DE")] } : {}),
    ...(dice.chance(0.08)
      ? { category: dice.pick("patient-privacy", "research", "treatment", "surgery") }
      : {}),
    default: mode === "replace" ? dice.pick("permit", "permit", "deny", "none", "none") : "none",
    ...(lasting ? {} : { root: ruleOf(dice, 3, { next: 0 }) }),
    lineage: prefix,
  };
}

/** One lineage, filed under names that begin with `prefix`. */
function lineageOf(dice: Dice, prefix: string): Filed[] {
  const length = dice.pick(1, 1, 1, 2, 3, 5);
  return Array.from({ length }, (_, index) => {
    const mode =
      index === 0
        ? "replace"
        : dice.pick("replace", "amend", "amend", "suspend" as const, "revoke" as const);
    const names = Array.from({ length: index }, (__, before) => `${prefix}${before}`);
    const after =
      index === 0
        ? []
        : dice.chance(0.75)
          ? [names[index - 1]!]
          : names.filter(() => dice.chance(0.5));
    return filed(
      `${prefix}${index}`,
      { ...statementOf(dice, mode, prefix), after },
      {
        ...(dice.chance(0.05) ? { void: "signature" } : {}),
        ...(dice.chance(0.3) ? { recordedAt: at("2023-06-01") } : {}),
        ...(dice.chance(0.05) ? { height: 2_000 } : {}),
      },
    );
  });
}

/** A lineage of many short statements, filed in ignorance of each other, ended, undated or bounded. */
function tangleOf(dice: Dice, prefix: string): Filed[] {
  return Array.from({ length: dice.pick(2, 3, 3, 4, 5) }, (_, index) => {
    const mode =
      index === 0
        ? "replace"
        : dice.pick("replace", "replace", "amend", "amend", "suspend" as const, "revoke" as const);
    const lasting = mode === "suspend" || mode === "revoke";
    const after = Array.from({ length: index }, (__, before) => `${prefix}${before}`).filter(
      (__, before) => dice.chance(before === index - 1 ? 0.6 : 0.4),
    );
    return filed(`${prefix}${index}`, {
      lineage: prefix,
      mode,
      after,
      ...(dice.chance(0.3)
        ? dice.pick(
            { by: "mother", capacity: "guardian" as const },
            { by: "daughter", capacity: "proxy" as const },
            { by: "daughter", capacity: "proxy" as const },
          )
        : {}),
      ...(!lasting && dice.chance(0.3) ? { to: "2024-01-31" } : {}),
      ...(dice.chance(0.2) ? { zone: "Nowhere/Known" } : {}),
      ...(dice.chance(0.15) ? { controller: dice.pick("hospital-a", "clinic-a") } : {}),
      ...(mode === "replace" ? { default: dice.pick("permit", "deny", "none", "none") } : {}),
      ...(lasting ? {} : { root: ruleOf(dice, dice.pick(1, 1, 2)) }),
    });
  });
}

/** The lineage where some of it was witnessed, and some was filed again on another's word. */
function witnessedBy(dice: Dice, lineage: readonly Filed[]): Filed[] {
  if (!dice.chance(0.2)) return [...lineage];
  const witness = (): Pick<Filed, "witness"> =>
    dice.chance(0.3)
      ? {}
      : {
          witness: {
            by: dice.pick("hospital-a", "hospital-a", "hospital-b", "hospital-b", "hospital-c"),
            form: dice.pick("paper", "electronic", "oral"),
            user: "clerk",
            takenAt: at("2023-01-01"),
            ...(dice.chance(0.05) ? { doubted: true as const } : {}),
          },
        };
  return lineage
    .map((one): Filed => ({ ...one, ...witness() }))
    .flatMap((one, index, all) => {
      const earlier = all[dice.below(index + 1)]!;
      const { witness: _, ...again } = earlier;
      return dice.chance(0.25) ? [one, { ...again, name: `${one.name}+`, ...witness() }] : [one];
    });
}

/** What is the custodian's own, and beside it what another organisation suspends and permits. */
function estrangedOf(dice: Dice): Filed[] {
  const elsewhere: Partial<Filed> = {
    witness: { by: "hospital-b", form: "paper", user: "clerk", takenAt: at("2023-01-01") },
  };
  const own = (name: string, after: readonly string[]): Filed =>
    filed(name, {
      lineage: "own",
      after,
      default: dice.pick("deny", "none", "permit"),
      root: ruleOf(dice, 1),
    });
  return [
    own("own-0", []),
    ...(dice.chance(0.5) ? [own("own-1", [])] : []),
    ...(dice.chance(0.5)
      ? [filed("own-2", { lineage: "own", mode: "suspend" }, elsewhere), own("own-3", ["own-2"])]
      : []),
    ...(dice.chance(0.6)
      ? [filed("theirs", { lineage: "theirs", root: ruleOf(dice, 1) }, elsewhere)]
      : []),
  ];
}

/** A lineage of one statement that speaks of little. */
function narrowOf(dice: Dice, prefix: string): Filed {
  const when = dice.pick<When>(
    { actors: [{ type: "person", id: dice.pick("dr-who", "p1", "p2", "p3") }] },
    { actors: [{ type: "group", id: dice.pick("privileged", "g1", "g2") }] },
    { purposes: [dice.pick(...PURPOSES)], actions: [dice.pick("use", "never")] },
    { data: { types: [dice.pick("Condition", "Procedure", "Encounter")] } },
    { roles: [dice.pick("nurse", "porter")] },
  );
  return filed(prefix, {
    lineage: prefix,
    default: dice.pick("none", "none", "none", "none", "deny", "permit"),
    root: { ...ruleOf(dice, 2), when },
  });
}

function capacitiesOf(dice: Dice): CapacityFact[] {
  const ends = (): { from?: number; to?: number } =>
    dice.pick<{ from?: number; to?: number }>(
      {},
      {},
      {},
      { to: at("2024-06-01") },
      { from: at("2024-01-01") },
    );
  const facts: CapacityFact[] = [];
  if (dice.chance(0.8)) facts.push({ actor: "mother", capacity: "guardian", ...ends() });
  if (dice.chance(0.8)) {
    facts.push({
      actor: "daughter",
      capacity: "proxy",
      by: dice.pick(
        { actor: "patient", capacity: "self" as const },
        { actor: "mother", capacity: "guardian" as const },
      ),
      ...(dice.chance(0.6) ? { depth: 1 } : {}),
      ...(dice.chance(0.4)
        ? {
            scope: dice.pick<NonNullable<CapacityFact["scope"]>>(
              { purposes: ["TREAT"] },
              { data: { types: ["Observation"] } },
              { data: { labels: [confidentiality("N")] } },
              { data: { labels: [confidentiality("N")] } },
            ),
          }
        : {}),
      ...ends(),
    });
  }
  if (dice.chance(0.8)) {
    facts.push({
      actor: "neighbour",
      capacity: "proxy",
      by: { actor: "daughter", capacity: "proxy" },
      ...ends(),
    });
  }
  if (dice.chance(0.1)) facts.push({ actor: "patient", capacity: "self", ...ends() });
  return facts;
}

/** A random record. */
export function recordOf(dice: Dice, id = "Observation/1"): ConsentResource {
  const full = resourceOf({
    id,
    type: odd(dice) ? "Labs" : dice.pick("Observation", "Condition"),
    codes: odd(dice) ? [dice.pick(...ODD_CODES)] : dice.pick([], [], [CODES[0]!], CODES),
    labels: dice.pick(
      null,
      null,
      null,
      { codes: [], stamp: null },
      labelled(),
      labelled(confidentiality("N")),
      labelled(sensitivity("PSY"), confidentiality("R")),
      labelled(sensitivity("ETHUD"), confidentiality("R")),
      { codes: [sensitivity("PSY")], stamp: null },
      ...(odd(dice)
        ? [
            labelled({ system: "urn:ours", code: "VIP" }),
            labelled(sensitivity("psy"), confidentiality("N")),
            labelled({ system: ACT_CODE_2024, code: "PSY" }),
          ]
        : []),
    ),
    period: dice.pick({ from: "2023-05-01", to: "2023-05-01" }, { from: "2022" }, {}),
    jurisdictions: odd(dice) ? ["usa"] : dice.pick(["US"], ["US-CA"], ["DE"], []),
    ...(dice.chance(0.5) ? { encounter: "Encounter/1" } : {}),
    ...(dice.chance(0.4) ? { parts: dice.pick([], ["manifest"], ["manifest", "content"]) } : {}),
    ...(dice.chance(0.3) ? { referredBy: dice.pick([], ["Procedure/1"]) } : {}),
  });
  const { authors, references, controller, ...rest } = full;
  return {
    ...rest,
    ...(rest.encounter !== undefined && rest.codes.length === 1 ? { uncoded: true } : {}),
    ...(dice.chance(0.2)
      ? { otherCodes: [odd(dice) ? dice.pick(...ODD_CODES) : dice.pick(...CODES)] }
      : {}),
    ...(dice.chance(0.8) ? { authors: authors! } : {}),
    ...(dice.chance(0.8) ? { references: references! } : {}),
    ...(dice.chance(0.9) ? { controller: controller! } : {}),
  };
}

/** A random request. */
export function askedOf(dice: Dice): ConsentRequest {
  const {
    user: _,
    roles: __,
    ...plain
  } = requestOf({
    purposes: few(dice, () =>
      dice.pick(...PURPOSES, ...(["TREAT", "TREAT", "urn:x|Y", "PurposeOfUse"] as const)),
    ).slice(0, dice.chance(0.8) ? 1 : 2),
    action: odd(dice) ? "read" : dice.pick("access", "access", "use"),
  });
  return {
    ...plain,
    ...(dice.chance(0.8) ? { user: dice.pick("dr-who", "dr-other") } : {}),
    ...(dice.chance(0.2)
      ? { expires: at(dice.pick("2024-06-01", "2024-06-20", "2026-01-01")) }
      : {}),
    ...(dice.chance(0.2) ? { client: { device: dice.pick("pump", "phone") } } : {}),
    ...(dice.chance(0.8)
      ? {
          roles: dice.pick(
            [],
            [{ code: "nurse", attestedBy: "hospital-b" }],
            [{ code: "nurse", attestedBy: "nobody" }],
          ),
        }
      : {}),
  };
}

/** A random snapshot. */
export function snapshotFrom(dice: Dice): ConsentSnapshot {
  // Many lineages are looked up, few are asked one by one.
  const patient = dice.chance(0.06)
    ? Array.from({ length: 12 }, (_, index) => [narrowOf(dice, `p${index}-`)])
    : dice.chance(0.1)
      ? [estrangedOf(dice)]
      : dice.chance(0.3)
        ? [witnessedBy(dice, tangleOf(dice, "p0-"))]
        : Array.from({ length: dice.pick(0, 1, 1, 1, 2, 3) }, (_, index) =>
            witnessedBy(dice, lineageOf(dice, `p${index}-`)),
          );
  const organisation = dice.chance(0.4)
    ? lineageOf(dice, "org-").map((one) => {
        const { by: _, capacity: __, ...statement } = one.statement;
        return { ...one, statement };
      })
    : [];
  const overlays = dice.chance(0.25)
    ? few(dice, () =>
        overlay(ruleOf(dice, 2), {
          ...(dice.chance(0.3) ? { jurisdictions: [dice.pick("US", "DE")] } : {}),
          ...(dice.chance(0.1) ? { validity: { from: "2000", zone: "Nowhere/Known" } } : {}),
          ...(dice.chance(0.6)
            ? {
                require: dice.pick(
                  { recipientNamed: true },
                  { recipientNamed: true },
                  { namesLabel: sensitivity("SUD") },
                  { grantorCapacity: ["self" as const] },
                  { form: ["signed" as const, "paper" as const] },
                  {},
                ),
              }
            : {}),
        }),
      )
    : [];
  return snapshotOf(patient.flat(), {
    custodian: "hospital-a",
    witnesses: ["hospital-b"],
    organisation: onLedger(organisation),
    overlays,
    capacities: capacitiesOf(dice),
    memberships: [
      { member: "dr-who", of: "team" },
      { member: "team", of: "privileged" },
      { member: "dr-other", of: "privileged", to: at("2024-01-01") },
    ],
    roles: [
      { actor: "dr-other", code: "psychiatrist", attestedBy: "hospital-a" },
      { actor: "dr-who", code: "psychiatrist", attestedBy: "nobody" },
    ],
  });
}

/** The triple of a seed. */
export function tripleOf(seed: number): Triple {
  const dice = diceOf(seed);
  return {
    snapshot: snapshotFrom(dice),
    request: askedOf(dice),
    resource: recordOf(dice),
    asOf: NOW,
    supportedObligations: dice.chance(0.5) ? ["DELAU"] : [],
  };
}

/** How deep the rules of a snapshot's directives go. */
export function depthOf(snapshot: ConsentSnapshot): number {
  const depth = (rule: Rule | undefined): number =>
    rule === undefined ? 0 : 1 + Math.max(0, ...(rule.rules ?? []).map(depth));
  return Math.max(0, ...snapshot.directives.map(({ directive }) => depth(directive.root)));
}
