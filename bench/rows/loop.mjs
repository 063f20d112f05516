// @ts-check
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { dist } from "../lib/healthledger.mjs";
import { openNew } from "../lib/ledger.mjs";
import { collectGarbage, median } from "../lib/measure.mjs";

/** @type {typeof import("../../src/identity/file-keys.ts")} */
const { fileKeys } = await import(new URL("identity/file-keys.js", dist).href);

/** Longest that timers and I/O are to wait for a call of this library, in ms. */
const BOUND = 50;
const MEGABYTES = 20;

let numbered = 0;

/** @returns {Record<string, unknown>} */
const observation = () => ({
  resourceType: "Observation",
  id: `obs-${++numbered}`,
  status: "final",
  code: { coding: [{ system: "http://loinc.org", code: "2339-0", display: "Glucose" }] },
  subject: { reference: "Patient/p1" },
  effectiveDateTime: "2026-01-05T08:15:00Z",
  valueQuantity: { value: (numbered % 97) + 60.25, unit: "mg/dL" },
});

const bundle = (/** @type {number} */ count) =>
  JSON.stringify({
    resourceType: "Bundle",
    type: "collection",
    entry: Array.from({ length: count }, () => ({ resource: observation() })),
  });

/** A document that is one long string. */
const document = () =>
  JSON.stringify({
    resourceType: "Binary",
    id: `document-${++numbered}`,
    contentType: "application/pdf",
    data: randomBytes((MEGABYTES * 3e6) / 4).toString("base64"),
  });

/** A panel of many small values. */
const panel = () => {
  const one = JSON.stringify(observation()["code"]).length + 90;
  const component = Array.from({ length: (MEGABYTES * 1e6) / one }, (_, i) => ({
    code: { coding: [{ system: "http://loinc.org", code: `${i}-0`, display: "Glucose" }] },
    valueQuantity: { value: i + 0.25, unit: "mg/dL", system: "http://unitsofmeasure.org" },
  }));
  return JSON.stringify({ ...observation(), component });
};

/**
 * The longest delay of a timer while something is done, of each round, and how long that took.
 *
 * @param {import("../run.mjs").Run} run
 * @param {() => unknown} prepare
 * @param {(prepared: any) => Promise<unknown>} work
 */
async function measure({ rounds, note }, prepare, work) {
  const delays = [];
  const times = [];
  for (let round = -1; round < rounds; round++) {
    const prepared = await prepare();
    collectGarbage();
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    // The first interval is not counted.
    await sleep(20);
    const start = performance.now();
    await work(prepared);
    const took = performance.now() - start;
    await sleep(5);
    delay.disable();
    if (round < 0) continue;
    // Its own millisecond is no delay.
    delays.push(delay.max / 1e6 - 1);
    times.push(took);
  }
  const value = median(delays);
  const all = delays.map((ms) => ms.toFixed(0)).join(", ");
  note(
    `within ${BOUND} ms: ${value <= BOUND ? "met" : "missed"} (${all}); ${median(times).toFixed(0)} ms in all`,
  );
  return { value };
}

/** @param {import("../run.mjs").Run} run */
async function openPatient({ folder }) {
  const { storage, ledger } = await openNew(folder("ledger"));
  const patient = await ledger.ensureSubject({ system: "urn:oid:1.2.3", value: "p1" });
  const close = async () => {
    await ledger.close();
    await storage.close();
  };
  return { ledger, patient, close };
}

/** @param {string} name @param {() => string} prepare @param {"record" | "recordBundle"} call */
const recording = (name, prepare, call) => ({
  name: `loop/${name}`,
  unit: "ms",
  lessIsBetter: true,
  /** @param {import("../run.mjs").Run} run */
  async run(run) {
    const { ledger, patient, close } = await openPatient(run);
    const measured = await measure(run, prepare, (text) => ledger[call](patient, text));
    await close();
    return measured;
  },
});

export const rows = [
  recording("bundle-1000", () => bundle(1000), "recordBundle"),
  recording("document-20m", document, "record"),
  recording("panel-20m", panel, "record"),
  {
    name: "loop/file-keys",
    unit: "ms",
    lessIsBetter: true,
    /** @param {import("../run.mjs").Run} run */
    async run(run) {
      mkdirSync(run.folder("keys"), { recursive: true });
      const path = `${run.folder("keys")}/keys`;
      const passphrase = "correct horse battery staple";
      await (await fileKeys(path, { passphrase, create: true })).close();
      return measure(
        run,
        () => undefined,
        async () => (await fileKeys(path, { passphrase })).close(),
      );
    },
  },
];
