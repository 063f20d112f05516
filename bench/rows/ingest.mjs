// @ts-check
import { randomBytes } from "node:crypto";
import { hl, lmdbStorage } from "../lib/healthledger.mjs";
import { foundWith } from "../lib/ledger.mjs";
import { rates } from "../lib/measure.mjs";

const PEOPLE = 50;
let numbered = 0;

/** A laboratory result as a line of an export; no two alike. */
function line() {
  const id = `obs-${++numbered}`;
  return JSON.stringify({
    resourceType: "Observation",
    id,
    meta: { versionId: "1", lastUpdated: "2026-01-05T08:30:00Z" },
    status: "final",
    category: [
      {
        coding: [
          {
            system: "http://terminology.hl7.org/CodeSystem/observation-category",
            code: "laboratory",
          },
        ],
      },
    ],
    code: { coding: [{ system: "http://loinc.org", code: "2339-0" }], text: "Glucose" },
    subject: { reference: `Patient/p${numbered % PEOPLE}` },
    encounter: { reference: "Encounter/e1" },
    effectiveDateTime: "2026-01-05T08:15:00Z",
    performer: [{ reference: "Organization/lab" }],
    valueQuantity: { value: (numbered % 97) + 60.25, unit: "mg/dL" },
    referenceRange: [{ low: { value: 70, unit: "mg/dL" }, high: { value: 99, unit: "mg/dL" } }],
  });
}

const patients = Array.from({ length: PEOPLE }, (_, i) =>
  JSON.stringify({
    resourceType: "Patient",
    id: `p${i}`,
    identifier: [{ system: "urn:oid:1.2.3", value: `ingest-${i}` }],
  }),
).join("\n");

/** @param {import("../run.mjs").Run} run @param {boolean} isAgain */
async function ingest({ folder, rounds, short }, isAgain) {
  const keys = hl.memoryKeys();
  await keys.add({ use: "sign", secret: new Uint8Array(randomBytes(32)) });
  await keys.add({ use: "agree", secret: new Uint8Array(randomBytes(32)) });
  const { genesis } = await foundWith(keys.signer(), keys.agreement());
  const storage = await lmdbStorage({ path: folder("ledger") });
  const ledger = await hl.openLedger({ storage, keys, genesis });
  const count = short ? 200 : 5000;
  const source = "bench";
  await ledger.recordNdjson([patients], { source });
  const makeLines = () => [Array.from({ length: count }, line).join("\n")];
  const measured = await rates(
    [
      {
        name: "ours",
        async prepare() {
          const lines = makeLines();
          if (isAgain) await ledger.recordNdjson(lines, { source });
          return lines;
        },
        async round(lines) {
          const { recorded, known } = await ledger.recordNdjson(lines, { source });
          if ((isAgain ? known : recorded) !== count) throw new Error("not what was sent");
          return count;
        },
      },
    ],
    { rounds },
  );
  await ledger.close();
  await storage.close();
  return { value: measured.ours };
}

export const rows = [
  {
    name: "ingest/ndjson",
    unit: "resources/s",
    /** @param {import("../run.mjs").Run} run */
    run: (run) => ingest(run, false),
  },
  {
    name: "ingest/again",
    unit: "resources/s",
    /** @param {import("../run.mjs").Run} run */
    run: (run) => ingest(run, true),
  },
];
