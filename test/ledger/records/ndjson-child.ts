import { fileURLToPath } from "node:url";
import { writeSync } from "node:fs";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { foundWorld, MRN } from "../../support/hospital.ts";

export const NDJSON_CHILD: string = fileURLToPath(import.meta.url);

const PEOPLE = 3;
/** Resources, each with many versions. */
const RESOURCES = 400;

export const numberOf = (person: number): { system: string; value: string } => ({
  ...MRN,
  value: `crash-${person}`,
});
export const personOf = (resource: number): number => resource % PEOPLE;

/** Whether a resource is a prescription of the one drug, which is about nobody and serves everybody. */
export const isPrescription = (resource: number): boolean => resource % 20 === 5;
const typeOf = (resource: number): string =>
  isPrescription(resource) ? "MedicationRequest" : "Observation";

/**
 * What a line says: another version of a resource, or its deletion. The first lines are patients, and some are versions
 * of the drug.
 */
export function lineAt(i: number): { text: string; resource?: number; version: number } {
  if (i < PEOPLE) {
    const resource = { resourceType: "Patient", id: `p${i}`, identifier: [numberOf(i)] };
    return { text: JSON.stringify(resource), version: i };
  }
  const resource = (i * 7) % RESOURCES;
  const time = new Date(Date.UTC(2026, 0, 1) + i * 1000).toISOString();
  const meta = { versionId: String(i), lastUpdated: time };
  if (i % 500 === PEOPLE) {
    const drug = { resourceType: "Medication", id: "m", meta, code: { text: "a drug" } };
    return { text: JSON.stringify(drug), version: i };
  }
  if (i % 97 === 0) {
    const bundle = {
      ...{ resourceType: "Bundle", type: "transaction", timestamp: time },
      entry: [{ request: { method: "DELETE", url: `${typeOf(resource)}/o${resource}` } }],
    };
    return { text: JSON.stringify(bundle), resource, version: -i };
  }
  if (isPrescription(resource)) {
    const prescription = {
      ...{ resourceType: "MedicationRequest", id: `o${resource}`, meta, status: "active" },
      ...{ intent: "order", medicationReference: { reference: "Medication/m" } },
      subject: { reference: `Patient/p${personOf(resource)}` },
    };
    return { text: JSON.stringify(prescription), resource, version: i };
  }
  const observation = {
    resourceType: "Observation",
    id: `o${resource}`,
    meta,
    status: "final",
    code: { coding: [{ system: "http://loinc.org", code: "8480-6" }] },
    subject: { reference: `Patient/p${personOf(resource)}` },
    valueQuantity: { value: i },
  };
  return { text: JSON.stringify(observation), resource, version: i };
}

export function* feed(count: number): Generator<string> {
  for (let i = 0; i < count; i++) yield `${lineAt(i).text}\n`;
}

// Sends so many lines, from the first on, until it is killed, and says how many are durable.
// Arguments: path of the store, number of lines.
if (process.argv[1] === NDJSON_CHILD) {
  const [path, count] = process.argv.slice(2) as [string, string];
  const world = await foundWorld(await lmdbStorage({ path }));
  const hl = await world.open({ lane: 0, signedHeads: "store" });
  writeSync(1, "ready\n");
  await hl.recordNdjson(feed(Number(count)), {
    source: "ehr-1",
    onProgress: ({ lines }) => void writeSync(1, `durable ${lines}\n`),
  });
  await hl.close();
  writeSync(1, "finished\n");
}
