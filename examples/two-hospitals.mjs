// @ts-check
// Two hospitals that share a history and no server: each is a process with keys and a store of its own, and
// nothing between them but HTTP. They found the ledger together, both record, one is killed in the middle and
// goes on. A patient of both permits treatment, at North: South asks North, is answered, and reads some of a film of
// 50 MB. North delivers the consent to South, and is answered there too. The patient withdraws, which is delivered
// as well, and neither is answered anything. In the end both have verified the same history.
//
//   node examples/two-hospitals.mjs [--data folder]
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  createGenesis,
  openLedger,
  reviewGenesis,
  signDescription,
  verifyDescription,
} from "healthledger";
import { ledgerId } from "healthledger/chain";
import { createDirective } from "healthledger/consent";
import { fileKeys } from "healthledger/keys/file";
import {
  collectDescription,
  custodianHandler,
  descriptionHandler,
  httpPeer,
  ledgerHandler,
  publishHeads,
} from "healthledger/network";
import { lmdbStorage } from "healthledger/storage/lmdb";
import { serve } from "./lib/serve.mjs";

const { values, positionals } = parseArgs({
  options: { data: { type: "string" } },
  allowPositionals: true,
});
const RECORDS = 12;
/** Bytes of a film that is kept with a record. */
const FILM = 50 * 1024 * 1024;
/** The number that both hospitals know the patient by. */
const MRN = { system: "urn:oid:1.2.3", value: "MRN-0012345" };
const pause = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (/** @type {string} */ line) => process.stdout.write(`${line}\n`);

/** @param {string} id */
const observation = (id) => ({
  ...{ resourceType: "Observation", id, status: "final" },
  code: { coding: [{ system: "http://loinc.org", code: "8480-6", display: "Systolic" }] },
  valueQuantity: { value: 120, unit: "mmHg" },
});

/** A film, byte by byte what `at` says. */
async function* film() {
  for (let from = 0; from < FILM; from += 2 ** 20) {
    yield Uint8Array.from({ length: Math.min(2 ** 20, FILM - from) }, (_, i) => at(from + i));
  }
}
const at = (/** @type {number} */ place) => (place * 31 + (place >> 8)) & 255;

/**
 * Asks another custodian about the patient whom both know.
 *
 * @param {import("healthledger").Ledger} hl
 * @param {string} did
 * @param {string} name
 */
async function ask(hl, did, name) {
  const answer = await hl.ask(did, { patient: MRN, purposes: ["TREAT"], user: "dr-lee" });
  let found = 0;
  let seen = "";
  for await (const { attachments } of answer.items()) {
    found += 1;
    for (const one of attachments) {
      const [from, to] = [FILM / 2, FILM / 2 + 1000];
      const bytes = await one.range(from, to);
      if (!bytes.every((byte, i) => byte === at(from + i))) throw new Error("another film");
      seen = `, and 1,000 bytes from the middle of a film of ${await one.size()}`;
    }
  }
  say(`asked ${name}: ${answer.decision.outcome}, ${found} records${seen}`);
}

/**
 * What both do: keys of their own, and a description for whom they know.
 *
 * @param {string} name
 * @param {string} folder
 * @param {string} token - agreed over the telephone, like the nonce
 */
async function organisation(name, folder, token) {
  await mkdir(folder, { recursive: true });
  const path = join(folder, "keys");
  const create = (await fileAt(path)) === undefined;
  // A cheap derivation, to keep the example short.
  const cost = { N: 2 ** 14, r: 8, p: 1 };
  const keys = await fileKeys(path, { passphrase: `a secret of ${name}`, create, cost });
  if (keys.list().length === 0) {
    for (const use of /** @type {const} */ (["sign", "checkpoint", "agree", "recovery"])) {
      await keys.generate({ use });
    }
  }
  /** @type {("custodian" | "sequencer")[]} */
  const roles = name === "north" ? ["custodian", "sequencer"] : ["custodian"];
  const describing = descriptionHandler({
    ...{ keys, name, roles },
    authorize: ({ headers }) => headers.get("authorization") === token,
  });
  return { keys, roles, describing, storage: await lmdbStorage({ path: join(folder, "store") }) };
}

/**
 * Asks the other hospital to describe itself, until it answers.
 *
 * @param {string} url
 * @param {Uint8Array} nonce
 * @param {string} token
 */
async function descriptionOf(url, nonce, token) {
  for (;;) {
    try {
      const described = await collectDescription({
        ...{ url: `${url}/founding`, for: nonce },
        fetch: (to, init) =>
          fetch(to, { ...init, headers: { ...init.headers, authorization: token } }),
      });
      return described.bytes;
    } catch {
      await pause(100);
    }
  }
}

/** @param {string} path @returns {Promise<Uint8Array | undefined>} */
const fileAt = (path) =>
  readFile(path).then(
    (bytes) => new Uint8Array(bytes),
    () => undefined,
  );

/**
 * The home: its store orders the ledger.
 *
 * @param {string} folder @param {number} port @param {string} south @param {Uint8Array} nonce @param {string} token
 */
async function north(folder, port, south, nonce, token) {
  const { keys, roles, describing, storage } = await organisation("north", folder, token);
  const handlers = new Map([["/founding/", describing]]);
  await serve(port, handlers);
  const own = await signDescription(keys, { name: "north", roles, for: nonce });
  const theirs = await descriptionOf(south, nonce, token);
  const did = verifyDescription(theirs, nonce).member.actor;
  const members = [own, theirs];
  const genesis = await createGenesis({ origin: "history.example/two", members, nonce });
  const custodians = [httpPeer({ url: `${south}/ledger`, did })];
  const hl = await openLedger({ storage, keys, genesis, custodians });
  const source = publishHeads({ ledger: hl, chains: storage.chains, every: 50 });
  const serving = ledgerHandler({
    ...{ source, path: "/ledger", sequencer: hl.sequencer },
    sessions: { did: hl.member },
  });
  handlers.set("/ledger/", custodianHandler({ ledger: hl, path: "/ledger", otherwise: serving }));
  say(`founded ${hl.id}`);
  const patient = await hl.ensureSubject(MRN);
  for (let i = 1; i < RECORDS; i++) await hl.record(patient, observation(`n${i}`));
  const attachments = [{ mediaType: "video/mp4", source: film() }];
  await hl.record(patient, observation("n0"), { attachments });
  const wishes = createDirective({
    ...{ lineage: "privacy", grantor: "Patient/1", from: Date.now() - 1000 },
    basis: { uri: "https://example.org/privacy-policy", version: "1" },
    permit: { id: "treatment", purposes: ["TREAT"] },
    otherwise: "deny",
  });
  const witness = () => ({
    ...{ user: "clerk-7", takenAt: Date.now() },
    form: /** @type {const} */ ("paper"),
  });
  const filed = await hl.consent(patient, wishes, { witness: witness() });
  say("recorded all, and the patient permits treatment");
  async function status() {
    const told = (await hl.deliveries()).map(({ status: one }) => one);
    say(`delivered to South: ${told.join(", ")}`);
  }
  return {
    hl,
    close: () => source.close(),
    ask: () => ask(hl, did, "South"),
    async deliver() {
      await hl.deliver(filed.id, { to: [did] });
      await status();
    },
    async withdraw() {
      const { root: _root, ...rest } = wishes;
      /** @type {import("healthledger/consent").Directive} */
      const withdrawn = { ...rest, mode: "revoke", default: "none", predecessors: [filed.id] };
      const { id } = await hl.consent(patient, withdrawn, { witness: witness() });
      say("the patient has withdrawn it");
      await hl.deliver(id, { to: [did] });
      await status();
    },
    async tell() {
      for await (const access of hl.audit(patient)) {
        if (access.unreadable !== undefined) continue;
        const released = access.records.filter((one) => one.released).length;
        say(`told the patient: asked for ${access.purposes.join()}, ${released} released`);
      }
    },
  };
}

/**
 * Elsewhere: a verified copy, and an outbox to the home.
 *
 * @param {string} folder @param {number} port @param {string} url @param {Uint8Array} nonce @param {string} token
 */
async function south(folder, port, url, nonce, token) {
  const { keys, roles, describing, storage } = await organisation("south", folder, token);
  const handlers = new Map([["/founding/", describing]]);
  await serve(port, handlers);
  const [path, homePath] = [join(folder, "genesis.cbor"), join(folder, "home.txt")];
  let genesis = await fileAt(path);
  if (genesis === undefined) {
    // Founded together: looked at before anything is opened, by what was received over another way.
    const own = await signDescription(keys, { name: "south", roles, for: nonce });
    const theirs = await descriptionOf(url, nonce, token);
    const descriptions = [theirs, own];
    const home = httpPeer({ url: `${url}/ledger`, did: "the home" });
    while (genesis === undefined) {
      genesis = await home.genesis().catch(() => undefined);
      if (genesis === undefined) await pause(100);
    }
    for (const line of reviewGenesis(genesis, descriptions).lines) say(line);
    await writeFile(homePath, verifyDescription(theirs, nonce).member.actor);
    await writeFile(path, genesis);
  }
  const session = { ledger: ledgerId(genesis), signer: keys.signer("sign") };
  const did = await readFile(homePath, "utf8");
  const home = httpPeer({ url: `${url}/ledger`, did, session });
  const hl = await openLedger({
    ...{ storage, keys, genesis, home, custodians: [home] },
    onFault: ({ error }) => say(`not reached: ${error.message}`),
  });
  handlers.set("/ledger/", custodianHandler({ ledger: hl, path: "/ledger" }));
  say(`opened with ${hl.chain.size} blocks, ${(await hl.outbox()).length} in the outbox`);
  await hl.trustWitnesses([did]); // what North's staff take down counts here
  const patient = await hl.ensureSubject(MRN);
  for (let i = 0; i < RECORDS; i++) {
    // Again after being killed is harmless.
    await hl.record(patient, observation(`s${i}`), { idempotencyKey: `s${i}` });
    say(`recorded ${i + 1}`);
  }
  say("recorded all");
  return {
    hl,
    close: async () => {},
    ask: () => ask(hl, did, "North"),
  };
}

/** One of the two: does what each line says, or verifies so many blocks, until there are no more lines. */
async function play() {
  const [role, folder, port, other, nonce, token] = positionals;
  if (!folder || !port || !other || !nonce || !token) throw new Error("started by itself");
  const start = role === "north" ? north : south;
  const lines = createInterface({ input: process.stdin });
  const secret = Buffer.from(nonce, "hex");
  const { hl, close, ...does } = await start(folder, Number(port), other, secret, token);
  for await (const line of lines) {
    const act = /** @type {Record<string, (() => Promise<void>) | undefined>} */ (does)[line];
    if (act !== undefined) {
      await act();
      continue;
    }
    const size = Number(line);
    while (hl.chain.size < size) await pause(50);
    const result = await hl.verify();
    if (!result.ok) throw new Error(`the ledger is invalid: ${result.reason}`);
    say(`verified ${result.size} ${Buffer.from(result.root).toString("hex")}`);
  }
  await close();
  await hl.close();
  process.exit(0);
}

/** @returns {Promise<number>} a port that nobody listens on */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  server.close();
  await once(server, "close");
  return port;
}

/** Starts both, kills one, and compares what they verified. */
async function watch() {
  const data = values.data ?? (await mkdtemp(join(tmpdir(), "two-hospitals-")));
  const [a, b] = [await freePort(), await freePort()];
  const secrets = [0, 0].map(() =>
    Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex"),
  );
  /** @param {"north" | "south"} name */
  function begin(name) {
    const [own, others] = name === "north" ? [a, b] : [b, a];
    const child = spawn(
      process.execPath,
      [
        ...[fileURLToPath(import.meta.url), name, join(data, name), String(own)],
        ...[`http://127.0.0.1:${others}`, ...secrets],
      ],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    /** @type {{ text: string, wake: () => void }[]} */
    const waiting = [];
    /** @type {string[]} */
    const heard = [];
    createInterface({ input: child.stdout }).on("line", (line) => {
      say(`${name}: ${line}`);
      heard.push(line);
      for (const one of waiting) if (line.startsWith(one.text)) one.wake();
    });
    const failed = once(child, "exit").then(([code]) => {
      if (code) throw new Error(`${name} failed`);
    });
    /** @param {string} text @param {number} [times] that it is said */
    const hears = (text, times = 1) => {
      const found = () => heard.filter((line) => line.startsWith(text));
      return Promise.race([
        failed,
        new Promise((resolve) => {
          const wake = () => found().length >= times && resolve(undefined);
          waiting.push({ text, wake });
          wake();
        }),
      ]).then(() => found().at(-1) ?? "");
    };
    return { child, hears };
  }
  const home = begin("north");
  const first = begin("south");
  await first.hears("recorded 4");
  say("south is killed");
  first.child.kill("SIGKILL");
  await home.hears("recorded all");
  const second = begin("south");
  await second.hears("recorded all");
  second.child.stdin.write("ask\n");
  await second.hears(`asked North: permit, ${RECORDS} records, and 1,000 bytes`);
  home.child.stdin.write("ask\n");
  await home.hears("asked South: deny, 0 records");
  home.child.stdin.write("deliver\n");
  await home.hears("delivered to South: filed");
  home.child.stdin.write("ask\n");
  await home.hears(`asked South: permit, ${RECORDS} records`);
  home.child.stdin.write("withdraw\n");
  await home.hears("delivered to South: filed, filed");
  for (const { child } of [second, home]) child.stdin.write("ask\n");
  await second.hears("asked North: deny, 0 records");
  await home.hears("asked South: deny, 0 records", 2);
  home.child.stdin.write("tell\n");
  await home.hears(`told the patient: asked for TREAT, ${RECORDS} released`);
  await home.hears("told the patient: asked for TREAT, 0 released");
  home.child.stdin.write("0\n");
  const theirs = await home.hears("verified");
  const size = theirs.split(" ")[1];
  second.child.stdin.write(`${size}\n`);
  const ours = await second.hears("verified");
  for (const { child } of [second, home]) child.stdin.end();
  if (theirs !== ours) throw new Error("the two hospitals have not verified the same history");
  say("both have verified the same history");
  if (values.data === undefined) await rm(data, { recursive: true, force: true });
}

await (positionals.length === 0 ? watch() : play());
