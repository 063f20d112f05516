// @ts-check
import { createCipheriv, generateKeyPairSync, hash, randomBytes, sign } from "node:crypto";
import { openFloor } from "../lib/floor.mjs";
import { openHypercore } from "../lib/hypercore.mjs";
import { openNew } from "../lib/ledger.mjs";
import { pipelined, rates } from "../lib/measure.mjs";

/** Resources a bundle: one transaction. */
const RESOURCES = 100;
/** A manifest in its sealed form takes about as much. */
const MANIFEST_BYTES = 420;

let numbered = 0;

/** A laboratory result as it comes from a FHIR server; no two alike. */
function observation() {
  const id = `obs-${++numbered}`;
  return {
    resourceType: "Observation",
    id,
    meta: { versionId: "1", lastUpdated: "2026-01-05T08:30:00Z" },
    identifier: [{ system: "urn:oid:1.2.36.1", value: id }],
    status: "final",
    category: [
      {
        coding: [
          {
            system: "http://terminology.hl7.org/CodeSystem/observation-category",
            code: "laboratory",
            display: "Laboratory",
          },
        ],
      },
    ],
    code: {
      coding: [{ system: "http://loinc.org", code: "2339-0", display: "Glucose in Blood" }],
      text: "Glucose",
    },
    subject: { reference: "Patient/p1" },
    encounter: { reference: "Encounter/e1" },
    effectiveDateTime: "2026-01-05T08:15:00Z",
    issued: "2026-01-05T08:30:00Z",
    performer: [{ reference: "Organization/lab" }],
    valueQuantity: {
      value: (numbered % 97) + 60.25,
      unit: "mg/dL",
      system: "http://unitsofmeasure.org",
      code: "mg/dL",
    },
    referenceRange: [{ low: { value: 70, unit: "mg/dL" }, high: { value: 99, unit: "mg/dL" } }],
  };
}

/** Bundles as the text that arrives. */
const makeBundles = (/** @type {number} */ count) =>
  Array.from({ length: count }, () =>
    JSON.stringify({
      resourceType: "Bundle",
      type: "collection",
      entry: Array.from({ length: RESOURCES }, () => ({ resource: observation() })),
    }),
  );

export const rows = [
  {
    name: "record/fhir",
    unit: "resources/s",
    /** @param {import("../run.mjs").Run} run */
    async run({ folder, rounds, short }) {
      const { storage, ledger } = await openNew(folder("ledger"));
      const patient = await ledger.ensureSubject({ system: "urn:oid:1.2.3", value: "p1" });

      const floor = openFloor(folder("floor"));
      const core = await openHypercore(folder("hypercore"));
      const { privateKey } = generateKeyPairSync("ed25519");
      const manifest = Buffer.alloc(MANIFEST_BYTES, 1);
      const bundles = short ? 2 : 10;

      /** The native primitives that sealing needs, bare; then one synced commit a bundle. */
      const sealBare = (/** @type {string} */ text) => {
        const blobs = JSON.parse(text).entry.flatMap((/** @type {any} */ { resource }) => {
          const parts = [manifest, Buffer.from(JSON.stringify(resource))].map((bytes) => {
            const cipher = createCipheriv("chacha20-poly1305", randomBytes(32), Buffer.alloc(12), {
              authTagLength: 16,
            });
            const sealed = Buffer.concat([cipher.update(bytes), cipher.final()]);
            return Buffer.concat([sealed, cipher.getAuthTag()]);
          });
          const header = Buffer.alloc(480);
          header.set(sign(null, header, privateKey));
          hash("sha256", header, "binary");
          return [header, ...parts];
        });
        return floor.append(blobs);
      };
      const inClear = (/** @type {string} */ text) =>
        core.append(
          JSON.parse(text).entry.map((/** @type {any} */ { resource }) =>
            Buffer.from(JSON.stringify(resource)),
          ),
        );
      const side = (/** @type {(text: string) => Promise<unknown>} */ record) => ({
        prepare: () => makeBundles(bundles),
        round: async (/** @type {string[]} */ texts) => {
          await pipelined(bundles, 2, (i) => record(/** @type {string} */ (texts[i])));
          return bundles * RESOURCES;
        },
      });
      const measured = await rates(
        [
          { name: "ours", ...side((text) => ledger.recordBundle(patient, text)) },
          { name: "floor", ...side(sealBare) },
          { name: "hypercore", ...side(inClear) },
        ],
        { rounds },
      );
      await ledger.close();
      await storage.close();
      await floor.close();
      await core.close();
      return {
        value: measured.ours,
        floor: measured.floor,
        peers: { "hypercore (unsynced, unsealed)": measured.hypercore },
      };
    },
  },
];
