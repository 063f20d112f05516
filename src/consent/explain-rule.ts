import type { ActorRef, Coding, DataRef, Rule, Validity, When } from "./model/model.ts";
import {
  ACT_CODE,
  canonicalSystem,
  CONFIDENTIALITY,
  type Terminology,
} from "./terminology/terminology.ts";
import { endOf, isoInstant, startOf, type DateValue, type Period } from "./model/time.ts";
import { findZone } from "./model/zone.ts";

/** The names that sentences about a rule use. */
export interface Naming {
  readonly terminology: Terminology;
  /** The name of a party; `undefined`: the sentence says that the rule names the party. */
  readonly nameOf: (actor: ActorRef) => string | undefined;
}

/**
 * A rule in words: `what` may be `done` `whom` `when`; the last two are empty or begin with a
 * space.
 */
export interface RuleInWords {
  readonly what: string;
  readonly done: string;
  readonly whom: string;
  readonly when: string;
}

/**
 * Describes what a rule is about, including the rules around it.
 *
 * @param path - from the root to the rule
 * @param validity - of its directive
 */
export function ruleInWords(
  path: readonly Rule[],
  validity: Validity,
  naming: Naming,
): RuleInWords {
  const whens = path.map(({ when }) => when);
  const qualities = path.flatMap((rule) => qualitiesOf(rule, naming));
  return {
    what: ["records", ...new Set(qualities)].join(" "),
    done: doneOf(whens),
    whom: [...new Set(whens.flatMap((when) => whomOf(when, naming)))].join(""),
    when: whenOf(whens, validity),
  };
}

/** How records are qualified, one phrase per attribute. */
function qualitiesOf({ when: { data }, effect }: Rule, naming: Naming): readonly string[] {
  if (data === undefined) return [];
  const { types, codes, labels, period, refs, parts } = data;
  return [
    ...(labels === undefined ? [] : [labelsInWords(labels, effect, naming)]),
    ...(types === undefined ? [] : [`of the kind ${either(types)}`]),
    ...(codes === undefined ? [] : [`with the code ${either(codes.map(token))}`]),
    ...(period === undefined ? [] : [`of what happened${periodInWords(period)}`]),
    ...(refs === undefined ? [] : [either(refs.map(refInWords))]),
    ...(parts === undefined ? [] : [`in their part ${either(parts)}`]),
  ];
}

function labelsInWords(
  labels: readonly Coding[],
  effect: Rule["effect"],
  { terminology }: Naming,
): string {
  const topics: string[] = [];
  const others: string[] = [];
  for (const label of labels) {
    const system = canonicalSystem(label.system);
    const level = terminology.confidentialityLevel(label.code);
    if (system === CONFIDENTIALITY && level !== undefined) {
      const name = LEVELS[label.code] ?? label.code;
      others.push(`that are ${name} or ${effect === "deny" ? "more" : "less"} confidential`);
    } else if (system === ACT_CODE && terminology.labelsBelow(label.code) !== undefined) {
      topics.push(topicOf(terminology.display(label.code) ?? label.code));
    } else others.push(`labelled ${token(label)}`);
  }
  return either([...(topics.length === 0 ? [] : [`about ${either(topics)}`]), ...others]);
}

/** The topic of a record: HL7's display without the kind of thing that it ends in. */
export const topicOf = (display: string): string =>
  display.replace(/ (?:information )?sensitivity$/i, "");

/** HL7's displays of its levels of confidentiality. */
const LEVELS: Readonly<Record<string, string>> = {
  U: "unrestricted",
  L: "of low confidentiality",
  M: "moderately confidential",
  N: "of normal confidentiality",
  R: "restricted",
  V: "very restricted",
};

const token = ({ system, code }: Coding): string => `${code} of ${system}`;

function refInWords({ meaning }: DataRef): string {
  switch (meaning) {
    case "instance":
      return "that the rule names one by one";
    case "related":
      return "that the rule names, with what they refer to";
    case "dependents":
      return "that the rule names, with what refers to them";
    case "authoredby":
      return "by an author whom the rule names";
  }
}

const DONE: Readonly<Record<string, string>> = {
  collect: "collected",
  access: "looked at",
  use: "used",
  disclose: "passed on",
  correct: "corrected",
};

function doneOf(whens: readonly When[]): string {
  const actions = [...new Set(whens.flatMap((when) => when.actions ?? []))];
  if (actions.length === 0) return "shared";
  return either(
    actions.map((action) => (Object.hasOwn(DONE, action) ? DONE[action]! : `used for "${action}"`)),
  );
}

const KINDS: Readonly<Record<Exclude<ActorRef["type"], "role">, string>> = {
  person: "a person whom the rule names",
  organisation: "an organisation that the rule names",
  "care-team": "a care team that the rule names",
  group: "a group that the rule names",
  device: "a device that the rule names",
};

function whomOf({ actors, roles }: When, { nameOf }: Naming): readonly string[] {
  const found: string[] = [];
  if (actors !== undefined) {
    const names = actors.map(
      (actor) =>
        nameOf(actor) ??
        (actor.type === "role" ? `someone in the role ${actor.id}` : KINDS[actor.type]),
    );
    found.push(` with ${either([...new Set(names)])}`);
  }
  if (roles !== undefined) found.push(` with someone in the role ${either(roles)}`);
  return found;
}

/** When a rule applies: from the latest of its beginnings until the earliest of its ends. */
function whenOf(whens: readonly When[], { to, zone: name }: Validity): string {
  const zone = findZone(name) ?? findZone("UTC")!;
  const own = whens.flatMap(({ validity }) => validity ?? []);
  const starts = own.flatMap(({ from }) => from ?? []);
  const ends = [...own, { to }].flatMap(({ to: end }) => end ?? []);
  starts.sort((a, b) => startOf(b, zone)! - startOf(a, zone)!);
  ends.sort((a, b) => endOf(a, zone)! - endOf(b, zone)!);
  const [from] = starts;
  const [until] = ends;
  return periodInWords({
    ...(from !== undefined && { from }),
    ...(until !== undefined && { to: until }),
  });
}

function periodInWords({ from, to }: Period): string {
  return (
    (from === undefined ? "" : ` from ${dateInWords(from)}`) +
    (to === undefined ? "" : ` until ${dateInWords(to, true)}`)
  );
}

const MONTHS =
  "January February March April May June July August September October November December".split(
    " ",
  );

/** A date in words, an instant exactly; `end`: the last moment of the date is meant. */
export function dateInWords(value: DateValue, end: boolean = false): string {
  if (typeof value === "number") return isoInstant(value);
  const [year, month, day] = value.split("-") as [string, string?, string?];
  const name = month === undefined ? year : `${MONTHS[Number(month) - 1]!} ${year}`;
  if (day !== undefined) return `${Number(day)} ${name}`;
  return end ? `the end of ${name}` : name;
}

/** One of several. */
export function either(items: readonly string[]): string {
  return items.length < 2
    ? items.join("")
    : `${items.slice(0, -1).join(", ")} or ${items[items.length - 1]!}`;
}
