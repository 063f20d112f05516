import { describe, expect, it } from "vitest";
import type { EntryId } from "../../src/codec/ids.ts";
import { encodeGenesis } from "../../src/block/genesis.ts";
import type { LedgerPolicy, Quorum } from "../../src/block/policy.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { verifyExport } from "../../src/chain/export.ts";
import { encodeNote, parseNote, signNote, splitNote } from "../../src/chain/note.ts";
import { decodeReceipt, encodeReceipt, type Receipt } from "../../src/chain/receipt.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import { noteKey, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import {
  followCheckpoint,
  judgeCheckpoint,
  trustFromGenesis,
  withPolicy,
  type Trust,
} from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { createWitness, type Witness } from "../../src/chain/witness.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { memoryKeys, type KeyStore } from "../../src/identity/key-store.ts";
import { memoryOf, memorySignedHeads } from "../../src/identity/signed-heads.ts";
import type { Ledger, OpenLedgerOptions } from "../../src/ledger/ledger.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { policyEntry } from "../support/forge.ts";
import { MRN, observation, treatmentOnly, LABELLER, custodianOf } from "../support/hospital.ts";
import { bytesFor, signerFor, START } from "../support/ledger.ts";

const ORIGIN = "history.example/policies";
const pub = (name: string): Uint8Array => signerFor(name).publicKey;
const quorum = (required: number, ...names: string[]): Quorum => ({
  required,
  keys: names.map((name) => ({ name, publicKey: pub(name) })),
  ...(required > 0 && 2 * required <= names.length ? { minority: true } : {}),
});
const NONE = quorum(0);

async function keysOf(member: string, checkpoint: readonly string[]): Promise<KeyStore> {
  const keys = memoryKeys();
  await keys.add({ use: "sign", secret: bytesFor(`${member} sign`) });
  await keys.add({ use: "agree", secret: bytesFor(`${member} agree`) });
  for (const name of checkpoint) await keys.add({ use: "checkpoint", secret: bytesFor(name) });
  return keys;
}

/** A ledger of two hospitals; `a` holds these checkpoint keys, the policy begins with that. */
async function world(
  held: readonly string[],
  policy: Partial<Pick<LedgerPolicy, "checkpointKeys" | "cosignaturePolicy">> = {},
) {
  const nonce = bytesFor("policies");
  const [a, b] = [await keysOf("a", held), await keysOf("b", [])];
  const member = (keys: KeyStore) => custodianOf(keys, nonce);
  const genesis = encodeGenesis({
    v: 1,
    origin: ORIGIN,
    nonce,
    members: [await member(a), await member(b)],
    threshold: 2,
    maxDrift: 60_000,
    maxTxAge: 600_000,
    checkpointKeys: [pub("k1")],
    cosignaturePolicy: { validators: NONE, witnesses: NONE },
    kinds: [],
    contracts: [],
    ...policy,
  });
  const storage = memoryStorage();
  const now = () => START;
  const open = (options: Partial<OpenLedgerOptions> = {}) =>
    openLedger({ storage, keys: a, genesis, policy: { labeller: LABELLER }, now, ...options });
  let seq = 0;
  /** Changes the policy by an entry that both members approve. */
  const change = async (hl: Ledger, changes: Partial<LedgerPolicy>): Promise<void> => {
    const chain = await openChain({ storage, genesis, now });
    const entry = await policyEntry(chain.ledger, changes, [a.signer(), b.signer()]);
    const sequencer = createSequencer({ chain, storage, signer: a.signer(), now });
    const unsigned = { ledger: chain.ledger, lane: 50, seq: seq++, time: START, entries: [entry] };
    await sequencer.submit(await signTransaction(a.signer(), unsigned)).durable;
    await sequencer.close();
    await chain.close();
    await hl.chain.refresh();
  };
  const witness = (name: string, ...keys: string[]): Witness =>
    createWitness({
      chains: memoryStorage().chains,
      signer: signerFor(name),
      name,
      origin: ORIGIN,
      keys: keys.map((key) => noteKey(ORIGIN, NOTE_ED25519, pub(key))),
      now: () => START,
    });
  return { a, b, genesis, storage, open, change, witness, trust: trustFromGenesis(genesis) };
}

async function retire(keys: KeyStore, name: string): Promise<void> {
  const { key } = keys.list().find(({ publicKey }) => Buffer.from(publicKey).equals(pub(name)))!;
  await keys.retire(key);
}

let records = 0;
async function record(hl: Ledger): Promise<EntryId> {
  const subject = await hl.ensureSubject(MRN);
  return (await hl.record(subject, observation(`o${records++}`))).entry;
}

const reason = (result: { ok: true } | { ok: false; reason: string }): string =>
  result.ok ? "ok" : result.reason;

async function exported(hl: Ledger): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await hl.export()) chunks.push(chunk);
  return reason(await verifyExport(chunks, { ledger: hl.id }));
}

const proved = async (hl: Ledger, id: EntryId, trust: Trust, from?: Trust): Promise<string> =>
  reason(verifyReceipt(await hl.receipt(id, from === undefined ? {} : { from }), trust));

/** What a reader believes who replayed the ledger as it stands. */
async function moved(hl: Ledger, genesis: Trust): Promise<Trust> {
  const policy = hl.chain.state.policy();
  const { size } = hl.chain;
  return { ...withPolicy(genesis, policy, size), root: hl.chain.root, policyHeight: size };
}

const refusal = (missing: RegExp) => ({
  code: "ERR_CHAIN_POLICY",
  message: expect.stringMatching(missing) as unknown,
});

describe("a ledger whose policy asks for witnesses", () => {
  const policy = {
    cosignaturePolicy: { validators: NONE, witnesses: quorum(2, "w1", "w2", "w3") },
  };

  it("hands out nothing that would not verify, and discloses nothing, where they are short", async () => {
    for (const [names, missing] of [
      [[], /missing: 2 of 2 witnesses$/],
      [["w1"], /missing: 1 of 2 witnesses$/],
    ] as const) {
      const { open, witness, b } = await world(["k1"], policy);
      const hl = await open({ cosigners: names.map((name) => witness(name, "k1")) });
      const id = await record(hl);
      const subject = await hl.ensureSubject(MRN);
      const patient = signerFor("patient");
      await hl.consent(subject, treatmentOnly(patient), { signer: patient });
      const asked = { patient: MRN, purposes: ["TREAT"] };
      const requester = { signer: b.signer(), agreement: b.agreement() };
      await expect(hl.receipt(id)).rejects.toMatchObject(refusal(missing));
      await expect(hl.checkpoint()).rejects.toMatchObject(refusal(missing));
      await expect(hl.export()).rejects.toMatchObject(refusal(missing));
      const size = hl.chain.size;
      await expect(hl.request(requester, asked)).rejects.toMatchObject(refusal(missing));
      await expect(hl.exportRecords(requester, asked)).rejects.toMatchObject(refusal(missing));
      expect(await hl.chain.refresh()).toBe(size);
      for await (const _ of hl.audit(subject)) expect.unreachable("an access was recorded");
    }
  });

  it("hands out what verifies from genesis where enough of them cosign, dead ones beside", async () => {
    const { open, witness, b, trust } = await world(["k1"], policy);
    const dead: Witness = { cosign: () => Promise.reject(new Error("unreachable")) };
    const hl = await open({ cosigners: [witness("w3", "k1"), dead, witness("w1", "k1")] });
    const id = await record(hl);
    const subject = await hl.ensureSubject(MRN);
    const patient = signerFor("patient");
    await hl.consent(subject, treatmentOnly(patient), { signer: patient });
    expect(verifyReceipt(await hl.receipt(id), trust)).toMatchObject({
      ok: true,
      witnesses: ["w1", "w3"],
    });
    expect(reason(judgeCheckpoint(await hl.checkpoint(), trust))).toBe("ok");
    expect(await exported(hl)).toBe("ok");
    const asked = { patient: MRN, purposes: ["TREAT"] };
    const answer = await hl.request({ signer: b.signer(), agreement: b.agreement() }, asked);
    let items = 0;
    for await (const { receipt } of answer.items()) {
      expect(reason(verifyReceipt(receipt, trust))).toBe("ok");
      items++;
    }
    expect(items).toBe(1);
  });
});

describe("a process without the checkpoint key in force", () => {
  it("records, and refuses by name what rests on a checkpoint", async () => {
    for (const held of [[], ["other"], ["other", "another"]]) {
      const { open } = await world(held);
      const hl = await open();
      const id = await record(hl);
      const missing = /missing: a signature by one of its 1 checkpoint keys$/;
      await expect(hl.receipt(id)).rejects.toMatchObject(refusal(missing));
      await expect(hl.checkpoint()).rejects.toMatchObject(refusal(missing));
      await expect(hl.export()).rejects.toMatchObject(refusal(missing));
    }
  });

  it("finds the one in force among several, whichever is newest", async () => {
    for (const held of [
      ["k1", "other"],
      ["other", "k1"],
    ]) {
      const { open, trust } = await world(held);
      const hl = await open();
      expect(await proved(hl, await record(hl), trust)).toBe("ok");
      expect(await exported(hl)).toBe("ok");
    }
  });
});

describe("changes of the policy", () => {
  type Step = Partial<LedgerPolicy>;
  const keys = (...names: string[]): Step => ({ checkpointKeys: names.map(pub) });
  const witnesses = (required: number, ...names: string[]): Step => ({
    cosignaturePolicy: { validators: NONE, witnesses: quorum(required, ...names) },
  });
  const sequences: Record<string, readonly Step[]> = {
    "one key after another": [keys("k2"), keys("k3"), keys("k4")],
    "a key and back": [keys("k2"), keys("k1"), keys("k2"), keys("k1")],
    "a key and a quorum in one": [{ ...keys("k2"), ...witnesses(1, "w1") }],
    "a quorum raised, lowered and lifted": [
      witnesses(1, "w1", "w2"),
      witnesses(2, "w1", "w2"),
      witnesses(1, "w2"),
      witnesses(0),
    ],
    "keys that overlap": [keys("k1", "k2"), keys("k2", "k3"), keys("k3")],
  };

  for (const [name, sequence] of Object.entries(sequences)) {
    it(`are followed from genesis and from each trust on the way: ${name}`, async () => {
      const { open, change, witness, trust } = await world(["k1", "k2", "k3", "k4"]);
      const all = ["k1", "k2", "k3", "k4"];
      const cosigners = ["w1", "w2"].map((one) => witness(one, ...all));
      let hl = await open({ cosigners });
      const first = await record(hl);
      const readers: Trust[] = [trust];
      for (const [at, step] of sequence.entries()) {
        readers.push(await moved(hl, trust));
        await change(hl, step);
        // Under the last block with the old policy, too.
        expect(await proved(hl, first, trust), `${at}`).toBe("ok");
        expect(await exported(hl), `${at}`).toBe("ok");
        const id = await record(hl);
        expect(await exported(hl), `${at}`).toBe("ok");
        for (const [i, reader] of readers.entries()) {
          for (const one of [first, id]) {
            expect(await proved(hl, one, reader, reader), `${at} for reader ${i}`).toBe("ok");
          }
        }
        if (at % 2 === 0) {
          await hl.close();
          hl = await open({ cosigners });
        }
      }
      for (const reader of readers.slice(1)) {
        const receipt = await hl.receipt(first);
        // Without the proof that was not asked for, whoever has seen a root is not to believe it.
        expect(reason(verifyReceipt(receipt, reader))).not.toBe("ok");
      }
    });
  }

  it("are followed when the old keys are gone, by what was kept while they were there", async () => {
    const { a, open, change, trust } = await world(["k1", "k2"]);
    let hl = await open();
    await record(hl);
    await change(hl, keys("k2"));
    const id = await record(hl);
    await hl.close();
    // Opening alone signs where the policy changed.
    await (await open()).close();
    await retire(a, "k1");
    hl = await open();
    expect(await proved(hl, id, trust)).toBe("ok");
    expect(decodeReceipt(await hl.receipt(id)).policyPath).toHaveLength(1);
  });

  it("are refused to who needs them where the old key never signed, and to nobody else", async () => {
    const { open, change, trust } = await world(["k2"]);
    const hl = await open();
    await record(hl);
    await change(hl, keys("k2"));
    const id = await record(hl);
    await expect(hl.receipt(id)).rejects.toMatchObject(
      refusal(/from the trusted policy to the one in force/),
    );
    const newer = await moved(hl, trust);
    expect(await proved(hl, id, newer, newer)).toBe("ok");
    expect(await exported(hl)).toBe("ok");
  });

  it("need no other block where the only key held is the one that the last block brought", async () => {
    const { open, change, trust } = await world(["k2"]);
    const hl = await open();
    const id = await record(hl);
    await change(hl, keys("k2"));
    const newer = await moved(hl, trust);
    expect(await proved(hl, id, newer, newer)).toBe("ok");
    expect(await exported(hl)).toBe("ok");
  });

  it("are followed where one process holds the old key and another the new", async () => {
    const { open, change, trust } = await world([]);
    const old = await open({ keys: await keysOf("a", ["k1"]) });
    await record(old);
    await change(old, keys("k2"));
    const id = await record(old);
    await expect(old.receipt(id)).rejects.toMatchObject(refusal(/1 checkpoint keys$/));
    const next = await open({ keys: await keysOf("a", ["k2"]) });
    expect(await proved(next, id, trust)).toBe("ok");
    // The other order: the new key's process asks first, the old one's opens later.
    const two = await world([]);
    const writer = await two.open({ keys: await keysOf("a", ["k2"]) });
    await record(writer);
    await two.change(writer, keys("k2"));
    const other = await record(writer);
    await expect(writer.receipt(other)).rejects.toMatchObject(refusal(/from the trusted policy/));
    await record(writer);
    await (await two.open({ keys: await keysOf("a", ["k1"]) })).close();
    expect(await proved(writer, other, two.trust)).toBe("ok");
  });

  it("are followed although the store's host adds bad signatures to what is kept", async () => {
    const { open, change, trust, storage } = await world(["k1", "k2"]);
    const hl = await open();
    await change(hl, keys("k2"));
    const id = await record(hl);
    expect(await proved(hl, id, trust)).toBe("ok");
    const name = `${hl.id.toString()}/policy`;
    const head = await storage.chains.head(name);
    const records: Uint8Array[] = [];
    for await (const one of storage.chains.read(name, { from: 0, limit: head.size })) {
      records.push(one.record);
    }
    const { note } = decode(records[0]!) as { note: Uint8Array };
    const split = splitNote(note);
    if (!split.ok) throw new Error(split.reason);
    const spoilt = split.note.signatures.map((line) => ({
      ...line,
      signature: line.signature.map((byte, i) => (i === 9 ? byte ^ 1 : byte)),
    }));
    await storage.chains.append(name, head, [
      encode({ v: 1, note: encodeNote(split.note.text, spoilt) }),
      bytesFor("no record"),
      encode({ v: 1, note: bytesFor("no note") }),
    ]);
    await hl.close();
    expect(await proved(await open(), id, trust)).toBe("ok");
  });
});

describe("what is kept of changes of policy", () => {
  it("makes no key sign a text of the host's, however true its size and root are", async () => {
    const { open, change, storage } = await world(["k2"]);
    const hl = await open();
    await record(hl);
    await change(hl, { checkpointKeys: [pub("k2")] });
    const id = await record(hl);
    const { size, root } = hl.chain;
    // The origin of another ledger that has the same checkpoint key, and lines of the host's own.
    const base64 = Buffer.from(root).toString("base64");
    const texts = [
      `history.example/other\n${size}\n${base64}\n`,
      `${ORIGIN}\n${size}\n${base64}\nI owe the host a fortune\n`,
    ].map((text) => new TextEncoder().encode(text));
    const name = `${hl.id.toString()}/policy`;
    const line = { name: "host", keyId: 1, signature: bytesFor("any") };
    await storage.chains.append(
      name,
      await storage.chains.head(name),
      texts.map((text) => encode({ v: 1, note: encodeNote(text, [line]) })),
    );
    await expect(hl.receipt(id)).rejects.toMatchObject(refusal(/from the trusted policy/));
    let kept = 0;
    for await (const one of storage.chains.read(name, { from: 0, limit: 100 })) {
      const split = splitNote((decode(one.record) as { note: Uint8Array }).note);
      if (!split.ok) throw new Error(split.reason);
      const { text, signatures } = split.note;
      kept++;
      if (!texts.some((forged) => Buffer.from(forged).equals(text))) continue;
      // A signature is of the text alone: what it is called by does not matter.
      expect(signatures.map(({ name: by }) => by)).toEqual(["host"]);
    }
    expect(kept).toBe(3);
  });
});

describe("a key that is in force no more", () => {
  it("signs no head of another history than store or memory say that it signed", async () => {
    const fork = bytesFor("fork");
    type Said = { readonly kept: [number, "fork"]; readonly stored?: [number, "ours"] };
    // Sizes from the ledger's own: what others with the same key signed meanwhile, elsewhere.
    const cases: Said[] = [
      { kept: [0, "fork"] },
      { kept: [2, "fork"] },
      { kept: [-1, "fork"], stored: [0, "ours"] },
    ];
    for (const { kept, stored } of cases) {
      const { open, change, storage } = await world(["k1", "k2"]);
      const signedHeads = memorySignedHeads();
      const hl = await open({ signedHeads });
      await record(hl);
      await change(hl, { checkpointKeys: [pub("k2")] });
      const id = await record(hl);
      const { size, root } = hl.chain;
      const { key } = signerFor("k1");
      await memoryOf(signedHeads, hl.id).keepHead(undefined, {
        ...{ key, use: "checkpoint", size: size + kept[0], root: fork },
      });
      if (stored !== undefined) {
        const name = `${hl.id.toString()}/checkpoints/${toHex(key)}`;
        const head = encode({ v: 1, size: size + stored[0], root });
        await storage.chains.append(name, await storage.chains.head(name), [head]);
      }
      // Without its signature nothing leads from genesis to the new key.
      await expect(hl.receipt(id)).rejects.toMatchObject(refusal(/from the trusted policy/));
    }
  });
});

describe("what a reader has seen of a ledger", () => {
  it("is what its receipts, those of an answer too, and a verification are held against", async () => {
    const { open, b, trust } = await world(["k1"]);
    const hl = await open();
    await record(hl);
    const subject = await hl.ensureSubject(MRN);
    const patient = signerFor("patient");
    await hl.consent(subject, treatmentOnly(patient), { signer: patient });
    const seen = followCheckpoint(trust, await hl.checkpoint(), []);
    if (!seen.ok) throw new Error(seen.reason);
    const from = seen.trust;
    await record(hl);
    const ask = { patient: MRN, purposes: ["TREAT"] };
    const requester = { signer: b.signer(), agreement: b.agreement() };
    let items = 0;
    for await (const { receipt } of (await hl.request(requester, { ...ask, from })).items()) {
      items++;
      expect(verifyReceipt(receipt, from)).toMatchObject({ ok: true, connectedTo: from.size });
      expect(reason(verifyReceipt(receipt, { ...from, root: bytesFor("fork") }))).not.toBe("ok");
    }
    for await (const { receipt } of (await hl.request(requester, ask)).items()) {
      items++;
      expect(reason(verifyReceipt(receipt, from))).toBe("not-connected");
    }
    expect(items).toBe(4);
    const before = hl.chain.size;
    for (const bad of [
      { ...from, root: bytesFor("fork") },
      { ...from, size: before + 9 },
    ]) {
      await expect(hl.request(requester, { ...ask, from: bad })).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_PROOF_/) as unknown,
      });
    }
    // Nothing was decided for who could not be given the proof.
    expect(await hl.chain.refresh()).toBe(before);
    // A ledger is opened, and verified, by what its opener has seen.
    await hl.close();
    for (const bad of [
      { ...from, root: bytesFor("fork") },
      { ...from, size: before + 9 },
    ]) {
      await expect(open({ trust: bad })).rejects.toMatchObject({ code: "ERR_CHAIN_INVALID" });
    }
    const again = await open({ trust: from });
    expect(reason(await again.verify())).toBe("ok");
  });
});

describe("cosigners that never answer", () => {
  const silent: Witness = { cosign: () => new Promise(() => {}) };

  it("hold no checkpoint up for longer than was said, and are said to be missing where needed", async () => {
    const required = { cosignaturePolicy: { validators: NONE, witnesses: quorum(1, "w1", "w2") } };
    const { open, witness, trust } = await world(["k1"], required);
    const patient = await open({ cosigners: [silent, witness("w1", "k1")], cosignWithin: 50 });
    const id = await record(patient);
    expect(await proved(patient, id, trust)).toBe("ok");
    await patient.close();
    const alone = await open({ cosigners: [silent], cosignWithin: 50 });
    await expect(alone.receipt(id)).rejects.toMatchObject(refusal(/1 of 1 witnesses$/));
    // It is left alone while it owes an answer.
    await expect(alone.checkpoint()).rejects.toMatchObject(refusal(/1 of 1 witnesses$/));
  });

  it("are left out after the time for optional ones, where nothing requires them", async () => {
    const required = { cosignaturePolicy: { validators: NONE, witnesses: quorum(1, "w1") } };
    const { open, witness } = await world(["k1"], required);
    const times = { cosignWithin: 60_000, optionalCosignWithin: 20 };
    const hl = await open({ cosigners: [silent, witness("w1", "k1")], ...times });
    await record(hl);
    // With the time for required ones, this would not end.
    const note = new TextDecoder().decode(await hl.checkpoint());
    expect(note).toContain("\n— w1 ");
    await hl.close();
  });

  it("are waited for a time that is one", async () => {
    const { open } = await world(["k1"]);
    for (const cosignWithin of [0, -1, 0.5, NaN, Infinity, 2 ** 31, "5" as unknown as number]) {
      await expect(open({ cosignWithin })).rejects.toThrow(RangeError);
      const optionalCosignWithin = cosignWithin;
      await expect(open({ optionalCosignWithin })).rejects.toThrow(RangeError);
    }
  });
});

describe("a receipt's policy path under attack", () => {
  it("is believed as it was made, and in no other way", async () => {
    const { a, open, change, trust, witness } = await world(["k1", "k2", "k3"]);
    const all = ["k1", "k2", "k3"];
    const hl = await open({ cosigners: [witness("w1", ...all), witness("w2", ...all)] });
    const quorumOf = (required: number) => ({
      cosignaturePolicy: { validators: NONE, witnesses: quorum(required, "w1", "w2") },
    });
    await change(hl, { checkpointKeys: [pub("k2")], ...quorumOf(2) });
    await hl.receipt(await record(hl));
    await retire(a, "k1");
    await change(hl, { checkpointKeys: [pub("k3")], ...quorumOf(2) });
    await hl.receipt(await record(hl));
    const id = await record(hl);
    const receipt = decodeReceipt(await hl.receipt(id));
    const judge = (changed: Partial<Receipt>) =>
      reason(verifyReceipt(encodeReceipt({ ...receipt, ...changed }), trust));
    const [one, two] = receipt.policyPath;
    expect(receipt.policyPath).toHaveLength(2);
    expect(judge({})).toBe("ok");
    for (const policyPath of [[], [one!], [two!], [two!, one!], [one!, one!], [two!, two!]]) {
      expect(judge({ policyPath })).not.toBe("ok");
    }
    // A quorum short by one: each signature of each checkpoint on the way is needed.
    const without = (note: Uint8Array, at: number) => {
      const split = splitNote(note);
      if (!split.ok) throw new Error(split.reason);
      return encodeNote(split.note.text, split.note.signatures.toSpliced(at, 1));
    };
    const lines = (note: Uint8Array) => {
      const split = splitNote(note);
      return split.ok ? split.note.signatures.length : 0;
    };
    let tried = 0;
    for (const [i, step] of receipt.policyPath.entries()) {
      for (let at = 0; at < lines(step.checkpoint); at++) {
        const short = { ...step, checkpoint: without(step.checkpoint, at) };
        expect(judge({ policyPath: receipt.policyPath.with(i, short) })).not.toBe("ok");
        tried++;
      }
    }
    for (let at = 0; at < lines(receipt.checkpoint); at++) {
      expect(judge({ checkpoint: without(receipt.checkpoint, at) })).not.toBe("ok");
      tried++;
    }
    // Two keys and two witnesses on each step, one key and two witnesses on the last.
    expect(tried).toBe(4 + 4 + 3);
    // Under a checkpoint that only the first key signed, which the policy gave up.
    const split = splitNote(receipt.checkpoint);
    if (!split.ok) throw new Error(split.reason);
    const cosigned = split.note.signatures.filter(({ name }) => name !== ORIGIN);
    const stolen = await signNote(
      split.note.text,
      [
        {
          name: ORIGIN,
          keyId: noteKey(ORIGIN, NOTE_ED25519, pub("k1")).keyId,
          sign: (text) => signerFor("k1").sign(text),
        },
      ],
      cosigned,
    );
    expect(parseNote(stolen, [noteKey(ORIGIN, NOTE_ED25519, pub("k1"))]).ok).toBe(true);
    expect(judge({ checkpoint: stolen })).toBe("no-checkpoint-signature");
    // Consistency proofs left out or exchanged.
    const { consistency: _proof, ...bare } = two!;
    expect(judge({ policyPath: [one!, bare] })).toBe("not-connected");
    expect(judge({ policyPath: [one!, { ...two!, consistency: [] }] })).toBe("not-connected");
    const { consistency: last, ...unconnected } = receipt;
    expect(reason(verifyReceipt(encodeReceipt(unconnected), trust))).toBe("not-connected");
    const swapped = { ...two!, consistency: last! };
    const other = { policyPath: [one!, swapped], consistency: two!.consistency! };
    expect(judge(other)).toBe("not-connected");
  });

  it("lets trust move on by the steps, and no receipt lead it back", async () => {
    const { open, change, trust } = await world(["k1", "k2"]);
    const hl = await open();
    const id = await record(hl);
    const early = await hl.receipt(id);
    const seen = followCheckpoint(trust, decodeReceipt(early).checkpoint, []);
    if (!seen.ok) throw new Error(seen.reason);
    await change(hl, { checkpointKeys: [pub("k2")] });
    await record(hl);
    expect(await proved(hl, id, seen.trust, seen.trust)).toBe("ok");
    const newer = await moved(hl, trust);
    // By the key that was given up since, and not towards what was seen since.
    expect(reason(verifyReceipt(early, newer))).toBe("no-checkpoint-signature");
    await expect(
      hl.receipt(id, { from: { ...newer, size: newer.size + 1 } }),
    ).rejects.toMatchObject({
      code: "ERR_PROOF_RANGE",
    });
    await expect(
      hl.receipt(id, { from: { ...seen.trust, root: bytesFor("fork") } }),
    ).rejects.toMatchObject({ code: "ERR_PROOF_UNAVAILABLE" });
  });
});
