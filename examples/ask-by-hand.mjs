// @ts-check
// Two organisations in two processes that share nothing, neither storage nor keys nor memory: whatever
// one learns from the other crosses as bytes. A transport would carry the same bytes.
//
//   clinic                              hospital
//     <-- the nonce of the ledger to be --
//     --- who the clinic is ------------->
//     <-- the genesis record -------------   the ledger is founded, a record filed, consent given
//     <-- an export of the ledger --------
//     --- a signed request -------------->
//     <-- the answer ---------------------
//
// Prints what was released. Ends with an exit code other than 0 if anything fails to verify.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import {
  createGenesis,
  createRequest,
  decodeAnswer,
  encodeAnswer,
  importLedger,
  memoryKeys,
  openAnswer,
  openLedger,
  signDescription,
} from "healthledger";
import { ledgerId, openChain } from "healthledger/chain";
import { createDirective, explain } from "healthledger/consent";
import { memoryStorage } from "healthledger/storage/memory";
import { trustFromGenesis, verifyReceipt } from "healthledger/verify";

/** The number that both organisations know the patient by. */
const MRN = { system: "urn:oid:1.2.3", value: "MRN-0012345" };

/**
 * Sends bytes to the other process, and waits for bytes from it.
 *
 * @typedef {object} Line
 * @property {(bytes: Uint8Array) => void} send
 * @property {() => Promise<Uint8Array>} next
 */

/** @param {NodeJS.Process | import("node:child_process").ChildProcess} other @returns {Line} */
function lineTo(other) {
  /** @type {Uint8Array[]} */
  const received = [];
  /** @type {((bytes: Uint8Array) => void)[]} */
  const waiting = [];
  other.on("message", (message) => {
    const bytes = new Uint8Array(Buffer.from(String(message), "base64"));
    const taker = waiting.shift();
    if (taker === undefined) received.push(bytes);
    else taker(bytes);
  });
  return {
    send: (bytes) => other.send?.(Buffer.from(bytes).toString("base64")),
    next: async () => received.shift() ?? new Promise((resolve) => waiting.push(resolve)),
  };
}

/** The keys of one organisation, which never leave its process. */
async function ownKeys() {
  const keys = memoryKeys();
  for (const use of /** @type {const} */ (["sign", "checkpoint", "agree"])) {
    await keys.generate({ use });
  }
  return keys;
}

/** @param {Line} clinic */
async function hospital(clinic) {
  const keys = await ownKeys();
  const nonce = crypto.getRandomValues(new Uint8Array(32));
  clinic.send(nonce);
  const genesis = await createGenesis({
    origin: "history.example/by-hand",
    members: [{ keys }, await clinic.next()],
    nonce,
  });
  clinic.send(genesis);

  const storage = memoryStorage();
  const hl = await openLedger({ storage, keys, genesis });
  const patient = await hl.ensureSubject(MRN);
  await hl.record(patient, {
    resourceType: "Observation",
    id: "bp-1",
    status: "final",
    code: { coding: [{ system: "http://loinc.org", code: "8480-6", display: "Systolic" }] },
    effectiveDateTime: "2026-02-03T10:15:00Z",
    valueQuantity: { value: 118, unit: "mmHg" },
  });
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
  const chunks = [];
  for await (const chunk of await hl.export()) chunks.push(chunk);
  clinic.send(new Uint8Array(Buffer.concat(chunks)));

  // One answer for treatment, one for research, and the first request once more.
  for (let i = 0; i < 3; i++) {
    const result = await hl.disclose(await clinic.next());
    clinic.send(await encodeAnswer(result, { read: (cid) => storage.blobs.get(cid) }));
  }
  for await (const access of hl.audit(patient)) {
    if (access.unreadable === undefined) console.log("hospital: asked for", access.purposes);
  }
  await hl.close();
}

/** @param {Line} line */
async function clinic(line) {
  const keys = await ownKeys();
  const nonce = await line.next();
  line.send(await signDescription(keys, { name: "Clinic", roles: ["custodian"], for: nonce }));

  // The members compare the ledger's name out of band: whoever has another has another ledger.
  const genesis = await line.next();
  console.log("clinic: the ledger is", ledgerId(genesis).toString());

  const storage = memoryStorage();
  const { size, checkpoint } = await importLedger(await line.next(), { storage, genesis });
  const chain = await openChain({ storage, genesis });
  console.log("clinic: verified", size, "blocks");

  const custodian = chain.genesis.members.find(({ actor }) => actor !== keys.signer().actor)?.actor;
  assert.ok(custodian !== undefined, "nobody else is a member");
  /** @param {string} purpose */
  const requestFor = (purpose) =>
    createRequest({
      ...{ chain, custodian, patient: MRN, purposes: [purpose] },
      ...{ signer: keys.signer(), agreement: keys.agreement() },
    });
  /** @param {Uint8Array} request */
  const ask = async (request) => {
    line.send(request);
    return decodeAnswer(await line.next());
  };

  const treatment = await requestFor("TREAT");
  const decoded = await ask(treatment);
  assert.ok(decoded.ok, "the request for treatment was refused");
  const answer = openAnswer(decoded.answer, {
    ...{ chain, checkpoint, custodian, read: decoded.read },
    agreement: keys.agreement(),
  });
  let released = 0;
  for await (const { resource, receipt } of answer.items()) {
    const proved = verifyReceipt(receipt, trustFromGenesis(genesis));
    assert.ok(proved.ok, "a receipt does not verify");
    assert.equal(proved.author, custodian);
    console.log("clinic: released", resource?.resourceType, resource?.["valueQuantity"]);
    released++;
  }
  assert.equal(released, 1, "one record should have been released");
  console.log("clinic:", explain(answer.decision));

  const research = await ask(await requestFor("HRESCH"));
  assert.ok(research.ok && research.answer.items.length === 0, "research was not permitted");
  console.log("clinic: for research", research.answer.decision.outcome);

  const again = await ask(treatment);
  assert.ok(!again.ok && again.reason === "replayed", "a request counts once");
  console.log("clinic: the same request again is", again.reason);
  await chain.close();
}

if (process.argv[2] === "hospital") {
  await hospital(lineTo(process));
  process.disconnect?.();
} else {
  const child = fork(fileURLToPath(import.meta.url), ["hospital"]);
  const ended = once(child, "exit");
  await clinic(lineTo(child));
  const [code] = await ended;
  assert.equal(code, 0, "the hospital's process failed");
}
