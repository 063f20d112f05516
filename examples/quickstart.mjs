// @ts-check
// The main job, once through, on real FHIR records and a store on disk:
//   node examples/quickstart.mjs [folder-or-bundle.json] [--data folder]
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createGenesis, openLedger, verifyExport } from "healthledger";
import { cidOf, DAG_CBOR, verifyBlocks } from "healthledger/chain";
import {
  ACT_CODE,
  createDirective,
  createLabeller,
  DEFAULT_LABEL_RULES,
  explain,
  extendLabelRules,
  labelRulesFromValueSets,
} from "healthledger/consent";
import { readBundle } from "healthledger/fhir";
import { fileKeys } from "healthledger/keys/file";
import { lmdbStorage } from "healthledger/storage/lmdb";
import { trustFromGenesis, verifyReceipt } from "healthledger/verify";
import { filesUnder, findInFiles, plural, show, size, terminal } from "./lib/terminal.mjs";

/** @import { LedgerError, Requester, Subject } from "healthledger" */

// A demonstration's passphrase. A real one comes from an operator, or the keys from an HSM.
const PASSPHRASE = process.env["HEALTHLEDGER_PASSPHRASE"] ?? "quickstart";
const KEYS = { passphrase: PASSPHRASE, create: true, cost: { N: 2 ** 14, r: 8, p: 1 } };

const { step, line, note, good, bad, progress, fail } = terminal(process.stdout);
const started = performance.now();

/** @param {string} path */
async function bundleFiles(path) {
  if (!(await stat(path)).isDirectory()) return [path];
  const names = (await readdir(path)).filter((name) => name.endsWith(".json")).sort();
  return names.map((name) => join(path, name));
}

/** The keys of one organisation, made on the first run. @param {string} path */
async function organisation(path) {
  const keys = await fileKeys(path, KEYS);
  const has = (/** @type {string} */ use) => keys.list().some((key) => key.use === use);
  for (const use of /** @type {const} */ (["sign", "checkpoint", "agree"])) {
    if (!has(use)) await keys.generate({ use });
  }
  return keys;
}

/** Reads the genesis record, or founds the ledger. @param {string} path @param {Record<string, any>} orgs */
async function genesisAt(path, orgs) {
  try {
    return { genesis: new Uint8Array(await readFile(path)), founded: false };
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "ENOENT") throw error;
  }
  const genesis = await createGenesis({
    origin: "history.example/quickstart",
    members: [
      { keys: orgs["hospitalA"] },
      { keys: orgs["hospitalB"] },
      { keys: orgs["institute"], roles: ["auditor"] },
    ],
  });
  await writeFile(path, genesis);
  return { genesis, founded: true };
}

/**
 * "Treatment yes, but not my substance-use and mental-health data; research no."
 *
 * @param {string} grantor
 * @param {readonly import("healthledger").EntryId[]} replaces
 */
function wishes(grantor, replaces) {
  // Everything below these in HL7's hierarchy is meant too: opioid use, alcohol use, …
  const labels = ["SUD", "ETH", "PSY", "BH"].map((code) => ({ system: ACT_CODE, code }));
  return createDirective({
    lineage: "privacy",
    replaces,
    grantor,
    category: "patient-privacy",
    basis: { uri: "https://example.org/privacy-policy", version: "1" },
    from: Date.now() - 1000,
    permit: {
      id: "treatment",
      purposes: ["TREAT"],
      except: { id: "not-substance-use-or-mental-health", labels },
    },
    deny: { id: "no-research", purposes: ["HRESCH"] },
    otherwise: "deny",
  });
}

/**
 * Every value that a store holds, by name.
 *
 * @param {import("healthledger/storage/adapter").FullStorage} storage
 */
async function everythingIn(storage) {
  /** @type {Map<string, Uint8Array>} */
  const values = new Map();
  for await (const cid of storage.blobs.list()) {
    const bytes = await storage.blobs.get(cid);
    if (bytes !== undefined) values.set(cid.toString(), bytes);
  }
  const all = { gte: Uint8Array.of(0), lt: new Uint8Array(64).fill(0xff) };
  for await (const { key, value } of storage.state.scan(all)) {
    values.set(Buffer.from(key).toString("hex"), value);
  }
  return values;
}

/**
 * Codes of a patient's records that the shipped rules cannot judge, the commonest first.
 *
 * @param {import("healthledger").Ledger} hl
 * @param {Awaited<ReturnType<import("healthledger").Ledger["records"]>>} records
 */
async function unjudgedIn(hl, records) {
  const labeller = createLabeller();
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { record } of records) {
    const resource = JSON.parse(new TextDecoder().decode(await hl.read(record)));
    for (const { system, code, display } of labeller.unjudged(resource).codes) {
      const text = `${system}|${code} ${display ?? ""}`;
      counts.set(text, (counts.get(text) ?? 0) + 1);
    }
  }
  const all = [...counts].map(([text, count]) => ({ text, count }));
  return all.sort((a, b) => b.count - a.count);
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { data: { type: "string" } },
  });
  const input = resolve(positionals[0] ?? fileURLToPath(new URL("data", import.meta.url)));
  const data = resolve(values.data ?? "healthledger-data");
  const files = await bundleFiles(input);
  if (files.length === 0) throw new Error(`no .json files in ${input}`);
  const bundles = [];
  // All of them before anything is founded: what cannot be read should leave nothing behind.
  for (const file of files) {
    const bytes = new Uint8Array(await readFile(file));
    bundles.push({ file, bytes, reading: readBundleFile(file, bytes) });
  }
  if (!bundles.some(({ reading }) => reading.patients.some((one) => one.identifier))) {
    throw new Error("no bundle names a patient with an identifier");
  }

  step("Found a ledger of three organisations");
  await mkdir(join(data, "keys"), { recursive: true, mode: 0o700 });
  const orgs = {
    hospitalA: await organisation(join(data, "keys", "hospital-a.keys")),
    hospitalB: await organisation(join(data, "keys", "hospital-b.keys")),
    institute: await organisation(join(data, "keys", "institute.keys")),
  };
  const { genesis, founded } = await genesisAt(join(data, "genesis.cbor"), orgs);
  const storage = await lmdbStorage({ path: join(data, "ledger") });
  const opening = { storage, keys: orgs.hospitalA, genesis, onProgress: progress("catching up") };
  let hl = await openLedger(opening);
  line(
    founded ? "founded anew" : `reopened with ${plural(hl.chain.size, "block")}`,
    hl.id.toString(),
  );
  note("Hospital A keeps the records. Hospital B and a research institute are members too.");
  note("What the ledger holds: hashes, tags that only A can link, signatures. No names, no data.");

  step("Seal, label and record every FHIR resource");
  const timings = { record: 0, resources: 0 };
  /** @type {Map<string, { identifier: { system: string, value: string }, subject: Subject }>} */
  const patients = new Map();
  for (const { file, bytes, reading } of bundles) {
    const persons = [];
    for (const { identifier } of reading.patients) {
      if (identifier === undefined) continue;
      const subject = await hl.ensureSubject(identifier);
      patients.set(`${identifier.system}|${identifier.value}`, { identifier, subject });
      persons.push(subject);
    }
    let known = 0;
    for (const subject of persons) known += (await hl.records(subject)).length;
    const name = file.slice(file.lastIndexOf("/") + 1);
    if (known > 0) {
      line(
        `${name}: ${plural(known, "record")} of ${plural(persons.length, "patient")} are there already`,
      );
      continue;
    }
    const before = performance.now();
    const done = await hl.recordBundle(null, bytes, { onProgress: progress(name) });
    timings.record += performance.now() - before;
    timings.resources += done.recorded.length;
    const labelled = done.recorded.filter(({ labels }) =>
      labels?.codes.some(({ system }) => system === ACT_CODE),
    );
    line(
      `${name}: ${plural(done.recorded.length, "resource")} of ${plural(persons.length, "patient")}, ` +
        `${labelled.length} labelled sensitive, ${done.skipped.length} about no patient`,
    );
  }
  step("The patients say what they allow");
  for (const { identifier, subject } of patients.values()) {
    const last = (await hl.directives(subject)).at(-1);
    // Patients have no keys: the hospital signs that its clerk took it down, and keeps the form.
    const name = `${identifier.system}|${identifier.value}`;
    const directive = wishes(name, last === undefined ? [] : [last.entry]);
    const form = new TextEncoder().encode(`${name}: treatment, but not … Signed: …`);
    await hl.consent(subject, directive, {
      witness: {
        user: "clerk-7",
        form: "paper",
        takenAt: Date.now(),
        evidence: [{ mediaType: "text/plain", bytes: form }],
      },
    });
  }
  line(
    `${plural(patients.size, "directive")} signed on paper, witnessed by hospital A and in force:`,
  );
  note("treatment: yes, except substance-use and mental-health data; research: no");

  const [firstPatient] = patients.values();
  if (firstPatient === undefined) throw new Error("no bundle names a patient with an identifier");
  const { identifier, subject } = firstPatient;
  /** @type {Requester} */
  const hospitalB = { signer: orgs.hospitalB.signer(), agreement: orgs.hospitalB.agreement() };
  /** @type {Requester} */
  const institute = { signer: orgs.institute.signer(), agreement: orgs.institute.agreement() };

  const by = founded ? "by the rules that ship" : "by the labels that stand since the last run";
  step(`Hospital B asks for the first patient's data, for treatment: ${by}`);
  const shipped = await hl.request(hospitalB, { patient: identifier, purposes: ["TREAT"] });
  const held = await hl.records(subject);
  line(`${plural(shipped.count, "record")} of ${held.length} released`);
  note(
    "A record with a code that nobody judged may be about what the patient refuses: it is withheld.",
  );
  const unjudged = await unjudgedIn(hl, held);
  line(`${plural(unjudged.length, "code")} in the records that nobody judged, among them:`);
  for (const { text, count } of unjudged.slice(0, 6)) note(`${count} × ${text}`);

  step("The hospital gives a list of codes that it judged: not sensitive");
  const list = new URL("data/lists/judged-not-sensitive.json", import.meta.url);
  const valueSet = JSON.parse(await readFile(list, "utf8"));
  const rules = extendLabelRules(DEFAULT_LABEL_RULES, {
    name: "quickstart",
    version: "1",
    ...labelRulesFromValueSets([{ valueSet, labels: "not sensitive" }]),
  });
  await hl.close();
  hl = await openLedger({ ...opening, policy: { labeller: createLabeller(rules) } });
  const { relabelled } = await hl.relabelStale({
    former: createLabeller(),
    onProgress: progress("labelling anew"),
  });
  line(`${plural(relabelled, "record")} labelled anew, each by an entry on the ledger`);

  step("Hospital B asks again");
  const answer = await hl.request(hospitalB, { patient: identifier, purposes: ["TREAT"] });
  /** @type {import("healthledger").OpenedItem[]} */
  const items = [];
  for await (const item of answer.items()) items.push(item);
  good(
    `${plural(items.length, "record")} came back, decrypted by hospital B, each with its receipt`,
  );
  for (const { resource } of items.slice(0, 6)) line(show(resource));
  if (items.length > 6) note(`… and ${items.length - 6} more`);
  note(
    `${held.length - items.length} are withheld: refused, prose, or with codes that the list leaves out`,
  );

  step("The research institute asks, for research");
  const research = await hl.request(institute, { patient: identifier, purposes: ["HRESCH"] });
  if (research.count > 0) fail("research was denied, and yet records came back");
  good(`nothing came back, and no reason why: that is for the patient to read.`);

  step("The audit trail, as the patient sees it");
  const names = new Map([
    [hospitalB.signer.actor, "Hospital B"],
    [institute.signer.actor, "Research institute"],
  ]);
  for await (const access of hl.audit(subject)) {
    if (access.unreadable !== undefined) {
      line(`an access entry that cannot be read: ${access.unreadable}`);
      continue;
    }
    const released = access.records.filter((record) => record.released).length;
    line(
      `${new Date(access.recordedAt).toISOString()}  ${names.get(access.requester)} for ` +
        `${access.purposes.join(", ")}: ${released} released, ${access.records.length - released} withheld`,
    );
    /** @type {Map<string, number>} */
    const why = new Map();
    for (const record of access.records) {
      if (record.released) continue;
      const text = explain(record.decision).split("\n").join(" ");
      why.set(text, (why.get(text) ?? 0) + 1);
    }
    for (const [text, count] of [...why].slice(0, 4)) note(`${count} × ${text}`);
  }

  step("Prove it to someone who trusts no server");
  if (items[0] === undefined) throw new Error("nothing was released to prove");
  const receiptFile = join(data, "receipt.cbor");
  await writeFile(receiptFile, items[0].receipt);
  const carFile = join(data, "ledger.car");
  await pipeline(await hl.export(), createWriteStream(carFile));
  const trust = trustFromGenesis(genesis);
  const proved = verifyReceipt(new Uint8Array(await readFile(receiptFile)), trust);
  if (!proved.ok) fail(`the receipt does not hold: ${proved.reason}`);
  else
    good(
      `receipt.cbor: block ${proved.height}, written by ${proved.author.slice(0, 24)}…, key ${proved.key.status}`,
    );
  const before = performance.now();
  const exported = await verifyExport(createReadStream(carFile), { ledger: hl.id });
  const verifyTime = performance.now() - before;
  if (!exported.ok) fail(`the export does not hold: ${exported.reason}`);
  else
    good(
      `ledger.car: ${plural(exported.size, "block")}, ${plural(exported.entries, "entry", "entries")}, every hash, signature and rule checked`,
    );

  step("Flip one byte in a copy");
  /** @param {Uint8Array} bytes @param {number} at */
  const flip = (bytes, at) => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
  const car = new Uint8Array(await readFile(carFile));
  const copy = flip(car, Math.floor(car.length * 0.6));
  await writeFile(join(data, "tampered.car"), copy);
  const caught = await verifyExport(createReadStream(join(data, "tampered.car")), {
    ledger: hl.id,
  });
  if (caught.ok) fail("a flipped byte went unnoticed");
  else
    bad(
      `tampered.car: refused at block ${caught.height}: ${caught.reason} (its bytes are not what its name says)`,
    );
  /** @type {Uint8Array[]} */
  const blocks = [];
  for (let height = 0; height < hl.chain.size; height++) {
    blocks.push((await hl.chain.readBlock(height)).bytes);
  }
  const victim = Math.floor(blocks.length / 2);
  const { bytes: honest } = await hl.chain.readBlock(victim);
  const forged = flip(honest, honest.length - 20);
  const forgery = await verifyBlocks(blocks.with(victim, forged), { genesis });
  if (forgery.ok) fail("a forged block went unnoticed");
  else
    bad(
      `and with the block renamed to ${cidOf(forged, DAG_CBOR).toString().slice(0, 16)}… to hide it: refused at block ${forgery.height}: ${forgery.reason}`,
    );

  step("Amend one record; the answer follows");
  const first = items[0];
  const corrected = JSON.parse(new TextDecoder().decode(first.text));
  corrected.meta = {
    ...corrected.meta,
    versionId: String(Number(corrected.meta?.versionId ?? 1) + 1),
  };
  await hl.amend(first.record, JSON.stringify(corrected));
  const again = await hl.request(hospitalB, {
    patient: identifier,
    purposes: ["TREAT"],
    query: { ids: [first.record] },
  });
  for await (const { resource } of again.items()) {
    good(
      `${resource?.resourceType} is now at version ${/** @type {any} */ (resource).meta.versionId}`,
    );
  }

  step("Erase one record, and compact");
  const target = items.at(-1) ?? first;
  const stood = await everythingIn(storage);
  const statement = await hl.erase(subject, {
    records: [target.record],
    reason: "the patient asked for it",
  });
  const after = await everythingIn(storage);
  // Whatever the store has no more: header and ciphertext, the sealed key, the index entry.
  const destroyed = [...stood].filter(([name]) => !after.has(name)).map(([, bytes]) => bytes);
  const left = await findInFiles(data, destroyed);
  if (destroyed.length < 4 || left > 0) {
    fail(`of ${destroyed.length} values that were destroyed, ${left} still stand in the files`);
  }
  good(
    `${plural(destroyed.length, "value")} destroyed (header, ciphertext, sealed key, index); ` +
      `searched ${plural((await filesUnder(data)).length, "file")}: none of their bytes is left`,
  );
  const gone = await hl.read(target.record).catch((/** @type {LedgerError} */ error) => error.code);
  if (gone !== "ERR_RECORD_ERASED") fail("the erased record can still be read");
  else bad(`reading it: ${gone}`);
  note(statement.outOfReach);
  const whole = await hl.verify();
  if (!whole.ok) fail(`the ledger does not verify: ${whole.reason} at block ${whole.height}`);
  else
    good(
      `the ledger still verifies: ${plural(whole.size, "block")}, ${plural(whole.entries, "entry", "entries")}`,
    );

  step("In all");
  const bytes = await size(join(data, "ledger"));
  line(
    `${plural(hl.chain.size, "block")}, ${whole.ok ? whole.entries : 0} entries, ${bytes} of store in ${data}`,
  );
  if (timings.resources > 0) {
    line(
      `recording: ${timings.resources} resources in ${timings.record.toFixed(0)} ms (sealed, labelled, signed, durable)`,
    );
  }
  line(
    `verifying the export: ${verifyTime.toFixed(0)} ms; everything: ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
  note("Run it again: the folder is reopened. Remove the folder to start anew.");
  await hl.close();
  await storage.close();
  for (const keys of Object.values(orgs)) await keys.close();
}

/** @param {string} file @param {Uint8Array} bytes */
function readBundleFile(file, bytes) {
  try {
    return readBundle(bytes);
  } catch (error) {
    throw new Error(`${file}: ${/** @type {Error} */ (error).message}`, { cause: error });
  }
}

try {
  await main();
} catch (error) {
  const { message, code } = /** @type {NodeJS.ErrnoException} */ (error);
  console.error(`\nquickstart: ${code?.startsWith("ERR_") ? `${code}: ` : ""}${message}`);
  process.exitCode = 2;
}
