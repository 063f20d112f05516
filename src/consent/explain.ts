import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { CID } from "../codec/cid.ts";
import type { Decision, Layer, Reason, SetAsideReason } from "./model/decision.ts";
import { dateInWords, either, ruleInWords, topicOf, type Naming } from "./explain-rule.ts";
import type { ActorRef, Capacity, Directive, Overlay, Rule } from "./model/model.ts";
import type { ConsentSnapshot } from "./model/snapshot.ts";
import { BTG, defaultTerminology, type Terminology } from "./terminology/terminology.ts";
import { isoInstant } from "./model/time.ts";
import type { DirectiveForm } from "./model/witness.ts";

/** Options of {@link explain}. */
export interface ExplainOptions {
  /**
   * The facts of the decision: with them, sentences name the records, the recipient and the end.
   */
  readonly snapshot?: Pick<ConsentSnapshot, "directives" | "organisation" | "overlays">;
  /** Gives codes their names. Default: the shipped terminology. */
  readonly terminology?: Terminology;
  /** Gives the name of a party that a rule names. Default: parties stay unnamed. */
  readonly nameOf?: (actor: ActorRef) => string | undefined;
}

const OUTCOME: Readonly<Record<Decision["outcome"], string>> = {
  permit: "Permitted.",
  deny: "Refused.",
  partial: "Permitted in part: each record decides which of these grounds applies to it.",
  "not-applicable": "Refused, because nobody has said anything that applies.",
  indeterminate: "Refused, because it cannot be told whether a refusal applies.",
};

const GRANTOR: Readonly<Record<Capacity, string>> = {
  self: "The patient",
  guardian: "The patient's guardian",
  proxy: "The patient's proxy",
  court: "A court",
};

const ATTRIBUTE: Readonly<Record<string, string>> = {
  validity: "the date",
  actors: "who is asking",
  roles: "the role of who is asking",
  purposes: "the purpose",
  actions: "what is to be done",
  types: "the kind of record",
  codes: "the codes in the record",
  labels: "the sensitivity of the record",
  period: "when the record's content happened",
  refs: "the particular record",
  parts: "the parts of the record",
};

const SET_ASIDE: Readonly<Record<SetAsideReason, string>> = {
  void: "is void",
  "capacity-lacking": "was given by someone who could not speak for the patient then",
  "capacity-lost": "was given by someone who no longer speaks for the patient",
  "not-yet-valid": "is not yet in force",
  expired: "is no longer in force",
  contested:
    "was given without knowledge of a newer one, so that only its refusals count until that is settled",
  unconfirmed:
    "was witnessed by another organisation, or by a key that was stolen, and is not confirmed here, so that only its refusals count",
  "zone-unknown": "is dated in a time zone unknown here, so that only its refusals count",
};

const EXPLAIN_OPTIONS: OptionsOf<ExplainOptions> = {
  snapshot: true,
  terminology: true,
  nameOf: true,
};

/**
 * Explains in plain sentences what was decided and why.
 *
 * @returns one sentence per line; identifies no person beyond the names that rules and `nameOf` use
 * @example
 *   const { records, facts } = await hl.decide(patient, question);
 *   for (const { decision } of records) console.log(explain(decision, { snapshot: facts }));
 */
export function explain(decision: Decision, options: ExplainOptions = {}): string {
  assertOptions(options, EXPLAIN_OPTIONS, "explain");
  const { terminology = defaultTerminology(), nameOf = () => undefined, snapshot } = options;
  const teller: Teller = {
    naming: { terminology, nameOf },
    name: (code) => terminology.display(code) ?? code,
    sourceOf: sourcesIn(snapshot),
    partial: decision.outcome === "partial",
    doubtful: decision.outcome === "indeterminate",
  };
  const { name } = teller;
  const lines = [OUTCOME[decision.outcome]];
  for (const one of decision.reasons) lines.push(withWitness(sentence(one, teller), one));
  if (decision.outcome === "permit") {
    for (const code of decision.obligations) lines.push(`The recipient must: ${name(code)}.`);
    for (const code of decision.refrains) lines.push(`The recipient is bound to: ${name(code)}.`);
  }
  if (decision.breakGlass === "never") {
    lines.push(
      `${teller.partial ? "For some records a rule says" : "A rule says"} that the glass must never be broken, not even in an emergency.`,
    );
  }
  for (const { directive, why } of decision.setAside) {
    const source = teller.sourceOf(directive);
    const whose = source === undefined || "require" in source.text ? "A" : `${source.speaker}'s`;
    lines.push(`${whose} directive ${short(directive)} ${SET_ASIDE[why]}.`);
  }
  if (decision.expiresAt !== null) {
    lines.push(`This can change after ${isoInstant(decision.expiresAt)}.`);
  }
  return lines.map((line) => line.replace(UNSEEN, "\ufffd")).join("\n");
}

/** A name from a rule or code must not begin a sentence of its own, or reverse the text. */
const UNSEEN = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

const FORM: Readonly<Record<DirectiveForm, string>> = {
  signed: "signed with the key of who gave it",
  paper: "signed on paper",
  electronic: "confirmed electronically",
  oral: "given orally",
};

/** Adds, for an unsigned directive, which organisation witnessed it, and in which form. */
function withWitness(text: string, { witnessed }: Reason): string {
  if (witnessed === undefined) return text;
  const by = `the organisation …${witnessed.by.slice(-8)}`;
  return `${text.slice(0, -1)}; witnessed by ${by} as ${FORM[witnessed.form]}.`;
}

/** A statement that a reason rests on, and who made it. */
interface Source {
  readonly text: Directive | Overlay;
  readonly speaker: string;
}

interface Teller {
  readonly naming: Naming;
  name(code: string): string;
  sourceOf(cid: CID | null): Source | undefined;
  readonly partial: boolean;
  readonly doubtful: boolean;
}

function sourcesIn(snapshot: ExplainOptions["snapshot"]): Teller["sourceOf"] {
  const sources = new Map<string, Source>();
  for (const { cid, directive } of snapshot?.organisation ?? []) {
    sources.set(cid.toString(), { text: directive, speaker: SPEAKER.organisation });
  }
  for (const { cid, directive } of snapshot?.directives ?? []) {
    const speaker = GRANTOR[directive.grantor.capacity];
    sources.set(cid.toString(), { text: directive, speaker });
  }
  for (const { cid, overlay } of snapshot?.overlays ?? []) {
    sources.set(cid.toString(), { text: overlay, speaker: SPEAKER.law });
  }
  return (cid) => (cid === null ? undefined : sources.get(cid.toString()));
}

const SPEAKER: Readonly<Record<Layer, string>> = {
  law: "The law",
  patient: "The patient",
  organisation: "The organisation",
};

function sentence(one: Reason, teller: Teller): string {
  const { name, partial } = teller;
  const source = teller.sourceOf(one.directive);
  const speaker = source?.speaker ?? (one.layer === null ? "" : SPEAKER[one.layer]);
  const aim =
    one.purpose === null
      ? ""
      : one.purpose === BTG
        ? " in an emergency (break the glass)"
        : ` for ${name(one.purpose)}`;
  const named = one.directive === null ? "" : ` (directive ${short(one.directive)})`;
  const some = partial ? "some records" : "this record";
  switch (one.kind) {
    case "rule":
      return ruleSentence(one, speaker, aim, source?.text, teller);
    case "default":
      return one.effect === "permit"
        ? `${speaker} has said nothing else about ${some}, and allows what is not mentioned to be shared${aim}${named}.`
        : `${speaker} has said nothing else about ${some}, and does not allow what is not mentioned to be shared${aim}${named}.`;
    case "suspended":
      return `${speaker} has stopped sharing until saying otherwise, also${aim || " this"}${named}.`;
    case "scope":
      return `${speaker} may refuse ${some}: consent was withdrawn or suspended, and it cannot be told whether for ${partial ? "these" : "this"} too${named}.`;
    case "ended": {
      const to =
        source !== undefined && "grantor" in source.text ? source.text.validity.to : undefined;
      const when = to === undefined ? "has ended" : `had an end (${dateInWords(to, true)})`;
      return `What ${lower(speaker)} allowed ${when}, and what is not allowed stays refused${aim}${named}.`;
    }
    case "requirement":
      return `The law demands${partial ? ", for some records," : ""} more of a consent than there is${aim}${demandOf(source?.text, teller)}.`;
    case "obligation":
      return `${partial ? "Some of it" : "It"} would be permitted only to someone able to: ${one.codes.map(name).join(", ")}.`;
    case "silence":
      if (one.purpose === null) return "The request states no purpose.";
      return partial
        ? `No directive, law or policy in force speaks of sharing the rest${aim}.`
        : `No directive, law or policy in force speaks of sharing this${aim}.`;
  }
}

function ruleSentence(
  one: Reason,
  speaker: string,
  aim: string,
  text: Directive | Overlay | undefined,
  teller: Teller,
): string {
  const path = text?.root === undefined ? undefined : rulesOf(text.root, one.path);
  const words =
    text === undefined || path === undefined
      ? undefined
      : ruleInWords(path, text.validity, teller.naming);
  const plain = {
    what: teller.partial ? "some records" : "this",
    done: "shared",
    whom: "",
    when: "",
  };
  const { what, done, whom, when } = words ?? plain;
  const looks =
    words !== undefined
      ? ""
      : one.matchedOn.length === 0
        ? ", which applies to everything"
        : `, which looks at ${listed(one.matchedOn.map((item) => ATTRIBUTE[item] ?? item))}`;
  const named = one.path.map((id) => `"${id}"`).join(" › ");
  const of = one.directive === null ? "" : ` of directive ${short(one.directive)}`;
  const rule = ` (rule ${named}${of}${looks})`;
  const deed = `${what} to be ${done}${aim}${whom}${when}`;
  if (one.effect === "permit") return `${speaker} allows ${deed}${rule}.`;
  const refuses = `does not allow ${deed}`;
  if (one.unknown.length === 0 && !teller.doubtful) return `${speaker} ${refuses}${rule}.`;
  const open =
    one.unknown.length === 0
      ? "it could not be established whether that is about this record"
      : `${listed(one.unknown.map((item) => ATTRIBUTE[item] ?? item))} could not be established`;
  return `${speaker} may refuse this: ${lower(speaker)} ${refuses}, and ${open}${rule}.`;
}

/** The rules that a path names, from the root down; `undefined` if the path leads nowhere. */
function rulesOf(root: Rule, [first, ...rest]: readonly string[]): readonly Rule[] | undefined {
  if (root.id !== first) return undefined;
  const path = [root];
  for (const id of rest) {
    const next = path.at(-1)!.rules?.find((rule) => rule.id === id);
    if (next === undefined) return undefined;
    path.push(next);
  }
  return path;
}

/** The requirements of a law on a consent. */
function demandOf(text: Directive | Overlay | undefined, { naming }: Teller): string {
  const require = text === undefined || "grantor" in text ? undefined : text.require;
  if (require === undefined) return "";
  const { namesLabel, grantorCapacity, recipientNamed, form } = require;
  const demands = [
    ...(namesLabel === undefined
      ? []
      : [`name ${topicOf(naming.terminology.display(namesLabel.code) ?? namesLabel.code)}`]),
    ...(recipientNamed === true ? ["name who receives it"] : []),
    ...(grantorCapacity === undefined
      ? []
      : [`be given by ${either(grantorCapacity.map((one) => lower(GRANTOR[one])))}`]),
    ...(form === undefined ? [] : [formDemanded(form)]),
  ];
  return demands.length === 0 ? "" : `: it must ${listed(demands)}`;
}

function formDemanded(form: readonly DirectiveForm[]): string {
  const anySignature = !form.includes("oral") && new Set(form).size === 3;
  return anySignature ? "bear a signature" : `be ${either(form.map((one) => FORM[one]))}`;
}

/** A speaker's name as it is written within a sentence. */
const lower = (speaker: string): string => speaker.charAt(0).toLowerCase() + speaker.slice(1);

const listed = (items: readonly string[]): string =>
  items.length < 2
    ? items.join("")
    : `${items.slice(0, -1).join(", ")} and ${items[items.length - 1]!}`;

/** The end of a CID, enough to find it by. */
const short = (cid: CID): string => `…${cid.toString().slice(-8)}`;
