import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fromConsent, type FromConsentOptions } from "../../../src/fhir/index.ts";
import { signAttestation } from "../../../src/ledger/disclosure/attestation.ts";
import { describeVectors } from "../../support/vectors.ts";
import { fileAs, namesOf, WAYS } from "../../support/published.ts";
import { ward, type Ward } from "../../support/ward.ts";

// HL7's example Consents that can be imported, over the whole path. What each row expects was read
// from the Consent by hand; options are what a person would give who read its narrative. Beside it
// stands a consent of the patient's that opens everything for treatment, where the row says so: a
// refusal then shows by what is missing.

const RX = "MedicationRequest/medrx0305";
const OTHER_RX = "MedicationRequest/other";
const TASK = "Task/example3";
const LAB = "Observation/lab";
const ALL = [LAB, OTHER_RX, RX, TASK].sort();
const MEDICATION = [OTHER_RX, RX].sort();

const recordsOf = (patient: string): readonly object[] => {
  const subject = { reference: patient };
  const medication = {
    status: "active",
    intent: "order",
    subject,
    medicationCodeableConcept: {
      coding: [{ system: "http://www.nlm.nih.gov/research/umls/rxnorm", code: "197361" }],
    },
  };
  return [
    { resourceType: "MedicationRequest", id: "medrx0305", ...medication },
    { resourceType: "MedicationRequest", id: "other", ...medication },
    {
      resourceType: "Task",
      id: "example3",
      status: "requested",
      intent: "order",
      focus: { reference: RX },
      for: subject,
    },
    {
      resourceType: "Observation",
      id: "lab",
      status: "final",
      code: { coding: [{ system: "http://loinc.org", code: "2339-0" }] },
      subject,
      effectiveDateTime: "2015-01-10",
    },
  ];
};

/** Who asks when, and what is released, because. */
interface Asked {
  readonly on: string;
  readonly user?: string;
  /** What the custodian attests that the asking organisation is called. */
  readonly as?: string;
  readonly released: readonly string[];
  readonly because: string;
}

interface Row {
  readonly name: string;
  readonly options?: FromConsentOptions;
  /** The consent is bounded to an organisation: this custodian is it. */
  readonly ours?: true;
  /** Another consent of the patient's permits everything for treatment. */
  readonly open?: true;
  readonly asked: readonly Asked[];
}

const exception: FromConsentOptions = { reading: "exception" };
const scope: FromConsentOptions = { reading: "scope" };
const proxy: FromConsentOptions = { ...scope, capacity: "proxy", controller: null };

const notTime: readonly Asked[] = [
  { on: "2020-01-01", released: ALL, because: "the month that it excepts is long past" },
];
const notThem: readonly Asked[] = [
  { on: "2020-01-01", user: "Practitioner/f204", released: [], because: "this nurse is excepted" },
  { on: "2020-01-01", user: "Practitioner/x", released: ALL, because: "another is not" },
  { on: "2020-01-01", released: [], because: "who is not named may be that nurse" },
  {
    on: "2020-01-01",
    user: "nurse-204",
    released: [],
    because: "a name of another kind may be hers",
  },
];
const notOrg: readonly Asked[] = [
  {
    on: "2020-01-01",
    user: "Practitioner/x",
    as: "Organization/f001",
    released: [],
    because: "this organisation is excepted",
  },
  {
    on: "2020-01-01",
    user: "Practitioner/x",
    as: "Organization/elsewhere",
    released: ALL,
    because: "another is not",
  },
  {
    on: "2020-01-01",
    user: "Practitioner/x",
    released: [],
    because: "who is known by its key alone may be the excepted organisation",
  },
];
/** Nothing states who refers to a record, so that any may be what the named one refers to. */
const notThis: readonly Asked[] = [
  {
    on: "2020-01-01",
    user: "Practitioner/x",
    released: [],
    because: "the record is named, and each other may be what it refers to",
  },
];
const half = "2016-06-23T17:10:00+10:00";
const app: readonly Asked[] = [
  { on: half, released: MEDICATION, because: "prescriptions, within the half hour" },
  {
    on: "2016-06-23T17:32:34+10:00",
    released: [],
    because: "a second after the half hour nothing is open any more",
  },
];

const R4: readonly Row[] = [
  {
    name: "basic",
    options: scope,
    asked: [
      { on: "2017-01-01", released: [], because: "it opted in until 2016, and agreed to no more" },
    ],
  },
  {
    name: "Out",
    options: scope,
    open: true,
    asked: [
      {
        on: "2020-01-01",
        released: [],
        because: "what f001 holds is withheld, and this custodian, known by its key, may be f001",
      },
    ],
  },
  {
    name: "grantor",
    options: scope,
    open: true,
    asked: [
      {
        on: "2020-01-01",
        user: "Patient/example",
        released: [],
        because: "withheld from this recipient, if this custodian is f001, which it may be",
      },
      {
        on: "2020-01-01",
        user: "Patient/other",
        released: ALL,
        because: "the refusal is of one patient, and this is another",
      },
      {
        on: "2020-01-01",
        user: "Practitioner/x",
        released: [],
        because: "a practitioner may be that patient too",
      },
    ],
  },
  { name: "notOrg", asked: notOrg },
  { name: "notThem", options: exception, asked: notThem },
  { name: "notThis", options: exception, asked: notThis },
  { name: "notTime", options: exception, asked: notTime },
  { name: "smartonfhir", options: proxy, asked: app },
];

const R5: readonly Row[] = [
  {
    name: "basic",
    options: { ...exception, controller: null },
    asked: [
      { on: "2018-12-30", released: ALL, because: "the refusal excepts the time until 2019" },
      { on: "2019-01-02", released: [], because: "from 2019 on it refuses" },
    ],
  },
  { name: "notOrg", options: exception, ours: true, asked: notOrg },
  { name: "notThem", options: exception, ours: true, asked: notThem },
  {
    name: "notThem",
    options: exception,
    asked: [
      {
        on: "2020-01-01",
        user: "Practitioner/x",
        released: [],
        because: "it is of what f001 controls, and nobody says that this custodian is f001",
      },
    ],
  },
  { name: "notThis", options: exception, ours: true, asked: notThis },
  { name: "notTime", options: exception, ours: true, asked: notTime },
  { name: "smartonfhir", options: proxy, asked: app },
];

const DAY = 86_400_000;

for (const [version, rows] of [
  ["r4", R4],
  ["r5", R5],
] as const) {
  describeVectors(
    `Consents of FHIR ${version} over the whole path`,
    `fhir-${version}`,
    (folder) => {
      const read = (name: string): string =>
        readFileSync(join(folder, `Consent-consent-example-${name}.json`), "utf8");

      async function filed(row: Row, way: (typeof WAYS)[number], on: string): Promise<Ward> {
        const { name, options, ours, open } = row;
        const w = await ward({ now: () => Date.parse(on) });
        const { directive, patient } = fromConsent(read(name), {
          lineage: name,
          dialect: version === "r5" ? "r5" : "r4-policy-rule",
          ...options,
          ...(ours === true && { controller: w.hl.member }),
        });
        const entry = recordsOf(patient).map((resource) => ({ resource }));
        const bundle = { resourceType: "Bundle", type: "collection", entry };
        await w.hl.recordBundle(w.me, JSON.stringify(bundle));
        await fileAs(way, w, directive, Date.parse(on));
        if (open === true) {
          const root = {
            id: "open",
            effect: "permit",
            combine: "deny-overrides",
            when: {},
          } as const;
          const validity = { from: "2010", zone: "UTC" };
          await w.permit({ lineage: "open", default: "none", validity, root });
        }
        return w;
      }

      const questions = rows.flatMap((row) =>
        row.asked.map((one) => ({ row, ...one, name: row.name, who: one.user ?? "nobody named" })),
      );
      describe.each(WAYS)("that are %s", (way) => {
        it.each(questions)("$name, $on, $who: $because", async (item) => {
          const { row, on, user, as, released } = item;
          const w = await filed(row, way, on);
          const now = Date.parse(on);
          const fact = {
            ledger: w.hl.id,
            requester: w.b.signer.actor,
            from: now - DAY,
            to: now + DAY,
          };
          const attestations =
            as === undefined
              ? []
              : [await signAttestation({ ...fact, memberOf: as }, w.hospitalA.signer())];
          const answer = await w.ask(w.b, { ...(user !== undefined && { user }), attestations });
          expect(await namesOf(answer, "MedicationRequest", "Task", "Observation")).toEqual(
            released,
          );
        });
      });
    },
  );
}
