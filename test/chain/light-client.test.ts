import { describe, expect, it } from "vitest";
import { encodeEntry, entryId } from "../../src/block/entry.ts";
import { encodeBlock } from "../../src/block/block.ts";
import { decodeHeader, encodeHeader, headerCid } from "../../src/block/header.ts";
import { encodeSignedTransaction, signTransaction } from "../../src/block/transaction.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { buildTree, treeRoot } from "../../src/merkle/tree.ts";
import { cosignatureSigner, encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import type { Chain } from "../../src/chain/chain.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { describeMember } from "../../src/chain/founding.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import { encodeGenesis } from "../../src/block/genesis.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import {
  makePolicyStep,
  makeReceipt,
  type MakeReceiptOptions,
} from "../../src/chain/make-receipt.ts";
import { noteSigner, signNote, splitNote } from "../../src/chain/note.ts";
import { decodeReceipt, encodeReceipt, type Receipt } from "../../src/chain/receipt.ts";
import {
  followCheckpoint,
  followPolicy,
  judgeCheckpoint,
  trustFromGenesis,
  type PolicyStep,
} from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import type { CosignaturePolicy } from "../../src/block/policy.ts";
import { es256Verifier } from "../../src/crypto/es256-verifier.ts";
import { ed25519Verifier } from "../../src/crypto/ed25519-verifier.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { keyEntry, policyEntry } from "../support/forge.ts";
import {
  bytesFor,
  foundLedger,
  recordEntries,
  signerFor,
  START,
  startLedger,
} from "../support/ledger.ts";

const ORIGIN = "ledger.example/test";
const cosigner = (name: string) => ({ name, publicKey: signerFor(name).publicKey });
const quorum = (required: number, ...names: string[]) => ({ required, keys: names.map(cosigner) });

async function start(cosignaturePolicy?: CosignaturePolicy) {
  const ledger = await startLedger({
    policy: cosignaturePolicy === undefined ? {} : { cosignaturePolicy },
  });
  let seq = 0;
  const { chain, sequencer, signers, storage } = ledger;
  return {
    ...ledger,
    async write(entries = recordEntries(2), signer = signers["a"]!) {
      const tx = await signTransaction(signer, {
        ledger: chain.ledger,
        lane: 0,
        seq: seq++,
        time: START,
        entries,
      });
      const { height, transaction } = await sequencer.submit(tx).durable;
      return { height, transaction, entry: entries.length - 1 };
    },
    async checkpoint(...by: string[]) {
      const keys = by.length === 0 ? ["checkpoint"] : by;
      const { note } = await createCheckpointer({
        chain,
        chains: storage.chains!,
        signer: signerFor(keys[0]!),
      }).sign();
      return sign(
        note,
        keys.slice(1).map((name) => noteSigner(signerFor(name), ORIGIN)),
      );
    },
  };
}

/** Adds signatures to a note. */
async function sign(note: Uint8Array, signers: Parameters<typeof signNote>[1]) {
  const { text, signatures } = split(note);
  return signNote(text, signers, signatures);
}

function split(note: Uint8Array) {
  const result = splitNote(note);
  if (!result.ok) throw new Error(result.reason);
  return result.note;
}

const cosigned = (note: Uint8Array, ...names: string[]) =>
  sign(
    note,
    names.map((name) => cosignatureSigner(signerFor(name), name, () => START)),
  );

async function receiptWith(
  ledger: Awaited<ReturnType<typeof start>>,
  place: Parameters<typeof makeReceipt>[1],
  options: MakeReceiptOptions,
): Promise<Receipt> {
  return decodeReceipt(await makeReceipt(ledger.chain, place, options));
}

describe("receipts across changes of the checkpoint keys", () => {
  async function changed() {
    const ledger = await start();
    const { chain, signers } = ledger;
    const { a, b } = signers as Record<string, ReturnType<typeof signerFor>>;
    const first = await ledger.write();
    const old = await ledger.checkpoint();
    const change = async (...names: string[]) =>
      ledger.write([
        await policyEntry(
          chain.ledger,
          { checkpointKeys: names.map((name) => signerFor(name).publicKey) },
          [a!, b!],
        ),
      ]);
    await change("checkpoint 2");
    await ledger.write();
    // Satisfies both policies; its last block carries the new one in its state.
    const both = await ledger.checkpoint("checkpoint", "checkpoint 2");
    const step = await makePolicyStep(chain, chain.size - 1, both);
    await change("checkpoint 3");
    await ledger.write();
    const both2 = await ledger.checkpoint("checkpoint 2", "checkpoint 3");
    const step2 = await makePolicyStep(chain, chain.size - 1, both2);
    const last = await ledger.write();
    const newest = await ledger.checkpoint("checkpoint 3");
    return {
      ...ledger,
      trust: trustFromGenesis(ledger.genesis),
      first,
      last,
      old,
      both,
      both2,
      step,
      step2,
      newest,
    };
  }

  it("follows the policy step by step from genesis", async () => {
    const ledger = await changed();
    const { trust, newest, step, step2, last, genesis, storage } = ledger;
    for (const place of [ledger.first, last]) {
      const receipt = await makeReceipt(ledger.chain, place, {
        checkpoint: newest,
        policyPath: [step, step2],
        later: true,
      });
      expect(verifyReceipt(receipt, trust)).toMatchObject({ ok: true, height: place.height });
    }
    // The old checkpoint still serves who knows nothing newer.
    const early = await makeReceipt(ledger.chain, ledger.first, { checkpoint: ledger.old });
    expect(verifyReceipt(early, trust)).toMatchObject({ ok: true });
    for (const checkpoint of [ledger.old, ledger.both, ledger.both2, newest]) {
      expect(await verifyLedger(storage.chains!, { genesis, checkpoint })).toMatchObject({
        ok: true,
      });
    }
  });

  it("refuses it when a step is missing, out of order, or forged", async () => {
    const { chain, trust, newest, step, step2, last, both, both2 } = await changed();
    const judge = async (...policyPath: PolicyStep[]) => {
      const result = verifyReceipt(
        await makeReceipt(chain, last, { checkpoint: newest, policyPath }),
        trust,
      );
      return result.ok ? "ok" : result.reason;
    };
    expect(await judge()).toBe("no-checkpoint-signature");
    expect(await judge(step)).toBe("no-checkpoint-signature");
    expect(await judge(step2)).toBe("no-checkpoint-signature");
    expect(await judge(step2, step)).toBe("no-checkpoint-signature");
    expect(await judge(step, step2)).toBe("ok");
    const other = step.policy.slice();
    other[other.length - 1]! ^= 1;
    expect(await judge({ ...step, policy: other }, step2)).toBe("policy-not-proved");
    expect(await judge({ ...step, policy: step2.policy }, step2)).toBe("policy-not-proved");
    expect(await judge({ ...step, proof: step2.proof }, step2)).toBe("policy-not-proved");
    expect(await judge({ ...step, header: step2.header }, step2)).toBe("header-not-included");
    expect(await judge({ ...step, path: [] }, step2)).toBe("header-not-included");
    // By the new key alone: the old policy does not accept it; by the old one alone: not the new.
    const text = split(both).text;
    const only = (name: string) => signNote(text, [noteSigner(signerFor(name), ORIGIN)]);
    expect(await judge({ ...step, checkpoint: await only("checkpoint 2") }, step2)).toBe(
      "no-checkpoint-signature",
    );
    expect(await judge({ ...step, checkpoint: await only("checkpoint") }, step2)).toBe(
      "no-checkpoint-signature",
    );
    expect(await judge({ ...step, checkpoint: both2 }, step2)).toBe("no-checkpoint-signature");
  });

  it("is never led back to an older policy, whose keys may have been stolen", async () => {
    const { chain, trust, step, step2, newest } = await changed();
    const one = followPolicy(trust, step);
    if (!one.ok) throw new Error(one.reason);
    const two = followPolicy(one.trust, step2);
    if (!two.ok) throw new Error(two.reason);
    // A checkpoint that the newest policy accepts, with the stolen first key's signature added.
    const stolen = noteSigner(signerFor("checkpoint"), ORIGIN);
    const checkpoint = await sign(newest, [stolen]);
    const back = await makePolicyStep(chain, 0, checkpoint);
    expect(followPolicy(two.trust, back)).toEqual({ ok: false, reason: "older-policy" });
    expect(followPolicy(trust, { ...back })).toMatchObject({ ok: true });
  });

  it("follows checkpoints that extend one another, and no others", async () => {
    const { chain, trust, old, both } = await changed();
    const first = followCheckpoint(trust, old, []);
    if (!first.ok) throw new Error(first.reason);
    const size = 3;
    const proof = await chain.proveConsistency(1, size);
    expect(followCheckpoint(first.trust, both, proof)).toMatchObject({ ok: true, trust: { size } });
    expect(followCheckpoint(first.trust, both, [])).toEqual({
      ok: false,
      reason: "not-an-extension",
    });
    const moved = followCheckpoint(first.trust, both, proof);
    expect(moved.ok && followCheckpoint(moved.trust, old, [])).toEqual({
      ok: false,
      reason: "older-than-trusted",
    });
    const fork = await signNote(
      encodeCheckpoint({ origin: ORIGIN, size, root: bytesFor("fork") }),
      [noteSigner(signerFor("checkpoint"), ORIGIN)],
    );
    expect(followCheckpoint(first.trust, fork, proof)).toEqual({
      ok: false,
      reason: "not-an-extension",
    });
  });

  it("keeps the root that was seen when the policy changes, and refuses another one", async () => {
    const { chain, trust, old, both, step } = await changed();
    const seen = followCheckpoint(trust, old, []);
    if (!seen.ok) throw new Error(seen.reason);
    expect(followPolicy(seen.trust, step)).toEqual({ ok: false, reason: "not-connected" });
    const connected = await makePolicyStep(chain, 2, both, seen.trust);
    const moved = followPolicy(seen.trust, connected);
    if (!moved.ok) throw new Error(moved.reason);
    expect(moved.trust).toMatchObject({ size: 3, root: await chain.rootAt(3), policyHeight: 2 });
    const text = encodeCheckpoint({ origin: ORIGIN, size: 3, root: bytesFor("fork") });
    const fork = await signNote(text, [noteSigner(signerFor("checkpoint 2"), ORIGIN)]);
    expect(judgeCheckpoint(fork, moved.trust)).toEqual({ ok: false, reason: "not-an-extension" });
  });
});

describe("cosignature policies", () => {
  it("wants so many validators and so many witnesses, each counted once", async () => {
    const ledger = await start({
      validators: { ...quorum(1, "v1", "v2"), minority: true },
      witnesses: quorum(2, "w1", "w2", "w3"),
    });
    const place = await ledger.write();
    const bare = await ledger.checkpoint();
    const trust = trustFromGenesis(ledger.genesis);
    const judge = async (note: Uint8Array) => {
      const result = verifyReceipt(
        await makeReceipt(ledger.chain, place, { checkpoint: note }),
        trust,
      );
      const whole = await verifyLedger(ledger.storage.chains!, {
        genesis: ledger.genesis,
        checkpoint: note,
      });
      expect(whole.ok).toBe(result.ok);
      return result.ok ? [...result.validators, ...result.witnesses] : result.reason;
    };
    expect(await judge(bare)).toBe("validators-missing");
    expect(await judge(await cosigned(bare, "w1", "w2"))).toBe("validators-missing");
    expect(await judge(await cosigned(bare, "v1", "v2", "w1"))).toBe("witnesses-missing");
    expect(await judge(await cosigned(bare, "v2", "w1", "w3"))).toEqual(["v2", "w1", "w3"]);
    expect(await judge(await cosigned(bare, "v2", "w1", "unknown"))).toBe("witnesses-missing");
    // The same witness at two times is one witness.
    const at = (ms: number) => cosignatureSigner(signerFor("w1"), "w1", () => ms);
    expect(await judge(await sign(await cosigned(bare, "v1"), [at(1000), at(2000)]))).toBe(
      "witnesses-missing",
    );
    // Another key under a witness's name is unknown, and a signature of it under w2's key id is bad.
    const impostor = cosignatureSigner(signerFor("impostor"), "w2", () => 1);
    expect(await judge(await sign(await cosigned(bare, "v1", "w1"), [impostor]))).toBe(
      "witnesses-missing",
    );
    // Cosigners without the ledger's own signature are not enough.
    const text = split(bare).text;
    const without = await cosigned(
      await signNote(text, [noteSigner(signerFor("x"), "x")]),
      "v1",
      "w1",
      "w2",
    );
    expect(await judge(without)).toBe("no-checkpoint-signature");
    const stranger = await signNote(text, [noteSigner(signerFor("stranger"), ORIGIN)]);
    expect(await judge(stranger)).toBe("no-checkpoint-signature");
    const { checkpoint, cosignedAt } = judged(
      judgeCheckpoint(await cosigned(bare, "v2", "w1", "w3"), trust),
    );
    expect(checkpoint.size).toBe(1);
    expect(cosignedAt).toBe(START);
  });

  it("believes of a cosignature's time what as many cosigners say as the policy demands", async () => {
    const policy = { validators: quorum(1, "v1"), witnesses: quorum(2, "w1", "w2", "w3") };
    const ledger = await start(policy);
    await ledger.write();
    const trust = trustFromGenesis(ledger.genesis);
    const bare = await ledger.checkpoint();
    const at = (name: string, ms: number) =>
      cosignatureSigner(signerFor(name), name, () => START + ms);
    const timeOf = async (times: Readonly<Record<string, number>>, by = trust) => {
      const signers = Object.entries(times).map(([name, ms]) => at(name, ms));
      return judged(judgeCheckpoint(await sign(bare, signers), by)).cosignedAt! - START;
    };
    const FAR = 1e12;
    // One witness of three says what it wants: two must say so.
    expect(await timeOf({ v1: 1000, w1: 2000, w2: 3000, w3: FAR })).toBe(3000);
    expect(await timeOf({ v1: 1000, w1: 2000, w3: FAR })).toBe(2000);
    // A validator alone is enough where one is demanded.
    expect(await timeOf({ v1: 5000, w1: 2000, w2: 3000 })).toBe(5000);
    // Where only witnesses are demanded, a validator's time says nothing.
    const witnessed = { ...policy, validators: quorum(0, "v1") };
    expect(
      await timeOf({ v1: FAR, w1: 2000, w2: 3000 }, { ...trust, cosignaturePolicy: witnessed }),
    ).toBe(2000);
    const none = { ...witnessed, witnesses: quorum(0, "w1") };
    expect(await timeOf({ v1: 7000, w1: 2000 }, { ...trust, cosignaturePolicy: none })).toBe(7000);
  });

  it("accepts no checkpoint of the empty ledger without its signature", async () => {
    const ledger = await start();
    await ledger.write();
    const text = encodeCheckpoint({ origin: ORIGIN, size: 0, root: bytesFor("anything") });
    const verify = async (checkpoint: Uint8Array) =>
      verifyLedger(ledger.storage.chains!, { genesis: ledger.genesis, checkpoint });
    const forged = await signNote(text, [noteSigner(signerFor("x"), ORIGIN)]);
    expect(await verify(forged)).toEqual({ ok: false, reason: "no-checkpoint-signature" });
    const wrong = await signNote(text, [noteSigner(signerFor("checkpoint"), ORIGIN)]);
    expect(await verify(wrong)).toEqual({ ok: false, reason: "checkpoint-root-mismatch" });
  });
});

function judged<T extends { readonly ok: boolean }>(result: T): Extract<T, { ok: true }> {
  if (!result.ok) throw new Error("not accepted");
  return result as Extract<T, { ok: true }>;
}

describe("receipts and keys", () => {
  it("reports a retired key as retired, and refuses from compromisedSince on", async () => {
    const ledger = await start();
    const { chain, genesis, signers } = ledger;
    const a = signers["a"]!;
    const before = await ledger.write();
    const during = await ledger.write();
    const recovery = signerFor("a recovery", a.actor);
    const fresh = signerFor("a fresh", a.actor);
    await ledger.write(
      [
        await keyEntry(chain.ledger, a.actor, "recover", "sign", fresh, {
          compromisedSince: during.height,
        }),
      ],
      recovery,
    );
    const { sequencer, signers: all } = await startLedger({
      storage: ledger.storage,
      proposer: "b",
    });
    void all;
    await sequencer.seal();
    await chain.refresh();
    const checkpoint = await ledger.checkpoint();
    const trust = trustFromGenesis(genesis);
    const judge = async (place: typeof before, later: boolean) =>
      verifyReceipt(await makeReceipt(chain, place, { checkpoint, later }), trust);
    expect(await judge(before, true)).toMatchObject({
      ok: true,
      key: { status: "retired", asOf: 3 },
    });
    expect(await judge(during, true)).toEqual({ ok: false, reason: "key-compromised" });
    // Without a later proof nobody can know: it says as of when it speaks.
    expect(await judge(during, false)).toMatchObject({
      ok: true,
      key: { status: "in-force", asOf: 1 },
    });
    // The proof must be later than the entry.
    const receipt = await receiptWith(ledger, during, { checkpoint, later: true });
    const earlier = await receiptWith(ledger, before, { checkpoint, later: false });
    const notLater = encodeReceipt({
      ...receipt,
      later: { ...earlier.key, header: earlier.header, path: earlier.ledgerPath },
    });
    expect(verifyReceipt(notLater, trust)).toEqual({ ok: false, reason: "not-later" });
    // The recovery itself has a receipt, signed by the recovery key.
    const recovered = await makeReceipt(
      chain,
      { height: 2, transaction: 0, entry: 0 },
      { checkpoint },
    );
    expect(verifyReceipt(recovered, trust)).toMatchObject({ ok: true, author: a.actor });
  });

  it("refuses what a retired key signed, though a block and a checkpoint hold it", async () => {
    const ledger = await start();
    const { chain, genesis, signers } = ledger;
    const a = signers["a"]!;
    const spare = signerFor("a spare", a.actor);
    await ledger.write([await keyEntry(chain.ledger, a.actor, "add", "sign", spare)]);
    const good = await ledger.write(recordEntries(1), spare);
    await ledger.write([await keyEntry(chain.ledger, a.actor, "retire", "sign", spare)]);
    await ledger.write(recordEntries(1));
    // A block that no member would take, under a checkpoint by whoever holds that key.
    const late = await signTransaction(spare, {
      ledger: chain.ledger,
      lane: 0,
      seq: 9,
      time: START,
      entries: recordEntries(1),
    });
    const { size } = chain;
    const header = {
      ...decodeHeader(chain.tip.header!),
      height: size,
      prev: headerCid(chain.tip.header!),
      transactions: treeRoot([leafHash(encodeSignedTransaction(late))]),
      count: 1,
      state: chain.state.root,
    };
    const bytes = encodeHeader(header);
    const block = { header: bytes, alg: a.alg, sig: new Uint8Array(64), transactions: [late] };
    const headers = [];
    for (let height = 0; height < size; height++) {
      headers.push((await chain.readBlock(height)).block.header);
    }
    const tree = buildTree([...headers, bytes].map(leafHash));
    const forged: Chain = {
      ...chain,
      size: size + 1,
      readBlock: async (height) =>
        height < size ? chain.readBlock(height) : { block, bytes: encodeBlock(block), header },
      proveInclusion: async (height) => [...tree.proveInclusion(height)],
    };
    const checkpoint = await signNote(
      encodeCheckpoint({ origin: ORIGIN, size: size + 1, root: tree.root }),
      [noteSigner(signerFor("checkpoint"), ORIGIN)],
    );
    const judge = async (place: typeof good) =>
      verifyReceipt(await makeReceipt(forged, place, { checkpoint }), trustFromGenesis(genesis));
    expect(await judge(good)).toMatchObject({ ok: true });
    expect(await judge({ height: size, transaction: 0, entry: 0 })).toEqual({
      ok: false,
      reason: "key-not-in-force",
    });
  });

  it("refuses parts of one receipt in another, each by its reason", async () => {
    const ledger = await start();
    const { genesis, signers } = ledger;
    const one = await ledger.write(recordEntries(3));
    const two = await ledger.write(recordEntries(3), signers["b"]!);
    const checkpoint = await ledger.checkpoint();
    const trust = trustFromGenesis(genesis);
    const x = await receiptWith(ledger, one, { checkpoint, later: true });
    const y = await receiptWith(ledger, two, { checkpoint, later: true });
    const judge = (receipt: Receipt) => {
      const result = verifyReceipt(encodeReceipt(receipt), trust);
      return result.ok ? "ok" : result.reason;
    };
    expect(judge(x)).toBe("ok");
    expect(judge({ ...x, entry: y.entry })).toBe("entry-not-included");
    expect(judge({ ...x, entryIndex: 0 })).toBe("entry-not-included");
    expect(judge({ ...x, entryPath: y.entryPath })).toBe("entry-not-included");
    expect(judge({ ...x, sig: y.sig })).toBe("transaction-not-included");
    expect(judge({ ...x, tx: y.tx })).toBe("transaction-not-included");
    expect(judge({ ...x, alg: "ES256" })).toBe("transaction-not-included");
    expect(judge({ ...x, txIndex: 1 })).toBe("transaction-not-included");
    expect(judge({ ...x, header: y.header })).toBe("header-not-included");
    expect(judge({ ...x, ledgerPath: [...x.ledgerPath, ...y.ledgerPath] })).toBe(
      "header-not-included",
    );
    expect(judge({ ...x, key: y.key })).toBe("key-not-proved");
    expect(judge({ ...x, later: { ...x.later!, value: y.later!.value } })).toBe("key-not-proved");
    expect(judge({ ...x, later: { ...x.later!, path: [] } })).toBe("header-not-included");
    expect(judge({ ...x, checkpoint: new Uint8Array(0) })).toBe("bad-checkpoint");
    expect(judge({ ...x, entry: new Uint8Array(3) })).toBe("entry-not-included");
  });

  it("accepts ES256 authors only where the verifier was asked for", async () => {
    const { parsed } = await foundLedger({ a: ["custodian", "sequencer"] }, { threshold: 1 });
    const hsm = memorySigner({ alg: "ES256", secret: bytesFor("hsm") });
    const member = await describeMember({ sign: [hsm] }, ["custodian", "sequencer"], parsed.nonce);
    const genesis = encodeGenesis({ ...parsed, members: [member] });
    const storage = memoryStorage();
    const chain = await openChain({ storage, genesis });
    const sequencer = createSequencer({ chain, storage, signer: hsm, now: () => START });
    const entries = recordEntries(1);
    const tx = await signTransaction(hsm, {
      ledger: chain.ledger,
      lane: 0,
      seq: 0,
      time: START,
      entries,
    });
    await sequencer.submit(tx).durable;
    const signer = signerFor("checkpoint");
    const { note } = await createCheckpointer({ chain, chains: storage.chains, signer }).sign();
    const receipt = await makeReceipt(
      chain,
      { height: 0, transaction: 0, entry: 0 },
      { checkpoint: note },
    );
    const trust = trustFromGenesis(genesis);
    expect(verifyReceipt(receipt, trust)).toEqual({ ok: false, reason: "algorithm-not-supported" });
    expect(
      verifyReceipt(receipt, trust, { verifiers: [ed25519Verifier, es256Verifier] }),
    ).toMatchObject({ ok: true, author: hsm.actor });
    expect(await verifyLedger(storage.chains, { genesis, checkpoint: note })).toMatchObject({
      ok: true,
    });
  });
});

describe("a copied entry", () => {
  it("is another entry under another author, on another ledger", async () => {
    const { chain, signers } = await start();
    const other = await startLedger({ policy: { nonce: bytesFor("other") } });
    const entry = encodeEntry({ kind: "any", v: 1, salt: new Uint8Array(16), fields: {} });
    const ids = [
      entryId(chain.ledger, signers["a"]!.actor, entry),
      entryId(chain.ledger, signers["b"]!.actor, entry),
      entryId(other.chain.ledger, signers["a"]!.actor, entry),
    ].map((id) => Buffer.from(id).toString("hex"));
    expect(new Set(ids).size).toBe(3);
  });
});
