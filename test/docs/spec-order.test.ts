import { describe, expect, it } from "vitest";
import type { Block } from "../../src/block/block.ts";
import type { Header } from "../../src/block/header.ts";
import type { Transaction, TransactionWithEntries } from "../../src/block/transaction.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import type { Signer } from "../../src/identity/signer.ts";
import { readBlock } from "../../src/chain/apply-block.ts";
import { encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { verifyBlocks } from "../../src/chain/verify-ledger.ts";
import { mth } from "../support/rfc9162.ts";
import { createForge, keyEntry, memberEntry, policyEntry, type Forge } from "../support/forge.ts";
import { bytesFor, foundLedger, recordEntries, signerFor, START } from "../support/ledger.ts";
import { specPage } from "./spec-page.ts";

const { text } = specPage("ledger.md");

/** The reasons in the last column of the table whose head begins so, in the page's order. */
function reasons(head: string): string[] {
  const rows = text
    .slice(text.indexOf(`\n| ${head}`))
    .split("\n\n")[0]!
    .trim()
    .split("\n");
  return rows.slice(2).flatMap((row) =>
    Array.from(
      row
        .split("|")
        .at(-2)!
        .matchAll(/`([a-z-]+)`/g),
      ([, reason]) => reason!,
    ),
  );
}

async function world() {
  const { genesis, signers } = await foundLedger({
    a: ["custodian", "sequencer"],
    b: ["custodian", "sequencer"],
    c: ["auditor"],
    d: ["auditor"],
  });
  const { a, b, c, d } = signers as Record<"a" | "b" | "c" | "d", Signer>;
  const forge = await createForge(genesis, a);
  await forge.add(
    await forge.tx(d, [
      await keyEntry(forge.ledger, d.actor, "add", "sign", signerFor("d2", d.actor)),
    ]),
  );
  await forge.add(
    await forge.tx(a, [
      await memberEntry(forge.ledger, [{ op: "remove", actor: d.actor }], [a, b]),
      ...recordEntries(1),
    ]),
  );
  return { forge, a, b, c, d };
}

async function reasonOf(forge: Forge, block: Uint8Array): Promise<string> {
  const result = await forge.judge(block);
  return result.ok ? "stands" : result.reason;
}

const other = cidOf(bytesFor("other"), DAG_CBOR);

describe("docs/spec/ledger.md, order of the checks", () => {
  it("refuses a block for the first row that is broken, however many are below", async () => {
    const { forge, a, c } = await world();
    const good = await forge.tx(a, recordEntries(1), { seq: 100 });
    const again = await forge.tx(a, recordEntries(1), { seq: 100 });
    const ill: TransactionWithEntries = { ...good, entries: [] };
    interface Fault {
      readonly reason: string;
      readonly header?: Partial<Header> & { readonly signer?: Signer };
      readonly outer?: Partial<Block>;
      readonly txs?: readonly TransactionWithEntries[];
    }
    // One of each row; of reasons that exclude each other, the lowest that can be had.
    const faults: readonly Fault[] = [
      { reason: "malformed", outer: { header: encode({ v: 1 }) } },
      { reason: "wrong-ledger", header: { ledger: other } },
      { reason: "wrong-height", header: { height: 77 } },
      { reason: "wrong-prev", header: { prev: other } },
      { reason: "wrong-state", header: { state: bytesFor("state") } },
      { reason: "transaction-count-mismatch", header: { count: 9 } },
      { reason: "entry-count-mismatch", txs: [ill, ill] },
      { reason: "transactions-root-mismatch", header: { transactions: bytesFor("root") } },
      { reason: "time-backwards", header: { time: START } },
      { reason: "unknown-key", header: { key: bytesFor("key") } },
      { reason: "not-entitled", header: { signer: c } },
      { reason: "bad-signature", outer: { sig: new Uint8Array(64) } },
      { reason: "replayed-sequence", txs: [good, again] },
    ];
    for (const [i, { reason }] of faults.entries()) {
      const broken = faults.slice(i);
      const header = Object.assign({}, ...broken.map((one) => one.header).reverse()) as object;
      const outer = Object.assign({}, ...broken.map((one) => one.outer).reverse()) as object;
      const txs = broken.find((one) => one.txs !== undefined)?.txs ?? [good];
      const count = (header as Partial<Header>).count ?? txs.length;
      const block = await forge.block(txs, { ...header, count }, outer);
      expect(await reasonOf(forge, block), reason).toBe(reason);
    }
    expect(await reasonOf(forge, await forge.block([good]))).toBe("stands");
    // The page's rows, but for what excludes another or needs a store.
    const skipped = ["key-of-another-actor", "key-use", "key-not-in-force", "not-a-member"];
    const stored = ["wrong-frontier", "missing"];
    const listed = reasons("of a block").filter((one) => ![...skipped, ...stored].includes(one));
    const made = faults.map(({ reason }) => reason);
    expect(
      made.filter((one) => !["entry-count-mismatch", "replayed-sequence"].includes(one)),
    ).toEqual(listed);
    expect(made.at(-1)).toBe("replayed-sequence");
  });

  it("refuses a transaction's form for the first row that is broken", async () => {
    const { forge, a } = await world();
    const malformed = encode({ v: 1, kind: "record" });
    const wide = new Uint8Array(64 * 1024 + 1);
    const rows: readonly (readonly [string, Partial<Transaction>, readonly Uint8Array[]])[] = [
      ["wrong-ledger", { ledger: other, lane: 1024, entries: bytesFor("root") }, []],
      ["over-limit", { lane: 1024, entries: bytesFor("root") }, []],
      ["entry-count-mismatch", { count: 3, entries: bytesFor("root") }, [malformed]],
      ["over-limit", { entries: bytesFor("root") }, Array<Uint8Array>(129).fill(wide)],
      ["entries-root-mismatch", { entries: bytesFor("root") }, [wide, malformed]],
      ["over-limit", {}, [wide, malformed]],
      ["malformed", {}, [malformed]],
    ];
    const found: string[] = [];
    for (const [, fields, entries] of rows) {
      const signed = await forge.tx(a, entries.length === 0 ? [malformed] : entries, fields);
      // The root of the block's transactions is wrong as well: a row below.
      const block = await forge.block([{ ...signed, entries }], { transactions: bytesFor("root") });
      found.push(await reasonOf(forge, block));
    }
    expect(found).toEqual(rows.map(([reason]) => reason));
    const unreadable = { ...(await forge.tx(a, [wide])), tx: encode({ v: 1 }) };
    expect(await reasonOf(forge, await forge.block([unreadable]))).toBe("malformed");
    expect(["malformed", ...found]).toEqual(reasons("form of a transaction"));
  });

  it("refuses a transaction for the first row that is broken", async () => {
    const { forge, a, b, c } = await world();
    const seq = 100;
    const long = 400 * 24 * 3_600_000;
    const ended = signerFor("d2").key;
    const recovery = signerFor("a recovery").key;
    const used = await forge.tx(a, recordEntries(1), { seq });
    /** Author, key and what else is wrong, from the row on: auditors may not file records. */
    const rows: readonly (readonly [string, Signer, Partial<Transaction>])[] = [
      ["unknown-key", c, { key: bytesFor("key"), time: START + long }],
      ["key-of-another-actor", c, { key: ended, time: START + long }],
      ["key-not-in-force", signerFor("d"), { key: ended, time: START + long }],
      ["key-use", a, { key: recovery, time: START + long }],
      ["replayed-sequence", a, { seq, time: START + long }],
      ["too-early", c, { time: START + long }],
      ["too-old", c, { time: START - long }],
      ["bad-signature", c, {}],
    ];
    const entries = recordEntries(1);
    for (const [reason, signer, fields] of rows) {
      const tx = await forge.tx(signer, entries, { seq: seq + 1, ...fields });
      // Every one of them is also badly signed.
      const bad = { ...tx, sig: new Uint8Array(64) };
      expect(await reasonOf(forge, await forge.block([used, bad], { signer: b })), reason).toBe(
        reason,
      );
    }
    const unentitled = await forge.tx(c, entries, { seq: seq + 1 });
    expect(await reasonOf(forge, await forge.block([used, unentitled]))).toBe("not-entitled");
    // A member that is none has no key in force, so its row is never the first.
    const beyond = ["not-a-member", "unknown-kind", "rule-unavailable", "rule-refused"];
    expect([...rows.map(([reason]) => reason), "not-entitled"]).toEqual(
      reasons("of a transaction").filter((one) => !beyond.includes(one)),
    );
  });

  it("refuses a key that is added or retired for what the page names first", async () => {
    const { forge, a, b } = await world();
    const { ledger } = forge;
    const fresh = signerFor("fresh", a.actor);
    const reason = async (entry: Uint8Array, by: Signer = a) =>
      reasonOf(
        forge,
        await forge.block([await forge.tx(by, [entry], { seq: 100 })], { signer: b }),
      );
    const more = { compromisedSince: 1 };
    const add = (use: "sign" | "recovery", holder: Signer, fields: object = {}) =>
      keyEntry(ledger, a.actor, "add", use, holder, fields);
    const wrongProof = { proof: new Uint8Array(64) };
    expect(await reason(await add("recovery", a, { ...more, ...wrongProof }), b)).toBe(
      "not-entitled",
    );
    expect(await reason(await add("recovery", a, { ...more, ...wrongProof }))).toBe("malformed");
    expect(await reason(await add("recovery", a, wrongProof))).toBe("recovery-only");
    expect(await reason(await add("sign", a, wrongProof))).toBe("key-known");
    expect(await reason(await add("sign", fresh, wrongProof))).toBe("no-proof-of-possession");
    const retire = (use: "sign" | "recovery", holder: Signer, fields: object = {}) =>
      keyEntry(ledger, a.actor, "retire", use, holder, fields);
    const recovery = signerFor("a recovery", a.actor);
    expect(await reason(await retire("sign", fresh, wrongProof))).toBe("key-unknown");
    expect(await reason(await retire("recovery", recovery, wrongProof))).toBe("malformed");
    expect(await reason(await retire("recovery", recovery))).toBe("recovery-only");
    expect(await reason(await retire("sign", a))).toBe("last-signing-key");
  });

  it("refuses a change of members or policy for what the page names first", async () => {
    const { forge, a, b, c } = await world();
    const { ledger } = forge;
    const reason = async (...entries: Uint8Array[]) =>
      reasonOf(forge, await forge.block([await forge.tx(a, entries, { seq: 100 })]));
    const nonce = new Uint8Array(16).fill(7);
    const nothing = [{ op: "remove", actor: signerFor("nobody").actor }] as const;
    const first = await policyEntry(ledger, { maxDrift: 5 }, [a, b], { nonce });
    const other = [{ op: "remove", actor: signerFor("another").actor }] as const;
    const forged = { approved: other, nonce };
    const wrong = async (options: object, signers: Signer[] = [a]) =>
      memberEntry(ledger, nothing, signers, options);
    expect(await reason(first, await wrong({ ...forged, notAfter: 0 }))).toBe("approval-expired");
    expect(await reason(first, await wrong(forged))).toBe("nonce-used");
    expect(await reason(await wrong(forged))).toBe("approval-invalid");
    expect(await reason(await wrong({ nonce }))).toBe("approvals-missing");
    expect(await reason(await wrong({ nonce }, [a, b]))).toBe("member-unknown");
    // One left of two that must approve, and no sequencer.
    const both = [
      { op: "remove", actor: c.actor },
      { op: "remove", actor: b.actor },
      { op: "roles", actor: a.actor, roles: [] },
    ] as const;
    expect(await reason(await memberEntry(ledger, both, [a, b]))).toBe("threshold-unreachable");
    expect(
      await reason(
        await memberEntry(ledger, [both[2], { op: "roles", actor: b.actor, roles: [] }], [a, b]),
      ),
    ).toBe("no-sequencer-left");
    // A policy: whose keys, then the threshold, then whether any is left.
    const own = await policyEntry(ledger, { checkpointKeys: [a.publicKey], threshold: 9 }, [a, b]);
    expect(await reason(own)).toBe("key-use");
    const none = await policyEntry(ledger, { checkpointKeys: [], threshold: 9 }, [a, b]);
    expect(await reason(none)).toBe("threshold-unreachable");
    const empty = await policyEntry(ledger, { checkpointKeys: [] }, [a, b]);
    expect(await reason(empty)).toBe("no-checkpoint-key-left");
  });

  it("judges a checkpoint by the state before its last block", async () => {
    const { genesis, signers } = await foundLedger({ a: ["custodian", "sequencer"], b: [] });
    const { a, b } = signers as Record<"a" | "b", Signer>;
    const forge = await createForge(genesis, a);
    const next = signerFor("next checkpoint");
    const change = { checkpointKeys: [next.publicKey] };
    await forge.add();
    await forge.add(await forge.tx(a, [await policyEntry(forge.ledger, change, [a, b])]));
    await forge.add();
    await forge.add();
    const headers = forge.blocks.map((block) => readBlock(block)!.header);
    const origin = "ledger.example/test";
    const judged: boolean[][] = [];
    for (let size = 0; size <= headers.length; size++) {
      const said = encodeCheckpoint({ origin, size, root: mth(headers.slice(0, size)) });
      const by = async (signer: Signer): Promise<boolean> => {
        const checkpoint = await signNote(said, [noteSigner(signer, origin)]);
        return (await verifyBlocks(forge.blocks.slice(0, size), { genesis, checkpoint })).ok;
      };
      judged.push([await by(signerFor("checkpoint")), await by(next)]);
    }
    // Block 1 changes the key: as the page says.
    const last = Number(/sign checkpoints of up to (\d) blocks/.exec(text)![1]);
    expect(judged).toEqual(judged.map((_, size) => [size <= last, size > last]));
    expect(judged).toHaveLength(5);
  });

  it("judges authority by the state before, and what is known by the one within", async () => {
    const { forge, a, b, c } = await world();
    const { ledger } = forge;
    const next = signerFor("next", a.actor);
    const judge = async (...txs: TransactionWithEntries[]) =>
      reasonOf(forge, await forge.block(txs));
    const added = await forge.tx(a, [await keyEntry(ledger, a.actor, "add", "sign", next)], {
      seq: 100,
    });
    // A key acts from the next block on, and is known at once.
    const byNext = await forge.tx(next, recordEntries(1), { seq: 0 });
    expect(await judge(added, byNext)).toBe("unknown-key");
    const twice = await forge.tx(a, [await keyEntry(ledger, a.actor, "add", "sign", next)], {
      seq: 101,
    });
    expect(await judge(added, twice)).toBe("key-known");
    // Who is demoted or removed in a block acts in it to the end.
    const out = [{ op: "remove", actor: c.actor }] as const;
    const removed = await forge.tx(a, [await memberEntry(ledger, out, [a, b])], { seq: 102 });
    const byC = await forge.tx(c, [await policyEntry(ledger, { maxDrift: 7 }, [b, c])], { seq: 0 });
    expect(await judge(removed, byC)).toBe("stands");
    const again = await forge.tx(a, [await memberEntry(ledger, out, [a, b])], { seq: 103 });
    expect(await judge(removed, again)).toBe("member-unknown");
    // A policy judges from the next block on: drift, and the threshold of approvals.
    const strict = await policyEntry(ledger, { maxDrift: 0, threshold: 3 }, [a, b]);
    const narrowed = await forge.tx(a, [strict], { seq: 104 });
    const early = await forge.tx(a, recordEntries(1), { seq: 105, time: START + 32_000 });
    const later = await forge.tx(a, [await policyEntry(ledger, { maxDrift: 9 }, [a, b])], {
      seq: 106,
    });
    expect(await judge(narrowed, early, later)).toBe("stands");
  });
});
