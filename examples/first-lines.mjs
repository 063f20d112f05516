// @ts-check
// The shortest whole round: record, consent, ask, explain, audit. Everything in memory.
import { createGenesis, memoryKeys, openLedger } from "healthledger";
import { createDirective, explain } from "healthledger/consent";
import { memoryStorage } from "healthledger/storage/memory";

/** The keys of one organisation. */
async function organisation() {
  const keys = memoryKeys();
  await keys.generate({ use: "sign" });
  await keys.generate({ use: "checkpoint" });
  await keys.generate({ use: "agree" });
  return keys;
}

const hospitalA = await organisation();
const hospitalB = await organisation();
const genesis = await createGenesis({
  origin: "history.example/first-lines",
  members: [{ keys: hospitalA }, { keys: hospitalB }],
});

const hl = await openLedger({ storage: memoryStorage(), keys: hospitalA, genesis });
const identifier = { system: "urn:oid:1.2.3", value: "MRN-0012345" };
const patient = await hl.ensureSubject(identifier);
const observation = {
  resourceType: "Observation",
  id: "bp-1",
  status: "final",
  code: { coding: [{ system: "http://loinc.org", code: "8480-6", display: "Systolic" }] },
  subject: { reference: "Patient/p1" },
  effectiveDateTime: "2026-02-03T10:15:00Z",
  valueQuantity: { value: 128, unit: "mmHg" },
};
const v1 = await hl.record(patient, observation);
await hl.amend(v1.id, { ...observation, valueQuantity: { value: 118 } });

const wishes = createDirective({
  lineage: "privacy",
  grantor: "Patient/1",
  basis: { uri: "https://example.org/privacy-policy", version: "1" },
  from: Date.now() - 1000,
  permit: { id: "treatment", purposes: ["TREAT"] },
  otherwise: "deny",
});
await hl.consent(patient, wishes, {
  witness: { user: "clerk-7", form: "paper", takenAt: Date.now() },
});

const answer = await hl.request(
  { signer: hospitalB.signer(), agreement: hospitalB.agreement() },
  { patient: identifier, purposes: ["TREAT"], query: { types: ["Observation"] } },
);
for await (const { resource, receipt } of answer.items()) {
  console.log(resource?.["valueQuantity"], `with a receipt of ${receipt.length} bytes`);
}
console.log(explain(answer.decision));
for await (const access of hl.audit(patient)) {
  const when = new Date(access.recordedAt).toISOString();
  if (access.unreadable !== undefined) console.log(when, "cannot be read");
  else console.log(when, access.requester, access.purposes);
}
await hl.close();
