// @ts-check
// A small ledger in memory, for examples that serve one or check one.
import { createGenesis, memoryKeys, openLedger } from "healthledger";
import { publishHeads } from "healthledger/network";
import { memoryStorage } from "healthledger/storage/memory";

/** Founds a ledger with one record, and signs checkpoints for it. */
export async function smallLedger() {
  const keys = memoryKeys(); // or fileKeys, an HSM, a KMS
  for (const use of /** @type {const} */ (["sign", "checkpoint", "agree"])) {
    await keys.generate({ use });
  }
  const genesis = await createGenesis({
    origin: "history.example/small",
    members: [{ keys }],
  });
  const storage = memoryStorage(); // lmdbStorage({ path }) outlives the process
  const hl = await openLedger({ storage, keys, genesis });
  const patient = await hl.ensureSubject({ system: "urn:oid:1.2.3", value: "MRN-0012345" });
  const { id } = await hl.record(patient, {
    resourceType: "Observation",
    id: "bp-1",
    status: "final",
    code: { coding: [{ system: "http://loinc.org", code: "8480-6" }] },
  });
  const source = publishHeads({ ledger: hl, chains: storage.chains });
  await source.look();
  return { genesis, hl, source, record: id };
}
