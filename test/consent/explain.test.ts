import { describe, expect, it } from "vitest";
import { compileDirectives, explain, type ExplainOptions } from "../../src/consent/index.ts";
import {
  at,
  confidentiality,
  deny,
  filed,
  labelled,
  onLedger,
  overlay,
  permit,
  requestOf,
  resourceOf,
  sensitivity,
  snapshotOf,
  type Case,
} from "./support.ts";

// Each sentence was written by hand, from what the case says, before it was compared.

const HIV = sensitivity("HIV");
const hivRecord = { labels: labelled(HIV, confidentiality("R")) };
const careButHiv = filed("a", {
  to: "2026-12-31",
  root: permit(
    { purposes: ["TREAT"] },
    { id: "care", rules: [deny({ data: { labels: [HIV] } }, { id: "no-hiv" })] },
  ),
});
const open = filed("open", { root: permit({}, { id: "open" }) });
const toB = { actors: [{ type: "organisation" as const, id: "hospital-b" }] };

/** The lines of an explanation, names of directives left out. */
function lines(item: Omit<Case, "then">, options: ExplainOptions = {}): string[] {
  const snapshot = snapshotOf(item.given ?? [], item.facts);
  const decision = compileDirectives(snapshot).evaluate(
    requestOf(item.asked),
    resourceOf(item.about),
    at(item.on ?? "2024-06-15"),
    { supportedObligations: item.supportedObligations ?? [] },
  );
  return explain(decision, { snapshot, ...options })
    .split("\n")
    .map((line) => line.replace(/ of directive …\w{8}/g, "").replace(/…\w{8}/g, "…"));
}

interface Row extends Omit<Case, "then"> {
  readonly says: readonly string[];
}

const rows: readonly Row[] = [
  {
    it: "a refusal: which sensitivity, for what, until when",
    given: [careButHiv],
    about: hivRecord,
    says: [
      "Refused.",
      'The patient does not allow records about HIV/AIDS to be shared for treatment until 31 December 2026 (rule "care" › "no-hiv").',
      "This can change after 2026-12-31T23:59:59.999Z.",
    ],
  },
  {
    it: "a refusal without end",
    given: [
      filed("a", {
        root: permit({}, { rules: [deny({ data: { labels: [HIV] } }, { id: "no-hiv" })] }),
      }),
    ],
    about: hivRecord,
    says: [
      "Refused.",
      'The patient does not allow records about HIV/AIDS to be shared for treatment (rule "permit" › "no-hiv").',
    ],
  },
  {
    it: "a permit, and whom it is for where the caller says what he is called",
    given: [filed("a", { root: permit({ ...toB, actions: ["access", "use"] }, { id: "b" }) })],
    says: [
      "Permitted.",
      'The patient allows records to be looked at or used for treatment with Hospital B (rule "b").',
    ],
  },
  {
    it: "a sensitivity that could not be told",
    given: [careButHiv],
    about: { labels: null },
    says: [
      "Refused, because it cannot be told whether a refusal applies.",
      'The patient may refuse this: the patient does not allow records about HIV/AIDS to be shared for treatment until 31 December 2026, and the sensitivity of the record could not be established (rule "care" › "no-hiv").',
      "This can change after 2026-12-31T23:59:59.999Z.",
    ],
  },
  {
    it: "a time that could not be told",
    given: [
      filed("a", {
        root: permit(
          {},
          {
            id: "all",
            rules: [
              deny({ data: { period: { from: "2023-05", to: "2023-06" } } }, { id: "that summer" }),
            ],
          },
        ),
      }),
    ],
    about: { period: {} },
    says: [
      "Refused, because it cannot be told whether a refusal applies.",
      'The patient may refuse this: the patient does not allow records of what happened from May 2023 until the end of June 2023 to be shared for treatment, and when the record\'s content happened could not be established (rule "all" › "that summer").',
    ],
  },
  {
    it: "who is asking could not be told",
    given: [
      filed("a", {
        root: permit(
          {},
          {
            id: "all",
            rules: [deny({ actors: [{ type: "person", id: "x" }] }, { id: "not-him" })],
          },
        ),
      }),
    ],
    asked: { user: undefined! },
    says: [
      "Refused, because it cannot be told whether a refusal applies.",
      'The patient may refuse this: the patient does not allow records to be shared for treatment with a person whom the rule names, and who is asking could not be established (rule "all" › "not-him").',
    ],
  },
  {
    it: "a refusal of what may be outside its scope",
    given: [filed("a", { controller: "hospital-a", root: deny({}, { id: "nothing" }) })],
    about: { controller: undefined! },
    says: [
      "Refused, because it cannot be told whether a refusal applies.",
      'The patient may refuse this: the patient does not allow records to be shared for treatment, and it could not be established whether that is about this record (rule "nothing").',
    ],
  },
  {
    it: "levels of confidentiality, kinds, codes, parts and a label of one's own",
    given: [
      filed("a", {
        root: deny(
          {
            data: {
              labels: [confidentiality("R"), { system: "urn:Ours", code: "VIP-Ward" }],
              types: ["Observation"],
              codes: [{ system: "http://loinc.org", code: "2339-0" }],
              parts: ["content"],
            },
          },
          { id: "x" },
        ),
      }),
    ],
    about: { labels: labelled(confidentiality("V")) },
    says: [
      "Refused.",
      'The patient does not allow records that are restricted or more confidential or labelled VIP-Ward of urn:Ours of the kind Observation with the code 2339-0 of http://loinc.org in their part content to be shared for treatment (rule "x").',
    ],
  },
  {
    it: "a purpose that is called nothing keeps its letters",
    given: [filed("a", { root: deny({ purposes: ["urn:Ours|BOARD"] }, { id: "x" }) })],
    asked: { purposes: ["urn:Ours|BOARD"] },
    says: [
      "Refused.",
      'The patient does not allow records to be shared for urn:Ours|BOARD (rule "x").',
    ],
  },
  {
    it: "a default that refuses",
    given: [filed("a", { default: "deny", root: permit({ purposes: ["HRESCH"] }) })],
    says: [
      "Refused.",
      "The patient has said nothing else about this record, and does not allow what is not mentioned to be shared for treatment (directive …).",
    ],
  },
  {
    it: "a default of the organisation that permits",
    facts: {
      organisation: onLedger([
        filed("org", { default: "permit", root: deny({ purposes: ["HMARKT"] }) }),
      ]),
    },
    says: [
      "Permitted.",
      "The organisation has said nothing else about this record, and allows what is not mentioned to be shared for treatment (directive …).",
    ],
  },
  {
    it: "a suspension",
    given: [open, filed("s", { mode: "suspend", after: ["open"] })],
    says: [
      "Refused.",
      "The patient has stopped sharing until saying otherwise, also for treatment (directive …).",
    ],
  },
  {
    it: "a revocation that may be about the record",
    given: [open, filed("s", { mode: "revoke", after: ["open"], controller: "hospital-a" })],
    about: { controller: undefined! },
    says: [
      "Refused, because it cannot be told whether a refusal applies.",
      "The patient may refuse this record: consent was withdrawn or suspended, and it cannot be told whether for this too (directive …).",
    ],
  },
  {
    it: "a consent that has ended",
    given: [filed("a", { to: "2024-05-31", default: "deny", root: permit() })],
    says: [
      "Refused.",
      "What the patient allowed had an end (31 May 2024), and what is not allowed stays refused for treatment (directive …).",
      "The patient's directive … is no longer in force.",
    ],
  },
  {
    it: "a guardian whose time is over",
    given: [filed("m", { by: "mother", capacity: "guardian", default: "deny", root: permit() })],
    facts: { capacities: [{ actor: "mother", capacity: "guardian", to: at("2024-05-31") }] },
    says: [
      "Refused.",
      "What the patient's guardian allowed has ended, and what is not allowed stays refused for treatment (directive …).",
      "The patient's guardian's directive … was given by someone who no longer speaks for the patient.",
    ],
  },
  {
    it: "somebody who could not speak for the patient",
    given: [
      filed(
        "d",
        { by: "daughter", capacity: "proxy", root: permit() },
        { recordedAt: at("2024-01-01") },
      ),
    ],
    says: [
      "Refused, because nobody has said anything that applies.",
      "No directive, law or policy in force speaks of sharing this for treatment.",
      "The patient's proxy's directive … was given by someone who could not speak for the patient then.",
    ],
  },
  {
    it: "a directive that is void",
    given: [filed("v", { root: permit() }, { void: "signature" })],
    says: [
      "Refused, because nobody has said anything that applies.",
      "No directive, law or policy in force speaks of sharing this for treatment.",
      "The patient's directive … is void.",
    ],
  },
  {
    it: "what was filed in ignorance of something newer",
    given: [open, filed("late", { mode: "amend", root: deny({}, { id: "no" }) })],
    says: [
      "Refused.",
      'The patient does not allow records to be shared for treatment (rule "no").',
      "The patient's directive … was given without knowledge of a newer one, so that only its refusals count until that is settled.",
    ],
  },
  {
    it: "a zone that nobody knows",
    given: [filed("z", { zone: "Nowhere/Known", root: deny({}, { id: "no" }) })],
    says: [
      "Refused.",
      'The patient does not allow records to be shared for treatment (rule "no").',
      "The patient's directive … is dated in a time zone unknown here, so that only its refusals count.",
    ],
  },
  {
    it: "a directive that has not begun",
    given: [filed("f", { from: "2025-03-01", root: permit() })],
    says: [
      "Refused, because nobody has said anything that applies.",
      "No directive, law or policy in force speaks of sharing this for treatment.",
      "The patient's directive … is not yet in force.",
      "This can change after 2025-02-28T23:59:59.999Z.",
    ],
  },
  {
    it: "what the law demands",
    given: [open],
    facts: {
      overlays: [
        overlay(deny(), {
          require: {
            namesLabel: sensitivity("SUD"),
            recipientNamed: true,
            grantorCapacity: ["self", "guardian"],
          },
        }),
      ],
    },
    says: [
      "Refused.",
      'The patient allows records to be shared for treatment (rule "open").',
      "The law demands more of a consent than there is for treatment: it must name substance use disorder, name who receives it and be given by the patient or the patient's guardian.",
    ],
  },
  {
    it: "what the law says outright",
    given: [open],
    facts: {
      overlays: [overlay(deny({ data: { labels: [HIV] } }, { id: "statute" }))],
    },
    about: hivRecord,
    says: [
      "Refused.",
      'The law does not allow records about HIV/AIDS to be shared for treatment (rule "statute").',
    ],
  },
  {
    it: "a duty that nobody here can carry out",
    given: [filed("a", { root: permit({}, { id: "a", obligations: ["DELAU"] }) })],
    says: [
      "Refused.",
      'The patient allows records to be shared for treatment (rule "a").',
      "It would be permitted only to someone able to: delete after use.",
    ],
  },
  {
    it: "a duty that goes with what is given",
    given: [
      filed("a", {
        root: permit({}, { id: "a", obligations: ["DELAU"], refrains: ["NORDSCLCD"] }),
      }),
    ],
    supportedObligations: ["DELAU"],
    says: [
      "Permitted.",
      'The patient allows records to be shared for treatment (rule "a").',
      "The recipient must: delete after use.",
      "The recipient is bound to: no redisclosure without consent directive.",
    ],
  },
  {
    it: "an emergency that the patient excluded",
    given: [
      filed("a", { root: deny({ data: { labels: [HIV] } }, { id: "no", breakGlass: "never" }) }),
    ],
    asked: { purposes: ["BTG"] },
    about: hivRecord,
    says: [
      "Refused.",
      'The patient does not allow records about HIV/AIDS to be shared in an emergency (break the glass) (rule "no").',
      "A rule says that the glass must never be broken, not even in an emergency.",
    ],
  },
  {
    it: "a rule's own end, where it comes before the directive's",
    given: [
      filed("a", {
        to: "2026",
        root: deny({ validity: { from: "2024-02-01", to: "2024-12" } }, { id: "this-year" }),
      }),
    ],
    says: [
      "Refused.",
      'The patient does not allow records to be shared for treatment from 1 February 2024 until the end of December 2024 (rule "this-year").',
      "This can change after 2024-12-31T23:59:59.999Z.",
    ],
  },
  {
    it: "a request for nothing",
    given: [open],
    asked: { purposes: [] },
    says: [
      "Refused, because it cannot be told whether a refusal applies.",
      "The request states no purpose.",
    ],
  },
];

describe("explain", () => {
  it.each(rows.map((row) => [row.it, row] as const))("tells a patient of %s", (_, row) => {
    const nameOf: ExplainOptions["nameOf"] = ({ id }) =>
      id === "hospital-b" ? "Hospital B" : undefined;
    expect(lines(row, { nameOf })).toEqual(row.says);
  });

  it("names what a rule looks at where it is not told what was decided on", () => {
    expect(
      lines({ it: "", given: [careButHiv], about: hivRecord }, { snapshot: undefined! })[1],
    ).toBe(
      'The patient does not allow this to be shared for treatment (rule "care" › "no-hiv", which looks at the sensitivity of the record).',
    );
  });

  it("speaks of some records before any is at hand", () => {
    const snapshot = snapshotOf([careButHiv]);
    const decision = compileDirectives(snapshot).evaluateRequest(requestOf(), at("2024-06-15"));
    expect(
      explain(decision, { snapshot })
        .replace(/ of directive …\w{8}/g, "")
        .split("\n"),
    ).toEqual([
      "Permitted in part: each record decides which of these grounds applies to it.",
      'The patient allows records to be shared for treatment until 31 December 2026 (rule "care").',
      'The patient does not allow records about HIV/AIDS to be shared for treatment until 31 December 2026 (rule "care" › "no-hiv").',
      "This can change after 2026-12-31T23:59:59.999Z.",
    ]);
  });
});
