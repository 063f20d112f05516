import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "@ipld/dag-cbor";
import { expect, it } from "vitest";
import { ledgerId } from "../../src/block/genesis.ts";
import { signDescription } from "../../src/chain/description.ts";
import { createGenesis } from "../../src/ledger/create-genesis.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { effort } from "../support/effort.ts";
import { NONCE, organisation, WRITER } from "../support/founders.ts";
import { collect } from "../support/ward.ts";
import { NAMES, runKilledPair, type Name, type Seen } from "./asking-pair.ts";
import { factsOf, modelOf, publicFacts, type Fact } from "./simulation/custodians/facts.ts";
import { judgeAnswers } from "./simulation/custodians/judge.ts";
import { PATIENTS, type GotAnswer } from "./simulation/custodians/programs.ts";
import { pagesOf, type Exchange } from "./simulation/custodians/wire.ts";

/** How many asks and deliveries are sent while the processes are killed. */
const ASKS = effort("HEALTHLEDGER_CRASH_ASKS", { full: 200, short: 12 });

it(`two custodians that are killed over ${ASKS} asks keep their rules, and both go on`, async () => {
  const folder = await mkdtemp(join(tmpdir(), "healthledger-asking-"));
  const keys = { home: await organisation("home"), clinic: await organisation("clinic") };
  const genesis = await createGenesis({
    ...{ origin: "history.example/killed", nonce: NONCE },
    members: [
      await signDescription(keys.home, { name: "home", roles: WRITER, for: NONCE }),
      await signDescription(keys.clinic, { name: "clinic", roles: ["custodian"], for: NONCE }),
    ],
  });
  const ledger = ledgerId(genesis);
  const seen = await runKilledPair(folder, genesis, ASKS);

  const storages = {
    home: await lmdbStorage({ path: join(folder, "home") }),
    clinic: await lmdbStorage({ path: join(folder, "clinic") }),
  };
  const blocksOf = async (name: Name): Promise<Uint8Array[]> =>
    (await collect(storages[name].chains.read(`${ledger.toString()}/blocks`, { from: 0 }))).map(
      ({ record }) => decode<{ block: Uint8Array }>(record).block,
    );
  const history = { blocks: await blocksOf("home") };
  const copy = await blocksOf("clinic");
  expect(copy).toEqual(history.blocks.slice(0, copy.length));

  const facts = new Map<Name, readonly Fact[]>();
  for (const name of NAMES) {
    facts.set(name, await factsOf({ keys: keys[name], storage: storages[name] }, ledger, history));
  }
  const problems = new Set<string>();
  const judged = await judgeAnswers({
    ...{ ledger, publicly: publicFacts(history) },
    models: new Map(NAMES.map((name) => [name, modelOf(facts.get(name)!)])),
    plan: { isCosigned: false, maxAge: Infinity },
    wire: { ...seen, heard: new Map(NAMES.map((name) => [name, [0]])) },
    custodians: new Map(
      NAMES.map((name) => {
        const answers = seen.answers.get(name)!.map((got) => placed(seen, got));
        return [name, { keys: keys[name], answers }];
      }),
    ),
    problem: (what) => void problems.add(what),
  });
  for (const [name, other] of [NAMES, NAMES.toReversed()] as const) {
    const own = facts.get(name)!;
    const ids = new Set(own.map(({ id }) => id));
    for (const id of seen.done.get(name)!) {
      if (!ids.has(id)) problems.add("what was acknowledged is not on the ledger");
    }
    judgeDeliveries(own, facts.get(other)!, seen.queued.get(name)!, (what) => problems.add(what));
  }
  for (const storage of Object.values(storages)) await storage.close();
  await rm(folder, { recursive: true });
  expect([...problems]).toEqual([]);
  // None of it may be true of nothing.
  const filed = [...facts.values()].flat().filter(({ origin }) => origin !== undefined).length;
  expect(seen.kills).toBeGreaterThan(ASKS / 12);
  expect(judged.filter(({ entries }) => entries.length > 0).length).toBeGreaterThan(0);
  expect(filed).toBeGreaterThan(0);
  const again = judged.length - new Set(judged.map(({ asked }) => asked)).size;
  console.log(
    `${seen.kills} kills, ${judged.length} answers, ${again} of them again, ${filed} deliveries filed`,
  );
});

/** What a process said of an answer, with what was known of its ask and when it was made. */
function placed({ sent, withdrawnBefore }: Seen, got: GotAnswer): GotAnswer {
  const [{ ask, pages }] = got.bodies as [Exchange];
  const { by, sizes } = sent.find(({ body }) => pagesOf(body).join() === pages.join())!;
  return {
    ...{ ...got, from: by, by: NAMES.find((name) => name !== by)!, patient: PATIENTS[0] },
    ...{ withdrawn: withdrawnBefore.get(ask)!, sizes: [0, sizes[2]] },
  };
}

type Fields = Record<string, unknown>;
const hex = (bytes: unknown): string => Buffer.from(bytes as Uint8Array).toString("hex");
const contentOf = ({ content }: Fact): Fields => decode<Fields>(content!);

/** What is to be delivered is filed there once, with the same bytes, before it is said to be filed. */
function judgeDeliveries(
  own: readonly Fact[],
  theirs: readonly Fact[],
  acknowledged: ReadonlySet<string>,
  problem: (what: string) => void,
): void {
  const queued = new Set<string>();
  for (const fact of own.filter(({ op }) => op === "deliver")) {
    for (const id of contentOf(fact)["consents"] as Uint8Array[]) queued.add(hex(id));
  }
  for (const id of acknowledged) if (!queued.has(id)) problem("a delivery is forgotten");
  const outcomes = own
    .filter(({ op }) => op === "delivered")
    .map((fact) => ({ height: fact.height, ...contentOf(fact) }) as Fields & { height: number })
    .filter(({ status }) => status === "filed");
  for (const id of queued) {
    const there = theirs.filter(({ op, origin }) => op === "directive" && origin === id);
    if (there.length !== 1) problem("a delivered directive is not filed once");
    const [copy] = there;
    const told = outcomes.filter(({ consent }) => hex(consent) === id);
    if (told.length === 0) problem("a delivery is never filed");
    const isTrue = told.every(
      ({ entry, height }) => copy !== undefined && hex(entry) === copy.id && copy.height < height,
    );
    if (!isTrue) problem("a delivery is said to be filed before it is");
    const source = own.find((one) => one.id === id);
    if (hex(source!.content) !== hex(copy?.content ?? [])) problem("a delivery has other bytes");
  }
}
