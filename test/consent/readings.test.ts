import { describe, expect, it } from "vitest";
import type { CapacityFact } from "../../src/consent/index.ts";
import {
  at,
  confidentiality,
  decide,
  deny,
  filed,
  labelled,
  onLedger,
  overlay,
  permit,
  sensitivity,
  type Case,
} from "./support.ts";

// What docs/spec/directive.md settles of what could be read in two ways; each outcome was worked
// out by hand from the page.

const all = filed("all", { root: permit({}, { id: "all" }) });
/** Permits everything but what an exception says. */
const but = (exception: Parameters<typeof deny>[0]) =>
  filed("but", { root: permit({}, { id: "all", rules: [deny(exception)] }) });
const emergency = { purposes: ["BTG"] };
const never = filed("never", { root: permit({}, { breakGlass: "never" }) });
const psychiatry = { data: { labels: [sensitivity("PSY")] } };
const allowedAgain = filed("b", {
  mode: "amend",
  after: ["never"],
  root: permit(psychiatry, { breakGlass: "allowed" }),
});
const NOWHERE = "Nowhere/Known";
const unlabelled = { labels: null };

/** The daughter speaks of payment alone. */
const daughter: CapacityFact = {
  actor: "daughter",
  capacity: "proxy",
  by: { actor: "patient", capacity: "self" },
  scope: { data: { labels: [confidentiality("N")] } },
};

const byDaughter = { by: "daughter", capacity: "proxy" as const };

const tables: Readonly<Record<string, readonly Case[]>> = {
  "the name of a record": [
    {
      it: "is its type and id",
      given: [but({ data: { refs: [{ meaning: "instance", reference: "Observation/1" }] } })],
      then: "deny",
    },
    {
      it: "may be what a bare id names",
      given: [but({ data: { refs: [{ meaning: "instance", reference: "1" }] } })],
      then: "indeterminate",
    },
  ],
  "a label that the terminology does not know": [
    {
      it: "of the record may be the one refused",
      given: [but(psychiatry)],
      about: { labels: labelled({ system: "urn:ours", code: "SECRET" }, confidentiality("N")) },
      then: "indeterminate",
    },
    {
      it: "of the rule may be what the record has",
      given: [but({ data: { labels: [{ system: "urn:ours", code: "SECRET" }] } })],
      then: "indeterminate",
    },
  ],
  "a revocation or suspension of unknown reach": [
    {
      it: "of records of an organisation leaves those of nobody knows whom in doubt",
      given: [
        all,
        filed("r", { mode: "revoke", after: ["all"], root: undefined!, controller: "hospital-a" }),
      ],
      about: { controller: undefined! },
      then: "indeterminate",
    },
    {
      it: "does so whether it suspends or revokes",
      given: [all, filed("s", { mode: "suspend", after: ["all"], controller: "hospital-a" })],
      about: { controller: undefined! },
      then: "indeterminate",
    },
    {
      it: "takes no older refusal back",
      given: [
        filed("no", { root: deny() }),
        filed("r", { mode: "revoke", after: ["no"], zone: NOWHERE }),
      ],
      facts: { organisation: onLedger([filed("org", { lineage: "org", root: permit() })]) },
      then: "indeterminate",
    },
    {
      it: "dated in an unknown zone may not have begun",
      given: [filed("all", {}), filed("s", { mode: "suspend", after: ["all"], zone: NOWHERE })],
      then: "indeterminate",
    },
    {
      it: "leaves what was contested before it contested",
      given: [
        all,
        filed("late", { mode: "amend", root: deny() }),
        filed("r", { mode: "revoke", after: ["all"], zone: NOWHERE }),
        filed("new", { after: ["r"] }),
      ],
      then: "deny",
    },
    {
      it: "surely in force ends what was contested before it",
      given: [
        all,
        filed("late", { mode: "amend", root: deny() }),
        filed("r", { mode: "revoke", after: ["all"] }),
        filed("new", { after: ["r"] }),
      ],
      then: "permit",
    },
    {
      it: "beneath a replacement that may not be a proxy's to give is in doubt as a refusal is",
      given: [
        filed("s", { mode: "suspend" }),
        filed("d", { ...byDaughter, after: ["s"], root: permit() }),
      ],
      facts: { capacities: [daughter] },
      about: unlabelled,
      then: "indeterminate",
      because: ["scope"],
    },
    {
      it: "and there a refusal gives the same",
      given: [
        filed("no", { root: deny() }),
        filed("d", { ...byDaughter, after: ["no"], root: permit() }),
      ],
      facts: { capacities: [daughter] },
      about: unlabelled,
      then: "indeterminate",
    },
  ],
  "a record under a country": [
    {
      it: "may be under the part that a refusal is bounded to",
      given: [
        filed("a", { jurisdictions: ["US-CA"], root: deny() }),
        filed("b", { lineage: "b", root: permit() }),
      ],
      then: "indeterminate",
    },
    {
      it: "is not under another country's part",
      given: [
        filed("a", { jurisdictions: ["DE-BY"], root: deny() }),
        filed("b", { lineage: "b", root: permit() }),
      ],
      then: "permit",
    },
  ],
  "a demand of the law": [
    {
      it: "leaves the patient's word in doubt where that is in doubt",
      given: [but(psychiatry)],
      facts: { overlays: [overlay(deny(), { require: { namesLabel: sensitivity("PSY") } })] },
      about: unlabelled,
      then: "indeterminate",
      not: ["requirement"],
    },
    {
      it: "refuses where the patient says nothing",
      facts: { overlays: [overlay(deny(), { require: { recipientNamed: true } })] },
      then: "deny",
      because: ["requirement"],
    },
    {
      it: "dated in an unknown zone is made all the same",
      given: [all],
      facts: {
        overlays: [
          overlay(deny(), {
            require: { recipientNamed: true },
            validity: { from: "2000", zone: NOWHERE },
          }),
        ],
      },
      then: "deny",
    },
  ],
  "a law dated in an unknown zone": [
    {
      it: "permits nothing, since it may have ended",
      given: [filed("no", { root: deny() })],
      facts: { overlays: [overlay(permit(), { validity: { from: "2000", zone: NOWHERE } })] },
      then: "deny",
    },
    {
      it: "leaves what it refuses in doubt",
      given: [all],
      facts: { overlays: [overlay(deny(), { validity: { from: "2000", zone: NOWHERE } })] },
      then: "indeterminate",
    },
  ],
  "a statement dated in an unknown zone": [
    {
      it: "that replaces withholds the permits of what it may have ended",
      given: [
        all,
        filed("b", { after: ["all"], zone: NOWHERE, root: permit({ purposes: ["HRESCH"] }) }),
      ],
      then: "not-applicable",
    },
    {
      it: "that amends withholds none",
      given: [
        all,
        filed("b", {
          mode: "amend",
          after: ["all"],
          zone: NOWHERE,
          root: permit({ purposes: ["HRESCH"] }),
        }),
      ],
      then: "permit",
    },
    {
      it: "refuses still where a statement bounded to some records settled what it was contested by",
      given: [
        all,
        filed("late", { mode: "amend", zone: NOWHERE, root: deny() }),
        filed("s", { mode: "amend", after: ["all", "late"], controller: "hospital-a" }),
      ],
      then: "deny",
    },
    {
      it: "is ended by what replaces it",
      given: [
        filed("a", { zone: NOWHERE, root: deny() }),
        filed("b", { after: ["a"], root: permit() }),
      ],
      then: "permit",
    },
  ],
  "a refusal of one person, care team or group": [
    ...(["person", "care-team", "group"] as const).map((type): Case => ({
      it: `holds perhaps where no user is named: ${type}`,
      given: [but({ actors: [{ type, id: "other" }] })],
      asked: { user: undefined! },
      then: "indeterminate",
    })),
    {
      it: "does not where it is of an organisation that is not asking",
      given: [but({ actors: [{ type: "organisation", id: "other" }] })],
      asked: { user: undefined! },
      then: "permit",
    },
  ],
  "a category": [
    {
      it: "research decides about what is below research",
      given: [filed("a", { category: "research", root: permit() })],
      asked: { purposes: ["CLINTRCH"] },
      then: "permit",
    },
    {
      it: "research says nothing of treatment, though trials stand below it",
      given: [filed("a", { category: "research", default: "deny", root: deny() })],
      then: "not-applicable",
    },
    {
      it: "research may be meant where any purpose at all is",
      given: [filed("a", { category: "research", root: deny() })],
      asked: { purposes: ["PurposeOfUse"] },
      then: "indeterminate",
    },
    {
      it: "that nobody knows permits nothing",
      given: [filed("a", { category: "surgery", root: permit() })],
      then: "not-applicable",
    },
    {
      it: "that nobody knows leaves what it refuses in doubt",
      given: [filed("a", { category: "surgery", root: deny() })],
      then: "indeterminate",
    },
  ],
  "what is contested and has ended": [
    {
      it: "withholds what it may have been meant to end",
      given: [all, filed("late", { to: "2024-05-31", root: deny() })],
      then: "not-applicable",
    },
    {
      it: "withholds nothing where it only amends",
      given: [all, filed("late", { mode: "amend", to: "2024-05-31", root: deny() })],
      then: "permit",
    },
  ],
  "a refusal of what is related": [
    {
      it: "reaches what it refers to",
      given: [but({ data: { refs: [{ meaning: "related", reference: "Procedure/1" }] } })],
      about: { referredBy: ["Procedure/1"] },
      then: "deny",
    },
    {
      it: "and not what refers to it",
      given: [but({ data: { refs: [{ meaning: "related", reference: "Procedure/1" }] } })],
      about: { referredBy: [], references: ["Procedure/1"] },
      then: "permit",
    },
  ],
  "the first statement": [
    {
      it: "is current where it names one that was void",
      given: [
        filed("v", { root: deny() }, { void: "signature" }),
        filed("a", { after: ["v"], root: permit() }),
      ],
      then: "permit",
    },
    {
      it: "is contested where it names one that nobody filed",
      given: [filed("a", { after: ["elsewhere"], root: permit() })],
      then: "not-applicable",
      because: ["aside contested"],
    },
    {
      it: "is the first also before it begins, so that who does not name it is contested",
      given: [filed("a", { from: "2030", root: deny() }), filed("b", { root: permit() })],
      then: "not-applicable",
      because: ["aside contested"],
    },
  ],
  "a grant that does not say when it began": [
    {
      it: "lasts no longer than the capacity of who gave it",
      given: [filed("d", { ...byDaughter, root: permit() })],
      facts: {
        capacities: [
          { actor: "daughter", capacity: "proxy", by: { actor: "patient", capacity: "self" } },
          { actor: "patient", capacity: "self", to: at("2024-05-31") },
        ],
      },
      then: "not-applicable",
      because: ["aside capacity-lost"],
    },
    {
      it: "where it says so it outlasts it",
      given: [filed("d", { ...byDaughter, root: permit() })],
      facts: {
        capacities: [
          {
            actor: "daughter",
            capacity: "proxy",
            by: { actor: "patient", capacity: "self" },
            from: at("2024-01-01"),
          },
          { actor: "patient", capacity: "self", to: at("2024-05-31") },
        ],
      },
      then: "permit",
    },
  ],
  "what a settled dispute leaves": [
    {
      it: "counts at its own place: the newer of the two first",
      given: [
        all,
        filed("late", { mode: "amend", root: deny({}, { id: "late" }) }),
        filed("s", { mode: "amend", after: ["all", "late"], root: permit(emergency) }),
      ],
      then: "deny",
      because: ["rule late"],
    },
  ],
  "never to break the glass": [
    {
      it: "outlasts a suspension of all sharing",
      given: [never, filed("s", { mode: "suspend", after: ["never"] })],
      asked: emergency,
      then: "deny",
      breakGlass: "never",
    },
    {
      it: "outlasts a suspension that came in ignorance of it being contested",
      given: [
        all,
        filed("late", { mode: "amend", root: deny({}, { breakGlass: "never" }) }),
        filed("s", { mode: "suspend", after: ["all"] }),
      ],
      asked: emergency,
      then: "deny",
      breakGlass: "never",
    },
    {
      it: "ends with a revocation",
      given: [never, filed("r", { mode: "revoke", after: ["never"] })],
      asked: emergency,
      then: "not-applicable",
      breakGlass: null,
    },
    {
      it: "outlasts a revocation that may not reach the record",
      given: [never, filed("r", { mode: "revoke", after: ["never"], controller: "hospital-a" })],
      asked: emergency,
      about: { controller: undefined! },
      then: "indeterminate",
      breakGlass: "never",
    },
    {
      it: "ends with what replaces it, also beneath a suspension",
      given: [
        never,
        filed("b", { after: ["never"], root: permit() }),
        filed("s", { mode: "suspend", after: ["b"] }),
      ],
      asked: emergency,
      then: "deny",
      breakGlass: null,
    },
    {
      it: "is not overruled by a newer rule that may not apply",
      given: [never, allowedAgain],
      asked: emergency,
      about: unlabelled,
      then: "not-applicable",
      breakGlass: "never",
    },
    {
      it: "is overruled by a newer rule that surely applies",
      given: [never, allowedAgain],
      asked: emergency,
      about: { labels: labelled(sensitivity("PSY")) },
      then: "not-applicable",
      breakGlass: "allowed",
    },
    {
      it: "is not overruled by an inner rule that may not apply",
      given: [
        filed("a", {
          root: permit(
            {},
            { breakGlass: "never", rules: [deny(psychiatry, { breakGlass: "allowed" })] },
          ),
        }),
      ],
      asked: emergency,
      about: unlabelled,
      then: "indeterminate",
      breakGlass: "never",
    },
    {
      it: "is not overruled by a proxy who may not speak of the record",
      given: [
        never,
        filed("d", {
          ...byDaughter,
          after: ["never"],
          root: permit({}, { breakGlass: "allowed" }),
        }),
      ],
      facts: { capacities: [daughter] },
      asked: emergency,
      about: unlabelled,
      then: "not-applicable",
      breakGlass: "never",
    },
    {
      it: "is not overruled by a law that may not apply",
      given: [never],
      facts: {
        overlays: [overlay(permit({}, { breakGlass: "allowed" }), { jurisdictions: ["US-CA"] })],
      },
      asked: emergency,
      then: "not-applicable",
      breakGlass: "never",
    },
  ],
};

describe.each(Object.entries(tables))("%s", (_, cases) => {
  it.each(cases.map((item) => [item.it, item] as const))("%s", (__, item) => {
    const decision = decide(item);
    expect(decision.outcome).toBe(item.then);
    const found = [
      ...decision.reasons.map((one) => `${one.kind} ${one.path.join("/")}`.trim()),
      ...decision.setAside.map((one) => `aside ${one.why}`),
    ];
    for (const ground of item.because ?? []) expect(found).toContain(ground);
    for (const ground of item.not ?? []) expect(found).not.toContain(ground);
    if (item.breakGlass !== undefined) expect(decision.breakGlass).toBe(item.breakGlass);
  });
});

describe("codes on a refusal", () => {
  it("are those of the rules that refuse, and none where it cannot be told", () => {
    const root = permit(
      {},
      {
        id: "all",
        obligations: ["DELAU"],
        rules: [deny(psychiatry, { refrains: ["NORDSCLCD"] })],
      },
    );
    const given = [filed("a", { root })];
    const psychiatric = { labels: labelled(sensitivity("PSY")) };
    const refused = decide({ it: "", given, about: psychiatric, then: "deny" });
    expect(refused).toMatchObject({ outcome: "deny", obligations: [], refrains: ["NORDSCLCD"] });
    const open = decide({ it: "", given, about: unlabelled, then: "indeterminate" });
    expect(open).toMatchObject({ outcome: "indeterminate", obligations: [], refrains: [] });
    const given2 = decide({ it: "", given, supportedObligations: ["DELAU"], then: "permit" });
    expect(given2).toMatchObject({ outcome: "permit", obligations: ["DELAU"], refrains: [] });
  });
});
