import { describe, expect, it } from "vitest";
import {
  minorSelfConsentOverlay,
  part2Overlay,
  type CapacityFact,
} from "../../src/consent/index.ts";
import {
  at,
  confidentiality,
  decide,
  deny,
  filed,
  grounds,
  labelled,
  lawOf,
  onLedger,
  overlay,
  permit,
  sensitivity,
  stamp,
  type Case,
} from "./support.ts";

// Every outcome here was worked out by hand from docs/spec/directive.md.

const openToTreatment = filed("treat", { root: permit({ purposes: ["TREAT"] }) });
const rejectAll = filed("reject", { root: deny() });

/** The patient's daughter speaks for the patient, by the patient's own grant. */
const daughter = (more: Partial<CapacityFact> = {}): CapacityFact => ({
  actor: "daughter",
  capacity: "proxy",
  by: { actor: "patient", capacity: "self" },
  ...more,
});
/** The daughter made a neighbour proxy in turn. */
const neighbour = (more: Partial<CapacityFact> = {}): CapacityFact => ({
  actor: "neighbour",
  capacity: "proxy",
  by: { actor: "daughter", capacity: "proxy" },
  ...more,
});
/** The daughter speaks of payment only; the daughter spoke until May. */
const PAYS = { capacities: [daughter({ scope: { purposes: ["HPAYMT"] } })] };
const SPOKE = { capacities: [daughter({ to: at("2024-05-31") })] };
const namesAll = filed("a", {
  root: permit({
    actors: [{ type: "organisation", id: "hospital-b" }],
    data: { labels: [sensitivity("SUD")] },
  }),
});
const minor = minorSelfConsentOverlay({ until: at("2025-12-31"), zone: "UTC" });

const tables: Readonly<Record<string, readonly Case[]>> = {
  "periods that end before they begin in the zone of the directive": [
    {
      it: "leave a refusal in doubt",
      given: [
        filed("a", {
          root: permit(
            {},
            {
              id: "r",
              rules: [
                deny({ data: { period: { from: at("2023-05-02T06:00Z"), to: "2023-05-01" } } }),
              ],
            },
          ),
        }),
      ],
      then: "indeterminate",
    },
  ],
  "silence and defaults": [
    { it: "nothing anywhere is not applicable", then: "not-applicable", because: ["silence"] },
    {
      it: "a default speaks where no rule matches",
      given: [filed("a", { default: "permit", root: deny({ purposes: ["HMARKT"] }) })],
      then: "permit",
      because: ["default"],
    },
    {
      it: "a default that denies beats a default that permits",
      given: [
        filed("a", { lineage: "a", default: "permit", root: deny({ purposes: ["HMARKT"] }) }),
        filed("b", { lineage: "b", default: "deny", root: permit({ purposes: ["HMARKT"] }) }),
      ],
      then: "deny",
      because: ["default"],
    },
    {
      it: "an explicit permit of one lineage beats a default deny of another",
      given: [
        filed("a", { lineage: "a", default: "deny", root: permit({ purposes: ["HPAYMT"] }) }),
        filed("b", { lineage: "b", root: permit({ purposes: ["TREAT"] }) }),
      ],
      then: "permit",
      because: ["rule permit"],
    },
    {
      it: "an organisation's default decides where the patient is silent",
      facts: { organisation: onLedger([filed("org", { root: permit() })]) },
      then: "permit",
      because: ["rule permit"],
    },
    {
      it: "an organisation's default stays behind a recorded consent",
      given: [filed("a", { default: "deny", root: permit({ purposes: ["HPAYMT"] }) })],
      facts: { organisation: onLedger([filed("org", { root: permit() })]) },
      then: "deny",
      because: ["default"],
      not: ["rule permit"],
    },
  ],

  "nested rules": [
    {
      it: "a permit nested in a permit decides by itself",
      given: [
        filed("a", {
          root: permit({}, { id: "root", rules: [permit({ purposes: ["TREAT"] })] }),
        }),
      ],
      then: "permit",
      because: ["rule root/permit"],
    },
    {
      it: "an exception decides before the rule around it",
      given: [
        filed("a", {
          root: permit(
            {},
            {
              id: "root",
              rules: [deny({ actors: [{ type: "person", id: "dr-who" }] })],
            },
          ),
        }),
      ],
      then: "deny",
      because: ["rule root/deny"],
    },
    {
      it: "an exception whose own period has ended leaves the rule around it",
      given: [
        filed("a", {
          root: permit({}, { id: "root", rules: [deny({ validity: { to: "2024-06-14" } })] }),
        }),
      ],
      then: "permit",
      because: ["rule root"],
    },
    {
      it: "an exception still holds on its last day",
      given: [
        filed("a", {
          root: permit({}, { id: "root", rules: [deny({ validity: { to: "2024-06-15" } })] }),
        }),
      ],
      on: "2024-06-15T23:59:59.999Z",
      then: "deny",
    },
    {
      it: "permit-overrides inside deny-overrides",
      given: [
        filed("a", {
          root: deny(
            {},
            {
              id: "root",
              rules: [
                deny(
                  {},
                  {
                    id: "inner",
                    combine: "permit-overrides",
                    rules: [deny({ actions: ["access"] }), permit({ purposes: ["TREAT"] })].map(
                      (rule, index) => ({ ...rule, id: `leaf-${index}` }),
                    ),
                  },
                ),
              ],
            },
          ),
        }),
      ],
      then: "permit",
      because: ["rule root/inner/leaf-1"],
    },
    {
      it: "deny-overrides around permit-overrides lets a sibling deny win",
      given: [
        filed("a", {
          root: permit(
            {},
            {
              id: "root",
              rules: [
                permit(
                  {},
                  {
                    id: "inner",
                    combine: "permit-overrides",
                    rules: [deny({}, { id: "d" }), permit({}, { id: "p" })],
                  },
                ),
                deny({ actions: ["access"] }, { id: "sibling" }),
              ],
            },
          ),
        }),
      ],
      then: "deny",
      because: ["rule root/sibling"],
    },
    {
      it: "under permit-overrides, indeterminate outweighs deny",
      given: [
        filed("a", {
          root: deny(
            {},
            {
              id: "root",
              combine: "permit-overrides",
              rules: [
                deny({ data: { labels: [sensitivity("HIV")] } }, { id: "maybe" }),
                deny({}, { id: "certain" }),
              ],
            },
          ),
        }),
      ],
      about: { labels: null },
      then: "indeterminate",
    },
  ],

  "what is unknown": [
    {
      it: "an unlabelled record is not permitted by a label rule",
      given: [filed("a", { root: permit({ data: { labels: [confidentiality("N")] } }) })],
      about: { labels: null },
      then: "not-applicable",
    },
    {
      it: "an unlabelled record under a label deny is indeterminate, not permitted",
      given: [
        filed("a", {
          root: permit(
            {},
            {
              id: "root",
              rules: [deny({ data: { labels: [sensitivity("PSY")] } })],
            },
          ),
        }),
      ],
      about: { labels: null },
      then: "indeterminate",
      because: ["rule root/deny"],
    },
    {
      it: "an unlabelled note under a label permit with an exception is not read by the excepted",
      given: [
        filed("a", {
          default: "permit",
          root: permit(
            { data: { labels: [sensitivity("PSY")] } },
            {
              id: "psychiatry",
              rules: [deny({ actors: [{ type: "person", id: "dr-who" }] })],
            },
          ),
        }),
      ],
      about: { labels: null },
      then: "indeterminate",
      because: ["rule psychiatry/deny"],
    },
    {
      it: "and by others only because the default permits",
      given: [
        filed("a", {
          default: "permit",
          root: permit(
            { data: { labels: [sensitivity("PSY")] } },
            {
              id: "psychiatry",
              rules: [deny({ actors: [{ type: "person", id: "dr-other" }] })],
            },
          ),
        }),
      ],
      about: { labels: null },
      then: "permit",
      because: ["default"],
    },
    {
      it: "purpose tags are no labels",
      given: [filed("a", { root: permit({ data: { labels: [sensitivity("HTEST")] } }) })],
      about: {
        labels: {
          codes: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ActReason", code: "HTEST" }],
          stamp,
        },
      },
      then: "not-applicable",
    },
    {
      it: "a label without a stamp is enough to deny",
      given: [
        filed("a", { default: "permit", root: deny({ data: { labels: [sensitivity("HIV")] } }) }),
      ],
      about: { labels: { codes: [sensitivity("HIV")], stamp: null } },
      then: "deny",
    },
    {
      it: "a label without a stamp is not enough to permit",
      given: [filed("a", { root: permit({ data: { labels: [confidentiality("N")] } }) })],
      about: { labels: { codes: [confidentiality("N")], stamp: null } },
      then: "not-applicable",
    },
    {
      it: "a request that does not name its user may come from the person denied",
      given: [
        filed("a", {
          default: "permit",
          root: deny({ actors: [{ type: "person", id: "dr-who" }] }),
        }),
      ],
      asked: { user: undefined } as never,
      then: "indeterminate",
    },
    {
      it: "a record without codes may have the denied one",
      given: [
        filed("a", {
          default: "permit",
          root: deny({ data: { codes: [{ system: "http://loinc.org", code: "75622-1" }] } }),
        }),
      ],
      about: { codes: [] },
      then: "indeterminate",
    },
    {
      it: "a record with a code, and words where another belongs, may have the denied one",
      given: [
        filed("a", {
          default: "permit",
          root: deny({ data: { codes: [{ system: "http://loinc.org", code: "75622-1" }] } }),
        }),
      ],
      about: { uncoded: true },
      then: "indeterminate",
    },
    {
      it: "a record with the permitted code has it, whatever else stands there in words",
      given: [
        filed("a", {
          default: "deny",
          root: permit({ data: { codes: [{ system: "http://loinc.org", code: "2339-0" }] } }),
        }),
      ],
      about: { uncoded: true },
      then: "permit",
    },
  ],

  labels: [
    {
      it: "a permit of N covers what is less confidential",
      given: [filed("a", { root: permit({ data: { labels: [confidentiality("N")] } }) })],
      about: { labels: labelled(confidentiality("L")) },
      then: "permit",
    },
    {
      it: "a permit of N does not cover R",
      given: [filed("a", { root: permit({ data: { labels: [confidentiality("N")] } }) })],
      about: { labels: labelled(confidentiality("R")) },
      then: "not-applicable",
    },
    {
      it: "a deny of R covers V",
      given: [
        filed("a", {
          default: "permit",
          root: deny({ data: { labels: [confidentiality("R")] } }),
        }),
      ],
      about: { labels: labelled(confidentiality("V")) },
      then: "deny",
    },
    {
      it: "a deny of R does not cover N",
      given: [
        filed("a", {
          default: "permit",
          root: deny({ data: { labels: [confidentiality("R")] } }),
        }),
      ],
      then: "permit",
    },
    ...(["ETHUD", "OPIOIDUD", "SUD"] as const).map((code) => ({
      it: `a deny of ETH reaches ${code}, as PCF nests it`,
      given: [
        filed("a", {
          default: "permit",
          root: deny({ data: { labels: [sensitivity("ETH")] } }),
        }),
      ],
      about: { labels: labelled(sensitivity(code), confidentiality("R")) },
      then: "deny" as const,
    })),
    {
      it: "a deny of SUD reaches ETHUD, as HL7 nests it",
      given: [
        filed("a", {
          default: "permit",
          root: deny({ data: { labels: [sensitivity("SUD")] } }),
        }),
      ],
      about: { labels: labelled(sensitivity("ETHUD")) },
      then: "deny",
    },
    {
      it: "a deny of ETHUD does not reach HIV",
      given: [
        filed("a", {
          default: "permit",
          root: deny({ data: { labels: [sensitivity("ETHUD")] } }),
        }),
      ],
      about: { labels: labelled(sensitivity("HIV")) },
      then: "permit",
    },
  ],

  purposes: [
    {
      it: "a permit of TREAT covers coordination of care",
      given: [openToTreatment],
      asked: { purposes: ["COC"] },
      then: "permit",
    },
    {
      it: "of two purposes one is permitted: refused",
      given: [openToTreatment],
      asked: { purposes: ["TREAT", "HMARKT"] },
      then: "not-applicable",
    },
    {
      it: "of two purposes one is denied: denied",
      given: [
        filed("a", {
          root: permit({}, { id: "root", rules: [deny({ purposes: ["HMARKT"] })] }),
        }),
      ],
      asked: { purposes: ["TREAT", "HMARKT"] },
      then: "deny",
    },
    {
      it: "two purposes permitted by two rules",
      given: [
        filed("a", { lineage: "a", root: permit({ purposes: ["TREAT"] }) }),
        filed("b", { lineage: "b", root: permit({ purposes: ["HPAYMT"] }) }),
      ],
      asked: { purposes: ["TREAT", "HPAYMT"] },
      then: "permit",
    },
    {
      it: "asking HRESCH against a CLINTRCH deny is indeterminate",
      given: [filed("a", { default: "permit", root: deny({ purposes: ["CLINTRCH"] }) })],
      asked: { purposes: ["HRESCH"] },
      then: "indeterminate",
      because: ["rule deny"],
    },
    {
      it: "asking HRESCH is not covered by a CLINTRCH permit",
      given: [filed("a", { root: permit({ purposes: ["CLINTRCH"] }) })],
      asked: { purposes: ["HRESCH"] },
      then: "not-applicable",
    },
    {
      it: "a purpose that the terminology does not know may be below a denied one",
      given: [filed("a", { default: "permit", root: deny({ purposes: ["HRESCH"] }) })],
      asked: { purposes: ["urn:local|DATA-LAKE"] },
      then: "indeterminate",
    },
    {
      it: "a request without a purpose is refused",
      given: [filed("a", { root: permit() })],
      asked: { purposes: [] },
      then: "indeterminate",
    },
    {
      it: "a code with its system is the bare code",
      given: [openToTreatment],
      asked: { purposes: ["http://terminology.hl7.org/CodeSystem/v3-ActReason|TREAT"] },
      then: "permit",
    },
  ],

  "breaking the glass": [
    {
      it: "a permit of TREAT does not reach BTG",
      given: [openToTreatment],
      asked: { purposes: ["BTG"] },
      then: "not-applicable",
    },
    {
      it: "a permit without purpose does not reach BTG",
      given: [filed("a", { root: permit() })],
      asked: { purposes: ["BTG"] },
      then: "not-applicable",
    },
    {
      it: "a default that permits does not reach BTG",
      given: [filed("a", { default: "permit", root: deny({ purposes: ["HMARKT"] }) })],
      asked: { purposes: ["BTG"] },
      then: "not-applicable",
    },
    {
      it: "a permit that names BTG reaches it",
      given: [filed("a", { root: permit({ purposes: ["BTG"] }) })],
      asked: { purposes: ["BTG"] },
      then: "permit",
    },
    {
      it: "a permit nested where BTG is named reaches it",
      given: [
        filed("a", {
          root: deny(
            {},
            {
              id: "root",
              rules: [
                deny(
                  { purposes: ["BTG"] },
                  {
                    id: "emergency",
                    rules: [permit({ actors: [{ type: "group", id: "privileged" }] })],
                  },
                ),
              ],
            },
          ),
        }),
      ],
      facts: { memberships: [{ member: "dr-who", of: "privileged" }] },
      asked: { purposes: ["BTG"] },
      then: "permit",
    },
    {
      it: "a deny of TREAT reaches BTG",
      given: [filed("a", { root: deny({ purposes: ["TREAT"] }) })],
      asked: { purposes: ["BTG"] },
      then: "deny",
    },
    {
      it: "a deny without purpose reaches BTG, and says nothing of breaking the glass",
      given: [rejectAll],
      asked: { purposes: ["BTG"] },
      then: "deny",
    },
    {
      it: "permit TREAT beside deny BTG: asking TREAT is permitted",
      given: [
        filed("a", { lineage: "a", root: permit({ purposes: ["TREAT"] }) }),
        filed("b", { lineage: "b", root: deny({ purposes: ["BTG"] }) }),
      ],
      asked: { purposes: ["TREAT"] },
      then: "permit",
    },
    {
      it: "permit TREAT beside deny BTG: asking ETREAT is permitted",
      given: [
        filed("a", { lineage: "a", root: permit({ purposes: ["TREAT"] }) }),
        filed("b", { lineage: "b", root: deny({ purposes: ["BTG"] }) }),
      ],
      asked: { purposes: ["ETREAT"] },
      then: "permit",
    },
    {
      it: "permit TREAT beside deny BTG: asking BTG is denied",
      given: [
        filed("a", { lineage: "a", root: permit({ purposes: ["TREAT"] }) }),
        filed("b", { lineage: "b", root: deny({ purposes: ["BTG"] }) }),
      ],
      asked: { purposes: ["BTG"] },
      then: "deny",
    },
    {
      it: "an exception inside a permit of TREAT reaches BTG",
      given: [
        filed("a", {
          root: permit(
            { purposes: ["TREAT"] },
            {
              id: "root",
              rules: [deny({ actors: [{ type: "person", id: "dr-who" }] })],
            },
          ),
        }),
      ],
      asked: { purposes: ["BTG"] },
      then: "deny",
    },
  ],

  "when the data happened": [
    {
      it: "a permit's period contains the record's",
      given: [filed("a", { root: permit({ data: { period: { from: "2023", to: "2023" } } }) })],
      then: "permit",
    },
    {
      it: "a permit does not cover a record that begins before its period",
      given: [filed("a", { root: permit({ data: { period: { from: "2023-05-02" } } }) })],
      about: { period: { from: "2023-05-01", to: "2023-05-03" } },
      then: "not-applicable",
    },
    {
      it: "a deny covers a record that overlaps its period",
      given: [
        filed("a", {
          default: "permit",
          root: deny({ data: { period: { from: "2023-05-03" } } }),
        }),
      ],
      about: { period: { from: "2023-05-01", to: "2023-05-03" } },
      then: "deny",
    },
    {
      it: "a deny nested with a period of its own",
      given: [
        filed("a", {
          root: permit(
            {},
            {
              id: "root",
              rules: [deny({ data: { period: { from: "2023-01-01", to: "2023-12-31" } } })],
            },
          ),
        }),
      ],
      then: "deny",
    },
    {
      it: "a deny nested with another period leaves the record to the permit around it",
      given: [
        filed("a", {
          root: permit(
            {},
            {
              id: "root",
              rules: [deny({ data: { period: { from: "2022-01-01", to: "2022-12-31" } } })],
            },
          ),
        }),
      ],
      then: "permit",
    },
    {
      it: "the last day of a permit is inclusive in the directive's zone",
      given: [
        filed("a", {
          zone: "America/New_York",
          root: permit({ data: { period: { to: "2023-05-01" } } }),
        }),
      ],
      // 23:30 in New York on 1 May.
      about: { period: { from: at("2023-05-02T03:30Z"), to: at("2023-05-02T03:30Z") } },
      then: "permit",
    },
    {
      it: "and over at its midnight",
      given: [
        filed("a", {
          zone: "America/New_York",
          root: permit({ data: { period: { to: "2023-05-01" } } }),
        }),
      ],
      about: { period: { from: at("2023-05-02T04:00Z"), to: at("2023-05-02T04:00Z") } },
      then: "not-applicable",
    },
    {
      it: "a record without dates may be within a denied period",
      given: [
        filed("a", { default: "permit", root: deny({ data: { period: { from: "2023" } } }) }),
      ],
      about: { period: {} },
      then: "indeterminate",
    },
  ],

  "validity of directives": [
    {
      it: "a directive not yet valid says nothing",
      given: [filed("a", { from: "2024-06-16", root: permit() })],
      then: "not-applicable",
      because: ["aside not-yet-valid"],
    },
    {
      it: "a directive is valid from the first moment of its day in its zone",
      given: [filed("a", { from: "2024-06-15", zone: "+02:00", root: permit() })],
      on: "2024-06-14T22:00Z",
      then: "permit",
    },
    {
      it: "and not one millisecond before",
      given: [filed("a", { from: "2024-06-15", zone: "+02:00", root: permit() })],
      on: "2024-06-14T21:59:59.999Z",
      then: "not-applicable",
    },
    {
      it: "a directive filed above the snapshot's height is not known",
      given: [filed("a", { root: permit() }, { height: 2_000 })],
      then: "not-applicable",
    },
    {
      it: "a directive in a zone unknown here keeps its denies",
      given: [filed("a", { zone: "Moon/Tranquility", root: deny() })],
      then: "deny",
      because: ["aside zone-unknown"],
    },
    {
      it: "and loses its permits",
      given: [filed("a", { zone: "Moon/Tranquility", root: permit() })],
      then: "not-applicable",
    },
  ],

  lineages: [
    {
      it: "a replacement ends what it replaces",
      given: [filed("a", { root: permit() }), filed("b", { after: ["a"], root: deny() })],
      then: "deny",
    },
    {
      it: "the ledger, not the date, says which is newer",
      given: [
        filed("a", { from: "2024-03-01", root: deny() }),
        filed("b", { after: ["a"], from: "2023-01-01", root: permit() }),
      ],
      then: "permit",
    },
    {
      it: "the same dates, filed the other way round",
      given: [
        filed("b", { from: "2023-01-01", root: permit() }),
        filed("a", { after: ["b"], from: "2023-01-01", root: deny() }),
      ],
      then: "deny",
    },
    {
      it: "an amendment decides only where it matches",
      given: [
        filed("a", { root: permit() }),
        filed("b", { after: ["a"], mode: "amend", root: deny({ purposes: ["HMARKT"] }) }),
      ],
      then: "permit",
      because: ["rule permit"],
    },
    {
      it: "and there it decides alone",
      given: [
        filed("a", { root: deny() }),
        filed("b", { after: ["a"], mode: "amend", root: permit({ purposes: ["TREAT"] }) }),
      ],
      then: "permit",
    },
    {
      it: "a consent not yet valid does not yet replace the one in force",
      given: [
        filed("a", { root: permit() }),
        filed("b", { after: ["a"], from: "2025", root: deny() }),
      ],
      then: "permit",
      because: ["aside not-yet-valid"],
    },
    {
      it: "and once valid replaces it",
      given: [
        filed("a", { root: permit() }),
        filed("b", { after: ["a"], from: "2025", root: deny() }),
      ],
      on: "2025-01-01",
      then: "deny",
    },
    {
      it: "a refusal that expires does not bring back the permit before it",
      given: [
        filed("a", { root: permit() }),
        filed("b", { after: ["a"], to: "2024-01-31", default: "deny", root: deny() }),
      ],
      then: "deny",
      because: ["ended", "aside expired"],
    },
    {
      it: "an expired replacement without a denying default leaves silence",
      given: [
        filed("a", { root: permit() }),
        filed("b", { after: ["a"], to: "2024-01-31", root: permit() }),
      ],
      then: "not-applicable",
    },
    {
      it: "after suspend the lineage denies",
      given: [filed("a", { root: permit() }), filed("b", { after: ["a"], mode: "suspend" })],
      then: "deny",
      because: ["suspended"],
    },
    {
      it: "after revoke the lineage says nothing",
      given: [filed("a", { root: deny() }), filed("b", { after: ["a"], mode: "revoke" })],
      then: "not-applicable",
      because: ["silence"],
    },
    {
      it: "revocation, then reinstatement in knowledge of it",
      given: [
        filed("a", { root: permit() }),
        filed("b", { after: ["a"], mode: "revoke" }),
        filed("c", { after: ["b"], root: permit() }),
      ],
      then: "permit",
    },
    {
      it: "a revoke needs no current predecessor",
      given: [
        filed("a", { root: permit() }),
        filed("b", { after: ["a"], root: permit() }),
        filed("c", { after: ["a"], mode: "revoke" }),
      ],
      then: "not-applicable",
    },
    {
      it: "an amendment that loses the race against a revoke permits nothing",
      given: [
        filed("a", { root: permit() }),
        filed("b", { after: ["a"], mode: "revoke" }),
        filed("c", { after: ["a"], mode: "amend", root: permit() }),
      ],
      then: "not-applicable",
      because: ["aside contested"],
    },
    {
      it: "an amendment that wins the race is revoked with the rest",
      given: [
        filed("a", { root: permit() }),
        filed("c", { after: ["a"], mode: "amend", root: permit() }),
        filed("b", { after: ["a"], mode: "revoke" }),
      ],
      then: "not-applicable",
    },
    {
      it: "an old paper consent scanned late permits nothing",
      given: [filed("a", { root: deny() }), filed("paper", { from: "2019", root: permit() })],
      then: "deny",
      because: ["aside contested", "rule deny"],
    },
    {
      it: "an old paper refusal scanned late still refuses",
      given: [filed("a", { root: permit() }), filed("paper", { from: "2019", root: deny() })],
      then: "deny",
      because: ["aside contested"],
    },
    {
      it: "of two amendments filed at once both denies count",
      given: [
        filed("a", { root: permit() }),
        filed("b", { after: ["a"], mode: "amend", root: deny({ purposes: ["HMARKT"] }) }),
        filed("c", { after: ["a"], mode: "amend", root: deny({ purposes: ["TREAT"] }) }),
      ],
      then: "deny",
    },
    {
      it: "and the later one's permit does not",
      given: [
        filed("a", { root: deny() }),
        filed("b", { after: ["a"], mode: "amend", root: permit({ purposes: ["HMARKT"] }) }),
        filed("c", { after: ["a"], mode: "amend", root: permit({ purposes: ["TREAT"] }) }),
      ],
      then: "deny",
    },
    {
      it: "until a directive names both heads",
      given: [
        filed("a", { root: deny() }),
        filed("b", { after: ["a"], mode: "amend", root: permit({ purposes: ["HMARKT"] }) }),
        filed("c", { after: ["a"], mode: "amend", root: permit({ purposes: ["TREAT"] }) }),
        filed("d", { after: ["b", "c"], mode: "amend", root: permit({ purposes: ["HPAYMT"] }) }),
      ],
      then: "permit",
      not: ["aside contested"],
    },
    ...(
      [
        ["who speaks of payment only", { by: "daughter", capacity: "proxy" }, PAYS],
        ["which is about another custodian's records", { controller: "hospital-z" }, {}],
        ["which has ended", { to: "2024-05" }, {}],
        ["whose grantor no longer speaks", { by: "daughter", capacity: "proxy" }, SPOKE],
        ["which has not begun", { from: "2025" }, {}],
      ] as const
    ).map(([what, more, facts]) => ({
      it: `nor by one ${what}`,
      given: [
        filed("a", { root: deny() }),
        filed("b", { root: permit() }),
        filed("c", {
          after: ["a", "b"],
          mode: "amend",
          root: permit({ purposes: ["HPAYMT"] }),
          ...more,
        }),
      ],
      facts,
      then: "deny" as const,
    })),
    {
      it: "settles a dispute about payment, by who speaks of payment only",
      given: [
        filed("a", { root: deny() }),
        filed("b", { root: permit() }),
        filed("c", {
          after: ["a", "b"],
          mode: "amend",
          by: "daughter",
          capacity: "proxy",
          root: deny({ purposes: ["HMARKT"] }),
        }),
      ],
      facts: PAYS,
      asked: { purposes: ["HPAYMT"] },
      then: "permit",
    },
    {
      it: "a contested refusal that has ended brings no older permit back",
      given: [
        filed("a", { root: permit() }),
        filed("b", { default: "deny", to: "2024-05", root: deny({ purposes: ["TREAT"] }) }),
      ],
      then: "deny",
      because: ["ended", "aside expired"],
    },
    {
      it: "nor does one without default, which leaves nothing said",
      given: [filed("a", { root: permit() }), filed("b", { to: "2024-05", root: deny() })],
      then: "not-applicable",
    },
    {
      it: "a newer permit that names it does",
      given: [
        filed("a", { root: permit() }),
        filed("b", { to: "2024-05", root: deny() }),
        filed("c", { after: ["a", "b"], mode: "amend", root: permit({ purposes: ["TREAT"] }) }),
      ],
      then: "permit",
    },
    {
      it: "a replacement that names only the head leaves the contested denies",
      given: [
        filed("a", { root: permit() }),
        filed("b", { after: ["a"], root: permit() }),
        filed("c", { after: ["a"], root: deny() }),
        filed("d", { after: ["b"], root: permit() }),
      ],
      then: "deny",
      because: ["aside contested"],
    },
    {
      it: "a replacement that names both heads ends them",
      given: [
        filed("a", { root: permit() }),
        filed("b", { after: ["a"], root: permit() }),
        filed("c", { after: ["a"], root: deny() }),
        filed("d", { after: ["b", "c"], root: permit() }),
      ],
      then: "permit",
    },
    {
      it: "a void directive never becomes head",
      given: [
        filed("a", { root: permit() }),
        filed("bad", { after: ["a"], root: deny() }, { void: "signature" }),
        filed("c", { after: ["a"], root: permit({ purposes: ["TREAT"] }) }),
      ],
      then: "permit",
      because: ["aside void"],
      not: ["aside contested"],
    },
    {
      it: "a contested consent that refuses all else withholds what an older one permits",
      given: [
        filed("all", { root: permit() }),
        filed("only", { root: permit({ purposes: ["HRESCH"] }), default: "deny" }),
      ],
      then: "deny",
      because: ["default", "aside contested"],
    },
    {
      it: "a contested consent leaves what an older one permits, where it permits that itself",
      given: [
        filed("all", { root: permit() }),
        filed("only", { root: permit({ purposes: ["TREAT"] }), default: "deny" }),
      ],
      then: "permit",
      because: ["aside contested"],
    },
    {
      it: "a contested consent that refuses nothing else leaves what an older one permits",
      given: [
        filed("all", { root: permit() }),
        filed("only", { root: permit({ purposes: ["HRESCH"] }), default: "none" }),
      ],
      then: "permit",
      because: ["aside contested"],
    },
    {
      it: "a contested consent withholds nothing that a newer one permits",
      given: [
        filed("all", { root: permit() }),
        filed("only", { root: permit({ purposes: ["HRESCH"] }), default: "deny" }),
        filed("new", { after: ["all"], root: permit() }),
      ],
      then: "permit",
      because: ["aside contested"],
    },
    {
      it: "a contested consent withholds what it may not permit",
      given: [
        filed("all", { root: permit() }),
        filed("only", {
          root: permit({ data: { labels: [sensitivity("HIV")] } }),
          default: "deny",
        }),
      ],
      about: { labels: null },
      then: "deny",
    },
    {
      it: "the same statement filed again changes nothing",
      given: [
        filed("a", { root: permit() }),
        filed("a-again", { root: permit() }),
        filed("b", { after: ["a-again"], root: deny() }),
      ],
      then: "deny",
      not: ["aside contested"],
    },
    {
      it: "a predecessor filed at another custodian counts by its alias",
      given: [
        filed("a", { root: permit() }, { aliases: ["a-at-c"] }),
        filed("b", { after: ["a-at-c"], root: deny() }),
      ],
      then: "deny",
      not: ["aside contested"],
    },
  ],

  "who may speak": [
    {
      it: "a guardian's permit counts while the guardianship does",
      given: [filed("a", { by: "mother", capacity: "guardian", root: permit() })],
      facts: { capacities: [{ actor: "mother", capacity: "guardian", to: at("2024-12-31") }] },
      then: "permit",
    },
    {
      it: "a guardian's permit ends with majority",
      given: [filed("a", { by: "mother", capacity: "guardian", root: permit() })],
      facts: { capacities: [{ actor: "mother", capacity: "guardian", to: at("2024-01-31") }] },
      then: "not-applicable",
      because: ["aside capacity-lost"],
    },
    {
      it: "a guardian's refusal with a denying default leaves it after majority",
      given: [filed("a", { by: "mother", capacity: "guardian", default: "deny", root: deny() })],
      facts: { capacities: [{ actor: "mother", capacity: "guardian", to: at("2024-01-31") }] },
      then: "deny",
      because: ["ended"],
    },
    {
      it: "a proxy nobody attested cannot speak",
      given: [filed("a", { by: "friend", capacity: "proxy", root: permit() })],
      then: "not-applicable",
      because: ["aside capacity-lost"],
    },
    {
      it: "who lacked the capacity when the directive was filed never had a say",
      given: [
        filed("a", { root: permit() }),
        filed(
          "b",
          { after: ["a"], by: "friend", capacity: "proxy", root: deny() },
          { recordedAt: at("2024-01-01") },
        ),
      ],
      facts: { capacities: [{ actor: "friend", capacity: "proxy", from: at("2024-02-01") }] },
      then: "permit",
      because: ["aside capacity-lacking"],
    },
  ],

  "proxies and chains of grants": [
    {
      it: "a proxy made by the patient may speak",
      given: [filed("a", { by: "daughter", capacity: "proxy", root: permit() })],
      facts: { capacities: [daughter()] },
      then: "permit",
    },
    {
      it: "a proxy who may not hand on makes no other proxy",
      given: [filed("a", { by: "neighbour", capacity: "proxy", root: permit() })],
      facts: { capacities: [daughter(), neighbour()] },
      then: "not-applicable",
      because: ["aside capacity-lost"],
    },
    {
      it: "a proxy who may hand on once does",
      given: [filed("a", { by: "neighbour", capacity: "proxy", root: permit() })],
      facts: { capacities: [daughter({ depth: 1 }), neighbour()] },
      then: "permit",
    },
    {
      it: "and whom he made cannot hand on beyond that depth, though it was said he may",
      given: [filed("a", { by: "stranger", capacity: "proxy", root: permit() })],
      facts: {
        capacities: [
          daughter({ depth: 1 }),
          neighbour({ depth: 9 }),
          { actor: "stranger", capacity: "proxy", by: { actor: "neighbour", capacity: "proxy" } },
        ],
      },
      then: "not-applicable",
      because: ["aside capacity-lost"],
    },
    {
      it: "a chain ends with its first link to expire",
      given: [filed("a", { by: "neighbour", capacity: "proxy", root: permit() })],
      facts: { capacities: [daughter({ depth: 1, to: at("2024-06-01") }), neighbour()] },
      then: "not-applicable",
      because: ["aside capacity-lost"],
    },
    {
      it: "a refusal by a proxy whose chain has ended leaves its denying default",
      given: [filed("a", { by: "neighbour", capacity: "proxy", default: "deny", root: permit() })],
      facts: { capacities: [daughter({ depth: 1, to: at("2024-06-01") }), neighbour()] },
      then: "deny",
      because: ["ended"],
    },
    {
      it: "a chain that leads in a circle leads nowhere",
      given: [filed("a", { by: "neighbour", capacity: "proxy", root: permit() })],
      facts: {
        capacities: [
          neighbour({ depth: 9 }),
          daughter({ depth: 9, by: { actor: "neighbour", capacity: "proxy" } }),
        ],
      },
      then: "not-applicable",
    },
    {
      it: "what the patient granted outlasts the patient's own capacity",
      given: [filed("a", { by: "daughter", capacity: "proxy", root: permit() })],
      facts: {
        capacities: [
          { actor: "patient", capacity: "self", to: at("2024-01-31") },
          daughter({ from: at("2023-01-01") }),
        ],
      },
      then: "permit",
    },
    {
      it: "what the patient granted after losing capacity is nothing",
      given: [filed("a", { by: "daughter", capacity: "proxy", root: permit() })],
      facts: {
        capacities: [
          { actor: "patient", capacity: "self", to: at("2024-01-31") },
          daughter({ from: at("2024-02-01") }),
        ],
      },
      then: "not-applicable",
      because: ["aside capacity-lost"],
    },
    {
      it: "a guardian's proxy ends with the guardianship",
      given: [filed("a", { by: "aunt", capacity: "proxy", root: permit() })],
      facts: {
        capacities: [
          { actor: "mother", capacity: "guardian", to: at("2024-05-31") },
          { actor: "aunt", capacity: "proxy", by: { actor: "mother", capacity: "guardian" } },
        ],
      },
      then: "not-applicable",
      because: ["aside capacity-lost"],
    },
    {
      it: "a proxy for payment permits payment",
      given: [filed("a", { by: "daughter", capacity: "proxy", root: permit() })],
      facts: { capacities: [daughter({ scope: { purposes: ["HPAYMT"] } })] },
      asked: { purposes: ["HPAYMT"] },
      then: "permit",
    },
    {
      it: "and nothing else",
      given: [filed("a", { by: "daughter", capacity: "proxy", root: permit() })],
      facts: { capacities: [daughter({ scope: { purposes: ["HPAYMT"] } })] },
      then: "not-applicable",
      because: ["silence"],
    },
    {
      it: "a proxy for payment does not replace the refusal of treatment before it",
      given: [
        filed("a", { root: deny() }),
        filed("b", { after: ["a"], by: "daughter", capacity: "proxy", root: permit() }),
      ],
      facts: { capacities: [daughter({ scope: { purposes: ["HPAYMT"] } })] },
      then: "deny",
      because: ["rule deny"],
    },
    {
      it: "and replaces the refusal of payment",
      given: [
        filed("a", { root: deny() }),
        filed("b", { after: ["a"], by: "daughter", capacity: "proxy", root: permit() }),
      ],
      facts: { capacities: [daughter({ scope: { purposes: ["HPAYMT"] } })] },
      asked: { purposes: ["HPAYMT"] },
      then: "permit",
      not: ["rule deny"],
    },
    {
      it: "a record that may be outside a proxy's scope is not opened by the proxy",
      given: [
        filed("a", { root: deny() }),
        filed("b", { after: ["a"], by: "daughter", capacity: "proxy", root: permit() }),
      ],
      facts: {
        capacities: [daughter({ scope: { data: { labels: [confidentiality("N")] } } })],
      },
      about: { labels: null },
      then: "indeterminate",
    },
    {
      it: "the scope of a chain is what all its links allow",
      given: [filed("a", { by: "neighbour", capacity: "proxy", root: permit() })],
      facts: {
        capacities: [
          daughter({ depth: 1, scope: { purposes: ["HPAYMT"] } }),
          neighbour({ scope: { purposes: ["TREAT"] } }),
        ],
      },
      then: "not-applicable",
    },
    {
      it: "a revocation by a proxy revokes within its scope only",
      given: [
        filed("a", { root: permit() }),
        filed("b", { after: ["a"], by: "daughter", capacity: "proxy", mode: "revoke" }),
      ],
      facts: { capacities: [daughter({ scope: { purposes: ["HPAYMT"] } })] },
      then: "permit",
    },
    {
      it: "and there it does",
      given: [
        filed("a", { root: permit() }),
        filed("b", { after: ["a"], by: "daughter", capacity: "proxy", mode: "revoke" }),
      ],
      facts: { capacities: [daughter({ scope: { purposes: ["HPAYMT"] } })] },
      asked: { purposes: ["HPAYMT"] },
      then: "not-applicable",
    },
    {
      it: "a court's order counts while it is attested",
      given: [filed("a", { by: "court", capacity: "court", root: permit() })],
      facts: { capacities: [{ actor: "court", capacity: "court", to: at("2024-12-31") }] },
      then: "permit",
    },
  ],

  "two lineages of one date": [
    ...[
      [permit(), deny()],
      [deny(), permit()],
    ].map(([first, second]) => ({
      it: `a ${first!.effect}, then a ${second!.effect}, in lineages of their own`,
      given: [
        filed("a", { lineage: "a", from: "2023-01-01", root: first! }),
        filed("b", { lineage: "b", from: "2023-01-01", root: second! }),
      ],
      then: "deny" as const,
      because: ["rule deny"],
    })),
  ],

  "facts about who asks and who speaks": [
    {
      it: "a role that somebody attests who is no member does not count",
      given: [filed("a", { default: "deny", root: permit({ roles: ["nurse"] }) })],
      facts: { roles: [{ actor: "dr-who", code: "nurse", attestedBy: "stranger" }] },
      then: "deny",
      because: ["default"],
    },
    {
      it: "a role that a member attests does",
      given: [filed("a", { default: "deny", root: permit({ roles: ["nurse"] }) })],
      facts: { roles: [{ actor: "dr-who", code: "nurse", attestedBy: "hospital-b" }] },
      then: "permit",
    },
    {
      it: "what a guardian granted ends with the guardian's capacity, unlike what the patient granted",
      given: [filed("a", { by: "aunt", capacity: "proxy", root: permit() })],
      facts: {
        capacities: [
          { actor: "mother", capacity: "guardian", to: at("2023-12-31") },
          {
            actor: "aunt",
            capacity: "proxy",
            from: at("2023-01-01"),
            by: { actor: "mother", capacity: "guardian" },
          },
        ],
      },
      then: "not-applicable",
      because: ["aside capacity-lost"],
    },
    {
      it: "a request without purposes is told that it states none",
      given: [filed("a", { root: permit() })],
      asked: { purposes: [] },
      then: "indeterminate",
      because: ["silence"],
    },
    {
      it: "what a replacement ended does not come back where it says nothing",
      given: [
        filed("a", { root: permit({ data: { types: ["Observation"] } }) }),
        filed("b", { after: ["a"], default: "none", root: deny({ purposes: ["HMARKT"] }) }),
      ],
      then: "not-applicable",
      not: ["rule permit"],
    },
  ],

  "break-glass statements beside decisions": [
    {
      it: "never is said with the refusal",
      given: [filed("a", { root: deny({}, { breakGlass: "never" }) })],
      then: "deny",
      breakGlass: "never",
    },
    {
      it: "never of one lineage outweighs allowed of another",
      given: [
        filed("a", { lineage: "a", root: deny({}, { breakGlass: "never" }) }),
        filed("b", { lineage: "b", root: deny({}, { breakGlass: "allowed" }) }),
      ],
      then: "deny",
      breakGlass: "never",
    },
    {
      it: "a reject-all consent says nothing of it",
      given: [rejectAll],
      then: "deny",
      breakGlass: null,
    },
    {
      it: "never for one of several purposes is said, in whatever order they are named",
      given: [
        filed("a", {
          default: "deny",
          root: deny({ purposes: ["BTG"] }, { breakGlass: "never" }),
        }),
      ],
      asked: { purposes: ["BTG", "HPAYMT"] },
      then: "deny",
      breakGlass: "never",
    },
    {
      it: "allowed for one of several purposes does not hide never for another",
      given: [
        filed("a", {
          default: "deny",
          root: deny(
            {},
            {
              id: "root",
              breakGlass: "allowed",
              rules: [deny({ purposes: ["HMARKT"] }, { breakGlass: "never" })],
            },
          ),
        }),
      ],
      asked: { purposes: ["HMARKT", "TREAT"] },
      then: "deny",
      breakGlass: "never",
    },
    {
      it: "never of the patient is heard where the law decides and says nothing of it",
      given: [filed("a", { root: deny({}, { breakGlass: "never" }) })],
      facts: { overlays: [overlay(deny({}, { id: "law" }))] },
      then: "deny",
      breakGlass: "never",
    },
    {
      it: "what the law says of it stands before the patient's word",
      given: [filed("a", { root: deny({}, { breakGlass: "never" }) })],
      facts: {
        overlays: [overlay(deny({}, { id: "law", breakGlass: "allowed" }))],
      },
      then: "deny",
      breakGlass: "allowed",
    },
    {
      it: "never of the organisation is heard where the patient decides and says nothing of it",
      given: [rejectAll],
      facts: {
        organisation: onLedger([filed("org", { root: permit({}, { breakGlass: "never" }) })]),
      },
      then: "deny",
      breakGlass: "never",
    },
    {
      it: "never of the organisation is not heard where its rule does not match",
      given: [rejectAll],
      facts: {
        organisation: onLedger([
          filed("org", { root: permit({ purposes: ["HMARKT"] }, { breakGlass: "never" }) }),
        ]),
      },
      then: "deny",
      breakGlass: null,
    },
  ],

  "worked overlays": [
    {
      it: "Part 2 closes what a general consent opens",
      given: [filed("a", { root: permit() })],
      facts: { overlays: [lawOf(part2Overlay())] },
      about: { labels: labelled(sensitivity("OPIOIDUD"), confidentiality("R")) },
      supportedObligations: ["PRIVMARK"],
      then: "deny",
      because: ["requirement"],
    },
    {
      it: "Part 2 closes what an organisation's default opens",
      facts: {
        overlays: [lawOf(part2Overlay())],
        organisation: onLedger([filed("org", { root: permit() })]),
      },
      about: { labels: labelled(sensitivity("SUD")) },
      supportedObligations: ["PRIVMARK"],
      then: "deny",
      because: ["requirement"],
    },
    {
      it: "a consent that names the information and the recipient opens it",
      given: [namesAll],
      facts: { overlays: [lawOf(part2Overlay())] },
      about: { labels: labelled(sensitivity("SUD")) },
      supportedObligations: ["PRIVMARK"],
      then: "permit",
    },
    {
      it: "but not for who cannot attach the notice",
      given: [namesAll],
      facts: { overlays: [lawOf(part2Overlay())] },
      about: { labels: labelled(sensitivity("SUD")) },
      then: "deny",
      because: ["obligation"],
    },
    {
      it: "a consent that names the information but nobody in particular does not",
      given: [filed("a", { root: permit({ data: { labels: [sensitivity("SUD")] } }) })],
      facts: { overlays: [lawOf(part2Overlay())] },
      about: { labels: labelled(sensitivity("SUD")) },
      supportedObligations: ["PRIVMARK"],
      then: "deny",
    },
    {
      it: "Part 2 leaves other records alone",
      given: [filed("a", { root: permit() })],
      facts: { overlays: [lawOf(part2Overlay())] },
      then: "permit",
    },
    {
      it: "Part 2 leaves a medical emergency to the layers below",
      given: [filed("a", { root: permit() })],
      facts: { overlays: [lawOf(part2Overlay())] },
      asked: { purposes: ["ETREAT"] },
      about: { labels: labelled(sensitivity("SUD")) },
      then: "permit",
    },
    {
      it: "Part 2 bounded to programs leaves what others wrote",
      given: [filed("a", { root: permit() })],
      facts: { overlays: [lawOf(part2Overlay({ programs: ["program-1"] }))] },
      about: { labels: labelled(sensitivity("SUD")) },
      then: "permit",
    },
    {
      it: "a mother's consent does not open what her child may consent to alone",
      given: [filed("a", { by: "mother", capacity: "guardian", root: permit() })],
      facts: { overlays: [lawOf(minor)], capacities: [{ actor: "mother", capacity: "guardian" }] },
      about: { labels: labelled(sensitivity("STD")), jurisdictions: ["US-CA"] },
      then: "deny",
      because: ["requirement"],
    },
    {
      it: "the child's own does",
      given: [
        filed("a", { lineage: "m", by: "mother", capacity: "guardian", root: permit() }),
        filed("b", { lineage: "c", root: permit() }),
      ],
      facts: { overlays: [lawOf(minor)], capacities: [{ actor: "mother", capacity: "guardian" }] },
      about: { labels: labelled(sensitivity("STD")), jurisdictions: ["US-CA"] },
      then: "permit",
    },
    {
      it: "the mother's opens everything else",
      given: [filed("a", { by: "mother", capacity: "guardian", root: permit() })],
      facts: { overlays: [lawOf(minor)], capacities: [{ actor: "mother", capacity: "guardian" }] },
      about: { jurisdictions: ["US-CA"] },
      then: "permit",
    },
    {
      it: "and the law has nothing to say after majority",
      given: [filed("a", { by: "mother", capacity: "guardian", root: permit() })],
      facts: { overlays: [lawOf(minor)], capacities: [{ actor: "mother", capacity: "guardian" }] },
      about: { labels: labelled(sensitivity("STD")), jurisdictions: ["US-CA"] },
      on: "2026-01-01",
      then: "permit",
    },
  ],

  scope: [
    {
      it: "an opt-out at one controller does not silence another",
      given: [filed("a", { controller: "clinic-a", root: deny() })],
      facts: { organisation: onLedger([filed("org", { root: permit() })]) },
      then: "permit",
    },
    {
      it: "and holds at its own",
      given: [filed("a", { controller: "hospital-a", root: deny() })],
      facts: { organisation: onLedger([filed("org", { root: permit() })]) },
      then: "deny",
    },
    {
      it: "a record of unknown controller may be within it",
      given: [filed("a", { controller: "clinic-a", root: deny() })],
      facts: { organisation: onLedger([filed("org", { root: permit() })]) },
      about: { controller: undefined } as never,
      then: "indeterminate",
    },
    {
      it: "a country's directive covers its parts",
      given: [filed("a", { jurisdictions: ["US"], root: deny() })],
      about: { jurisdictions: ["US-CA"] },
      then: "deny",
    },
    {
      it: "and not another country",
      given: [filed("a", { jurisdictions: ["DE"], root: deny() })],
      then: "not-applicable",
    },
    {
      it: "a research consent decides nothing about treatment",
      given: [filed("a", { category: "research", root: deny() })],
      then: "not-applicable",
    },
    {
      it: "a research consent decides about research",
      given: [filed("a", { category: "research", root: permit() })],
      asked: { purposes: ["CLINTRCH"] },
      then: "permit",
    },
  ],

  "actors, roles and references": [
    {
      it: "a member of a team in an organisation belongs to the organisation",
      given: [filed("a", { root: permit({ actors: [{ type: "organisation", id: "trust" }] }) })],
      facts: {
        memberships: [
          { member: "dr-who", of: "team" },
          { member: "team", of: "trust" },
        ],
      },
      then: "permit",
    },
    {
      it: "a membership that has ended does not count",
      given: [filed("a", { root: permit({ actors: [{ type: "care-team", id: "team" }] }) })],
      facts: { memberships: [{ member: "dr-who", of: "team", to: at("2024-01-01") }] },
      then: "not-applicable",
    },
    {
      it: "a role attested by a member counts",
      given: [filed("a", { root: permit({ roles: ["psychiatrist"] }) })],
      asked: { roles: [{ code: "psychiatrist", attestedBy: "hospital-b" }] },
      then: "permit",
    },
    {
      it: "a role attested by nobody in force does not permit",
      given: [filed("a", { root: permit({ roles: ["psychiatrist"] }) })],
      asked: { roles: [{ code: "psychiatrist", attestedBy: "nobody" }] },
      then: "not-applicable",
    },
    {
      it: "and is held against who claims it",
      given: [filed("a", { default: "permit", root: deny({ roles: ["trainee"] }) })],
      asked: { roles: [{ code: "trainee", attestedBy: "nobody" }] },
      then: "indeterminate",
    },
    {
      it: "a deny of one record",
      given: [
        filed("a", {
          default: "permit",
          root: deny({
            data: { refs: [{ meaning: "instance", reference: "Observation/1" }] },
          }),
        }),
      ],
      then: "deny",
    },
    {
      it: "a deny of what an author wrote",
      given: [
        filed("a", {
          default: "permit",
          root: deny({ data: { refs: [{ meaning: "authoredby", reference: "dr-author" }] } }),
        }),
      ],
      then: "deny",
    },
    {
      it: "a deny of an encounter and what belongs to it",
      given: [
        filed("a", {
          default: "permit",
          root: deny({ data: { refs: [{ meaning: "dependents", reference: "Encounter/7" }] } }),
        }),
      ],
      about: { encounter: "Encounter/7" },
      then: "deny",
    },
    {
      it: "a permit of the manifest alone does not give the whole record",
      given: [filed("a", { root: permit({ data: { parts: ["manifest"] } }) })],
      then: "not-applicable",
    },
    {
      it: "and gives the manifest",
      given: [filed("a", { root: permit({ data: { parts: ["manifest"] } }) })],
      about: { parts: ["manifest"] },
      then: "permit",
    },
  ],

  obligations: [
    {
      it: "an obligation nobody understands refuses",
      given: [filed("a", { root: permit({}, { obligations: ["DELAU"] }) })],
      then: "deny",
      because: ["obligation"],
    },
    {
      it: "an obligation that is understood permits",
      given: [filed("a", { root: permit({}, { obligations: ["DELAU"] }) })],
      supportedObligations: ["DELAU"],
      then: "permit",
    },
    {
      it: "obligations of all permitting rules unite",
      given: [
        filed("a", { lineage: "a", root: permit({}, { obligations: ["DELAU"] }) }),
        filed("b", { lineage: "b", root: permit({}, { obligations: ["ENCRYPT"] }) }),
      ],
      supportedObligations: ["DELAU"],
      then: "deny",
    },
    {
      it: "an obligation of a rule that did not decide does not count",
      given: [
        filed("a", {
          root: deny({}, { id: "root", obligations: ["AUDIT"], rules: [permit()] }),
        }),
      ],
      then: "permit",
    },
  ],

  "the law": [
    {
      it: "an overlay's deny stands above a permit",
      given: [filed("a", { root: permit() })],
      facts: { overlays: [overlay(deny({ purposes: ["TREAT"] }))] },
      then: "deny",
    },
    {
      it: "an overlay's permit stands above a refusal",
      given: [rejectAll],
      facts: { overlays: [overlay(permit({ purposes: ["PUBHLTH"] }))] },
      asked: { purposes: ["PUBHLTH"] },
      then: "permit",
    },
    {
      it: "an overlay of another jurisdiction says nothing",
      given: [filed("a", { root: permit() })],
      facts: { overlays: [overlay(deny(), { jurisdictions: ["DE"] })] },
      then: "permit",
    },
    {
      it: "a demand for the label's name refuses a general consent",
      given: [filed("a", { root: permit() })],
      facts: {
        overlays: [
          overlay(deny({ data: { labels: [sensitivity("SUD")] } }), {
            require: { namesLabel: sensitivity("SUD") },
          }),
        ],
      },
      about: { labels: labelled(sensitivity("ETHUD"), confidentiality("R")) },
      then: "deny",
      because: ["requirement"],
    },
    {
      it: "and is met by a consent that names it",
      given: [
        filed("a", {
          root: permit({
            actors: [{ type: "organisation", id: "hospital-b" }],
            data: { labels: [sensitivity("ETH")] },
          }),
        }),
      ],
      facts: {
        overlays: [
          overlay(deny({ data: { labels: [sensitivity("SUD")] } }, { refrains: ["NORDSCLCD"] }), {
            require: { namesLabel: sensitivity("SUD"), recipientNamed: true },
          }),
        ],
      },
      about: { labels: labelled(sensitivity("ETHUD"), confidentiality("R")) },
      then: "permit",
    },
    {
      it: "and is not made of an unlabelled record being harmless",
      given: [filed("a", { root: permit() })],
      facts: {
        overlays: [
          overlay(deny({ data: { labels: [sensitivity("SUD")] } }), {
            require: { namesLabel: sensitivity("SUD") },
          }),
        ],
      },
      about: { labels: null },
      then: "deny",
    },
    {
      it: "an organisation's default does not meet a demand",
      facts: {
        organisation: onLedger([filed("org", { root: permit() })]),
        overlays: [overlay(deny(), { require: { recipientNamed: true } })],
      },
      then: "deny",
      because: ["requirement"],
    },
    {
      it: "a demand for the patient's own word refuses a guardian's",
      given: [filed("a", { by: "mother", capacity: "guardian", root: permit() })],
      facts: {
        capacities: [{ actor: "mother", capacity: "guardian" }],
        overlays: [overlay(deny(), { require: { grantorCapacity: ["self"] } })],
      },
      then: "deny",
      because: ["requirement"],
    },
  ],
};

/** Situations that no engine may get wrong, and the cases above that are about each. */
const SITUATIONS: readonly (readonly [situation: string, table: string, ...cases: string[]])[] = [
  ["a permit nested in a permit", "nested rules", "a permit nested in a permit decides by itself"],
  [
    "an expired nested exception",
    "nested rules",
    "an exception whose own period has ended leaves the rule around it",
    "an exception still holds on its last day",
  ],
  [
    "a data period at the root",
    "when the data happened",
    "a permit's period contains the record's",
    "a permit does not cover a record that begins before its period",
  ],
  [
    "a nested data period",
    "when the data happened",
    "a deny nested with a period of its own",
    "a deny nested with another period leaves the record to the permit around it",
  ],
  [
    "lineages of one date, filed in both orders",
    "two lineages of one date",
    "a permit, then a deny, in lineages of their own",
    "a deny, then a permit, in lineages of their own",
  ],
  [
    "statements of one lineage and one date, filed in both orders",
    "lineages",
    "the ledger, not the date, says which is newer",
    "the same dates, filed the other way round",
  ],
  [
    "permit-overrides inside deny-overrides",
    "nested rules",
    "permit-overrides inside deny-overrides",
    "deny-overrides around permit-overrides lets a sibling deny win",
  ],
  [
    "unlabelled data against label rules",
    "what is unknown",
    "an unlabelled record is not permitted by a label rule",
    "an unlabelled record under a label deny is indeterminate, not permitted",
  ],
  [
    "requests of several purposes",
    "purposes",
    "two purposes permitted by two rules",
    "of two purposes one is denied: denied",
  ],
  [
    "a proxy beyond depth",
    "proxies and chains of grants",
    "a proxy who may not hand on makes no other proxy",
    "and whom he made cannot hand on beyond that depth, though it was said he may",
  ],
  ["a guardian after majority", "who may speak", "a guardian's permit ends with majority"],
  [
    "revocation, then reinstatement",
    "lineages",
    "revocation, then reinstatement in knowledge of it",
  ],
  [
    "break-glass never",
    "break-glass statements beside decisions",
    "never is said with the refusal",
  ],
  [
    "break-glass under a reject-all consent",
    "break-glass statements beside decisions",
    "a reject-all consent says nothing of it",
  ],
  [
    "an absent purpose and BTG",
    "breaking the glass",
    "a permit without purpose does not reach BTG",
    "a deny without purpose reaches BTG, and says nothing of breaking the glass",
  ],
  ["an overlay that denies", "the law", "an overlay's deny stands above a permit"],
  [
    "an overlay that demands",
    "the law",
    "a demand for the label's name refuses a general consent",
    "and is met by a consent that names it",
  ],
  [
    "two purposes of which one is permitted",
    "purposes",
    "of two purposes one is permitted: refused",
  ],
  [
    "HRESCH asked against a CLINTRCH deny",
    "purposes",
    "asking HRESCH against a CLINTRCH deny is indeterminate",
  ],
  [
    "an organisation's default behind a recorded consent",
    "silence and defaults",
    "an organisation's default stays behind a recorded consent",
  ],
  [
    "an opt-out at one controller",
    "scope",
    "an opt-out at one controller does not silence another",
    "and holds at its own",
  ],
  [
    "a consent not yet valid that replaces one in force",
    "lineages",
    "a consent not yet valid does not yet replace the one in force",
    "and once valid replaces it",
  ],
  [
    "an old paper consent scanned late",
    "lineages",
    "an old paper consent scanned late permits nothing",
    "an old paper refusal scanned late still refuses",
  ],
  [
    "two amendments filed at once",
    "lineages",
    "of two amendments filed at once both denies count",
    "and the later one's permit does not",
    "until a directive names both heads",
  ],
  [
    "a refusal that expires over an older permit",
    "lineages",
    "a refusal that expires does not bring back the permit before it",
  ],
  [
    "a revoke that races an amendment",
    "lineages",
    "an amendment that loses the race against a revoke permits nothing",
    "an amendment that wins the race is revoked with the rest",
  ],
  [
    "permit TREAT beside deny BTG",
    "breaking the glass",
    "permit TREAT beside deny BTG: asking TREAT is permitted",
    "permit TREAT beside deny BTG: asking ETREAT is permitted",
    "permit TREAT beside deny BTG: asking BTG is denied",
  ],
  [
    "an unlabelled note under a label permit with an exception",
    "what is unknown",
    "an unlabelled note under a label permit with an exception is not read by the excepted",
    "and by others only because the default permits",
  ],
  [
    "obligations nobody understands",
    "obligations",
    "an obligation nobody understands refuses",
    "an obligation that is understood permits",
  ],
];

describe("the tables", () => {
  it("have at least 60 cases, each named once in its table", () => {
    const all = Object.values(tables).flat();
    expect(all.length).toBeGreaterThanOrEqual(60);
    for (const cases of Object.values(tables)) {
      expect(new Set(cases.map((item) => item.it)).size).toBe(cases.length);
    }
  });

  it.each(SITUATIONS)("are about %s", (_, table, ...cases) => {
    const titles = tables[table]?.map((item) => item.it) ?? [];
    for (const name of cases) expect(titles).toContain(name);
  });
});

for (const [name, cases] of Object.entries(tables)) {
  describe(name, () => {
    for (const item of cases) {
      it(item.it, () => {
        const decision = decide(item);
        const found = grounds(decision);
        expect({ outcome: decision.outcome, found }).toMatchObject({ outcome: item.then });
        for (const ground of item.because ?? []) expect(found).toContain(ground);
        for (const ground of item.not ?? []) expect(found).not.toContain(ground);
        if (item.breakGlass !== undefined) expect(decision.breakGlass).toBe(item.breakGlass);
      });
    }
  });
}

describe("break-glass statements", () => {
  it("are silent in a reject-all consent, so that the glass may be broken", () => {
    expect(decide({ it: "", given: [rejectAll], then: "deny" }).breakGlass).toBeNull();
  });

  it("say never where a matching rule does", () => {
    const given = [filed("a", { root: deny({}, { breakGlass: "never" }) })];
    expect(decide({ it: "", given, then: "deny" }).breakGlass).toBe("never");
  });

  it("say nothing where that rule does not match", () => {
    const given = [filed("a", { root: deny({ purposes: ["HMARKT"] }, { breakGlass: "never" }) })];
    expect(decide({ it: "", given, then: "not-applicable" }).breakGlass).toBeNull();
  });

  it("are taken from the innermost matching rule", () => {
    const root = deny(
      {},
      {
        id: "root",
        breakGlass: "never",
        rules: [deny({ purposes: ["TREAT"] }, { breakGlass: "allowed" })],
      },
    );
    expect(decide({ it: "", given: [filed("a", { root })], then: "deny" }).breakGlass).toBe(
      "allowed",
    );
  });
});
