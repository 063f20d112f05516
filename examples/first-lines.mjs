// @ts-check
// The shortest whole round: record, consent, ask, explain, audit. Everything in memory.
import { createGenesis, memoryKeys, openLedger } from "healthledger";
import { explain } from "healthledger/consent";
import { fromConsent } from "healthledger/fhir";
import { memoryStorage } from "healthledger/storage/memory";

const [hospital, clinic] = [memoryKeys(), memoryKeys()]; // or fileKeys, an HSM, a KMS, WebCrypto
for (const keys of [hospital, clinic]) {
  await keys.generate({ use: "sign" });
  await keys.generate({ use: "checkpoint" });
  await keys.generate({ use: "agree" });
}
const genesis = await createGenesis({
  origin: "history.example/first-lines",
  members: [{ keys: hospital }, { keys: clinic }],
});

const hl = await openLedger({ storage: memoryStorage(), keys: hospital, genesis });
const mrn = { system: "urn:oid:1.2.3", value: "MRN-0012345" };
const patient = await hl.ensureSubject(mrn); // findSubject never creates
const observation = {
  resourceType: "Observation",
  id: "bp-1",
  status: "final",
  code: { coding: [{ system: "http://loinc.org", code: "8480-6", display: "Systolic" }] },
  valueQuantity: { value: 128, unit: "mmHg" },
};
const v1 = await hl.record(patient, observation); // resolves when durable
await hl.amend(v1.id, { ...observation, valueQuantity: { value: 118, unit: "mmHg" } });

const HL7 = "http://terminology.hl7.org/CodeSystem";
const consent = {
  resourceType: "Consent",
  status: "active",
  scope: { coding: [{ system: `${HL7}/consentscope`, code: "patient-privacy" }] },
  category: [{ coding: [{ system: "http://loinc.org", code: "59284-0" }] }],
  identifier: [{ system: "https://ehr.example/consents", value: "1" }],
  patient: { reference: "Patient/1" },
  dateTime: new Date().toISOString(),
  policy: [{ uri: "https://example.org/privacy-policy" }],
  provision: {
    type: "permit",
    purpose: [{ system: `${HL7}/v3-ActReason`, code: "TREAT" }],
  },
};
const { directive, losses } = fromConsent(consent, { dialect: "r4-typed" });
console.log("read of the FHIR Consent, all but", losses);
const form = { mediaType: "application/pdf", bytes: new TextEncoder().encode("%PDF-1.7 …") };
await hl.consent(patient, directive, {
  witness: { user: "clerk-7", form: "paper", takenAt: Date.now(), evidence: [form] },
}); // or { signer: patientKey }

const answer = await hl.request(
  { signer: clinic.signer(), agreement: clinic.agreement() },
  { patient: mrn, purposes: ["TREAT"], query: { types: ["Observation"] } },
);
for await (const { resource, receipt } of answer.items()) {
  console.log(resource?.["valueQuantity"], `with a receipt of ${receipt.length} bytes`);
}
console.log(explain(answer.decision));
for await (const access of hl.audit(patient)) {
  if (access.unreadable === undefined) console.log(access.requester, access.purposes);
}
await hl.close();
