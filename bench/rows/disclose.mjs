// @ts-check
import { randomBytes } from "node:crypto";
import { floorGrant } from "../lib/envelope-floor.mjs";
import { consent, hl, hlChain, lmdbStorage } from "../lib/healthledger.mjs";
import { costs, noteCosts } from "../lib/measure.mjs";
import { makeBundles } from "../lib/observations.mjs";

const MRN = { system: "urn:oid:1.2.3", value: "p1" };

async function ownKeys() {
  const keys = hl.memoryKeys();
  for (const use of /** @type {const} */ (["sign", "checkpoint", "agree"]))
    await keys.generate({ use });
  return keys;
}

/** @type {import("../run.mjs").Row[]} */
export const rows = [
  {
    name: "disclose/1000",
    unit: "records/s",
    async run({ folder, rounds, short, note }) {
      const [keys, clinic] = [await ownKeys(), await ownKeys()];
      const genesis = await hl.createGenesis({
        origin: "bench.example/disclose",
        members: [{ keys }, { keys: clinic }],
      });
      const storage = await lmdbStorage({ path: folder("ledger") });
      const ledger = await hl.openLedger({ storage, keys, genesis });
      const patient = await ledger.ensureSubject(MRN);
      const count = short ? 100 : 1000;
      for (const text of makeBundles(count / 100, 100)) await ledger.recordBundle(patient, text);
      const wishes = consent.createDirective({
        lineage: "privacy",
        grantor: "Patient/1",
        basis: { uri: "https://example.org/privacy-policy", version: "1" },
        from: Date.now() - 1000,
        permit: { id: "treatment", purposes: ["TREAT"] },
        otherwise: "deny",
      });
      await ledger.consent(patient, wishes, {
        witness: { user: "clerk-7", form: "paper", takenAt: Date.now() },
      });
      const chain = await hlChain.openChain({ storage, genesis });
      const custodian = keys.signer().actor;
      const [signer, agreement] = [clinic.signer(), clinic.agreement()];
      const measured = await costs(
        [
          {
            name: "ours",
            async prepare() {
              await chain.refresh();
              return hl.createRequest({
                chain,
                custodian,
                patient: MRN,
                purposes: ["TREAT"],
                signer,
                agreement,
              });
            },
            async round(request) {
              const told = await ledger.disclose(request);
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
      await ledger.close();
      await chain.close();
      await storage.close();
      noteCosts(measured, note);
      note(`${measured.less("floor", "ours", "total").toFixed(2)} × floor by CPU time`);
      return {
        value: /** @type {number} */ (measured.rates["ours"]),
        floor: /** @type {number} */ (measured.rates["floor"]),
      };
    },
  },
];
