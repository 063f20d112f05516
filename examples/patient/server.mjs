// @ts-check
// A hospital with one patient, whose page it serves: the patient makes keys that no script can read, has them
// attested, sees who saw what and withdraws a consent. Everything is in memory, and only this machine can reach it.
//
//   npm install esbuild     # bundles the page's script, as your bundler would
//   node examples/patient/server.mjs [--port 8080] [--page folder]
//
// --page: a folder with index.html, style.css and a page.js that is bundled already.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { askCustodian, createGenesis, memoryKeys, openLedger, signDescription } from "healthledger";
import { createDirective } from "healthledger/consent";
import { custodianHandler, httpPeer, ledgerHandler, publishHeads } from "healthledger/network";
import { memoryStorage } from "healthledger/storage/memory";
import { trustFromGenesis } from "healthledger/verify";
import { serve } from "../lib/serve.mjs";

const MRN = { system: "urn:oid:1.2.3", value: "MRN-0012345" };
const hex = (/** @type {Uint8Array} */ bytes) => Buffer.from(bytes).toString("hex");

async function organisation() {
  const keys = memoryKeys(); // or fileKeys, an HSM, a KMS
  for (const use of /** @type {const} */ (["sign", "checkpoint", "agree"])) {
    await keys.generate({ use });
  }
  return keys;
}

/** The hospital, with records and a consent of one patient; and a clinic, which is the other member. */
async function found() {
  const [keys, clinic] = [await organisation(), await organisation()];
  const genesis = await createGenesis({
    origin: "history.example/patient",
    members: [
      { keys, roles: ["custodian", "sequencer"] },
      { keys: clinic, roles: ["custodian"] },
    ],
  });
  const storage = memoryStorage();
  const hl = await openLedger({ storage, keys, genesis });
  const patient = await hl.ensureSubject(MRN);
  for (const [i, value] of [142, 128, 121].entries()) {
    await hl.record(patient, {
      ...{ resourceType: "Observation", id: `bp-${i + 1}`, status: "final" },
      code: { coding: [{ system: "http://loinc.org", code: "8480-6", display: "Systolic" }] },
      valueQuantity: { value, unit: "mmHg" },
    });
  }
  const wishes = createDirective({
    ...{ lineage: "privacy", grantor: "Patient/1", from: Date.now() - 1000 },
    basis: { uri: "https://example.org/privacy-policy", version: "1" },
    permit: { id: "treatment", purposes: ["TREAT"] },
    otherwise: "deny",
  });
  const witness = { user: "clerk-7", form: /** @type {const} */ ("paper"), takenAt: Date.now() };
  await hl.consent(patient, wishes, { witness });
  const descriptions = [
    await signDescription(keys, { name: "North Hospital", roles: ["custodian"], for: hl.id }),
    await signDescription(clinic, { name: "South Clinic", roles: ["custodian"], for: hl.id }),
  ];
  const source = publishHeads({ ledger: hl, chains: storage.chains, every: 100 });
  await source.look();
  const ledger = custodianHandler({
    ...{ ledger: hl, path: "/ledger" },
    otherwise: ledgerHandler({ source, path: "/ledger", reads: "public" }),
    onError: (error) => console.warn(`not answered: ${/** @type {Error} */ (error).message}`),
  });
  return { hl, keys, clinic, genesis, patient, descriptions, ledger };
}

/** The page's script, as a bundler makes it for browsers. */
async function bundle() {
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("page.mjs", import.meta.url))],
    ...{ bundle: true, write: false, format: "esm", platform: "browser", target: "es2022" },
    logLevel: "error",
  });
  return outputFiles[0]?.text ?? "";
}

const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  ...{ "x-content-type-options": "nosniff", "referrer-policy": "no-referrer" },
  ...{ "cross-origin-opener-policy": "same-origin", "cache-control": "no-store" },
};

/** @param {Map<string, { type: string, body: string }>} files */
const page = (files) => async (/** @type {Request} */ request) => {
  const file = request.method === "GET" ? files.get(new URL(request.url).pathname) : undefined;
  if (file === undefined) return new Response(null, { status: 404, headers: HEADERS });
  const type = `${file.type}; charset=utf-8`;
  return new Response(file.body, { headers: { ...HEADERS, "content-type": type } });
};

/** @typedef {Awaited<ReturnType<typeof found>>} Founded */

/**
 * The clinic asks the hospital for the patient's records, with trust in the ledger alone.
 *
 * @param {Founded} founded
 */
async function clinicAsks({ hl, keys, clinic, genesis, ledger }) {
  const { count } = await askCustodian({
    peer: httpPeer({
      ...{ url: "http://hospital.example/ledger", did: hl.member },
      fetch: (url, init) => ledger(new Request(url, init)),
    }),
    ...{ trust: trustFromGenesis(genesis), custodianKey: keys.agreement() },
    ...{ signer: clinic.signer("sign"), agreement: clinic.agreement() },
    ...{ patient: MRN, purposes: ["TREAT"], user: "dr-lee" },
  });
  return { count };
}

/**
 * Attests keys to be the patient's.
 *
 * @param {Founded} founded @param {any} shown
 */
async function attest({ hl, patient }, shown) {
  for (const use of /** @type {const} */ (["sign", "agree"])) {
    const { alg, publicKey } = shown[use];
    const bytes = new Uint8Array(Buffer.from(publicKey, "hex"));
    await hl.attest(patient, {
      ...{ actor: shown.actor, use, alg, publicKey: bytes },
      capacity: "self",
    });
  }
  return {};
}

/**
 * The part that is none of a real hospital: whoever opens the page is taken for the patient.
 *
 * @param {Founded} founded
 */
const demo = (founded) => async (/** @type {Request} */ request) => {
  // A page of another origin cannot send this type without being asked first.
  const isJson = request.headers.get("content-type") === "application/json";
  if (request.method !== "POST" || !isJson) return new Response(null, { status: 405 });
  const { pathname } = new URL(request.url);
  if (pathname === "/demo/attest")
    return Response.json(await attest(founded, await request.json()));
  if (pathname === "/demo/clinic-asks") return Response.json(await clinicAsks(founded));
  return new Response(null, { status: 404 });
};

const { values } = parseArgs({ options: { port: { type: "string" }, page: { type: "string" } } });
const folder = values.page ?? fileURLToPath(new URL(".", import.meta.url));
const text = (/** @type {string} */ name) => readFile(join(folder, name), "utf8");
const script = values.page === undefined ? await bundle() : await text("page.js");
const founded = await found();
const { hl, genesis, descriptions } = founded;
const setup = {
  ...{ genesis: hex(genesis), custodian: hl.member, system: MRN.system },
  descriptions: descriptions.map(hex),
};
const files = new Map([
  ["/", { type: "text/html", body: await text("index.html") }],
  ["/style.css", { type: "text/css", body: await text("style.css") }],
  ["/page.js", { type: "text/javascript", body: script }],
  ["/setup.json", { type: "application/json", body: JSON.stringify(setup) }],
]);
const { count } = await clinicAsks(founded);
console.log(`a clinic has asked for the patient's records, and was given ${count}`);
const server = await serve(
  Number(values.port ?? 0),
  new Map([
    ["/ledger/", founded.ledger],
    ["/demo/", demo(founded)],
    ["/", page(files)],
  ]),
);
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
console.log(`the patient's number there is ${MRN.value}`);
console.log(`http://127.0.0.1:${port}/`);
