import { decode } from "@ipld/dag-cbor";
import { ledgerId } from "../../../src/block/genesis.ts";
import { createGenesis } from "../../../src/ledger/create-genesis.ts";
import { ledgerHandler } from "../../../src/network/ledger-handler.ts";
import { memoryData, memoryStorage, type MemoryData } from "../../../src/storage/memory.ts";
import { simulateNetwork, type SimulatedNode } from "../../../src/testing/simulate-network.ts";
import { signDescription } from "../../../src/chain/description.ts";
import { NONCE, organisation, WRITER } from "../../support/founders.ts";
import { signerFor } from "../../support/ledger.ts";
import { lying, type Second } from "./liar.ts";
import {
  entriesIn,
  entryIdOf,
  historyOf,
  isOneHistory,
  keptIn,
  noteReader,
  outboxRowOf,
  type History,
  type Note,
  type OutboxRow,
} from "./oracle.ts";
import { planOf, type Plan } from "./plan.ts";
import {
  runHome,
  runMember,
  runReplica,
  runWitness,
  type Handler,
  type Home,
  type Member,
  type Setting,
} from "./programs.ts";

export interface Outcome {
  readonly plan: Plan;
  /** Rules that were broken. */
  readonly problems: readonly string[];
  readonly hash: string;
  readonly trace: readonly string[];
  readonly blocks: number;
  readonly acknowledged: number;
  readonly convicted: number;
  /** Entries that were durable in the outbox of a member elsewhere. */
  readonly promised: number;
  /** Those of them that the rules refuse. */
  readonly refused: number;
}

const ORIGIN = "history.example/simulated";
const MINUTE = 60_000;
/** Longest time after which all must be equal again: a peer that was wrong often waits ten minutes. */
const HEALED_WITHIN: number = 40 * MINUTE;

const founded = new Map<string, Promise<Omit<Setting, "isCalm" | "watched">>>();

function found({ witnesses, required, maxTxAge }: Plan) {
  const name = `${witnesses}/${required}/${maxTxAge}`;
  let setting = founded.get(name);
  if (setting === undefined) founded.set(name, (setting = foundNow(witnesses, required, maxTxAge)));
  return setting;
}

async function foundNow(witnesses: number, required: number, maxTxAge: number) {
  const [homeKeys, memberKeys] = [await organisation("home"), await organisation("member")];
  const witnessSigners = new Map(
    Array.from({ length: witnesses }, (_, i) => [`witness-${i}`, signerFor(`witness ${i}`)]),
  );
  const of = [...witnessSigners].map(([name, { publicKey }]) => ({
    name: `${name}.example`,
    publicKey,
  }));
  const genesis = await createGenesis({
    ...{ origin: ORIGIN, nonce: NONCE, maxTxAge },
    members: [
      await signDescription(homeKeys, { name: "home", roles: WRITER, for: NONCE }),
      await signDescription(memberKeys, { name: "member", roles: ["custodian"], for: NONCE }),
    ],
    ...(witnesses > 0 && {
      cosignatures: { witnesses: { of, required } },
    }),
  });
  return { genesis, origin: ORIGIN, homeKeys, memberKeys, witnessSigners };
}

/** What a thief of keys and disks has: all that lies in a store. */
async function copyStore(from: MemoryData, into: MemoryData): Promise<void> {
  const [source, target] = [memoryStorage({ data: from }), memoryStorage({ data: into })];
  for (const [chain, { records }] of from.chains) {
    await target.chains.append(chain, { size: 0, hash: null }, records);
  }
  const state = [];
  const all = { gte: new Uint8Array(), lt: new Uint8Array(64).fill(0xff) };
  for await (const entry of source.state.scan(all)) state.push(entry);
  await target.state.batch(state);
}

/** Plays a seed to its end, and judges by what lies in the stores and went over the wire. */
export async function play(seed: number): Promise<Outcome> {
  const plan = planOf(seed);
  const founding = await found(plan);
  const { genesis, witnessSigners, homeKeys } = founding;
  const ledger = ledgerId(genesis);
  const name = ledger.toString();
  const network = simulateNetwork({ seed, faults: plan.faults });
  const { random } = network;
  const problems = new Set<string>();
  const isFork = plan.kind === "fork";

  const readNote = noteReader(
    ORIGIN,
    homeKeys.signer("checkpoint").publicKey,
    new Map([...witnessSigners].map(([one, { publicKey }]) => [`${one}.example`, publicKey])),
  );
  /** Checkpoints that went over the wire and have all the signatures that the policy demands. */
  const accepted = new Map<string, Note>();
  /** Heads that each witness cosigned. */
  const cosigned = new Map<string, Map<string, Note>>();

  function see(bytes: Uint8Array): void {
    const note = readNote(bytes);
    if (note === undefined) return;
    if (note.isSigned && note.cosigned.length >= plan.required) {
      accepted.set(`${note.size} ${note.root}`, note);
    }
    for (const by of note.cosigned) {
      const heads = cosigned.get(by) ?? new Map<string, Note>();
      cosigned.set(by, heads.set(`${note.size} ${note.root}`, note));
    }
  }

  let isCalm = false;
  const setting: Setting = {
    ...founding,
    isCalm: () => isCalm,
    watched: (handler) => async (request) => {
      const asked =
        request.method === "POST" ? new Uint8Array(await request.clone().arrayBuffer()) : undefined;
      const response = await handler(request);
      const { pathname } = new URL(request.url);
      if (response.status !== 200 || !/\/(add-)?checkpoint$/.test(pathname)) return response;
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (asked === undefined) see(bytes);
      // The note that was asked about, with the line that was answered.
      else see(Buffer.concat([asked.subarray(Buffer.from(asked).indexOf("\n\n") + 2), bytes]));
      return new Response(bytes, { status: 200, headers: response.headers });
    },
  };

  const newHome = (lane: number, left: number, data: MemoryData = memoryData()): Home => ({
    ...{ data, left, lane, acknowledged: [] },
  });
  const home = newHome(0, plan.writes);
  const twin = newHome(1000, plan.writes);
  const histories = [historyOf(home.data, name), historyOf(twin.data, name)];

  const nodes: SimulatedNode[] = [];
  const add = (node: SimulatedNode): SimulatedNode => {
    nodes.push(node);
    return node;
  };
  for (const [one, signer] of witnessSigners) {
    const data = memoryData();
    add(network.node(one, (machine) => runWitness(machine, data, signer, one, setting)));
  }
  const { isAtomic } = plan;
  add(
    network.node("home", (machine) =>
      runHome(machine, home, setting, { isAtomic, publishes: true }),
    ),
  );
  if (plan.kind !== "plain") {
    const branchAt = random.between(0, 20_000);
    let isBranched = false;
    network.node("twin", async (machine) => {
      if (!isBranched) {
        await machine.sleep(branchAt);
        await copyStore(home.data, twin.data);
        isBranched = true;
      }
      await runHome(machine, twin, setting, { isAtomic: true, publishes: isFork });
    });
  }
  const copies = new Map<string, MemoryData>();
  const direct = new Set<string>();
  const replicaNames = Array.from({ length: plan.replicas }, (_, i) => `replica-${i}`);
  for (const [i, one] of replicaNames.entries()) {
    const data = memoryData();
    copies.set(one, data);
    const peers = new Set<string>(i === 0 || random.chance(0.7) ? ["home"] : []);
    if (plan.kind === "hidden") peers.add("liar");
    if (isFork && (i === 0 || random.chance(0.5))) peers.add("twin");
    for (const other of replicaNames.slice(0, i)) if (random.chance(0.4)) peers.add(other);
    if (peers.size === 0 || (plan.kind === "hidden" && peers.size === 1)) peers.add("home");
    if (peers.has("home") && peers.has("twin")) direct.add(one);
    add(network.node(one, (machine) => runReplica(machine, data, [...peers], setting)));
  }
  if (plan.kind === "hidden") {
    const data = memoryData();
    network.node("liar", (machine) => {
      const served = (): Second | undefined => {
        const { chain } = twin;
        if (chain === undefined || chain.size === 0) return undefined;
        const newest = { note: new Uint8Array(), size: chain.size, root: chain.root };
        const source = { chain, newest, grown: async () => undefined, policy: async () => [] };
        const { now, sleep } = machine;
        return { ...newest, handler: ledgerHandler({ source, reads: "public", now, sleep }) };
      };
      const serve = machine.serve.bind(machine);
      const liar = { ...machine, serve: (own: Handler) => serve(lying(machine, own, served)) };
      return runReplica(liar, data, ["home"], setting);
    });
  }
  const member: Member = {
    ...{ data: memoryData(), left: 3, acknowledged: new Map() },
    ...{ asksForRefusal: plan.isRefused, isTold: false },
  };
  if (plan.hasMember) {
    copies.set("member", member.data);
    add(
      network.node("member", (machine) =>
        runMember(machine, member, ["home", replicaNames[0]!], setting),
      ),
    );
  }

  const memberName = founding.memberKeys.signer().actor;
  const memberCopy = historyOf(member.data, name);
  /** Entries of the member that were ever durable in its outbox, and those in blocks of its own copy. */
  const promised = new Map<string, OutboxRow>();
  const arrived = new Set<string>();
  let lookedAt = 0;
  const rowsSeen = new WeakMap<Uint8Array, OutboxRow>();
  let rows = new Map<string, OutboxRow>();
  function watchOutbox(): void {
    const { blocks } = memberCopy();
    for (const block of blocks.slice(lookedAt)) {
      for (const { author, bytes } of entriesIn(block))
        if (author === memberName) arrived.add(entryIdOf(ledger, author, bytes));
    }
    lookedAt = blocks.length;
    const before = rows;
    rows = new Map();
    for (const [key, value] of member.data.state) {
      if (!key.startsWith(`outbox/${name}/`)) continue;
      const known = rowsSeen.get(value);
      const row = known ?? outboxRowOf(value, (bytes) => entryIdOf(ledger, memberName, bytes));
      rowsSeen.set(value, row);
      rows.set(key, row);
      for (const id of row.ids) promised.set(id, row);
      if (row.isRefused && !row.isOfKeys) problems.add("an entry is refused that no rule refuses");
      if (row.ids.some((id) => arrived.has(id)))
        problems.add("an entry waits in the outbox whose block is here");
    }
    for (const [key, { ids, isRefused, isTold }] of before) {
      const isOver = ids.every((id) => arrived.has(id)) || (isRefused && isTold);
      if (!rows.has(key) && !isOver)
        problems.add("an outbox forgets what is neither recorded nor told");
    }
    for (const id of member.acknowledged.keys()) {
      if (!arrived.has(id)) problems.add("an entry is acknowledged before its block is here");
    }
  }

  const isForkOf = (data: MemoryData): boolean => data.state.has(`network/${name}/fork`);
  const convicts = new Set<string>();
  const looked = new Map<string, number>();
  /** The newest checkpoint that each copy keeps. */
  const keptBy = new Map<string, { readonly value: Uint8Array; readonly size: number }>();
  /** Looks at every copy that has changed: asked after everything that happens. */
  function watch(): false {
    if (plan.hasMember) watchOutbox();
    for (const [one, data] of copies) {
      const value = data.state.get(`network/${name}/accepted`);
      if (value !== undefined && value !== keptBy.get(one)?.value) {
        const { note } = decode<{ note: Uint8Array }>(value);
        const kept = { value, size: readNote(note)?.size ?? -1 };
        if (kept.size < (keptBy.get(one)?.size ?? 0))
          problems.add("a copy keeps a smaller checkpoint than before");
        keptBy.set(one, kept);
      }
      const size = data.chains.get(`${name}/blocks`)?.records.length ?? 0;
      if (size <= (looked.get(one) ?? 0)) continue;
      looked.set(one, size);
      if (convicts.has(one)) problems.add("a copy goes on that saw two histories");
      const copy = historyOf(data, name)();
      const of = histories
        .map((history) => history())
        .filter((history) => history.blocks.length >= size && isOneHistory(history, copy));
      if (of.length === 0) problems.add("a copy has a block that no home has");
      const covers = ({ size: covered, root }: Note): boolean =>
        covered >= size &&
        of.some((history) => history.blocks.length >= covered && history.rootAt(covered) === root);
      if (![...accepted.values()].some(covers))
        problems.add("a copy has a block that no accepted checkpoint covers");
      const kept = keptIn(data, name, "accepted");
      const note = kept && readNote(kept["note"] as Uint8Array);
      if (note === undefined || note.size < size)
        problems.add("a copy has a block beyond the checkpoint that it keeps");
    }
    for (const [one, data] of copies) if (isForkOf(data)) convicts.add(one);
    for (const heads of cosigned.values()) {
      const notes = [...heads.values()];
      const isOf = (history: History): boolean =>
        notes.every(
          ({ size, root }) => size > history.blocks.length || history.rootAt(size) === root,
        );
      if (!histories.some((history) => isOf(history())))
        problems.add("a witness cosigned two histories");
    }
    return false;
  }

  // Things go wrong.
  for (let turns = random.between(6, 14); turns > 0; turns--) {
    await network.until(watch, random.between(1000, 12_000));
    const [one, other] = [random.pick(nodes), random.pick(nodes)];
    const what = random.between(0, 9);
    if (what < 3 && one !== other) network.part(one.name, other.name);
    else if (what < 5) network.join();
    else if (what < 7) one.crash();
  }
  // And nothing does any more.
  isCalm = true;
  network.join();
  network.setFaults({});
  const sizeOf = (data: MemoryData): number =>
    data.chains.get(`${name}/blocks`)?.records.length ?? 0;
  const areParted = (): boolean => !isOneHistory(histories[0]!(), histories[1]!());

  async function isHealed(): Promise<boolean> {
    watch();
    if (home.left > 0 || (member.left > 0 && plan.hasMember)) return false;
    if (isFork) {
      if (twin.left > 0) return false;
      // One that branched off after the last write only goes on with the history that there is.
      if (plan.required > 0 || !areParted()) return true;
      return [...direct].every((one) => isForkOf(copies.get(one)!));
    }
    for (const data of copies.values()) if (sizeOf(data) !== sizeOf(home.data)) return false;
    if (!plan.hasMember) return true;
    return member.waiting !== undefined && (await member.waiting()) === 0;
  }
  if (!(await network.until(isHealed, HEALED_WITHIN))) {
    problems.add(
      isFork
        ? "two histories, and a copy that saw both convicts nobody"
        : "a copy does not catch up",
    );
  }
  watch();

  const ours = histories[0]!();
  // What was acknowledged is there, once, with what belongs to it.
  const occurs = new Map<string, number>();
  const ids = new Map<string, number>();
  const count = (counts: Map<string, number>, of: string): void =>
    void counts.set(of, (counts.get(of) ?? 0) + 1);
  for (const block of ours.blocks) {
    for (const { author, bytes } of entriesIn(block)) {
      count(occurs, Buffer.from(bytes).toString("hex"));
      if (author !== memberName) continue;
      const id = entryIdOf(ledger, author, bytes);
      count(ids, id);
      // Whether or not it was acknowledged, what is on the ledger has its key where it was written.
      const { kind } = decode<{ kind: string }>(bytes);
      if (kind === "record" && (await readBy(member, id)) === undefined) {
        problems.add("an entry of a member is without its key");
      }
    }
  }
  if ([...occurs.values()].some((times) => times > 1)) problems.add("an entry is there twice");
  for (const { entry, height, key } of home.acknowledged) {
    const block = ours.blocks[height];
    const isThere =
      block !== undefined &&
      entriesIn(block).some(({ bytes }) => Buffer.compare(bytes, entry) === 0);
    if (!isThere) problems.add("an acknowledged entry is not where it was said to be");
    if (!home.data.state.has(key)) problems.add("an acknowledged entry is without its key");
  }
  // Acknowledged or not: what was durable in the outbox is recorded, or somebody can learn that it is refused.
  let refused = 0;
  for (const [id, row] of promised) {
    if (!row.isOfKeys) {
      if (ids.get(id) !== 1) problems.add("what an outbox kept is lost or doubled");
      continue;
    }
    refused++;
    if (ids.has(id)) problems.add("the ledger has what its rules refuse");
    const isListed = [...rows.values()].some(
      ({ ids: [own], isRefused, isTold }) => own === id && isRefused && !isTold,
    );
    if (!isListed && !member.isTold) problems.add("nobody is told of a refusal");
  }
  for (const [id, text] of member.acknowledged) {
    if (ids.get(id) !== 1) problems.add("an acknowledged record of a member is lost or doubled");
    if ((await readBy(member, id)) !== text)
      problems.add("an acknowledged record of a member is without its key");
  }
  async function readBy({ read }: Member, id: string): Promise<string | undefined> {
    let text: string | undefined;
    read?.(id).then(
      (found) => (text = found),
      () => undefined,
    );
    await network.until(() => text !== undefined, MINUTE);
    return text;
  }

  /** Whether two checkpoints are signed by the home's key, and are of no one history. */
  function isProof(evidence: Uint8Array): boolean {
    const { first, second } = decode<{ first: Uint8Array; second: Uint8Array }>(evidence);
    const notes = [readNote(first), readNote(second)];
    const isOf = (history: History): boolean =>
      notes.every(
        (note) => note!.size <= history.blocks.length && history.rootAt(note!.size) === note!.root,
      );
    return (
      notes.every((note) => note?.isSigned === true) &&
      !histories.some((history) => isOf(history()))
    );
  }

  let convicted = 0;
  for (const data of copies.values()) {
    const kept = keptIn(data, name, "fork");
    if (kept === undefined) continue;
    convicted++;
    if (!isFork || !areParted()) problems.add("one history, and a copy convicts its key");
    if (!isProof(kept["evidence"] as Uint8Array)) problems.add("evidence proves nothing");
  }
  return {
    ...{ plan, problems: [...problems], hash: network.traceHash(), trace: network.trace },
    ...{ blocks: ours.blocks.length, convicted },
    ...{ acknowledged: home.acknowledged.length + member.acknowledged.size },
    ...{ promised: promised.size, refused },
  };
}
