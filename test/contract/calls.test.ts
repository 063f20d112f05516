import { describe, expect, it } from "vitest";
import { openChain } from "../../src/chain/open-chain.ts";
import { proveState } from "../../src/chain/ledger-state.ts";
import { TransactionRefused } from "../../src/chain/submission.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import type { Fields } from "../../src/codec/shape.ts";
import type { Contract } from "../../src/contract/contract.ts";
import { defineContract } from "../../src/contract/define-contract.ts";
import { callEntry, codeOf, counter, submitCalls } from "../support/contracts.ts";
import { seeded } from "../support/synthea.ts";
import { createForge, policyEntry } from "../support/forge.ts";
import { bytesFor, foundLedger, startLedger, recordEntries } from "../support/ledger.ts";

const registered = (...contracts: readonly Contract[]) => ({
  contracts: contracts.map(({ manifest: { name }, rule }) => ({ name, rule, from: 0 })),
});
const start = (...contracts: readonly Contract[]) =>
  startLedger({ policy: registered(...contracts), contracts });
type Started = Awaited<ReturnType<typeof start>>;

const refusal = async (submitted: Promise<void>): Promise<unknown> => {
  const error: unknown = await submitted.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error !== undefined && !(error instanceof TransactionRefused)) throw error;
  return error?.refused;
};

/** What the state holds under a key, through the nodes that the store has. */
async function valueOf({ chain }: Started, key: string): Promise<unknown> {
  await chain.state.load([key]);
  const value = chain.state.get(key);
  return value === undefined ? undefined : decode(value);
}

describe("a call of a contract", () => {
  it("changes the state, in the order of the block, and is refused with its whole transaction", async () => {
    const ledger = await start(counter);
    await submitCalls(ledger, [callEntry(counter, "add", { amount: 5 })]);
    const together = [callEntry(counter, "add", { amount: 7 }), ...recordEntries(1)];
    await submitCalls(ledger, [...together, callEntry(counter, "add", { amount: 600 })]);
    expect(await valueOf(ledger, "c/counter/key/total")).toBe(612);
    // The second call alone is one too many, and the first goes with it.
    const both = [1, 388].map((amount) => callEntry(counter, "add", { amount }));
    expect(await refusal(submitCalls(ledger, both))).toEqual({
      ...{ reason: "contract-refused", entry: 1, code: "too-much" },
    });
    expect(await valueOf(ledger, "c/counter/key/total")).toBe(612);
    // Of two in one block, the second sees what the first left.
    const outcomes = await Promise.all(
      [388, 388].map((amount) =>
        refusal(submitCalls(ledger, [callEntry(counter, "add", { amount })])),
      ),
    );
    expect(outcomes).toEqual([
      undefined,
      { reason: "contract-refused", entry: 0, code: "too-much" },
    ]);
    expect(await valueOf(ledger, "c/counter/key/total")).toBe(1000);
  });

  it("spends a tag once, in one block or in several, and after the ledger was opened again", async () => {
    const ledger = await start(counter);
    const once = (tag: Uint8Array) => submitCalls(ledger, [callEntry(counter, "once", { tag })]);
    const [tag, other] = [bytesFor("tag"), bytesFor("other")];
    const spent = { reason: "contract-refused", entry: 0, code: "already-spent" };
    const outcomes = await Promise.all([tag, tag, other].map((one) => refusal(once(one))));
    expect(outcomes).toEqual([undefined, spent, undefined]);
    expect(await refusal(once(tag))).toEqual(spent);
    await ledger.sequencer.close();
    const { genesis, storage } = ledger;
    const again = await openChain({ storage, genesis, contracts: [counter], rebuild: true });
    expect(again.state.root).toEqual(ledger.chain.state.root);
  });

  it("finds what it reads, however deep one key leads to the next, though none was loaded", async () => {
    const chained = defineContract({
      name: "chained",
      code: codeOf("chained"),
      actions: {
        link: {
          roles: ["member"],
          schema: { at: { type: "uint" }, to: { type: "uint" } },
          reduce: ({ at, to }, context) => context.set(`${at}`, to),
        },
        follow: {
          roles: ["member"],
          schema: { at: { type: "uint" } },
          reduce({ at }, context) {
            let [here, steps] = [at, 0];
            for (;;) {
              let next: unknown;
              try {
                next = context.get(`${here}`);
              } catch {
                // A key that was not loaded must not read as absent, even where the code catches it.
              }
              if (typeof next !== "number") break;
              here = next;
              steps++;
            }
            context.set("end", [here, steps]);
          },
        },
      },
    });
    const ledger = await start(chained);
    for (let i = 0; i < 40; i++) {
      await submitCalls(ledger, [callEntry(chained, "link", { at: i * 7, to: (i + 1) * 7 })]);
    }
    await ledger.sequencer.close();
    await ledger.chain.close();
    // A process that has read nothing yet, and goes on from the state in the store.
    const { storage, genesis, signers, clock } = ledger;
    const fresh = await startLedger({
      ...{ storage, clock, policy: registered(chained), contracts: [chained], trustStore: true },
    });
    await submitCalls({ ...fresh, signers }, [callEntry(chained, "follow", { at: 0 })]);
    expect(await valueOf(fresh, "c/chained/key/end")).toEqual([280, 40]);
    const { root } = fresh.chain.state;
    const replayed = await openChain({ storage, genesis, contracts: [chained], rebuild: true });
    expect(replayed.state.root).toEqual(root);
    const { value } = await proveState(root, "c/chained/key/end", replayed.derived.stateNodes);
    expect(value).toEqual(encode([280, 40]));
  });

  it("must be of a contract and a version that are in force", async () => {
    const second = defineContract({
      ...{ name: "counter", code: codeOf("second") },
      actions: {
        add: {
          ...{ roles: ["member"], schema: { amount: { type: "uint" } } },
          reduce: ({ amount }, context) =>
            context.set("total", (context.get("total") as number) + 2 * amount),
        },
      },
    });
    const { genesis, signers } = await foundLedger(
      { a: ["custodian", "sequencer"], b: ["custodian"] },
      registered(counter),
    );
    const [a, b] = [signers["a"]!, signers["b"]!];
    const forge = await createForge(genesis, a, [], [counter, second]);
    const call = async (contract: Contract, fields = {}) =>
      forge.tx(a, [callEntry(contract, "add", { amount: 10 }, fields)]);
    const judged = async (contract: Contract, fields = {}) => {
      const { ok, ...fault } = await forge.judgeTx(await call(contract, fields));
      return ok ? "stands" : fault;
    };
    const at = { height: 0, transaction: 0, entry: 0 };
    expect(await judged(second)).toEqual({ ...at, reason: "contract-changed" });
    expect(await judged(counter, { contract: "other" })).toEqual({
      ...{ ...at, reason: "unknown-contract" },
    });
    await forge.add(await call(counter));
    const versions = (from: number) => ({
      contracts: [...registered(counter).contracts, { name: "counter", rule: second.rule, from }],
    });
    const change = async (from: number) =>
      forge.tx(a, [await policyEntry(forge.ledger, versions(from), [a, b])]);
    // The change is block 1: a version from then on could not be installed before.
    const early = await forge.judgeTx(await change(1));
    expect(early).toMatchObject({ ok: false, reason: "contract-retroactive", height: 1 });
    await forge.add(await change(3));
    await forge.add(await call(counter));
    expect(forge.tip.size).toBe(3);
    expect(await judged(counter)).toEqual({ ...at, height: 3, reason: "contract-changed" });
    await forge.add(await call(second));
    await forge.state.load(["c/counter/key/total"]);
    // 10 and 10 by the first, twice 10 by the second, which reads what the first wrote.
    expect(forge.state.get("c/counter/key/total")).toEqual(encode(40));
    // All of it by a node that has both versions, from genesis on.
    expect(await forge.judge()).toMatchObject({ ok: true, size: 4 });
  });

  it("is of no contract where the policy lists it under another's name, whose values it would change", async () => {
    const contracts = [{ name: "other", rule: counter.rule, from: 0 }];
    const ledger = await startLedger({ policy: { contracts }, contracts: [counter] });
    for (const contract of ["other", "counter"]) {
      const entry = callEntry(counter, "add", { amount: 5 }, { contract });
      expect(await refusal(submitCalls(ledger, [entry]))).toEqual({
        ...{ reason: "unknown-contract", entry: 0 },
      });
    }
  });

  it("stops a node that lacks the code before the block, and says which", async () => {
    const ledger = await start(counter);
    await submitCalls(ledger, recordEntries(1));
    await submitCalls(ledger, [callEntry(counter, "add", { amount: 5 })]);
    await ledger.sequencer.close();
    const { storage, genesis } = ledger;
    const without = openChain({ storage, genesis, rebuild: true });
    await expect(without).rejects.toMatchObject({ code: "ERR_CONTRACT_UNAVAILABLE" });
    await expect(without).rejects.toThrow(counter.rule.toString());
    const withCode = await openChain({ storage, genesis, contracts: [counter], rebuild: true });
    expect(withCode.size).toBe(2);
  });

  it("finds altered code at the next header", async () => {
    const { genesis, signers } = await foundLedger(
      { a: ["custodian", "sequencer"], b: ["custodian"] },
      registered(counter),
    );
    const a = signers["a"]!;
    const honest = await createForge(genesis, a, [], [counter]);
    const altered = { ...counter, run: (_: string, __: unknown, c: never) => double(c) };
    const double = (context: Parameters<Contract["run"]>[2]) => context.set("total", 10);
    const other = await createForge(genesis, a, [], [altered]);
    const tx = await honest.tx(a, [callEntry(counter, "add", { amount: 5 })]);
    await honest.add(tx);
    await other.push(honest.blocks[0]!);
    const next = await honest.block([]);
    const { ok: _, ...fault } = await other.judge(next);
    expect(fault).toEqual({ reason: "wrong-state", height: 1 });
    expect((await honest.judge(next)).ok).toBe(true);
  });

  const schema = {
    count: { type: "uint", max: 9 },
    id: { type: "bytes", length: 4 },
    doc: { type: "cid" },
    who: { type: "actor" },
    word: { type: "word", of: ["up", "down"] },
    ids: { type: "list", of: { type: "bytes", length: 2 }, most: 2 },
  } as const;
  const formed = defineContract({
    ...{ name: "formed", code: codeOf("formed") },
    actions: { take: { roles: ["member"], schema, reduce: () => undefined } },
  });
  const right = (actor: string): Fields => ({
    ...{ count: 9, id: new Uint8Array(4), doc: codeOf("doc"), who: actor, word: "up" },
    ids: [new Uint8Array(2), new Uint8Array(2)],
  });
  it("is refused unless it has exactly the form that its action says", async () => {
    const ledger = await start(formed);
    const good = right(ledger.signers["a"]!.actor);
    const take = (call: Fields, action = "take") =>
      refusal(submitCalls(ledger, [callEntry(formed, action, call)]));
    expect(await take(good)).toBeUndefined();
    const { word: _, ...short } = good;
    const bad: readonly Fields[] = [
      ...[short, { ...good, more: 1 }, { ...good, count: 10 }, { ...good, count: -1 }],
      ...[
        { ...good, count: "1" },
        { ...good, count: 2n ** 60n },
        { ...good, id: new Uint8Array(5) },
      ],
      ...[
        { ...good, doc: "doc" },
        { ...good, who: "did:key:z6Mk" },
        { ...good, word: "left" },
      ],
      ...[
        { ...good, word: null },
        { ...good, ids: new Uint8Array(2) },
        { ...good, ids: [[]] },
      ],
      ...[
        { ...good, ids: [1, 2, 3].map(() => new Uint8Array(2)) },
        { ...good, ids: ["ab"] },
      ],
    ];
    const refused = { reason: "contract-refused", entry: 0 };
    for (const call of bad)
      expect(await take(call)).toEqual({ ...refused, code: "malformed-call" });
    for (const action of ["give", "constructor", "to-string"]) {
      expect(await take(good, action)).toEqual({ ...refused, code: "unknown-action" });
    }
  });

  type Run = (context: Parameters<Contract["run"]>[2]) => unknown;
  const misbehaving: readonly (readonly [what: string, run: Run, code: string])[] = [
    ["throws", () => [].at(0)!["x"], "threw"],
    ["throws null", () => throwing(null), "threw"],
    ["fails with no code", (c) => c.fail("No code"), "bad-code"],
    ["fails and catches it", (c) => caught(() => c.fail("mine")), "mine"],
    ["fails twice", (c) => caught(() => c.fail("mine")) ?? c.fail("other"), "mine"],
    ["goes on after it failed", (c) => caught(() => c.fail("mine")) ?? c.set("k", 1), "mine"],
    ["is asynchronous", async () => undefined, "not-synchronous"],
    ["writes a float", (c) => c.set("k", 0.5), "bad-value"],
    ["writes NaN, and catches it", (c) => caught(() => c.set("k", NaN)), "bad-value"],
    ["writes undefined", (c) => c.set("k", undefined), "bad-value"],
    ["writes a function", (c) => c.set("k", () => 1), "bad-value"],
    ["writes 8,193 bytes", (c) => c.set("k", new Uint8Array(8190)), "over-limit"],
    ["takes 65 steps", (c) => times(65, (i) => c.set(`k${i}`, i)), "over-limit"],
    ["reads 65 times", (c) => times(65, () => c.get("k")), "over-limit"],
    ["uses a key with a blank", (c) => c.get("a b"), "bad-key"],
    ["uses an empty key", (c) => c.set("", 1), "bad-key"],
    ["uses a key of 129", (c) => c.delete("k".repeat(129)), "bad-key"],
    ["uses no key", (c) => c.get(undefined as never), "bad-key"],
    ["spends a short tag", (c) => c.spend(new Uint8Array(31)), "bad-tag"],
    ["spends text", (c) => c.spend("x".repeat(32) as never), "bad-tag"],
    ["spends a tag twice", (c) => times(2, () => c.spend(bytesFor("t"))), "already-spent"],
  ];
  const throwing = (thrown: unknown): never => {
    throw thrown;
  };
  const caught = (work: () => void): undefined => {
    try {
      work();
    } catch {
      return undefined;
    }
  };
  const times = (count: number, work: (i: number) => void) => {
    for (let i = 0; i < count; i++) work(i);
  };
  it.each(misbehaving)(
    "is refused, and changes nothing, where its code %s",
    async (_, run, code) => {
      const one = defineContract({
        ...{ name: "one", code: codeOf("one") },
        actions: {
          go: {
            ...{ roles: ["member"], schema: {} },
            reduce(_call, context) {
              context.set("before", 1);
              return run(context) as undefined;
            },
          },
        },
      });
      const ledger = await start(one);
      const outcome = await refusal(submitCalls(ledger, [callEntry(one, "go", {})]));
      expect(outcome).toEqual({ reason: "contract-refused", entry: 0, code });
      expect(await valueOf(ledger, "c/one/key/before")).toBeUndefined();
      // The ledger goes on.
      await submitCalls(ledger, recordEntries(1));
    },
  );

  it("may take 64 steps, and write 8,192 bytes", async () => {
    const most = defineContract({
      ...{ name: "most", code: codeOf("most") },
      actions: {
        go: {
          ...{ roles: ["member"], schema: {} },
          reduce: (_, context) => times(64, (i) => context.set(`k${i}`, new Uint8Array(8189))),
        },
      },
    });
    const ledger = await start(most);
    await submitCalls(ledger, [callEntry(most, "go", {})]);
    expect(encode(new Uint8Array(8189)).length).toBe(8192);
    expect(await valueOf(ledger, "c/most/key/k63")).toHaveLength(8189);
  });

  it("sees nothing that it could change beside its own keys", async () => {
    let kept: Parameters<Contract["run"]>[2] | undefined;
    const prying = defineContract({
      ...{ name: "prying", code: codeOf("prying"), config: { rate: [1, 2] } },
      actions: {
        go: {
          ...{ roles: ["member"], schema: { id: { type: "bytes", length: 4 } } },
          reduce(call, context) {
            kept = context;
            call.id.fill(9);
            const config = context.config as { rate: number[] };
            context.set("rate", config.rate);
            config.rate.push(3);
            const read = context.get("list") as number[] | undefined;
            read?.push(4);
            context.set("list", context.get("list") ?? [1]);
            context.set(
              "context",
              caught(() => throwing(Object.assign(context, { time: 1 }))) === undefined,
            );
            context.set("id", call.id);
          },
        },
      },
    });
    const ledger = await start(prying);
    const entry = callEntry(prying, "go", { id: new Uint8Array(4) });
    await submitCalls(ledger, [entry]);
    await submitCalls(ledger, [callEntry(prying, "go", { id: new Uint8Array(4) })]);
    expect(await valueOf(ledger, "c/prying/key/list")).toEqual([1]);
    expect(await valueOf(ledger, "c/prying/key/rate")).toEqual([1, 2]);
    expect(() => kept!.set("late", 1)).toThrow();
    const { storage, genesis } = ledger;
    await ledger.sequencer.close();
    const again = await openChain({ storage, genesis, contracts: [prying], rebuild: true });
    expect(again.state.root).toEqual(ledger.chain.state.root);
  });

  it("agrees with a plain map on random calls, whatever was loaded before", async () => {
    const store = defineContract({
      ...{ name: "store", code: codeOf("store") },
      actions: {
        go: {
          roles: ["member"],
          schema: { steps: { type: "list", of: { type: "uint" }, most: 30 } },
          reduce({ steps }, context) {
            for (const step of steps) {
              const [what, key, value] = [step % 4, `k${(step >> 2) % 40}`, step >> 8];
              const now = context.get(key) as number | undefined;
              if (what === 0) context.delete(key);
              else if (what === 1) context.set(key, value);
              else if (what === 2) context.set(key, (now ?? 0) + 1);
              else if (now === 7) context.fail("seven");
            }
          },
        },
      },
    });
    const random = seeded(7);
    const policy = registered(store);
    const storage = (await startLedger({ policy })).storage;
    let ledger = await startLedger({ storage, policy, contracts: [store] });
    let plain = new Map<string, number>();
    const codes = new Set<unknown>();
    for (let round = 0; round < 40; round++) {
      if (round % 8 === 7) {
        await ledger.sequencer.close();
        await ledger.chain.close();
        ledger = await startLedger({
          ...{ storage, policy, contracts: [store], clock: ledger.clock, trustStore: true },
        });
      }
      const steps = Array.from({ length: random(9) }, () => random(4096));
      const after = new Map(plain);
      let stands = true;
      for (const step of steps) {
        const [what, key, value] = [step % 4, `k${(step >> 2) % 40}`, step >> 8];
        if (what === 0) after.delete(key);
        else if (what === 1) after.set(key, value);
        else if (what === 2) after.set(key, (after.get(key) ?? 0) + 1);
        else if (after.get(key) === 7) stands = false;
      }
      const refused = await refusal(submitCalls(ledger, [callEntry(store, "go", { steps })]));
      codes.add(refused === undefined ? undefined : (refused as { code: string }).code);
      expect(refused === undefined).toBe(stands);
      if (stands) plain = after;
    }
    expect(codes).toEqual(new Set([undefined, "seven"]));
    for (let i = 0; i < 40; i++) {
      expect(await valueOf(ledger, `c/store/key/k${i}`)).toBe(plain.get(`k${i}`));
    }
  });
});
