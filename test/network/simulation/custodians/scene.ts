import { ledgerId } from "../../../../src/block/genesis.ts";
import { signDescription } from "../../../../src/chain/description.ts";
import { createGenesis } from "../../../../src/ledger/create-genesis.ts";
import { memoryData, memoryStorage } from "../../../../src/storage/memory.ts";
import { simulateNetwork, type SimulatedNode } from "../../../../src/testing/simulate-network.ts";
import { NONCE, organisation, WRITER } from "../../../support/founders.ts";
import { signerFor, START } from "../../../support/ledger.ts";
import { entryIdOf, historyOf, outboxRowOf } from "../oracle.ts";
import { auditsOf, judgeAudits } from "./audits.ts";
import { deliverAtLast, judgeDeliveries } from "./deliveries.ts";
import { factsOf, modelOf, publicFacts, type Fact } from "./facts.ts";
import { judgeAnswers } from "./judge.ts";
import { custodiansPlanOf, type CustodiansPlan } from "./plan.ts";
import {
  identifierOf,
  PATIENTS,
  runCustodian,
  runPlainWitness,
  type Custodian,
  type CustodiansSetting,
} from "./programs.ts";
import { runProxy } from "./proxy.ts";
import { askingWire } from "./wire.ts";

/** How a seed ended. */
export interface CustodiansOutcome {
  readonly plan: CustodiansPlan;
  /** Rules that were broken. */
  readonly problems: readonly string[];
  readonly hash: string;
  readonly trace: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
}

const ORIGIN = "history.example/custodians";
const MINUTE = 60_000;
/** Bytes of an answer that says more than that there is nothing. */
const WITH_RECORDS = 10_000;

async function foundCustodians(plan: CustodiansPlan) {
  const names = ["home", ...plan.elsewhere];
  const custodians = new Map<string, Custodian>();
  for (const name of names) {
    custodians.set(name, {
      ...{ name, keys: await organisation(name), data: memoryData(), left: plan.steps, turn: 0 },
      ...{ done: [], answers: [], lineages: [], failed: [], shown: [], asked: [] },
      ...{ ended: new Set(), isDone: false, isWithdrawing: false },
    });
  }
  const witness = signerFor("witness of custodians");
  const members = [];
  for (const { name, keys } of custodians.values()) {
    const roles = name === "home" ? WRITER : (["custodian"] as const);
    members.push(await signDescription(keys, { name, roles, for: NONCE }));
  }
  const { publicKey } = witness;
  const genesis = await createGenesis({
    ...{ origin: ORIGIN, nonce: NONCE, members, threshold: 1 },
    ...(plan.isCosigned && {
      cosignatures: { witnesses: { of: [{ name: "witness.example", publicKey }], required: 1 } },
    }),
  });
  return { genesis, custodians, witness };
}

/** What nobody in between may see, beside names of members. */
const PRIVATE = [
  ...PATIENTS,
  ...Object.values(identifierOf("")).filter((text) => text !== ""),
  ...["TREAT", "Observation", "8480-6", "dr-house", "permit", "healthledger"],
];

/** Whether bytes hold one of these words, as text, in hexadecimal or in base64. */
function isTold(seen: readonly Uint8Array[], words: readonly string[]): boolean {
  const forms = words.flatMap((word) => [
    ...[word, Buffer.from(word).toString("hex")],
    // Without what depends on the neighbours.
    ...[0, 1, 2].map((before) =>
      Buffer.from("x".repeat(before) + word)
        .toString("base64")
        .slice(before === 0 ? 0 : 4)
        .slice(0, -4),
    ),
  ]);
  const long = forms.filter(({ length }) => length > 4);
  return seen.some((bytes) => long.some((form) => Buffer.from(bytes).includes(form)));
}

/** Plays a seed with custodians that ask one another, and judges by what lies in their stores. */
export async function playCustodians(seed: number): Promise<CustodiansOutcome> {
  const plan = custodiansPlanOf(seed);
  const { genesis, custodians, witness } = await foundCustodians(plan);
  const ledger = ledgerId(genesis);
  const network = simulateNetwork({
    seed: `custodians ${seed}`,
    start: START,
    faults: plan.faults,
  });
  const { random } = network;
  const problems = new Set<string>();
  const sizeOf = (name: string): number =>
    custodians.get(name)!.data.chains.get(`${ledger.toString()}/blocks`)?.records.length ?? 0;
  const wire = askingWire({
    ...{ now: () => network.now, sizeOf, start: START },
    waitingAt: (name) => waitingIn(custodians.get(name)!),
  });

  function waitingIn({ keys, data }: Custodian): ReadonlySet<string> {
    const ids = new Set<string>();
    for (const [key, value] of data.state) {
      if (!key.startsWith(`outbox/${ledger.toString()}/`)) continue;
      const row = outboxRowOf(value, (bytes) => entryIdOf(ledger, keys.signer().actor, bytes));
      for (const id of row.ids) ids.add(id);
    }
    return ids;
  }

  /** An answer with records that is held back: by whom it is, and since when. */
  let held: { readonly by: string; readonly since: number } | undefined;
  let isCalm = false;
  let isCut = false;
  let isLast = false;
  /** Asked after everything that happens, once all is calm. */
  function holdBack(): void {
    const newest = wire.sent.at(-1);
    const isWanted = newest !== undefined && newest.body.length > WITH_RECORDS;
    const mayBe = plan.holdBack === "withdrawal" || newest?.by !== "home";
    if (held === undefined && plan.holdBack !== "never" && isWanted && mayBe) {
      held = { by: newest.by, since: network.now };
      isCut = plan.holdBack === "cut";
      for (const { name } of isCut ? nodes : []) {
        if (name !== "proxy") network.part(name, held.by);
      }
    }
    if (isCut && network.now > held!.since + 16_000) {
      isCut = false;
      network.join();
    }
  }
  // The next answers pass while the custodian is still cut off.
  const isHeldBack = (by: string): boolean =>
    held?.by === by && network.now < held.since + plan.maxAge + 1000;

  const setting: CustodiansSetting = {
    ...{ plan, genesis, origin: ORIGIN, custodians, witness, wire, sizeOf },
    ...{ patient: signerFor("patient"), refusals: [], isCalm: () => isCalm },
    withdrawsAt: () => (plan.holdBack === "withdrawal" ? held?.by : undefined),
  };
  const nodes: SimulatedNode[] = [];
  if (plan.isCosigned) {
    const data = memoryData();
    nodes.push(network.node("witness", (machine) => runPlainWitness(machine, data, setting)));
  }
  for (const own of custodians.values()) {
    nodes.push(network.node(own.name, (machine) => runCustodian(machine, own, setting)));
  }
  const seen: Uint8Array[] = [];
  if (plan.hasProxy) {
    const see = (bytes: Uint8Array, url: string): void =>
      void seen.push(bytes, new TextEncoder().encode(url));
    nodes.push(
      network.node("proxy", (machine) => runProxy(machine, see, isHeldBack, () => isLast)),
    );
  }

  for (let turns = random.between(5, 10); turns > 0; turns--) {
    await network.run(random.between(500, 5000));
    const [one, other] = [random.pick(nodes), random.pick(nodes)];
    const what = random.between(0, 9);
    if (what < 3 && one !== other) network.part(one.name, other.name);
    else if (what < 6) network.join();
    else if (what < 8) one.crash();
  }
  const before = wire.sent.length;
  isCalm = true;
  network.join();
  network.setFaults({});
  const all = [...custodians.values()];
  // One that was removed can write nothing any more, and does not open again.
  const staying = all.filter(({ name }) => !plan.isRemoved || name !== "lab");
  const isOver = (): boolean => {
    if (wire.sent.length > before) holdBack();
    return areEqual();
  };
  const areEqual = (): boolean =>
    !isCut &&
    staying.every(
      ({ isDone, isWithdrawing, hl }) => isDone && !isWithdrawing && hl !== undefined,
    ) &&
    staying.every(({ name }) => sizeOf(name) === sizeOf("home"));
  if (!(await network.until(isOver, 40 * MINUTE))) problems.add("custodians do not come to an end");

  isLast = true;
  const atLast = await deliverAtLast(network, staying, setting);
  const audits = await auditsOf(network, staying);

  const history = historyOf(custodians.get("home")!.data, ledger.toString())();
  const facts = new Map<string, readonly Fact[]>();
  for (const { name, keys, data } of all) {
    const storage = memoryStorage({ data });
    facts.set(name, await factsOf({ keys, storage }, ledger, history));
  }
  const models = new Map([...facts].map(([name, one]) => [name, modelOf(one)]));
  const publicly = publicFacts(history);
  const answers = await judgeAnswers({
    ...{ plan, ledger, custodians, wire, models, publicly },
    problem: (what) => void problems.add(what),
  });
  if (isTold(seen, [...PRIVATE, ...all.map(({ keys }) => keys.signer().actor)]))
    problems.add("somebody in between sees what is asked, or who asks");
  judgeAudits(audits, models, (what) => void problems.add(what));
  if (atLast.length < staying.length) problems.add("not all deliveries come to an end");
  judgeDeliveries({
    ...{ custodians, facts, models, atLast },
    problem: (what) => void problems.add(what),
  });
  const taken = [...facts.values()].flat().filter(({ origin }) => origin !== undefined);
  const count = (of: (one: Custodian) => number): number =>
    all.reduce((total, one) => total + of(one), 0);
  return {
    ...{ plan, problems: [...problems], hash: network.traceHash(), trace: network.trace },
    counts: {
      ...{ blocks: history.blocks.length, sent: answers.length },
      again: answers.length - new Set(answers.map(({ asked }) => asked)).size,
      stale: setting.refusals.filter((code) => code === "ERR_CHAIN_STALE").length,
      asks: count(({ answers: got }) => got.length),
      failed: count(({ failed }) => failed.length),
      delivered: taken.filter(({ op }) => op === "directive").length,
      held: taken.filter(({ op }) => op === "held").length,
      withdrawn: count(({ done }) => done.filter(({ what }) => what === "withdrawal").length),
      released: count(({ answers: got }) => got.filter(({ texts }) => texts.length > 0).length),
    },
  };
}
