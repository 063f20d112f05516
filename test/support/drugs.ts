import type { Directive, Rule } from "../../src/consent/model/model.ts";
import type { Answer } from "../../src/ledger/disclosure/answer.ts";
import { MRN, rootRule } from "./hospital.ts";
import { opened } from "./ward.ts";

/** RxNorm's code of a drug against HIV, and of one against pain. */
export const RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm";
export const ZIDOVUDINE = { system: RXNORM, code: "11413" };
export const PARACETAMOL = { system: RXNORM, code: "161" };

type Json = Record<string, unknown>;

export const patient = (id = "p", number: object = MRN): Json => ({
  resourceType: "Patient",
  id,
  identifier: [number],
});
export const medication = (id: string, code: object = PARACETAMOL, more: Json = {}): Json => ({
  resourceType: "Medication",
  id,
  code: { coding: [code] },
  ...more,
});
export const prescription = (id: string, drug: string, more: Json = {}): Json => ({
  resourceType: "MedicationRequest",
  id,
  status: "active",
  intent: "order",
  medicationReference: { reference: drug },
  reasonCode: [{ coding: [{ system: "http://snomed.info/sct", code: "22253000" }] }],
  subject: { reference: "Patient/p" },
  authoredOn: "2026-01-01",
  ...more,
});
export const practitioner = (id: string, more: Json = {}): Json => ({
  resourceType: "Practitioner",
  id,
  identifier: [{ system: "http://hl7.org/fhir/sid/us-npi", value: `npi-${id}` }],
  ...more,
});

/** A bundle of resources, each put at its name. */
export const bundleOf = (
  resources: readonly Json[],
  entries: (one: Json) => object = put,
): string =>
  JSON.stringify({
    resourceType: "Bundle",
    type: "transaction",
    entry: resources.map((resource) => ({ resource, ...entries(resource) })),
  });

const put = ({ resourceType, id }: Json): object => ({
  request: { method: "PUT", url: `${String(resourceType)}/${String(id)}` },
});

export const ndjson = (resources: readonly Json[]): Iterable<string> =>
  resources.map((one) => `${JSON.stringify(one)}\n`);

/** Type, id and version of what an answer holds, in order of the alphabet. */
export const namesIn = async (answer: Answer): Promise<readonly string[]> =>
  (await opened(answer))
    .map(({ resource }) => {
      const { resourceType, id, meta } = resource as Json;
      const version = (meta as { versionId?: string } | undefined)?.versionId;
      return `${String(resourceType)}/${String(id)}${version === undefined ? "" : ` v${version}`}`;
    })
    .sort();

/** Permits treatment, but nothing that has a code. */
export const refusing = (code: { system: string; code: string }): Partial<Directive> => {
  const refused: Rule = { ...rootRule("deny", { data: { codes: [code] } }), id: "refused" };
  const treating = { ...rootRule("permit", { purposes: ["TREAT"] }), id: "treatment" };
  return { root: { ...rootRule("deny", {}), rules: [{ ...treating, rules: [refused] }] } };
};
/** Permits treatment. */
export const permitting: Partial<Directive> = {
  root: {
    ...rootRule("deny", {}),
    rules: [{ ...rootRule("permit", { purposes: ["TREAT"] }), id: "treatment" }],
  },
};
