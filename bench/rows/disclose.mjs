// @ts-check
import { randomBytes } from "node:crypto";
import { floorGrant } from "../lib/envelope-floor.mjs";
import { MRN, openCustodian, openHospitals, recordResults } from "../lib/hospitals.mjs";
import { costs, noteCosts } from "../lib/measure.mjs";

/** How many records a hospital elsewhere asks for, and how many asks a round has. */
const REMOTE = /** @type {const} */ ([
  ["disclose/remote-100", 100, 10],
  ["disclose/remote-10k", 10_000, 1],
]);
const ASKED = { patient: MRN, purposes: ["TREAT"] };

/**
 * Asks a custodian over HTTP, beside the same request made where the custodian is; every record that comes is opened
 * and has its receipt.
 *
 * @param {import("../run.mjs").Run} run
 * @param {number} total
 * @param {number} asks
 * @returns {Promise<import("../run.mjs").Measured>}
 */
async function remote({ folder, rounds, short, note }, total, asks) {
  const count = short ? Math.min(total, 300) : total;
  const { north, south, southKeys, patient, close } = await openHospitals(folder);
  await recordResults(north, patient, count);
  const requester = { signer: southKeys.signer(), agreement: southKeys.agreement() };
  /** @param {() => Promise<import("../../src/index.ts").Answer>} ask */
  const side = (ask) => ({
    async round() {
      for (let i = 0; i < asks; i++) {
        const answer = await ask();
        let opened = 0;
        for await (const { resource, receipt } of answer.items()) {
          if (resource !== undefined && receipt.length > 0) opened++;
        }
        if (opened !== count) throw new Error("not what was asked for");
      }
      return asks * count;
    },
  });
  const measured = await costs(
    [
      { name: "ours", ...side(() => south.ask(north.member, ASKED)) },
      { name: "in process", ...side(() => north.request(requester, ASKED)) },
    ],
    { rounds: asks === 1 ? Math.min(rounds, 3) : rounds },
  );
  await close();
  noteCosts(measured, note);
  const dearer = 1 / measured.less("in process", "ours", "total");
  note(`${dearer.toFixed(2)} × the CPU time of the same request in process`);
  return {
    value: /** @type {number} */ (measured.rates["ours"]),
    peers: { "in process": /** @type {number} */ (measured.rates["in process"]) },
  };
}

/** @type {import("../run.mjs").Row[]} */
export const rows = [
  {
    name: "disclose/1000",
    unit: "records/s",
    async run({ folder, rounds, short, note }) {
      const custodian = await openCustodian(folder("ledger"));
      const count = short ? 100 : 1000;
      await recordResults(custodian.ledger, custodian.patient, count);
      const measured = await costs(
        [
          {
            name: "ours",
            prepare: () => custodian.request(),
            async round(request) {
              const told = await custodian.ledger.disclose(request);
              if (!told.ok || told.answer.items.length !== count)
                throw new Error("not what was asked for");
              return count;
            },
          },
          {
            name: "floor",
            prepare: () => randomBytes(32),
            round(key) {
              for (let i = 0; i < count; i++) floorGrant(key);
              return count;
            },
          },
        ],
        { rounds, warmups: short ? 1 : 3 },
      );
      await custodian.close();
      noteCosts(measured, note);
      note(`${measured.less("floor", "ours", "total").toFixed(2)} × floor by CPU time`);
      return {
        value: /** @type {number} */ (measured.rates["ours"]),
        floor: /** @type {number} */ (measured.rates["floor"]),
      };
    },
  },
  ...REMOTE.map(([name, count, asks]) => ({
    name,
    unit: "records/s",
    /** @param {import("../run.mjs").Run} run */
    run: (run) => remote(run, count, asks),
  })),
];
