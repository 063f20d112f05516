// @ts-check
import { openCustodian, recordResults } from "../lib/hospitals.mjs";
import { costs } from "../lib/measure.mjs";

/** Records that are asked for, whatever else there is of the person. */
const ASKED = 20;

/** @param {number} number */
const condition = (number) => ({
  resourceType: "Condition",
  id: `c${number}`,
  code: { coding: [{ system: "http://hl7.org/fhir/sid/icd-10-cm", code: "E11.9" }] },
  subject: { reference: "Patient/p1" },
  recordedDate: "2026-01-05",
});

/**
 * A person with so many results, and a few diagnoses.
 *
 * @param {string} path
 * @param {number} count
 */
async function personWith(path, count) {
  const custodian = await openCustodian(path);
  const { ledger, patient } = custodian;
  await recordResults(ledger, patient, count);
  const entry = Array.from({ length: ASKED }, (_, i) => ({ resource: condition(i) }));
  const bundle = { resourceType: "Bundle", type: "collection", entry };
  const { recorded } = await ledger.recordBundle(patient, bundle);
  return {
    ...custodian,
    /** @type {import("../../src/index.ts").RecordId} */
    first: /** @type {any} */ (recorded[0]).id,
  };
}

/** @typedef {Awaited<ReturnType<typeof personWith>>} OnePerson */

/** Calls that concern few of a person's records. */
const CALLS = /** @type {const} */ ({
  request: {
    prepare: (/** @type {OnePerson} */ one) => one.request({ query: { types: ["Condition"] } }),
    async work(/** @type {OnePerson} */ { ledger }, /** @type {Uint8Array} */ request) {
      const told = await ledger.disclose(request);
      if (!told.ok || told.answer.items.length !== ASKED) throw new Error("not what was asked for");
    },
  },
  amend: {
    prepare: () => ({ ...condition(0), note: [{ text: `${Math.random()}` }] }),
    async work(/** @type {OnePerson} */ { ledger, first }, /** @type {any} */ resource) {
      await ledger.amend(first, resource);
    },
  },
  records: {
    prepare: () => undefined,
    async work(/** @type {OnePerson} */ { ledger, patient }) {
      const page = await ledger.records(patient, { limit: ASKED });
      if (page.length !== ASKED) throw new Error("not a page");
    },
  },
});

/** @type {import("../run.mjs").Row[]} */
export const rows = [
  {
    name: "person/request",
    unit: "ms of CPU",
    lessIsBetter: true,
    async run({ folder, rounds, short, note }) {
      const sizes = short ? [100, 1000] : [1000, 10_000, 100_000];
      /** @type {Map<string, OnePerson>} */
      const people = new Map();
      for (const size of sizes) {
        people.set(size.toLocaleString("en"), await personWith(folder(`${size}`), size));
      }
      /** @type {Record<string, Record<string, number>>} */
      const found = {};
      for (const [call, { prepare, work }] of Object.entries(CALLS)) {
        const measured = await costs(
          [...people].map(([name, one]) => ({
            name,
            prepare: () => prepare(one),
            async round(/** @type {any} */ prepared) {
              await work(one, prepared);
              return 1;
            },
          })),
          { rounds: 3 * rounds, warmups: short ? 1 : 5 },
        );
        found[call] = Object.fromEntries(
          [...people.keys()].map((name) => [name, Number(measured.cost[name]?.total) / 1000]),
        );
        const [least, ...larger] = people.keys();
        const grown = larger.map((name) => {
          const ratio = Number(found[call]?.[name]) / Number(found[call]?.[`${least}`]);
          return `${ratio.toFixed(2)} × at ${name} records`;
        });
        note(
          `${call}: ${found[call]?.[`${least}`]?.toFixed(2)} ms of CPU at ${least}, ${grown.join(", ")}`,
        );
      }
      for (const one of people.values()) await one.close();
      const { [[...people.keys()].at(-1) ?? ""]: value, ...peers } = found["request"] ?? {};
      return { value: Number(value), peers };
    },
  },
];
