import { decodeGenesis } from "../../../../src/block/genesis.ts";
import { bytesToUtf8 } from "../../../../src/bytes/utf8.ts";
import { noteKey, NOTE_COSIGNATURE, NOTE_ED25519 } from "../../../../src/chain/note-key.ts";
import { createWitness } from "../../../../src/chain/witness.ts";
import type { KeyStore } from "../../../../src/identity/key-store.ts";
import type { Signer } from "../../../../src/identity/signer.ts";
import type { Ledger } from "../../../../src/ledger/ledger.ts";
import { openLedger } from "../../../../src/ledger/open-ledger.ts";
import { custodianHandler } from "../../../../src/network/custodian-handler.ts";
import { ledgerHandler } from "../../../../src/network/ledger-handler.ts";
import { publishHeads } from "../../../../src/network/publish-heads.ts";
import { witnessHandler } from "../../../../src/network/witness-handler.ts";
import { witnessPeer } from "../../../../src/network/witness-peer.ts";
import { memoryStorage, type MemoryData } from "../../../../src/storage/memory.ts";
import type { SimulatedMachine } from "../../../../src/testing/simulate-network.ts";
import { httpPeer } from "../../../../src/transport/http.ts";
import { LABELLER, observation, treatmentOnly } from "../../../support/hospital.ts";
import { bytesFor } from "../../../support/ledger.ts";
import { revoking } from "../../../support/ward.ts";
import type { EntryPlace } from "../../../../src/chain/make-receipt.ts";
import { deliver, forge, noteShown, remembering, type ShownDelivery } from "./delivering.ts";
import type { CustodiansPlan } from "./plan.ts";
import type { Handler } from "../programs.ts";
import type { AskingWire, Exchange } from "./wire.ts";

/** Persons whom all know by these numbers. */
export const PATIENTS = ["MRN-0012345", "MRN-0067890"] as const;
export const identifierOf = (patient: string) => ({
  system: "urn:oid:1.2.36.146.595.217.0.1",
  value: patient,
});

/** What a custodian was told to be done. */
export interface Done {
  readonly what: "record" | "permit" | "renewal" | "withdrawal";
  readonly id: string;
  readonly patient: string;
  /** Of a directive. */
  readonly lineage: string;
  readonly place?: EntryPlace;
}

/** An answer that somebody got. */
export interface GotAnswer {
  readonly from: string;
  readonly by: string;
  readonly patient: string;
  /** Lineages whose withdrawal was acknowledged at `from`, or shown as filed there, before anything was sent. */
  readonly withdrawn: ReadonlySet<string>;
  /** Blocks that the asked one had when the ask began, and when the answer was there. */
  readonly sizes: readonly [before: number, after: number];
  readonly access: string;
  readonly count: number;
  readonly permitted: boolean;
  readonly texts: readonly string[];
  /** All that was sent meanwhile, and what was taken for the answers to it. */
  readonly bodies: readonly Exchange[];
}

/** An organisation that keeps records; what is here survives its crashes. */
export interface Custodian {
  readonly name: string;
  readonly keys: KeyStore;
  readonly data: MemoryData;
  left: number;
  turn: number;
  readonly done: Done[];
  readonly answers: GotAnswer[];
  /** Permits that it tried to file, the oldest first, and the last id of each; a withdrawal takes the first. */
  readonly lineages: { readonly name: string; readonly patient: string; last?: string }[];
  /** Lineages whose withdrawal was acknowledged here, or shown as filed here by whoever delivered it. */
  readonly ended: Set<string>;
  /** What it showed of its deliveries. */
  readonly shown: ShownDelivery[];
  /** What it sent last to other custodians. */
  readonly asked: { readonly to: string; readonly sealed: Uint8Array }[];
  /** Codes of errors with which asks ended. */
  readonly failed: string[];
  /** Set while it runs. */
  hl?: Ledger;
  /** Whether the last step is done. */
  isDone: boolean;
  isWithdrawing: boolean;
}

export interface CustodiansSetting {
  readonly plan: CustodiansPlan;
  readonly genesis: Uint8Array;
  readonly origin: string;
  readonly custodians: ReadonlyMap<string, Custodian>;
  readonly witness: Signer;
  readonly patient: Signer;
  /** Whether nothing goes wrong any more, unless somebody makes it. */
  readonly isCalm: () => boolean;
  /** The custodian at which the person withdraws now, since its answer is held back. */
  readonly withdrawsAt: () => string | undefined;
  /** Codes of errors of the handlers. */
  readonly refusals: string[];
  readonly wire: AskingWire;
  /** Blocks that a custodian has. */
  readonly sizeOf: (name: string) => number;
}

const didOf = ({ keys }: Custodian): string => keys.signer().actor;

/** Runs a custodian until it has done all its steps; it answers for as long as it is up. */
export async function runCustodian(
  machine: SimulatedMachine,
  own: Custodian,
  setting: CustodiansSetting,
): Promise<void> {
  delete own.hl;
  const { now, sleep, wallClock, random } = machine;
  const { plan, genesis, wire, custodians } = setting;
  const fetch = wire.listening(own.name, machine);
  const timers = { now, sleep };
  const peerTo = (other: Custodian, base = `http://${other.name}.invalid/`) =>
    httpPeer({ ...timers, fetch, url: base, did: didOf(other) });
  const peerThrough = (one: Custodian) =>
    plan.hasProxy ? peerTo(one, `http://proxy.invalid/${one.name}/`) : peerTo(one);
  const home = custodians.get("home")!;
  const isHome = own === home;
  const storage = machine.storage(memoryStorage({ data: own.data }));
  const hl = await openLedger({
    ...{ genesis, keys: own.keys, random, sleep, now: wallClock, storage, signedHeads: "store" },
    policy: { labeller: LABELLER, maxAge: plan.maxAge },
    ...(isHome ? {} : { home: peerTo(home) }),
    ...(isHome && plan.isCosigned
      ? {
          cosigners: [
            witnessPeer({
              ...{ url: "http://witness.invalid/", fetch, now, sleep },
              key: noteKey("witness.example", NOTE_COSIGNATURE, setting.witness.publicKey),
            }),
          ],
        }
      : {}),
    custodians: [...custodians.values()]
      .filter((one) => one !== own)
      .map((one) => remembering(own, peerThrough(one))),
  });
  own.hl = hl;
  const quick = { ...timers, requestsPerMinute: 1e6 };
  const source = isHome
    ? publishHeads({ ledger: hl, chains: storage.chains!, every: 2000, ...timers })
    : undefined;
  const ledgers: Handler | undefined =
    source && ledgerHandler({ source, sequencer: hl.sequencer, authorize: () => true, ...quick });
  machine.serve(
    wire.answering(
      own.name,
      custodianHandler({
        ...{ ledger: hl, ...quick, ...(ledgers && { otherwise: ledgers }) },
        onError: (error) => setting.refusals.push(String(Object(error).code)),
      }),
    ),
  );
  await takeSteps(machine, own, hl, setting);
  if (own.name === "clinic" && plan.isForged) {
    const tools = { hl, peer: peerThrough(home), to: home };
    await deliverAsAnother(machine, own, tools, setting).catch(() => undefined);
  }
  own.isDone = true;
}

async function takeSteps(
  { sleep, random, wallClock }: SimulatedMachine,
  own: Custodian,
  hl: Ledger,
  setting: CustodiansSetting,
): Promise<void> {
  const { custodians, plan, patient: signer, wire, sizeOf } = setting;
  const drawn = (below: number): number => random(1)[0]! % below;
  const others = [...custodians.values()].filter((one) => one !== own);

  async function file(what: Done["what"], patient: string): Promise<Done | undefined> {
    const { turn, name } = own;
    const isNew = what === "permit" || what === "record";
    const open = isNew
      ? { name: `${name} ${turn}`, patient }
      : own.lineages.find((one) => one.patient === patient);
    if (open === undefined) return undefined;
    const lineage = open.name;
    if (what === "permit") own.lineages.push(open);
    if (what === "withdrawal") own.lineages.splice(own.lineages.indexOf(open), 1);
    const person = await hl.ensureSubject(identifierOf(patient));
    // The first person has a key, the second has none.
    const how =
      patient === PATIENTS[0]
        ? { signer }
        : { witness: { user: "clerk-7", form: "paper" as const, takenAt: wallClock() } };
    if ("signer" in how && what !== "record") await attest(hl, person, signer);
    if (what !== "record") {
      const directive = what === "withdrawal" ? revoking : treatmentOnly;
      const predecessors = what === "renewal" && open.last !== undefined ? [open.last] : [];
      const made = directive(signer, { lineage, predecessors: predecessors as never });
      const { id, place } = await hl.consent(person, made, how);
      open.last = id;
      const done = { what, id, patient, lineage, place };
      own.done.push(done);
      if (what === "withdrawal") own.ended.add(lineage);
      return done;
    }
    // Several at the beginning, which become durable together.
    await Promise.all(
      Array.from({ length: turn === 1 ? 4 : 1 }, async (_, i) => {
        const { id } = await hl.record(person, observation(`${name}-${turn}-${i}`));
        own.done.push({ what, id, patient, lineage });
      }),
    );
    return undefined;
  }

  /** Files a directive and delivers it: a withdrawal to all others. */
  async function fileAndDeliver(what: Done["what"], patient: string): Promise<void> {
    const done = await file(what, patient);
    if (done === undefined || drawn(3) === 0) return;
    const to = what === "withdrawal" ? others : [others[drawn(others.length)]!];
    await deliver(own, hl, { id: done.id, to }, setting);
  }

  async function ask(patient: string, other = others[drawn(others.length)]!): Promise<void> {
    const withdrawn = new Set(other.ended);
    const before = sizeOf(other.name);
    const bodies = wire.following(own.name);
    try {
      const request = { patient: identifierOf(patient), purposes: ["TREAT"], user: "dr-house" };
      const answer = await hl.ask(didOf(other), request);
      const texts: string[] = [];
      for await (const { text } of answer.items()) texts.push(bytesToUtf8(text!));
      own.answers.push({
        ...{ from: other.name, by: own.name, patient, withdrawn, texts },
        ...{ access: answer.access, count: answer.count, bodies: bodies() },
        ...{ permitted: answer.decision.outcome === "permit", sizes: [before, sizeOf(other.name)] },
      });
    } catch (error) {
      own.failed.push((error as { code?: string }).code ?? String(error));
    }
  }

  async function amend(patient: string): Promise<void> {
    const known = own.done.filter((one) => one.what === "record" && one.patient === patient);
    if (known.length === 0) return;
    await hl.amend(known[drawn(known.length)]!.id as never, observation(`${own.name}-${own.turn}`));
  }

  /** Another key that answers are sealed to. */
  async function changeKey(): Promise<void> {
    const old = own.keys.list().filter(({ use }) => use === "agree");
    const secret = bytesFor(`${plan.seed} ${own.name} ${own.turn}`);
    const { key } = await own.keys.add({ use: "agree", secret });
    await hl.governance.changeKey({ op: "add", key });
    await hl.governance.changeKey({ op: "retire", key: old.at(-1)!.key });
  }

  while (own.left > 0) {
    await sleep(random(1)[0]! * 12);
    own.left--;
    own.turn++;
    const patient = PATIENTS[own.turn > 2 && drawn(5) === 0 ? 1 : 0];
    const chance = drawn(100);
    try {
      if (own.turn <= 2) await file(own.turn === 1 ? "record" : "permit", patient);
      else if (chance < 20) await file("record", patient);
      else if (chance < 32) await fileAndDeliver("permit", patient);
      else if (chance < 38) await fileAndDeliver("renewal", patient);
      else if (chance < 48) await fileAndDeliver("withdrawal", patient);
      else if (chance < 52) await hl.trustWitnesses(others.map(didOf));
      else if (chance < 56) noteShown(own, await hl.deliverPending(), setting);
      else if (chance < 60) await amend(patient);
      else if (chance < 64) await changeKey();
      else await ask(patient);
    } catch {
      // Not acknowledged: it waits in the outbox, or it is lost with the process.
    }
  }
  if (own.name === "home" && plan.isRemoved) await remove(hl, custodians.get("lab")!);

  // Once all is calm, everybody asks everybody; and whose answer is held back meanwhile hears of a withdrawal.
  const mayFail = (): undefined => undefined;
  while (!setting.isCalm()) await sleep(500);
  own.turn++;
  if (!own.lineages.some((one) => one.patient === PATIENTS[0])) {
    await file("permit", PATIENTS[0]).catch(mayFail);
  }
  const withdrawing = (async () => {
    while (setting.withdrawsAt() === undefined) await sleep(300);
    own.isWithdrawing = true;
    const at = custodians.get(setting.withdrawsAt()!)!;
    while (own.lineages.some((one) => one.patient === PATIENTS[0])) {
      const done = await file("withdrawal", PATIENTS[0]).catch(mayFail);
      if (done === undefined || at === own) continue;
      await deliver(own, hl, { id: done.id, to: [at] }, setting).catch(mayFail);
    }
    own.isWithdrawing = false;
  })();
  void withdrawing;
  for (const other of others) await ask(PATIENTS[0], other);
}

/** Delivers a permit to the home, and then again under the name of one that was not delivered. */
async function deliverAsAnother(
  machine: SimulatedMachine,
  own: Custodian,
  { hl, ...tools }: Pick<Parameters<typeof forge>[2], "to" | "peer"> & { readonly hl: Ledger },
  setting: CustodiansSetting,
): Promise<void> {
  const { patient: signer } = setting;
  const person = await hl.ensureSubject(identifierOf(PATIENTS[0]));
  const permit = (lineage: string) =>
    hl.consent(person, treatmentOnly(signer, { lineage }), { signer });
  const first = await permit("delivered");
  await deliver(own, hl, { id: first.id, to: [tools.to] }, setting);
  const { id, place } = await permit("not delivered");
  const at = { what: "permit", id, patient: PATIENTS[0], lineage: "not delivered", place } as const;
  await forge(machine, own, { ...tools, at }, setting);
}

/** The custodian says which key is the person's. */
async function attest(
  hl: Ledger,
  person: Awaited<ReturnType<Ledger["ensureSubject"]>>,
  { actor, publicKey }: Signer,
): Promise<void> {
  await hl.attest(person, {
    ...{ actor, capacity: "self", alg: "Ed25519", publicKey },
    from: 0,
  });
}

async function remove({ governance }: Ledger, lab: Custodian): Promise<void> {
  // Done before the process was killed.
  if ((await governance.members()).every(({ actor }) => actor !== didOf(lab))) return;
  const proposal = await governance.propose({ members: [{ remove: didOf(lab) }] });
  await governance.enact(proposal, [await governance.approve(proposal)]);
}

/** A witness whose cosignature the policy requires. */
export function runPlainWitness(
  { now, sleep, wallClock, storage, serve }: SimulatedMachine,
  data: MemoryData,
  { genesis, origin, witness: signer }: CustodiansSetting,
): void {
  const witness = createWitness({
    ...{ chains: storage(memoryStorage({ data })).chains!, signer, origin, now: wallClock },
    name: "witness.example",
    keys: decodeGenesis(genesis).checkpointKeys.map((key) => noteKey(origin, NOTE_ED25519, key)),
  });
  serve(witnessHandler({ witnesses: [witness], now, sleep }));
}
