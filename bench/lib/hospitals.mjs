// @ts-check
// Members with whole ledgers: a custodian whose patient permits treatment, and two that reach each other by HTTP.
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { serve } from "../../examples/lib/serve.mjs";
import { consent, hl, hlChain, lmdbStorage, network } from "./healthledger.mjs";
import { makeBundles } from "./observations.mjs";

/** The number by which everybody knows the patient. */
export const MRN = { system: "urn:oid:1.2.3", value: "p1" };
/** As many requests as a row likes. */
const requestsPerMinute = 1e9;

/** Keys of one member. */
async function ownKeys() {
  const keys = hl.memoryKeys();
  for (const use of /** @type {const} */ (["sign", "checkpoint", "agree"]))
    await keys.generate({ use });
  return keys;
}

/** A directive that permits treatment, and denies the rest. */
export const treatmentOnly = (lineage = "privacy") =>
  consent.createDirective({
    ...{ lineage, grantor: "Patient/1", from: Date.now() - 1000, otherwise: "deny" },
    basis: { uri: "https://example.org/privacy-policy", version: "1" },
    permit: { id: "treatment", purposes: ["TREAT"] },
  });

/** Who took a directive down. */
export const witness = () => ({
  ...{ user: "clerk-7", takenAt: Date.now() },
  form: /** @type {const} */ ("paper"),
});

/**
 * Takes down that the patient permits treatment.
 *
 * @param {import("../../src/index.ts").Ledger} ledger
 */
export async function permitTreatment(ledger) {
  const patient = await ledger.ensureSubject(MRN);
  await ledger.consent(patient, treatmentOnly(), { witness: witness() });
  return patient;
}

/**
 * A custodian on LMDB whose patient permits treatment, and a clinic that may ask.
 *
 * @param {string} path
 */
export async function openCustodian(path) {
  const [keys, clinic] = [await ownKeys(), await ownKeys()];
  const members = [{ keys }, { keys: clinic }];
  const genesis = await hl.createGenesis({ origin: "bench.example/custodian", members });
  const storage = await lmdbStorage({ path });
  const ledger = await hl.openLedger({ storage, keys, genesis });
  const patient = await permitTreatment(ledger);
  const chain = await hlChain.openChain({ storage, genesis });
  return {
    ...{ ledger, patient },
    /**
     * Makes a request of the clinic.
     *
     * @param {Pick<import("../../src/index.ts").RequestOptions, "query">} [what]
     */
    async request(what = {}) {
      await chain.refresh();
      return hl.createRequest({
        ...{ chain, custodian: ledger.member, patient: MRN, purposes: ["TREAT"], ...what },
        ...{ signer: clinic.signer(), agreement: clinic.agreement() },
      });
    },
    async close() {
      await ledger.close();
      await chain.close();
      await storage.close();
    },
  };
}

/**
 * Records so many results of a person.
 *
 * @param {import("../../src/index.ts").Ledger} ledger
 * @param {import("../../src/index.ts").Subject} patient
 * @param {number} count
 */
export async function recordResults(ledger, patient, count) {
  for (let left = count; left > 0; left -= 1000) {
    const [text] = makeBundles(1, Math.min(left, 1000));
    await ledger.recordBundle(patient, /** @type {string} */ (text));
  }
}

/**
 * Two hospitals with nothing but HTTP on loopback between them: North orders and has a patient who permits treatment,
 * South is elsewhere with a copy and an outbox. Both are in this process, so that the CPU time of both is in a row.
 *
 * @param {(name: string) => string} folder
 */
export async function openHospitals(folder) {
  const [northKeys, southKeys] = [await ownKeys(), await ownKeys()];
  const nonce = crypto.getRandomValues(new Uint8Array(32));
  const describe = (
    /** @type {import("../../src/index.ts").KeyStore} */ keys,
    /** @type {string} */ name,
    /** @type {("custodian" | "sequencer")[]} */ ...roles
  ) => hl.signDescription(keys, { name, roles, for: nonce });
  const genesis = await hl.createGenesis({
    ...{ origin: "bench.example/hospitals", nonce },
    members: [
      await describe(northKeys, "north", "custodian", "sequencer"),
      await describe(southKeys, "south", "custodian"),
    ],
  });
  const storage = await lmdbStorage({ path: folder("north") });
  const north = await hl.openLedger({ storage, keys: northKeys, genesis });
  const source = network.publishHeads({ ledger: north, chains: storage.chains, every: 20 });
  const serving = network.ledgerHandler({
    ...{ source, sequencer: north.sequencer, requestsPerMinute },
    sessions: { did: north.member },
  });
  const handler = network.custodianHandler({
    ...{ ledger: north, otherwise: serving, requestsPerMinute },
  });
  const server = await serve(0, new Map([["/", handler]]));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const home = network.httpPeer({
    ...{ url: `http://127.0.0.1:${port}`, did: north.member },
    session: { ledger: north.id, signer: southKeys.signer() },
  });
  const southStorage = await lmdbStorage({ path: folder("south") });
  const south = await hl.openLedger({
    ...{ storage: southStorage, keys: southKeys, genesis, home, custodians: [home] },
  });
  const patient = await permitTreatment(north);
  // South asks by what it has accepted.
  while (south.chain.size < north.chain.size) await setTimeout(10);
  return {
    ...{ north, south, southKeys, patient, storage },
    async close() {
      await south.close();
      await source.close();
      await north.close();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
      await southStorage.close();
      await storage.close();
    },
  };
}
