// @ts-check
import { openNew } from "../lib/ledger.mjs";
import { costs, noteCosts, pipelined } from "../lib/measure.mjs";
import { makeBundles, observation } from "../lib/observations.mjs";

const PEOPLE = 50;
/** Resources a round, and a bundle of the side that is compared with. */
const COUNT = 8200;
const BUNDLE = 100;
const source = "bench";

const patients = Array.from({ length: PEOPLE }, (_, i) =>
  JSON.stringify({
    resourceType: "Patient",
    id: `p${i}`,
    identifier: [{ system: "urn:oid:1.2.3", value: `ingest-${i}` }],
  }),
).join("\n");

/** @param {number} count */
const makeLines = (count) => [
  Array.from({ length: count }, () =>
    JSON.stringify(observation((number) => `p${number % PEOPLE}`)),
  ).join("\n"),
];

/**
 * Sends lines beside recording as many resources as bundles.
 *
 * @param {import("../run.mjs").Run} run
 * @param {boolean} isAgain - whether the lines were sent before
 * @returns {Promise<import("../run.mjs").Measured>}
 */
async function ingest({ folder, rounds, short, note }, isAgain) {
  const { storage, ledger } = await openNew(folder("ledger"));
  const other = await openNew(folder("bundles"));
  const patient = await other.ledger.ensureSubject({ system: "urn:oid:1.2.3", value: "p1" });
  const count = short ? 200 : COUNT;
  await ledger.recordNdjson([patients], { source });
  const bundles = count / BUNDLE;
  const measured = await costs(
    [
      {
        name: "ours",
        async prepare() {
          const lines = makeLines(count);
          if (isAgain) await ledger.recordNdjson(lines, { source });
          return lines;
        },
        async round(lines) {
          const { recorded, known } = await ledger.recordNdjson(lines, { source });
          if ((isAgain ? known : recorded) !== count) throw new Error("not what was sent");
          return count;
        },
      },
      {
        name: "record/fhir",
        prepare: () => makeBundles(bundles, BUNDLE),
        async round(texts) {
          await pipelined(bundles, 2, (i) => other.ledger.recordBundle(patient, texts[i]));
          return count;
        },
      },
    ],
    { rounds },
  );
  for (const one of [{ storage, ledger }, other]) {
    await one.ledger.close();
    await one.storage.close();
  }
  noteCosts(measured, note);
  note(`${measured.less("record/fhir", "ours", "total").toFixed(2)} × record/fhir by CPU time`);
  return {
    value: /** @type {number} */ (measured.rates["ours"]),
    peers: { "record/fhir": /** @type {number} */ (measured.rates["record/fhir"]) },
  };
}

/** @type {import("../run.mjs").Row[]} */
export const rows = [
  { name: "ingest/ndjson", unit: "resources/s", run: (run) => ingest(run, false) },
  { name: "ingest/again", unit: "resources/s", run: (run) => ingest(run, true) },
];
