import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { encodeBlock, decodeBlock } from "../../src/block/block.ts";
import {
  approvalInput,
  decodeEntry,
  encodeEntry,
  type ApprovedChanges,
} from "../../src/block/entry.ts";
import { ledgerId } from "../../src/block/genesis.ts";
import { decodeHeader, encodeHeader } from "../../src/block/header.ts";
import type { Role } from "../../src/block/member.ts";
import { encodeSubjectEntry } from "../../src/block/subject-entry.ts";
import type { KindRule } from "../../src/chain/kind-rule.ts";
import { POLICY_KEY } from "../../src/chain/state.ts";
import { verifyBlocks, type VerifyLedgerResult } from "../../src/chain/verify-ledger.ts";
import { cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { describeMember } from "../../src/chain/founding.ts";
import { signWith } from "../../src/identity/signer.ts";
import { callEntry, counter } from "../support/contracts.ts";
import {
  approve,
  createForge,
  keyEntry,
  memberEntry,
  policyEntry,
  salt,
} from "../support/forge.ts";
import { bytesFor, foundLedger, recordEntries, signerFor, START } from "../support/ledger.ts";

const RULE_OF_ANOTHER = cidOf(bytesFor("another manifest"), DAG_CBOR);
const RULE = cidOf(bytesFor("rule of lab-order"), RAW);
const rule: KindRule = {
  name: "lab-order",
  rule: RULE,
  reads: () => ["sys/policy"],
  check: ({ fields }, { roles }) => fields["priority"] === 1 && roles.includes("custodian"),
};
const MEMBERS: Record<string, readonly Role[]> = {
  a: ["custodian", "sequencer"],
  b: ["custodian", "sequencer"],
  c: ["auditor"],
};

async function start(kinds: readonly KindRule[] = [rule]) {
  const kindsOfPolicy = [
    { name: "lab-order", rule: RULE },
    { name: "other", rule: RULE },
  ];
  const { genesis, signers } = await foundLedger(MEMBERS, { kinds: kindsOfPolicy });
  const { a, b, c } = signers as Record<"a" | "b" | "c", ReturnType<typeof signerFor>>;
  const forge = await createForge(genesis, a, kinds);
  await forge.add(await forge.tx(a, recordEntries(2)));
  return { genesis, forge, ledger: forge.ledger, a, b, c };
}

const seen = new Set<string>();

/** The fault of a refused ledger. */
function fault(result: VerifyLedgerResult) {
  if (result.ok) return result;
  seen.add(result.reason);
  const { ok: _ok, ...rest } = result;
  return rest;
}

const custom = (kind: string, fields: Record<string, unknown> = {}) =>
  encodeEntry({ kind, v: 1, salt: salt(), fields });

describe("form", () => {
  it("stands when nothing is wrong", async () => {
    const { forge, a, b, c, ledger } = await start();
    await forge.add(
      await forge.tx(a, [custom("lab-order", { priority: 1 })]),
      await forge.tx(b, recordEntries(1)),
      await forge.tx(c, [await keyEntry(ledger, c.actor, "add", "sign", signerFor("c2"))]),
    );
    await forge.add();
    expect(await forge.judge()).toMatchObject({ ok: true, size: 3, transactions: 4, entries: 5 });
  });

  it("malformed: block, header, transaction, entry", async () => {
    const { forge, a } = await start();
    const bad = { height: 1, reason: "malformed" };
    expect(fault(await forge.judge(encode({ header: 1 })))).toEqual(bad);
    const good = decodeBlock(await forge.block([]));
    const header = encode({ ...decodeHeader(good.header), more: 1 });
    expect(fault(await forge.judge(encodeBlock({ ...good, header })))).toEqual(bad);
    const tx = await forge.tx(a, recordEntries(1));
    const brokenTx = { ...tx, tx: tx.tx.slice(1) };
    expect(fault(await forge.judgeTx(brokenTx))).toEqual({ ...bad, transaction: 0 });
    const entry = encodeEntry({ kind: "record", v: 1, salt: salt(), fields: { free: "text" } });
    const withEntry = await forge.tx(a, [...recordEntries(1), entry]);
    expect(fault(await forge.judgeTx(withEntry))).toEqual({ ...bad, transaction: 0, entry: 1 });
  });

  it("over-limit: an entry, or all entries of a transaction, too long", async () => {
    const { forge, a } = await start();
    const long = custom("lab-order", { text: "x".repeat(64 * 1024) });
    expect(fault(await forge.judgeTx(await forge.tx(a, [long])))).toEqual({
      height: 1,
      transaction: 0,
      entry: 0,
      reason: "over-limit",
    });
    const many = Array.from({ length: 140 }, () =>
      custom("lab-order", { text: "x".repeat(60_000) }),
    );
    expect(fault(await forge.judgeTx(await forge.tx(a, many)))).toEqual({
      height: 1,
      transaction: 0,
      reason: "over-limit",
    });
  });

  it("wrong-ledger: blocks and transactions of the same founders under another nonce", async () => {
    const { forge, a } = await start();
    const other = await foundLedger(MEMBERS, { nonce: bytesFor("staging") });
    const twin = await createForge(other.genesis, a);
    await twin.add(await twin.tx(a, recordEntries(1)));
    const foreign = await twin.tx(a, recordEntries(1));
    expect(fault(await forge.judge(await twin.block([])))).toEqual({
      height: 1,
      reason: "wrong-ledger",
    });
    expect(fault(await forge.judgeTx(await forge.tx(a, recordEntries(1)), foreign))).toEqual({
      height: 1,
      transaction: 1,
      reason: "wrong-ledger",
    });
    expect(ledgerId(other.genesis)).not.toEqual(forge.ledger);
  });

  it("entries-root-mismatch and entry-count-mismatch: entries added, dropped, swapped, replaced", async () => {
    const { forge, a } = await start();
    const [one, two, three] = recordEntries(3) as [Uint8Array, Uint8Array, Uint8Array];
    const tx = await forge.tx(a, [one, two]);
    const judge = async (entries: Uint8Array[]) => {
      const refused = fault(await forge.judgeTx({ ...tx, entries }));
      return "reason" in refused ? refused.reason : "none";
    };
    expect(await judge([two, one])).toBe("entries-root-mismatch");
    expect(await judge([one, three])).toBe("entries-root-mismatch");
    expect(await judge([one, one])).toBe("entries-root-mismatch");
    expect(await judge([one])).toBe("entry-count-mismatch");
    expect(await judge([one, two, two])).toBe("entry-count-mismatch");
    expect(await judge([])).toBe("entry-count-mismatch");
    const none = await forge.tx(a, []);
    expect(fault(await forge.judgeTx(none))).toMatchObject({ reason: "entry-count-mismatch" });
  });

  it("transactions-root-mismatch and transaction-count-mismatch", async () => {
    const { forge, a, b } = await start();
    const one = await forge.tx(a, recordEntries(1));
    const two = await forge.tx(b, recordEntries(1));
    const block = decodeBlock(await forge.block([one, two]));
    const judge = async (transactions: typeof block.transactions) => {
      const refused = fault(await forge.judge(encodeBlock({ ...block, transactions })));
      return "reason" in refused ? refused.reason : "none";
    };
    expect(await judge([two, one])).toBe("transactions-root-mismatch");
    expect(await judge([one, one])).toBe("transactions-root-mismatch");
    expect(await judge([one])).toBe("transaction-count-mismatch");
    expect(await judge([one, two, two])).toBe("transaction-count-mismatch");
    const resigned = { ...one, sig: two.sig };
    expect(await judge([resigned, two])).toBe("transactions-root-mismatch");
  });
});

describe("signatures and keys", () => {
  it("unknown-key: of the author, of the proposer, added in the same block", async () => {
    const { forge, a, ledger } = await start();
    const stranger = signerFor("stranger");
    const refused = { height: 1, transaction: 0, reason: "unknown-key" };
    expect(fault(await forge.judgeTx(await forge.tx(stranger, recordEntries(1))))).toEqual(refused);
    expect(fault(await forge.judge(await forge.block([], { signer: stranger })))).toEqual({
      height: 1,
      reason: "unknown-key",
    });
    const fresh = signerFor("a2", a.actor);
    const add = await forge.tx(a, [await keyEntry(ledger, a.actor, "add", "sign", fresh)]);
    const use = await forge.tx(fresh, recordEntries(1));
    expect(fault(await forge.judgeTx(add, use))).toEqual({ ...refused, transaction: 1 });
    await forge.add(add);
    expect(await forge.judgeTx(await forge.tx(fresh, recordEntries(1)))).toMatchObject({
      ok: true,
    });
  });

  it("key-of-another-actor: a transaction or header under another's name", async () => {
    const { forge, a, b } = await start();
    const stolenName = await forge.tx(b, recordEntries(1), { author: a.actor });
    expect(fault(await forge.judgeTx(stolenName))).toEqual({
      height: 1,
      transaction: 0,
      reason: "key-of-another-actor",
    });
    expect(
      fault(await forge.judge(await forge.block([], { signer: b, proposer: a.actor }))),
    ).toEqual({ height: 1, reason: "key-of-another-actor" });
  });

  it("bad-signature: another's key id, another domain, the proposer's", async () => {
    const { forge, a, b } = await start();
    const refused = { height: 1, transaction: 0, reason: "bad-signature" };
    // b says that it is a's key that signed.
    const forged = await forge.tx(b, recordEntries(1), { author: a.actor, key: a.key });
    expect(fault(await forge.judgeTx(forged))).toEqual(refused);
    const tx = await forge.tx(a, recordEntries(1));
    const otherDomain = { ...tx, sig: await signWith(a, "header", tx.tx) };
    expect(fault(await forge.judgeTx(otherDomain))).toEqual(refused);
    const otherAlg = { ...tx, alg: "ES256" as const };
    expect(fault(await forge.judgeTx(otherAlg))).toEqual(refused);
    const block = decodeBlock(await forge.block([]));
    const sig = await signWith(b, "header", block.header);
    expect(fault(await forge.judge(encodeBlock({ ...block, sig })))).toEqual({
      height: 1,
      reason: "bad-signature",
    });
    expect(fault(await forge.judge(encodeBlock({ ...block, alg: "ES256" })))).toEqual({
      height: 1,
      reason: "bad-signature",
    });
  });

  it("key-use: recovery and checkpoint keys sign neither records nor headers", async () => {
    const { forge, a, ledger } = await start();
    const recovery = signerFor("a recovery", a.actor);
    const checkpoint = signerFor("a checkpoint", a.actor);
    const add = await keyEntry(ledger, a.actor, "add", "checkpoint", checkpoint);
    await forge.add(await forge.tx(a, [add]));
    const refused = { height: 2, transaction: 0, reason: "key-use" };
    for (const signer of [recovery, checkpoint]) {
      expect(fault(await forge.judgeTx(await forge.tx(signer, recordEntries(1))))).toEqual(refused);
      expect(fault(await forge.judge(await forge.block([], { signer })))).toEqual({
        height: 2,
        reason: "key-use",
      });
    }
    // Not even beside a recovery, nor another's recovery, nor anything but recoveries.
    const fresh = signerFor("fresh", a.actor);
    const recover = await keyEntry(ledger, a.actor, "recover", "sign", fresh);
    const mixed = await forge.tx(recovery, [recover, ...recordEntries(1)]);
    expect(fault(await forge.judgeTx(mixed))).toEqual(refused);
    const bOfOther = await keyEntry(ledger, signerFor("b").actor, "recover", "sign", fresh);
    expect(fault(await forge.judgeTx(await forge.tx(recovery, [bOfOther])))).toEqual(refused);
    const added = await keyEntry(ledger, a.actor, "add", "sign", fresh);
    expect(fault(await forge.judgeTx(await forge.tx(recovery, [added])))).toEqual(refused);
  });
});

describe("members and authority", () => {
  it("not-a-member: of a removed one, from the next block on", async () => {
    const { forge, a, b, c, ledger } = await start();
    const remove = await memberEntry(ledger, [{ op: "remove", actor: c.actor }], [a, b]);
    const last = await forge.tx(c, [
      await keyEntry(ledger, c.actor, "add", "sign", signerFor("c2", c.actor)),
    ]);
    await forge.add(last, await forge.tx(a, [remove]));
    expect(fault(await forge.judgeTx(await forge.tx(c, recordEntries(1))))).toMatchObject({
      reason: "key-not-in-force",
    });
    // In the block of its removal it may still write, but add no key that would outlive it.
    const again = await start();
    const back = await keyEntry(ledger, c.actor, "add", "sign", signerFor("c3", c.actor));
    expect(
      fault(
        await again.forge.judgeTx(
          await again.forge.tx(a, [remove]),
          await again.forge.tx(c, [back]),
        ),
      ),
    ).toEqual({ height: 1, transaction: 1, entry: 0, reason: "not-a-member" });
  });

  it("not-entitled: an auditor's record, a header by one who may not order, a key for another", async () => {
    const { forge, a, b, c, ledger } = await start();
    for (const kind of ["record", "consent", "access"] as const) {
      const entry = encodeSubjectEntry(kind, salt(), bytesFor("tag"), cidOf(salt(), DAG_CBOR));
      expect(fault(await forge.judgeTx(await forge.tx(c, [entry])))).toEqual({
        height: 1,
        transaction: 0,
        entry: 0,
        reason: "not-entitled",
      });
    }
    const body = cidOf(salt(), DAG_CBOR);
    for (const entry of [
      encodeEntry({ v: 1, kind: "erase", salt: salt(), class: "clinical", body }),
      encodeEntry({ v: 1, kind: "link", salt: salt(), body }),
      await keyEntry(ledger, b.actor, "add", "sign", signerFor("for b", b.actor)),
      await keyEntry(ledger, b.actor, "retire", "sign", b),
      await keyEntry(ledger, c.actor, "add", "checkpoint", signerFor("c checkpoint")),
    ]) {
      expect(fault(await forge.judgeTx(await forge.tx(c, [entry])))).toEqual({
        height: 1,
        transaction: 0,
        entry: 0,
        reason: "not-entitled",
      });
    }
    expect(fault(await forge.judge(await forge.block([], { signer: c })))).toEqual({
      height: 1,
      reason: "not-entitled",
    });
    // A role taken away is gone from the next block on.
    const demote = await memberEntry(
      ledger,
      [{ op: "roles", actor: b.actor, roles: ["custodian"] }],
      [a, b],
    );
    await forge.push(await forge.block([await forge.tx(a, [demote])], { signer: b }));
    expect(fault(await forge.judge(await forge.block([], { signer: b })))).toEqual({
      height: 2,
      reason: "not-entitled",
    });
  });

  it("unknown-kind, rule-unavailable, rule-refused", async () => {
    const { forge, genesis, a, c } = await start();
    const judge = async (entry: Uint8Array, by = a) =>
      fault(await forge.judgeTx(await forge.tx(by, [entry])));
    const at = { height: 1, transaction: 0, entry: 0 };
    expect(await judge(custom("unheard-of"))).toEqual({ ...at, reason: "unknown-kind" });
    expect(await judge(custom("contract"))).toEqual({ ...at, reason: "malformed" });
    expect(await judge(custom("constructor"))).toEqual({ ...at, reason: "unknown-kind" });
    expect(await judge(custom("other"))).toEqual({ ...at, reason: "rule-unavailable" });
    expect(await judge(custom("lab-order", { priority: 2 }))).toEqual({
      ...at,
      reason: "rule-refused",
    });
    expect(await judge(custom("lab-order", { priority: 1 }), c)).toEqual({
      ...at,
      reason: "rule-refused",
    });
    expect(await judge(custom("lab-order", { priority: 1 }))).toMatchObject({ ok: true });
    for (const broken of [
      { ...rule, rule: cidOf(bytesFor("another text"), RAW) },
      { ...rule, name: "misnamed" },
    ]) {
      const other = await createForge(genesis, a, [broken]);
      const result = await other.judgeTx(await other.tx(a, [custom("lab-order", { priority: 1 })]));
      expect(fault(result)).toEqual({ ...at, height: 0, reason: "rule-unavailable" });
    }
    const thrower = (): never => {
      throw new TypeError("a bug");
    };
    for (const broken of [
      { ...rule, check: thrower },
      { ...rule, reads: thrower, check: thrower },
    ]) {
      const other = await createForge(genesis, a, [broken]);
      const result = await other.judgeTx(await other.tx(a, [custom("lab-order", { priority: 1 })]));
      expect(fault(result)).toEqual({ ...at, height: 0, reason: "rule-refused" });
    }
  });

  it("unknown-contract, contract-changed, contract-refused, contract-retroactive", async () => {
    const contracts = [{ name: "counter", rule: counter.rule, from: 1 }];
    const { genesis, signers } = await foundLedger(MEMBERS, { contracts });
    const [a, b] = [signers["a"]!, signers["b"]!];
    const forge = await createForge(genesis, a, [], [counter]);
    const judge = async (entry: Uint8Array) =>
      fault(await forge.judgeTx(await forge.tx(a, [entry])));
    const call = (amount: number, more = {}) => callEntry(counter, "add", { amount }, more);
    const at = { height: 0, transaction: 0, entry: 0 };
    // In force from the next block on.
    expect(await judge(call(5))).toEqual({ ...at, reason: "unknown-contract" });
    await forge.add(await forge.tx(a, recordEntries(1)));
    expect(await judge(call(5))).toMatchObject({ ok: true });
    const then = { ...at, height: 1 };
    expect(await judge(call(5, { contract: "other" }))).toEqual({
      ...{ ...then, reason: "unknown-contract" },
    });
    expect(await judge(call(5, { rule: RULE_OF_ANOTHER }))).toEqual({
      ...{ ...then, reason: "contract-changed" },
    });
    expect(await judge(call(601))).toEqual({
      ...{ ...then, reason: "contract-refused", code: "malformed-call" },
    });
    const versions = { contracts: [...contracts, { ...contracts[0]!, from: 2 }] };
    const early = (from: number) => ({
      contracts: [...contracts, { ...contracts[0]!, from }],
    });
    expect(await judge(await policyEntry(forge.ledger, versions, [a, b]))).toMatchObject({
      ok: true,
    });
    await forge.add(await forge.tx(a, recordEntries(1)));
    expect(await judge(await policyEntry(forge.ledger, early(2), [a, b]))).toEqual({
      ...{ ...at, height: 2, reason: "contract-retroactive" },
    });
  });

  it("shows a rule only the state that it asked for", async () => {
    const { genesis, a } = await start();
    const shown: (Uint8Array | undefined)[] = [];
    const forge = await createForge(genesis, a, [
      {
        ...rule,
        reads: () => ["sys/member/x"],
        check: (_entry, { state }) => {
          shown.push(state.get("sys/policy"), state.get(`sys/member/${a.actor}`));
          return true;
        },
      },
    ]);
    await forge.add(await forge.tx(a, [custom("lab-order")]));
    expect(shown).toEqual([undefined, undefined]);
  });
});

describe("order and time", () => {
  it("replayed-sequence: replays, duplicates, and lanes out of order; gaps stand", async () => {
    const { forge, a, b } = await start();
    const first = decodeBlock(forge.blocks[0]!).transactions[0]!;
    const refused = { height: 1, transaction: 0, reason: "replayed-sequence" };
    expect(fault(await forge.judgeTx(first))).toEqual(refused);
    const tx = await forge.tx(a, recordEntries(1), { lane: 3, seq: 5 });
    expect(fault(await forge.judgeTx(tx, tx))).toEqual({ ...refused, transaction: 1 });
    const earlier = await forge.tx(a, recordEntries(1), { lane: 3, seq: 4 });
    expect(fault(await forge.judgeTx(tx, earlier))).toEqual({ ...refused, transaction: 1 });
    // Another lane, another key, and a gap are all well.
    expect(
      await forge.judgeTx(
        tx,
        await forge.tx(a, recordEntries(1), { lane: 4, seq: 0 }),
        await forge.tx(b, recordEntries(1), { lane: 3, seq: 5 }),
        await forge.tx(a, recordEntries(1), { lane: 3, seq: 1_000_000 }),
      ),
    ).toMatchObject({ ok: true });
  });

  it("too-early and too-old: just inside and just outside", async () => {
    const { forge, a } = await start();
    const judge = async (time: number) => {
      const block = await forge.block([await forge.tx(a, recordEntries(1), { time })], {
        time: START + 700_000,
      });
      return fault(await forge.judge(block));
    };
    const at = { height: 1, transaction: 0 };
    expect(await judge(START + 760_000)).toMatchObject({ ok: true });
    expect(await judge(START + 760_001)).toEqual({ ...at, reason: "too-early" });
    expect(await judge(START + 100_000)).toMatchObject({ ok: true });
    expect(await judge(START + 99_999)).toEqual({ ...at, reason: "too-old" });
  });

  it("time-backwards, wrong-height, wrong-prev, wrong-state", async () => {
    const { forge, a } = await start();
    await forge.add(await forge.tx(a, recordEntries(1)));
    const judge = async (fields: Parameters<typeof forge.block>[1]) =>
      fault(await forge.judge(await forge.block([], fields)));
    expect(await judge({ time: forge.tip.time - 1 })).toEqual({
      height: 2,
      reason: "time-backwards",
    });
    expect(await judge({ time: forge.tip.time })).toMatchObject({ ok: true });
    for (const height of [1, 3, 0]) {
      expect(await judge({ height })).toEqual({ height: 2, reason: "wrong-height" });
    }
    expect(await judge({ prev: null })).toEqual({ height: 2, reason: "wrong-prev" });
    expect(await judge({ prev: cidOf(decodeBlock(forge.blocks[0]!).header, DAG_CBOR) })).toEqual({
      height: 2,
      reason: "wrong-prev",
    });
    const before = decodeHeader(decodeBlock(forge.blocks[1]!).header).state;
    expect(await judge({ state: before })).toEqual({ height: 2, reason: "wrong-state" });
    const genesisPrev = await createForge((await start()).genesis, a);
    const linked = await genesisPrev.block([], { prev: cidOf(salt(), DAG_CBOR) });
    expect(fault(await genesisPrev.judge(linked))).toEqual({ height: 0, reason: "wrong-prev" });
  });

  it("names the block when blocks are reordered, dropped, duplicated or spliced in", async () => {
    const { forge, a, b } = await start();
    for (let i = 0; i < 3; i++) await forge.add(await forge.tx(a, recordEntries(1)));
    const [zero, one, two, three] = forge.blocks as Uint8Array[];
    const judge = async (...blocks: Uint8Array[]) => {
      const { genesis } = await start();
      return fault(await verifyBlocks(blocks, { genesis, kinds: [rule] }));
    };
    expect(await judge(zero!, two!, one!, three!)).toEqual({ height: 1, reason: "wrong-height" });
    expect(await judge(zero!, two!, three!)).toEqual({ height: 1, reason: "wrong-height" });
    expect(await judge(zero!, one!, one!)).toEqual({ height: 2, reason: "wrong-height" });
    expect(await judge(one!)).toEqual({ height: 0, reason: "wrong-height" });
    // Another block at the same height, in itself faultless: what follows no longer fits it.
    const { forge: fork } = await start();
    await fork.add(await fork.tx(b, recordEntries(1)));
    expect(await judge(fork.blocks[0]!, fork.blocks[1]!, two!)).toMatchObject({
      height: 2,
      reason: "wrong-prev",
    });
    // With a prev that fits, it is the signature that does not.
    const swapped = decodeBlock(two!);
    const header = encodeHeader({
      ...decodeHeader(swapped.header),
      prev: cidOf(decodeBlock(fork.blocks[1]!).header, DAG_CBOR),
      state: fork.state.root,
    });
    expect(
      await judge(fork.blocks[0]!, fork.blocks[1]!, encodeBlock({ ...swapped, header })),
    ).toEqual({ height: 2, reason: "bad-signature" });
  });
});

describe("key life cycle", () => {
  it("key-not-in-force: a retired key, as author and as proposer", async () => {
    const { forge, a, ledger } = await start();
    const second = signerFor("a2", a.actor);
    const add = await keyEntry(ledger, a.actor, "add", "sign", second);
    await forge.add(await forge.tx(a, [add]));
    const retire = await keyEntry(ledger, a.actor, "retire", "sign", a);
    // In the block of its retirement it may still sign.
    await forge.add(await forge.tx(second, [retire]), await forge.tx(a, recordEntries(1)));
    const byA = await forge.tx(a, recordEntries(1));
    expect(fault(await forge.judge(await forge.block([byA], { signer: second })))).toEqual({
      height: 3,
      transaction: 0,
      reason: "key-not-in-force",
    });
    expect(fault(await forge.judge(await forge.block([], { signer: a })))).toEqual({
      height: 3,
      reason: "key-not-in-force",
    });
    const judge = async (entry: Uint8Array) => {
      const tx = await forge.tx(second, [entry]);
      return fault(await forge.judge(await forge.block([tx], { signer: second })));
    };
    const at = { height: 3, transaction: 0, entry: 0 };
    // Never again.
    expect(await judge(await keyEntry(ledger, a.actor, "add", "sign", a))).toEqual({
      ...at,
      reason: "key-known",
    });
    expect(await judge(await keyEntry(ledger, a.actor, "retire", "sign", a))).toEqual({
      ...at,
      reason: "key-not-in-force",
    });
    expect(await judge(await keyEntry(ledger, a.actor, "retire", "sign", second))).toEqual({
      ...at,
      reason: "last-signing-key",
    });
  });

  it("key-known, key-unknown, no-proof-of-possession, malformed", async () => {
    const { forge, a, b, ledger } = await start();
    const judge = async (entry: Uint8Array) =>
      fault(await forge.judgeTx(await forge.tx(a, [entry])));
    const at = { height: 1, transaction: 0, entry: 0 };
    const fresh = signerFor("fresh", a.actor);
    expect(await judge(await keyEntry(ledger, a.actor, "add", "sign", b))).toEqual({
      ...at,
      reason: "key-known",
    });
    expect(await judge(await keyEntry(ledger, a.actor, "retire", "sign", fresh))).toEqual({
      ...at,
      reason: "key-unknown",
    });
    expect(await judge(await keyEntry(ledger, a.actor, "retire", "sign", b))).toEqual({
      ...at,
      reason: "key-unknown",
    });
    // A proof for another actor, another ledger, by another key, or none.
    const other = ledgerId((await foundLedger(MEMBERS, { nonce: bytesFor("other") })).genesis);
    const withoutProof = {
      v: 1 as const,
      kind: "key" as const,
      salt: salt(),
      actor: a.actor,
      op: "add" as const,
      use: "sign" as const,
      alg: fresh.alg,
      publicKey: fresh.publicKey,
    };
    const proofFrom = (entry: Uint8Array) => (decodeEntry(entry) as { proof: Uint8Array }).proof;
    for (const proof of [
      undefined,
      proofFrom(await keyEntry(ledger, b.actor, "add", "sign", fresh)),
      proofFrom(await keyEntry(other, a.actor, "add", "sign", fresh)),
      proofFrom(await keyEntry(ledger, a.actor, "add", "recovery", fresh)),
      proofFrom(await keyEntry(ledger, a.actor, "add", "sign", signerFor("x"))),
    ]) {
      const entry = encodeEntry({ ...withoutProof, ...(proof === undefined ? {} : { proof }) });
      expect(await judge(entry)).toEqual({ ...at, reason: "no-proof-of-possession" });
    }
    const since = await keyEntry(ledger, a.actor, "add", "sign", fresh, { compromisedSince: 0 });
    expect(await judge(since)).toEqual({ ...at, reason: "malformed" });
  });

  it("recovery-only: recovery keys are neither added nor retired", async () => {
    const { forge, a, ledger } = await start();
    const judge = async (entry: Uint8Array) =>
      fault(await forge.judgeTx(await forge.tx(a, [entry])));
    const at = { height: 1, transaction: 0, entry: 0, reason: "recovery-only" };
    const recovery = signerFor("a recovery", a.actor);
    expect(await judge(await keyEntry(ledger, a.actor, "retire", "recovery", recovery))).toEqual(
      at,
    );
    expect(
      await judge(await keyEntry(ledger, a.actor, "add", "recovery", signerFor("r2"))),
    ).toEqual(at);
  });

  it("replaces every signing key by recovery, and recovery by recovery", async () => {
    const { forge, a, b, ledger } = await start();
    const recovery = signerFor("a recovery", a.actor);
    const thief = signerFor("thief", a.actor);
    await forge.add(await forge.tx(a, [await keyEntry(ledger, a.actor, "add", "sign", thief)]));
    const fresh = signerFor("fresh", a.actor);
    // A signing key does not recover.
    const recover = await keyEntry(ledger, a.actor, "recover", "sign", fresh, {
      compromisedSince: 1,
    });
    expect(fault(await forge.judgeTx(await forge.tx(thief, [recover])))).toEqual({
      height: 2,
      transaction: 0,
      entry: 0,
      reason: "approvals-missing",
    });
    const late = await keyEntry(ledger, a.actor, "recover", "sign", fresh, { compromisedSince: 3 });
    expect(fault(await forge.judgeTx(await forge.tx(recovery, [late])))).toMatchObject({
      reason: "malformed",
    });
    await forge.add(await forge.tx(recovery, [recover]));
    for (const signer of [a, thief]) {
      const tx = await forge.tx(signer, recordEntries(1));
      expect(fault(await forge.judge(await forge.block([tx], { signer: b })))).toMatchObject({
        transaction: 0,
        reason: "key-not-in-force",
      });
    }
    await forge.push(
      await forge.block(
        [
          await forge.tx(fresh, recordEntries(1)),
          await forge.tx(recovery, [
            await keyEntry(ledger, a.actor, "recover", "recovery", signerFor("r2", a.actor)),
          ]),
        ],
        { signer: b },
      ),
    );
    expect(
      fault(
        await forge.judge(
          await forge.block(
            [
              await forge.tx(recovery, [
                await keyEntry(ledger, a.actor, "recover", "sign", signerFor("y", a.actor)),
              ]),
            ],
            { signer: b },
          ),
        ),
      ),
    ).toMatchObject({ reason: "key-not-in-force" });
  });

  it("too-many-keys: of a member, and to sign checkpoints", async () => {
    const { forge, a, ledger } = await start();
    const add = (use: "sign" | "checkpoint", count: number) =>
      Promise.all(
        Array.from({ length: count }, (_, i) =>
          keyEntry(ledger, a.actor, "add", use, signerFor(`${use} ${i}`, a.actor)),
        ),
      );
    // It has a signing and a recovery key.
    expect(await forge.judgeTx(await forge.tx(a, await add("sign", 62)))).toMatchObject({
      ok: true,
    });
    expect(fault(await forge.judgeTx(await forge.tx(a, await add("sign", 63))))).toEqual({
      height: 1,
      transaction: 0,
      entry: 62,
      reason: "too-many-keys",
    });
    const { b } = await start();
    const byB = await Promise.all(
      Array.from({ length: 2 }, (_, i) =>
        keyEntry(ledger, b.actor, "add", "checkpoint", signerFor(`b ${i}`, b.actor)),
      ),
    );
    const byA = await forge.tx(a, await add("checkpoint", 62));
    expect(fault(await forge.judgeTx(byA, await forge.tx(b, byB)))).toEqual({
      height: 1,
      transaction: 1,
      entry: 1,
      reason: "too-many-keys",
    });
  });

  it("lists a checkpoint key once, however it comes", async () => {
    const { forge, a, ledger } = await start();
    const listed = signerFor("checkpoint", a.actor);
    await forge.add(
      await forge.tx(a, [await keyEntry(ledger, a.actor, "add", "checkpoint", listed)]),
    );
    expect(forge.state.policy().checkpointKeys).toEqual([listed.publicKey]);
  });
});

describe("governance", () => {
  const at = { height: 1, transaction: 0, entry: 0 };

  it("approvals-missing: none, too few, or one member's twice", async () => {
    const { forge, a, b, ledger } = await start();
    const judge = async (signers: Parameters<typeof policyEntry>[2]) =>
      fault(
        await forge.judgeTx(
          await forge.tx(a, [await policyEntry(ledger, { maxDrift: 1 }, signers)]),
        ),
      );
    expect(await judge([])).toEqual({ ...at, reason: "approvals-missing" });
    expect(await judge([a])).toEqual({ ...at, reason: "approvals-missing" });
    expect(await judge([a, a])).toEqual({ ...at, reason: "approvals-missing" });
    expect(await judge([a, b])).toMatchObject({ ok: true });
    // Two keys of one member are one member.
    const second = signerFor("a2", a.actor);
    await forge.add(await forge.tx(a, [await keyEntry(ledger, a.actor, "add", "sign", second)]));
    expect(await judge([a, second])).toEqual({ ...at, height: 2, reason: "approvals-missing" });
  });

  it("approval-invalid: strangers, recovery keys, other changes, nonces, ledgers or terms", async () => {
    const { forge, a, b, ledger } = await start();
    const changes = { maxDrift: 1 };
    const judge = async (entry: Uint8Array) =>
      fault(await forge.judgeTx(await forge.tx(a, [entry])));
    const invalid = { ...at, reason: "approval-invalid" };
    const stranger = signerFor("stranger");
    expect(await judge(await policyEntry(ledger, changes, [a, b, stranger]))).toEqual(invalid);
    const recovery = signerFor("b recovery", b.actor);
    expect(await judge(await policyEntry(ledger, changes, [a, recovery]))).toEqual(invalid);
    const underOtherName = signerFor("b", a.actor);
    expect(await judge(await policyEntry(ledger, changes, [a, underOtherName]))).toEqual(invalid);
    const other = ledgerId((await foundLedger(MEMBERS, { nonce: bytesFor("other") })).genesis);
    for (const options of [
      { approved: { maxDrift: 2 } },
      { approvedNonce: salt() },
      { approvedFor: other },
    ]) {
      expect(await judge(await policyEntry(ledger, changes, [a, b], options))).toEqual(invalid);
    }
    const asMember = await memberEntry(ledger, [{ op: "remove", actor: b.actor }], [a, b]);
    const { approvals, nonce } = decodeEntry(asMember) as never as {
      approvals: [];
      nonce: Uint8Array;
    };
    const longer = { v: 1 as const, salt: salt(), approvals, nonce, notAfter: 2000 };
    expect(
      await judge(
        encodeEntry({ ...longer, kind: "member", changes: [{ op: "remove", actor: b.actor }] }),
      ),
    ).toEqual(invalid);
    expect(await judge(encodeEntry({ ...longer, kind: "policy", changes }))).toEqual(invalid);
  });

  it("approval-expired and nonce-used", async () => {
    const { forge, a, b, ledger } = await start();
    const changes = { maxDrift: 1 };
    const expired = await policyEntry(ledger, changes, [a, b], { notAfter: 0 });
    expect(fault(await forge.judgeTx(await forge.tx(a, [expired])))).toEqual({
      ...at,
      reason: "approval-expired",
    });
    const entry = await policyEntry(ledger, changes, [a, b], { notAfter: 3 });
    const twice = await forge.tx(a, [entry, entry]);
    expect(fault(await forge.judgeTx(twice))).toEqual({ ...at, entry: 1, reason: "nonce-used" });
    await forge.add(await forge.tx(a, [entry]));
    expect(fault(await forge.judgeTx(await forge.tx(b, [entry])))).toEqual({
      ...at,
      height: 2,
      reason: "nonce-used",
    });
    await forge.add();
    await forge.add();
    expect(fault(await forge.judgeTx(await forge.tx(b, [entry])))).toMatchObject({
      reason: "approval-expired",
    });
    // Once nothing could use it any more it is forgotten.
    const later = await policyEntry(ledger, { maxDrift: 2 }, [a, b]);
    await forge.add(await forge.tx(a, [later]));
    await forge.state.load(["sys/nonces"]);
    expect(forge.state.nonces()).toHaveLength(1);
  });

  it("member-known, member-unknown, key-unknown for a member without the key that names it", async () => {
    const { forge, a, b, c, ledger } = await start();
    const judge = async (...changes: Parameters<typeof memberEntry>[1]) =>
      fault(await forge.judgeTx(await forge.tx(a, [await memberEntry(ledger, changes, [a, b])])));
    const d = signerFor("d");
    const described = await describeMember({ sign: [d] }, ["auditor"], ledger);
    expect(await judge({ op: "add", ...described })).toMatchObject({ ok: true });
    const { keys, ...cAgain } = await describeMember(
      { sign: [signerFor("c2", c.actor)] },
      ["auditor"],
      ledger,
    );
    expect(await judge({ op: "add", ...cAgain, keys })).toEqual({ ...at, reason: "member-known" });
    expect(await judge({ op: "remove", actor: d.actor })).toEqual({
      ...at,
      reason: "member-unknown",
    });
    expect(await judge({ op: "roles", actor: d.actor, roles: [] })).toEqual({
      ...at,
      reason: "member-unknown",
    });
    const unnamed = await describeMember({ sign: [signerFor("e", d.actor)] }, [], ledger);
    expect(await judge({ op: "add", ...unnamed })).toEqual({ ...at, reason: "key-unknown" });
    const stolen = await describeMember({ sign: [d, signerFor("b", d.actor)] }, [], ledger);
    expect(await judge({ op: "add", ...stolen })).toEqual({ ...at, reason: "key-known" });
    const unproved = { ...described, keys: described.keys.map(({ proof: _proof, ...key }) => key) };
    expect(await judge({ op: "add", ...unproved })).toEqual({
      ...at,
      reason: "no-proof-of-possession",
    });
  });

  it("threshold-unreachable, no-sequencer-left, no-checkpoint-key-left", async () => {
    const { forge, a, b, c, ledger } = await start();
    const member = async (...changes: Parameters<typeof memberEntry>[1]) =>
      fault(await forge.judgeTx(await forge.tx(a, [await memberEntry(ledger, changes, [a, b])])));
    const policy = async (changes: Parameters<typeof policyEntry>[1]) =>
      fault(await forge.judgeTx(await forge.tx(a, [await policyEntry(ledger, changes, [a, b])])));
    expect(
      await member({ op: "remove", actor: b.actor }, { op: "remove", actor: c.actor }),
    ).toEqual({ ...at, reason: "threshold-unreachable" });
    expect(await policy({ threshold: 4 })).toEqual({ ...at, reason: "threshold-unreachable" });
    expect(await policy({ threshold: 3 })).toMatchObject({ ok: true });
    expect(
      await member(
        { op: "roles", actor: a.actor, roles: ["custodian"] },
        { op: "remove", actor: b.actor },
      ),
    ).toEqual({ ...at, reason: "no-sequencer-left" });
    expect(await policy({ checkpointKeys: [] })).toEqual({
      ...at,
      reason: "no-checkpoint-key-left",
    });
    const mine = signerFor("mine", a.actor);
    await forge.add(
      await forge.tx(a, [
        await keyEntry(ledger, a.actor, "add", "checkpoint", mine),
        await policyEntry(ledger, { checkpointKeys: [mine.publicKey] }, [a, b]),
      ]),
    );
    const retire = await keyEntry(ledger, a.actor, "retire", "checkpoint", mine);
    expect(fault(await forge.judgeTx(await forge.tx(a, [retire])))).toEqual({
      ...at,
      height: 2,
      reason: "no-checkpoint-key-left",
    });
  });

  it("a sequencer who is one no more signs no checkpoints", async () => {
    const { forge, a, b, ledger } = await start();
    const mine = signerFor("mine", b.actor);
    const listed = async () => {
      await forge.state.load([POLICY_KEY]);
      return forge.state.policy().checkpointKeys;
    };
    const founders = await listed();
    await forge.add(
      await forge.tx(b, [await keyEntry(ledger, b.actor, "add", "checkpoint", mine)]),
    );
    expect(await listed()).toEqual([...founders, mine.publicKey]);
    const change = async (roles: readonly Role[]) =>
      forge.tx(a, [await memberEntry(ledger, [{ op: "roles", actor: b.actor, roles }], [a, b])]);
    // Other roles beside that one change nothing.
    await forge.add(await change(["sequencer"]));
    expect(await listed()).toEqual([...founders, mine.publicKey]);
    const only = await policyEntry(ledger, { checkpointKeys: [mine.publicKey] }, [a, b]);
    const demoted = (await change(["custodian"])).entries[0]!;
    expect(fault(await forge.judgeTx(await forge.tx(a, [only, demoted])))).toMatchObject({
      entry: 1,
      reason: "no-checkpoint-key-left",
    });
    const kept = signerFor("kept", a.actor);
    await forge.add(
      await forge.tx(a, [await keyEntry(ledger, a.actor, "add", "checkpoint", kept)]),
    );
    // What genesis lists without saying whose it is goes, too: it may be his.
    await forge.add(await forge.tx(a, [demoted]));
    expect(await listed()).toEqual([kept.publicKey]);
    await forge.add(await change(["custodian", "sequencer"]));
    expect(await listed()).toEqual([kept.publicKey]);
  });

  it("refuses policies that would count a key twice, allow two histories or name built-in kinds", async () => {
    const { forge, a, b, ledger } = await start();
    const key = { name: "w", publicKey: bytesFor("w") };
    const none = { required: 0, keys: [] };
    const twice = { required: 2, keys: [key, { ...key, name: "v" }] };
    const keys = ["w1", "w2"].map((name) => ({ name, publicKey: signerFor(name).publicKey }));
    const once = { required: 1, keys: keys.slice(0, 1) };
    const oneOfTwo = { required: 1, keys };
    const meant = { validators: none, witnesses: { ...oneOfTwo, minority: true as const } };
    const allowed = await policyEntry(ledger, { cosignaturePolicy: meant }, [a, b]);
    expect(await forge.judgeTx(await forge.tx(a, [allowed]))).toMatchObject({ ok: true });
    for (const changes of [
      { checkpointKeys: [key.publicKey, key.publicKey] },
      { cosignaturePolicy: { validators: twice, witnesses: none } },
      { cosignaturePolicy: { validators: none, witnesses: twice } },
      { cosignaturePolicy: { validators: once, witnesses: once } },
      { cosignaturePolicy: { validators: none, witnesses: oneOfTwo } },
      { kinds: [{ name: "record", rule: RULE }] },
      { kinds: [rule, rule].map(({ name }) => ({ name, rule: RULE })) },
      { threshold: 0 },
      { threshold: 257 },
    ]) {
      const entry = await policyEntry(ledger, changes, [a, b]);
      expect(fault(await forge.judgeTx(await forge.tx(a, [entry])))).toEqual({
        ...at,
        reason: "malformed",
      });
    }
  });

  it("judges by the policy before the block, and lets changes act from the next", async () => {
    const { forge, a, b, c, ledger } = await start();
    const kinds = [{ name: "lab-order", rule: RULE }];
    const stricter = await policyEntry(ledger, { threshold: 3, kinds: [] }, [a, b]);
    const order = custom("lab-order", { priority: 1 });
    const looser = await policyEntry(ledger, { kinds }, [a, b]);
    // Both in one block: the second is still judged by two approvals, and lab-order is known.
    await forge.add(await forge.tx(a, [stricter, looser, order]));
    expect(
      fault(await forge.judgeTx(await forge.tx(a, [await policyEntry(ledger, {}, [a, b])]))),
    ).toMatchObject({ height: 2, reason: "approvals-missing" });
    expect(
      await forge.judgeTx(await forge.tx(a, [await policyEntry(ledger, {}, [a, b, c])])),
    ).toMatchObject({ ok: true });
  });

  it("recovers a member's keys by the others' approvals, where it lost its recovery key", async () => {
    const { forge, a, b, c, ledger } = await start();
    const fresh = signerFor("c fresh", c.actor);
    const changes = {
      actor: c.actor,
      op: "recover" as const,
      use: "sign" as const,
      alg: fresh.alg,
      publicKey: fresh.publicKey,
      compromisedSince: 0,
    };
    const sign = async (what: ApprovedChanges["key"]) =>
      approve([a, b], approvalInput(ledger, "key", what, new Uint8Array(0), 0));
    const entry = async (what: ApprovedChanges["key"]) =>
      keyEntry(ledger, c.actor, "recover", "sign", fresh, {
        compromisedSince: 0,
        approvals: await sign(what),
      });
    expect(
      fault(
        await forge.judgeTx(
          await forge.tx(b, [await entry({ ...changes, compromisedSince: null })]),
        ),
      ),
    ).toEqual({ ...at, reason: "approval-invalid" });
    await forge.add(await forge.tx(b, [await entry(changes)]));
    expect(fault(await forge.judgeTx(await forge.tx(c, recordEntries(1))))).toMatchObject({
      reason: "key-not-in-force",
    });
    const byFresh = await forge.tx(fresh, [
      await keyEntry(ledger, c.actor, "add", "sign", signerFor("c3", c.actor)),
    ]);
    expect(await forge.judgeTx(byFresh)).toMatchObject({ ok: true });
    // The approvals serve once: the key is known now.
    expect(fault(await forge.judgeTx(await forge.tx(b, [await entry(changes)])))).toMatchObject({
      reason: "key-known",
    });
  });
});

/**
 * Reasons that only a store or a clock can give, tested in opening, tamper and export tests; and a node that lacks
 * code, which refuses no block and is tested with contracts.
 */
const ELSEWHERE = ["wrong-frontier", "missing", "contract-unavailable"];

afterAll(() => {
  const source = readFileSync(new URL("../../src/chain/refusal.ts", import.meta.url), "utf8");
  const union = source.slice(source.indexOf("type Refusal"), source.indexOf("/** A refusal with"));
  const all = Array.from(union.matchAll(/"([a-z-]+)"/g), ([, reason]) => reason!);
  expect(all.filter((reason) => !seen.has(reason) && !ELSEWHERE.includes(reason))).toEqual([]);
});
