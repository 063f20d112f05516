import { expect, it } from "vitest";
import { MRN } from "../../support/hospital.ts";
import { ward } from "../../support/ward.ts";

const source = "ehr-1";
const line = (resource: object): string => `${JSON.stringify(resource)}\n`;
const PATIENT = line({ resourceType: "Patient", id: "1", identifier: [MRN] });
// Zidovudine, by RxNorm.
const DRUG = line({
  resourceType: "Medication",
  id: "m1",
  code: { coding: [{ system: "http://www.nlm.nih.gov/research/umls/rxnorm", code: "11413" }] },
});
const PRESCRIPTION = line({
  resourceType: "MedicationRequest",
  id: "r1",
  ...{ status: "active", intent: "order" },
  subject: { reference: "Patient/1" },
  medicationReference: { reference: "Medication/m1" },
});
/** What stands before a Bundle is recorded before it is read. */
const BREAK = line({ resourceType: "Bundle", type: "collection", entry: [] });

it("amends a text that is on record once, when it comes with something that tells a label of it", async () => {
  const { hl } = await ward();
  const send = async (...lines: readonly string[]) => {
    const { recorded, amended, known } = await hl.recordNdjson([lines.join("")], { source });
    return { recorded, amended, known };
  };
  const labels = async () => {
    const [{ subject } = { subject: undefined }] = await hl.find({
      ...{ source, type: "MedicationRequest", id: "r1" },
    });
    const all = await hl.records(subject!);
    const found = all.find(({ head }) => head.manifest.resource?.type === "MedicationRequest");
    return (found!.labels?.codes ?? []).map(({ code }) => code).includes("HIV");
  };
  // Apart, nothing says what is prescribed; a decision takes the drug's labels in then.
  expect(await send(PATIENT, DRUG, BREAK, PRESCRIPTION)).toEqual({
    recorded: 3,
    amended: 0,
    known: 0,
  });
  expect(await labels()).toBe(false);
  expect(await send(PATIENT, PRESCRIPTION, BREAK, DRUG)).toEqual({
    recorded: 0,
    amended: 0,
    known: 3,
  });
  // Together, it bears the label; whatever order comes after, it keeps it, and nothing is filed.
  expect(await send(PRESCRIPTION, DRUG, PATIENT)).toEqual({ recorded: 0, amended: 1, known: 2 });
  expect(await labels()).toBe(true);
  for (const order of [
    [DRUG, PRESCRIPTION, PATIENT],
    [PRESCRIPTION, BREAK, DRUG, PATIENT],
    [PATIENT, DRUG, BREAK, PRESCRIPTION],
  ]) {
    expect(await send(...order)).toEqual({ recorded: 0, amended: 0, known: 3 });
  }
  expect(await labels()).toBe(true);
  await hl.close();
});
