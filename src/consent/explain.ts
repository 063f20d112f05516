import type { Decision, Layer, Reason } from "./decision.ts";
import type { SetAsideReason } from "./lineage.ts";
import { defaultTerminology, type Terminology } from "./terminology.ts";
import { isoInstant } from "./time.ts";

const OUTCOME: Readonly<Record<Decision["outcome"], string>> = {
  permit: "Permitted.",
  deny: "Refused.",
  partial: "Permitted in part: each record decides which of these grounds applies to it.",
  "not-applicable": "Refused, because nobody has said anything that applies.",
  indeterminate: "Refused, because it cannot be told whether a refusal applies.",
};

const SPEAKER: Readonly<Record<Layer, string>> = {
  law: "The law",
  patient: "The patient's directive",
  organisation: "The organisation's default policy",
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
  "zone-unknown": "is dated in a time zone unknown here, so that only its refusals count",
};

/**
 * Says in plain sentences what was decided and why.
 *
 * @param terminology - what codes are called by; default the shipped one
 * @returns one sentence a line; no identifiers of persons beyond what rules are called
 */
export function explain(
  decision: Decision,
  terminology: Terminology = defaultTerminology(),
): string {
  const name = (code: string): string => terminology.display(code) ?? code;
  const lines = [OUTCOME[decision.outcome]];
  const what = decision.outcome === "partial" ? "records" : "this";
  for (const one of decision.reasons) lines.push(sentence(one, name, what, decision.outcome));
  if (decision.outcome === "permit") {
    for (const code of decision.obligations) lines.push(`The recipient must: ${name(code)}.`);
    for (const code of decision.refrains) lines.push(`The recipient is bound to: ${name(code)}.`);
  }
  if (decision.breakGlass === "never") {
    lines.push(
      decision.outcome === "partial"
        ? "For some records a rule says that the glass must never be broken."
        : "A matching rule says that the glass must never be broken here.",
    );
  }
  for (const { directive, why } of decision.setAside) {
    lines.push(`Directive ${short(directive.toString())} ${SET_ASIDE[why]}.`);
  }
  if (decision.expiresAt !== null) {
    lines.push(`This can change after ${isoInstant(decision.expiresAt)}.`);
  }
  return lines.map((line) => line.replace(UNSEEN, "\ufffd")).join("\n");
}

/** What rules and codes are called by others must not begin sentences of its own, or turn one round. */
const UNSEEN = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

function sentence(
  one: Reason,
  name: (code: string) => string,
  what: string,
  outcome: Decision["outcome"],
): string {
  const purpose = one.purpose === null ? "" : ` For ${name(one.purpose)}:`;
  const start = (text: string): string =>
    purpose === "" ? text : `${purpose.trim()} ${text[0]!.toLowerCase()}${text.slice(1)}`;
  const directive = one.directive === null ? "" : ` (${short(one.directive.toString())})`;
  const speaker = `${one.layer === null ? "" : SPEAKER[one.layer]}${directive}`;
  const doubtful = one.unknown.length > 0 || outcome === "indeterminate";
  const says = one.effect === "permit" ? "permits" : doubtful ? "may refuse" : "refuses";
  switch (one.kind) {
    case "rule": {
      const rule = `rule ${one.path.map((id) => `"${id}"`).join(" › ")}`;
      const matched =
        one.matchedOn.length === 0
          ? "applies to everything"
          : `looks at ${listed(one.matchedOn.map((item) => ATTRIBUTE[item] ?? item))}`;
      const doubt =
        one.unknown.length === 0
          ? ""
          : `; but ${listed(one.unknown.map((item) => ATTRIBUTE[item] ?? item))} could not be established`;
      return start(`${speaker} ${says} ${what} by ${rule}, which ${matched}${doubt}.`);
    }
    case "default":
      return start(
        `${speaker} has no rule about ${what === "this" ? what : "some records"} and ${says} what it does not mention.`,
      );
    case "suspended":
      return start(`${speaker} suspends sharing until a later directive resumes it.`);
    case "scope":
      return start(`${speaker} was withdrawn or suspended, perhaps for this record too.`);
    case "ended":
      return start(`${speaker} has ended, and ${says} what no later directive permits.`);
    case "requirement":
      return start(
        what === "this"
          ? `${speaker} demands a more specific consent than there is.`
          : `${speaker} demands, for some records, a more specific consent than there is.`,
      );
    case "obligation":
      return `${what === "this" ? "It" : "Some of it"} would be permitted only by someone able to: ${listed(one.codes.map(name))}.`;
    case "silence":
      return one.purpose === null
        ? "The request states no purpose."
        : start(
            what === "this"
              ? "No directive, law or default policy applies."
              : "No directive, law or default policy applies to the rest.",
          );
  }
}

const listed = (items: readonly string[]): string =>
  items.length < 2
    ? items.join("")
    : `${items.slice(0, -1).join(", ")} and ${items[items.length - 1]!}`;

/** Enough of a CID to find it by. */
const short = (cid: string): string => `…${cid.slice(-8)}`;
