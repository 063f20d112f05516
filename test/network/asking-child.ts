// A custodian over LMDB that asks another one again and again:
// asking-child.ts <name> <path> <address of the proxy> <genesis in hexadecimal>. Writes what it did, line by line.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fromHex } from "../../src/bytes/hex.ts";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { TransportError } from "../../src/errors.ts";
import type { Ledger, OpenLedgerOptions } from "../../src/ledger/ledger.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { custodianHandler } from "../../src/network/custodian-handler.ts";
import { ledgerHandler } from "../../src/network/ledger-handler.ts";
import { publishHeads } from "../../src/network/publish-heads.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { sleep as platformSleep } from "../../src/storage/sleep.ts";
import { httpPeer } from "../../src/transport/http.ts";
import { organisation } from "../support/founders.ts";
import { LABELLER, observation, treatmentOnly } from "../support/hospital.ts";
import { serve } from "../support/serve.ts";
import { signerFor } from "../support/ledger.ts";
import { revoking } from "../support/ward.ts";
import { identifierOf, PATIENTS } from "./simulation/custodians/programs.ts";
import { askingWire } from "./simulation/custodians/wire.ts";

const [name, path, proxy, genesis] = process.argv.slice(2) as [string, string, string, string];
const other = name === "home" ? "clinic" : "home";
const say = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`);
// Ten times as fast, so that nothing waits for long after a kill.
const sleep = (ms: number, signal: AbortSignal): Promise<void> => platformSleep(ms / 10, signal);
const pause = (): Promise<void> => sleep(1000, new AbortController().signal);
const wire = askingWire({ now: Date.now, sizeOf: () => 0, waitingAt: () => new Set(), start: 0 });
const listening = wire.listening(name, { fetch });

const heard = new Set<string>();
createInterface({ input: process.stdin })
  .on("line", (line) => heard.add(line))
  // The test is gone.
  .on("close", () => heard.has("end") || process.exit(1));

const did = (await organisation(other)).signer().actor;
const peer = httpPeer({ url: `${proxy}/${other}`, did, fetch: listening });
const storage = await lmdbStorage({ path });
const hl = await openWhenReached({
  ...{ storage, keys: await organisation(name), genesis: fromHex(genesis), signedHeads: "store" },
  ...{ policy: { labeller: LABELLER }, custodians: [peer], sleep, settleWithin: 600_000 },
  ...(name === "home" ? {} : { home: peer }),
});
const source =
  name === "home" ? publishHeads({ ledger: hl, chains: storage.chains, every: 20 }) : undefined;
const asked = custodianHandler({
  ...{ ledger: hl, path: name, requestsPerMinute: 1e6 },
  ...(source && {
    otherwise: ledgerHandler({
      ...{ source, path: name, sequencer: hl.sequencer, authorize: () => true },
      requestsPerMinute: 1e6,
    }),
  }),
});
const served = await serve(async (request) => {
  const before = hl.chain.size;
  const response = await asked(request);
  // Which entries it knew, for the test alone.
  response.headers.set("x-sizes", `${before} ${hl.chain.size}`);
  return response;
});
say({ port: Number(new URL(served.url).port) });

// Lineages that may permit something, kept beside the store.
const file = `${path}.lineages`;
const open = existsSync(file) ? readFileSync(file, "utf8").split("\n").filter(Boolean) : [];
const patient = identifierOf(PATIENTS[0]);
const person = await hl.ensureSubject(patient);
/** Whose directives are delivered; nobody asks for them. */
const second = await hl.ensureSubject(identifierOf(PATIENTS[1]));
const witness = { user: "clerk-7", form: "paper" as const, takenAt: Date.now() };
const grantor = signerFor("patient");

async function withdraw(): Promise<void> {
  for (const lineage of open.splice(0)) {
    const { id } = await hl.consent(person, revoking(grantor, { lineage }), { witness });
    say({ withdrawn: lineage, done: id });
  }
  writeFileSync(file, "");
}

async function permit(): Promise<void> {
  const lineage = `${name} ${Date.now()}`;
  open.push(lineage);
  appendFileSync(file, `${lineage}\n`);
  const { id } = await hl.consent(person, treatmentOnly(grantor, { lineage }), { witness });
  say({ done: id });
}

/** Delivers a directive and its withdrawal, of which the first may be left to the second. */
async function deliver(): Promise<void> {
  const lineage = `${name} delivers ${Date.now()}`;
  const first = await hl.consent(second, treatmentOnly(grantor, { lineage }), { witness });
  say({ done: first.id });
  const predecessors = [first.id];
  const withdrawal = revoking(grantor, { lineage, predecessors });
  const { id } = await hl.consent(second, withdrawal, { witness });
  say({ done: id });
  await hl.deliver(id, { to: [did] });
  say({ queued: [first.id, id] });
}

async function ask(): Promise<void> {
  const bodies = wire.following(name);
  const answer = await hl.ask(did, { patient, purposes: ["TREAT"] });
  const texts: string[] = [];
  for await (const { text } of answer.items()) texts.push(bytesToUtf8(text!));
  const { access, count, decision } = answer;
  say({
    got: { access, count, texts, permitted: decision.outcome === "permit", bodies: bodies() },
  });
}

/** A member elsewhere opens once its home is reached, which may be down. */
async function openWhenReached(options: OpenLedgerOptions): Promise<Ledger> {
  for (;;) {
    try {
      return await openLedger(options);
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      await pause();
    }
  }
}

const { id } = await hl.record(person, observation(`${name}-${Date.now()}`));
say({ done: id });
await hl.trustWitnesses([did]);
await permit();
for (let turn = 1; !heard.has("rest"); turn++) {
  await ask().catch((error: unknown) => say({ failed: (error as { code?: string }).code }));
  if (turn % 4 === 1) await deliver();
  if (turn % 4 === 2) await withdraw();
  if (turn % 4 === 3) await hl.deliverPending();
  if (turn % 4 === 0) await permit();
}
while ((await hl.deliverPending()).some(({ status }) => status !== "filed")) await pause();
say({ rests: true });
while (!heard.has("end")) await pause();
while ((await hl.outbox()).length > 0) await pause();
process.exit(0);
