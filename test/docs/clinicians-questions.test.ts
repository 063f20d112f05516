import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  explain,
  part2Overlay,
  type Decision,
  type Directive,
  type Rule,
  type When,
} from "../../src/consent/index.ts";
import type { Question } from "../../src/ledger/disclosure/question.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { treatmentOnly } from "../support/hospital.ts";
import { bytesFor, START } from "../support/ledger.ts";
import { opened, revoking, ward, type Ward } from "../support/ward.ts";

// The twenty decisions of docs/guide/clinicians-questions.md, each over the whole path: FHIR text
// recorded, consents filed, the question asked, and what is released. Outcomes and what is released
// were written here by hand; what the page shows is what is said.

const page = readFileSync(
  new URL("../../docs/guide/clinicians-questions.md", import.meta.url),
  "utf8",
);

const label = (code: string) => ({
  system: `http://terminology.hl7.org/CodeSystem/v3-${code.length === 1 ? "Confidentiality" : "ActCode"}`,
  code,
});
const stamp = { labeller: "records office", version: "1" };
const observation = (id: string, more: object = {}): string =>
  JSON.stringify({
    resourceType: "Observation",
    id,
    status: "final",
    code: { coding: [{ system: "http://loinc.org", code: "8480-6" }] },
    subject: { reference: "Patient/p1" },
    effectiveDateTime: "2025-11-03T10:15:00Z",
    ...more,
  });

/** What the hospital holds of this patient, by the names that the page gives. */
const RECORDS = {
  "an HIV test": [observation("hiv"), ["HIV", "R"]],
  "a blood pressure": [observation("pressure"), ["N"]],
  "a note that nobody has labelled": [observation("note", { note: [{ text: "He said…" }] }), null],
  "a note on his drinking": [observation("alcohol"), ["ETHUD", "R"]],
  "a blood pressure without a date": [
    observation("undated", { effectiveDateTime: undefined }),
    ["N"],
  ],
} as const;

type Name = keyof typeof RECORDS;

const rule = (
  id: string,
  effect: Rule["effect"],
  when: When,
  rules: readonly Rule[] = [],
): Rule => ({
  id,
  effect,
  combine: "deny-overrides",
  when,
  ...(rules.length > 0 && { rules }),
});
const TREAT = { purposes: ["TREAT"] };
const ABOUT_HIV = { data: { labels: [label("HIV")] } };
const butHiv = rule("care", "permit", TREAT, [rule("no HIV", "deny", ABOUT_HIV)]);
const named = (w: Ward, ...rules: readonly Rule[]): Rule =>
  rule(
    "the clinic",
    "permit",
    {
      ...TREAT,
      actors: [{ type: "organisation", id: w.b.signer.actor }],
    },
    rules,
  );

const HIV_APART =
  "Whoever treats him may see everything until the end of 2026, but nothing about HIV.";

interface Scenario {
  readonly question: string;
  readonly said: string;
  readonly record: Name;
  readonly options?: Parameters<typeof ward>[0];
  readonly given: (w: Ward) => Promise<unknown>;
  readonly asked?: Partial<Question>;
  readonly by?: "b" | "c";
  readonly after?: number;
  readonly emergency?: boolean;
  readonly then: Decision["outcome"];
  /** Whether the record is released when it is asked for. */
  readonly released: boolean;
}

const consent =
  (root: Rule, change: Partial<Directive> = {}) =>
  async (w: Ward) =>
    w.permit({ root, default: "none", validity: { from: START - 1000, zone: "UTC" }, ...change });
const hivApart = consent(butHiv, {
  default: "deny",
  validity: { from: "2025-12-01", to: "2026-12-31", zone: "UTC" },
});
const DAY = 86_400_000;
const privileged = { breakGlass: { roles: ["emergency-physician"] } };

/** Permits treatment, and then suspends or revokes that. */
const stopped = (change: Partial<Directive>) => async (w: Ward) => {
  const first = await consent(rule("care", "permit", TREAT))(w);
  const { category: _, ...rest } = revoking(w.patient, { ...change, predecessors: [first] });
  return w.hl.consent(w.me, rest, { signer: w.patient });
};

const HIV_FOR_THE_CLINIC: Pick<Scenario, "said" | "record" | "given"> = {
  said: "Nobody may see anything about HIV, but for the clinic that treats it.",
  record: "an HIV test",
  given: async (w) =>
    consent(rule("care", "permit", TREAT, [rule("no HIV", "deny", ABOUT_HIV, [named(w)])]))(w),
};

const SCENARIOS: readonly Scenario[] = [
  {
    question: "May the clinic see his HIV test?",
    said: HIV_APART,
    record: "an HIV test",
    given: hivApart,
    then: "deny",
    released: false,
  },
  {
    question: "And his blood pressure?",
    said: HIV_APART,
    record: "a blood pressure",
    given: hivApart,
    then: "permit",
    released: true,
  },
  {
    question: "Why can the clinic not read the note?",
    said: HIV_APART,
    record: "a note that nobody has labelled",
    given: hivApart,
    then: "indeterminate",
    released: false,
  },
  {
    question: "May his blood pressure go into a study?",
    said: HIV_APART,
    record: "a blood pressure",
    given: hivApart,
    asked: { purposes: ["HRESCH"] },
    then: "deny",
    released: false,
  },
  {
    question: "The clinic treats his HIV. May it see the test?",
    ...HIV_FOR_THE_CLINIC,
    then: "permit",
    released: true,
  },
  {
    question: "May the institute see it too?",
    ...HIV_FOR_THE_CLINIC,
    by: "c",
    then: "deny",
    released: false,
  },
  {
    question: "He gave the clinic leave for January. It is February.",
    said: "The clinic may see everything for treatment until 31 January 2026; nobody may see the rest.",
    record: "a blood pressure",
    given: async (w) =>
      consent(named(w), {
        default: "deny",
        validity: { from: "2025-12-01", to: "2026-01-31", zone: "UTC" },
      })(w),
    after: 40 * DAY,
    then: "deny",
    released: false,
  },
  {
    question: "His consent begins in March. It is January.",
    said: "From 1 March 2026 on, whoever treats him may see everything.",
    record: "a blood pressure",
    given: consent(rule("care", "permit", TREAT), {
      validity: { from: "2026-03-01", zone: "UTC" },
    }),
    then: "not-applicable",
    released: false,
  },
  {
    question: "Nobody has asked him yet. May the clinic see his blood pressure?",
    said: "Nothing.",
    record: "a blood pressure",
    given: async () => undefined,
    then: "not-applicable",
    released: false,
  },
  {
    question: "Nobody has asked him yet, but the hospital has a policy.",
    said: "Nothing. The hospital's policy: for treatment, whoever treats may see everything.",
    record: "a blood pressure",
    options: {
      policy: {
        defaults: [
          {
            v: 1,
            lineage: "policy",
            predecessors: [],
            mode: "replace",
            grantor: { actor: "the hospital", capacity: "self", evidence: [] },
            basis: { uri: "urn:example:policy", version: "1" },
            validity: { from: "2020", zone: "UTC" },
            default: "none",
            root: rule("policy", "permit", TREAT),
          },
        ],
      },
    },
    given: async () => undefined,
    then: "permit",
    released: true,
  },
  {
    question: "He wants everything stopped while he thinks it over.",
    said: "Whoever treats him may see everything. Then: stop all of it for now.",
    record: "a blood pressure",
    given: stopped({ mode: "suspend" }),
    then: "deny",
    released: false,
  },
  {
    question: "He has taken his consent back.",
    said: "Whoever treats him may see everything. Then: I take that back.",
    record: "a blood pressure",
    given: stopped({}),
    then: "not-applicable",
    released: false,
  },
  {
    question: "An old form turns up on which he refused.",
    said: "Whoever treats him may see everything. Filed later, and made without knowing of that: nothing to anybody.",
    record: "a blood pressure",
    given: async (w) => {
      await consent(rule("care", "permit", TREAT))(w);
      return consent(rule("old form", "deny", {}), { mode: "amend" })(w);
    },
    then: "deny",
    released: false,
  },
  {
    question: "One doctor must not see it, and the clinic does not say who is reading.",
    said: "Whoever treats him may see everything, but for his brother-in-law, who is a doctor.",
    record: "a blood pressure",
    given: consent(
      rule("care", "permit", TREAT, [
        rule("not him", "deny", {
          actors: [{ type: "person", id: "Practitioner/brother-in-law" }],
        }),
      ]),
    ),
    then: "indeterminate",
    released: false,
  },
  {
    question: "It is an emergency, and he said never.",
    said: "Nothing about HIV to anybody, not even in an emergency.",
    record: "an HIV test",
    options: privileged,
    given: consent({ ...rule("no HIV", "deny", ABOUT_HIV), breakGlass: "never" }),
    asked: { purposes: ["BTG"] },
    emergency: true,
    then: "deny",
    released: false,
  },
  {
    question: "It is an emergency, and he only said no.",
    said: "Nothing about HIV to anybody.",
    record: "an HIV test",
    options: privileged,
    given: consent(rule("no HIV", "deny", ABOUT_HIV)),
    asked: { purposes: ["BTG"] },
    emergency: true,
    then: "deny",
    released: true,
  },
  {
    question: "His mother consented for him. He is of age since yesterday.",
    said: "His mother, as his guardian: whoever treats him may see everything, and nobody the rest.",
    record: "a blood pressure",
    given: async (w) => {
      const mother = memorySigner({ alg: "Ed25519", secret: bytesFor("mother") });
      const { actor, alg, publicKey } = mother;
      await w.hl.attest(w.me, { actor, alg, publicKey, capacity: "guardian", to: START + 9 * DAY });
      const { category: _, ...rest } = treatmentOnly(mother, {
        grantor: { actor, capacity: "guardian", evidence: [] },
        root: rule("care", "permit", TREAT),
      });
      return w.hl.consent(w.me, rest, { signer: mother });
    },
    after: 10 * DAY,
    then: "deny",
    released: false,
  },
  {
    question: "He agreed to everything. May the clinic read about his drinking?",
    said: "Whoever treats him may see everything. The law (42 CFR Part 2) wants more for addiction records.",
    record: "a note on his drinking",
    options: {
      policy: {
        overlays: [part2Overlay()],
        supportedObligations: ["PRIVMARK"],
        jurisdictions: ["US"],
      },
    },
    given: consent(rule("care", "permit", TREAT)),
    then: "deny",
    released: false,
  },
  {
    question: "He signed the form for addiction records, for this clinic.",
    said: "The clinic may see what is about addiction, for treatment.",
    record: "a note on his drinking",
    options: {
      policy: {
        overlays: [part2Overlay()],
        supportedObligations: ["PRIVMARK"],
        jurisdictions: ["US"],
      },
    },
    given: async (w) =>
      consent(
        rule("addiction form", "permit", {
          ...TREAT,
          actors: [{ type: "organisation", id: w.b.signer.actor }],
          data: { labels: [label("SUD")] },
        }),
      )(w),
    then: "permit",
    released: true,
  },
  {
    question: "Nothing of last summer, he said. When was this measured?",
    said: "Whoever treats him may see everything, but nothing of June to August 2025.",
    record: "a blood pressure without a date",
    given: consent(
      rule("care", "permit", TREAT, [
        rule("not that summer", "deny", { data: { period: { from: "2025-06", to: "2025-08" } } }),
      ]),
    ),
    then: "indeterminate",
    released: false,
  },
];

/** The section of the page that a decision has. */
const sectionOf = (at: number, { question, said, record }: Scenario, lines: readonly string[]) =>
  `### ${at + 1}. "${question}"\n\n` +
  `**He said.** ${said}\n**The record.** ${record[0]!.toUpperCase()}${record.slice(1)}.\n\n` +
  `\`\`\`\n${lines.join("\n")}\n\`\`\`\n`;

async function run(scenario: Scenario) {
  const { record, given, asked = {}, by = "b", after = 0, emergency } = scenario;
  const w = await ward(scenario.options ?? {});
  const [text, codes] = RECORDS[record];
  const labels = codes === null ? null : { codes: codes.map(label), stamp };
  await w.hl.record(w.me, text, { labels });
  await given(w);
  w.clock.now += after;
  const purposes = asked.purposes ?? ["TREAT"];
  const question = { requester: w[by].signer.actor, purposes };
  const { records, facts } = await w.hl.decide(w.me, question);
  const { decision } = records[0]!;
  const answer = await w.ask(w[by], {
    purposes,
    ...(emergency === true && {
      roles: [{ code: "emergency-physician", attestedBy: w[by].signer.actor }],
      declaration: { reason: "unconscious", until: w.clock.now + 60_000 },
    }),
  });
  const released = (await opened(answer)).length === 1;
  const nameOf = ({ id }: { readonly id: string }) =>
    id === w.b.signer.actor ? "the clinic" : undefined;
  const lines = explain(decision, { snapshot: facts, nameOf })
    .replace(/ of directive …\w{8}/g, "")
    .replace(/ \(directive …\w{8}\)| …\w{8}/g, "")
    .split("\n");
  return { outcome: decision.outcome, released, lines };
}

describe("docs/guide/clinicians-questions.md", () => {
  it("explains twenty decisions, each once", () => {
    expect(SCENARIOS).toHaveLength(20);
    expect(new Set(SCENARIOS.map((one) => one.question)).size).toBe(20);
    expect(page.match(/^### \d+\. /gm)).toHaveLength(20);
  });

  it.each(SCENARIOS.map((one, at) => [one.question, one, at] as const))(
    "says what is decided, and releases what it says: %s",
    async (_, scenario, at) => {
      const { outcome, released, lines } = await run(scenario);
      if (process.env["SHOW"] !== undefined) console.log(sectionOf(at, scenario, lines));
      expect({ outcome, released }).toEqual({
        outcome: scenario.then,
        released: scenario.released,
      });
      expect(page).toContain(sectionOf(at, scenario, lines));
    },
  );
});
