// @ts-check
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { nodeWorkers } from "../lib/healthledger.mjs";
import { openHypercore } from "../lib/hypercore.mjs";
import { openNew } from "../lib/ledger.mjs";
import { costs, noteCosts, pipelined } from "../lib/measure.mjs";
import { makeBundles } from "../lib/observations.mjs";
import { openRecordFloor } from "../lib/record-floor.mjs";

/** Resources a bundle: one transaction. */
const RESOURCES = 100;
/** Bundles a round: as many records as the index holds in memory before it writes, several times. */
const BUNDLES = 82;
/** The padded size of a manifest, and of these resources, and the length at its end. */
const PADDED = 3072;
const LENGTH_BYTES = 8;

/**
 * @param {number} bundles
 * @param {(text: string) => Promise<unknown>} record
 */
const side = (bundles, record) => ({
  prepare: () => makeBundles(bundles, RESOURCES),
  round: async (/** @type {string[]} */ texts) => {
    await pipelined(bundles, 2, (i) => record(/** @type {string} */ (texts[i])));
    return bundles * RESOURCES;
  },
});

/** @type {import("../run.mjs").Row[]} */
export const rows = [
  {
    name: "record/fhir",
    unit: "resources/s",
    async run({ folder, rounds, short, note }) {
      const { storage, ledger } = await openNew(folder("ledger"));
      const patient = await ledger.ensureSubject({ system: "urn:oid:1.2.3", value: "p1" });
      const floor = openRecordFloor(folder("floor"));
      const core = await openHypercore(folder("hypercore"));
      const bundles = short ? 2 : BUNDLES;
      const inClear = (/** @type {string} */ text) =>
        core.append(
          JSON.parse(text).entry.map((/** @type {any} */ { resource }) =>
            Buffer.from(JSON.stringify(resource)),
          ),
        );
      const measured = await costs(
        [
          { name: "ours", ...side(bundles, (text) => ledger.recordBundle(patient, text)) },
          { name: "floor", ...side(bundles, floor.record) },
          { name: "hypercore", ...side(bundles, inClear) },
        ],
        { rounds },
      );
      await ledger.close();
      await storage.close();
      await floor.close();
      await core.close();
      noteCosts(measured, note);
      for (const of of /** @type {const} */ (["main", "total"])) {
        const times = measured.less("floor", "ours", of).toFixed(2);
        note(`${times} × floor by CPU time, ${of === "main" ? "main thread" : "all threads"}`);
      }
      const { ours, floor: least, hypercore } = measured.rates;
      return {
        value: /** @type {number} */ (ours),
        floor: /** @type {number} */ (least),
        peers: { "hypercore (unsynced, unsealed)": /** @type {number} */ (hypercore) },
      };
    },
  },
  {
    name: "record/fhir-workers",
    unit: "resources/s",
    async run({ folder, rounds, short, note }) {
      const workers = nodeWorkers();
      const there = await openNew(folder("workers"), { workers });
      const here = await openNew(folder("ledger"));
      const bundles = short ? 2 : BUNDLES;
      const number = { system: "urn:oid:1.2.3", value: "p1" };
      const sides = [];
      for (const [name, { ledger }] of Object.entries({ ours: there, "record/fhir": here })) {
        const patient = await ledger.ensureSubject(number);
        sides.push({ name, ...side(bundles, (text) => ledger.recordBundle(patient, text)) });
      }
      const measured = await costs(sides, { rounds });
      for (const { ledger, storage } of [there, here]) {
        await ledger.close();
        await storage.close();
      }
      noteCosts(measured, note);
      for (const of of /** @type {const} */ (["main", "total"])) {
        const times = measured.less("record/fhir", "ours", of).toFixed(2);
        note(
          `${times} × record/fhir by CPU time, ${of === "main" ? "main thread" : "all threads"}`,
        );
      }
      const { ours, "record/fhir": alone } = measured.rates;
      return {
        value: /** @type {number} */ (ours),
        peers: { "record/fhir": /** @type {number} */ (alone) },
      };
    },
  },
  {
    name: "size/record",
    unit: "bytes",
    lessIsBetter: true,
    async run({ folder, short, note }) {
      const path = folder("ledger");
      const { storage, ledger } = await openNew(path);
      const patient = await ledger.ensureSubject({ system: "urn:oid:1.2.3", value: "p1" });
      const bundles = short ? 4 : 2 * BUNDLES;
      const texts = makeBundles(bundles, RESOURCES);
      let own = 0;
      for (const text of texts) {
        for (const { resource } of JSON.parse(text).entry) own += JSON.stringify(resource).length;
      }
      await pipelined(bundles, 2, (i) =>
        ledger.recordBundle(patient, /** @type {string} */ (texts[i])),
      );
      await ledger.close();
      await storage.compact?.();
      await storage.close();
      const count = bundles * RESOURCES;
      const stored = sizeOf(path) / count;
      const text = own / count;
      // The manifest is data of ours: only its zeros are padding.
      const manifest = short ? 0 : MANIFEST_BYTES;
      const padding = 2 * PADDED - text - manifest - 2 * LENGTH_BYTES;
      note(
        `${text.toFixed(0)} bytes of text and ${padding.toFixed(0)} of padding are not counted; all: ${stored.toFixed(0)}`,
      );
      return { value: stored - text - padding };
    },
  },
];

/** What the manifest of such a resource takes. */
const MANIFEST_BYTES = 430;

/** @param {string} folder @returns {number} */
function sizeOf(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}
