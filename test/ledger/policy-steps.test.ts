import { describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { signDescription } from "../../src/chain/description.ts";
import {
  decodePolicySteps,
  encodePolicySteps,
  followPolicySteps,
  policyPosition,
} from "../../src/chain/follow-steps.ts";
import { NOTE_ED25519, noteKey } from "../../src/chain/note-key.ts";
import { encodeNote, noteSigner, signNote, splitNote } from "../../src/chain/note.ts";
import {
  followCheckpoint,
  type PolicyStep,
  type Trust,
  trustFromGenesis,
} from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { createWitness, type Witness } from "../../src/chain/witness.ts";
import type { KeyStore } from "../../src/identity/key-store.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { found, type Founders, organisation } from "../support/founders.ts";
import { MRN, observation } from "../support/hospital.ts";
import { bytesFor, signerFor } from "../support/ledger.ts";

let records = 0;
async function record(hl: Ledger) {
  return hl.record(await hl.ensureSubject(MRN), observation(`s${records++}`));
}
const reason = (result: { ok: true } | { ok: false; reason: string }): string =>
  result.ok ? "ok" : result.reason;

/** Follows to the newest checkpoint, as a client does that knows nothing but its trust. */
async function catchUp(hl: Ledger, trust: Trust): Promise<Trust> {
  const note = await hl.checkpoint();
  const followed = followPolicySteps(trust, await hl.governance.policySteps(policyPosition(trust)));
  if (!followed.ok) throw new Error(followed.reason);
  const { size, root } = followed.trust;
  const proof =
    root === undefined || size === hl.chain.size
      ? []
      : await hl.chain.proveConsistency(size, hl.chain.size);
  const newest = followCheckpoint(followed.trust, note, proof);
  if (!newest.ok) throw new Error(newest.reason);
  return newest.trust;
}

async function rotateCheckpointKey(hl: Ledger, keys: KeyStore): Promise<void> {
  const old = keys.list().filter(({ use, retired }) => use === "checkpoint" && !retired);
  const fresh = await keys.generate({ use: "checkpoint" });
  expect(await hl.governance.changeKey({ op: "add", key: fresh.key })).toMatchObject({
    steps: "kept",
  });
  for (const { key } of old) {
    expect(await hl.governance.changeKey({ op: "retire", key })).toMatchObject({ steps: "kept" });
  }
}

/** A witness that knows each key of the log as soon as it is made. */
const witness = (w: Founders, name: string): Witness => {
  const { chains } = memoryStorage();
  const origin = "history.example/founders";
  return {
    cosign: (note, oldSize, proof) => {
      const keys = Object.values(w.keys).flatMap((own) =>
        own
          .list()
          .filter(({ use }) => use === "checkpoint")
          .map(({ publicKey }) => noteKey(origin, NOTE_ED25519, publicKey)),
      );
      const known = { chains, signer: signerFor(name), name, origin, keys };
      return createWitness({ ...known, now: () => w.clock.now }).cosign(note, oldSize, proof);
    },
  };
};

/** A ledger whose checkpoint key was rotated twice, and which then asked for a witness. */
async function thrice() {
  const w = await found(["a", "b"], {
    checkpointKeys: [signerOf(await organisation("a"))],
  });
  const hl = await w.open("a", { cosigners: [witness(w, "w1"), witness(w, "w2")] });
  await record(hl);
  const genesis = trustFromGenesis(w.genesis);
  const early = await catchUp(hl, genesis);
  await rotateCheckpointKey(hl, w.keys["a"]!);
  const { entry } = await record(hl);
  const middle = await catchUp(hl, genesis);
  await rotateCheckpointKey(hl, w.keys["a"]!);
  const quorum = (required: number, ...names: string[]) => ({
    required,
    keys: names.map((name) => ({ name, publicKey: signerFor(name).publicKey })),
  });
  const cosignaturePolicy = { validators: quorum(0), witnesses: quorum(2, "w1", "w2") };
  expect(await w.change(hl, { policy: { cosignaturePolicy } }, ["a", "b"])).toMatchObject({
    steps: "kept",
  });
  await record(hl);
  return { w, hl, genesis, early, middle, entry };
}
const signerOf = (keys: KeyStore): Uint8Array => keys.signer("checkpoint").publicKey;

describe("a client that was offline", () => {
  it("follows two rotations of keys and a change of cosigners from wherever it was", async () => {
    const { w, hl, genesis, early, middle, entry } = await thrice();
    const newest = signerOf(w.keys["a"]!);
    for (const [at, trust] of [genesis, early, middle].entries()) {
      const followed = await catchUp(hl, trust);
      expect(followed.checkpointKeys).toEqual([newest]);
      expect(followed.cosignaturePolicy.witnesses.required).toBe(2);
      expect(followed.size).toBe(hl.chain.size);
      expect(followed.root).toEqual(hl.chain.root);
      // Without the steps the newest checkpoint says nothing to it.
      const alone = followCheckpoint(trust, await hl.checkpoint(), []);
      expect(reason(alone), String(at)).toBe("no-checkpoint-signature");
      const receipt = await hl.receipt(entry, { from: followed });
      expect(verifyReceipt(receipt, followed)).toMatchObject({ ok: true });
      // Asking again where nothing changed: no steps.
      const more = await hl.governance.policySteps(policyPosition(followed));
      const { steps } = decodePolicySteps(more);
      expect(steps.length).toBeLessThanOrEqual(1);
      expect(followPolicySteps(followed, more)).toMatchObject({ ok: true });
    }
    await hl.close();
    expect(await w.open("b").then(async (b) => (await b.verify()).ok)).toBe(true);
  });

  it("refuses steps where one is missing, forged, reordered or signed by the new keys only", async () => {
    const { w, hl, genesis, early } = await thrice();
    const { ledger, steps } = decodePolicySteps(await hl.governance.policySteps());
    expect(steps.length).toBeGreaterThanOrEqual(3);
    const judge = (changed: readonly PolicyStep[], trust = genesis) =>
      reason(followPolicySteps(trust, encodePolicySteps(ledger, changed)));
    expect(judge(steps)).toBe("ok");
    for (let i = 0; i + 1 < steps.length; i++) {
      expect(judge(steps.toSpliced(i, 1)), `without ${i}`).not.toBe("ok");
      const swapped = steps.with(i, steps[i + 1]!).with(i + 1, steps[i]!);
      expect(judge(swapped), `swapped ${i}`).not.toBe("ok");
    }
    // Cut off: the trust stays behind, and what the keys sign that it does not know is refused.
    const newest = signerOf(w.keys["a"]!);
    let behind = 0;
    for (let i = 0; i < steps.length; i++) {
      const trust = await trustAfter(genesis, ledger, steps.slice(0, i));
      if (trust.checkpointKeys.some((key) => toHex(key) === toHex(newest))) continue;
      behind++;
      const proof =
        trust.root === undefined ? [] : await hl.chain.proveConsistency(trust.size, hl.chain.size);
      expect(reason(followCheckpoint(trust, await hl.checkpoint(), proof))).toBe(
        "no-checkpoint-signature",
      );
    }
    expect(behind).toBeGreaterThanOrEqual(2);
    // Each signature of each step is needed by the policy before or after it, but for spare ones.
    for (const [i, step] of steps.entries()) {
      const split = splitNote(step.checkpoint);
      if (!split.ok) throw new Error(split.reason);
      const { text, signatures } = split.note;
      const before = i === 0 ? genesis : await trustAfter(genesis, ledger, steps.slice(0, i));
      const byNew = signatures.filter(({ keyId }) => !signs(before, keyId));
      expect(byNew.length).toBeLessThan(signatures.length);
      const onlyNew = { ...step, checkpoint: encodeNote(text, byNew) };
      expect(judge(steps.with(i, onlyNew)), `new keys only at ${i}`).not.toBe("ok");
      const spoilt = signatures.map((line) => ({
        ...line,
        signature: line.signature.with(7, line.signature[7]! ^ 1),
      }));
      const bad = { ...step, checkpoint: encodeNote(text, spoilt) };
      expect(judge(steps.with(i, bad))).not.toBe("ok");
      for (const forged of [
        { ...step, policy: step.policy.with(40, step.policy[40]! ^ 1) },
        { ...step, policy: steps[(i + 1) % steps.length]!.policy },
        { ...step, header: steps[(i + 1) % steps.length]!.header },
        { ...step, path: step.path.map((hash) => hash.with(0, hash[0]! ^ 1)) },
      ]) {
        if (toHex(encodePolicySteps(ledger, [forged])) === toHex(encodePolicySteps(ledger, [step])))
          continue;
        expect(judge(steps.with(i, forged)), `forged ${i}`).not.toBe("ok");
      }
    }
    // A thief of all former keys cannot lead a client away from what it has seen.
    const stolen = await organisation("a");
    const fork = noteSigner(stolen.signer("checkpoint"), "history.example/founders");
    const text = new TextEncoder().encode(
      `history.example/founders\n${steps[0]!.path.length + 9}\n${Buffer.from(bytesFor("fork")).toString("base64")}\n`,
    );
    const forked = { ...steps[0]!, checkpoint: await signNote(text, [fork]) };
    expect(judge([forked, ...steps.slice(1)])).toBe("header-not-included");
    expect(judge([forked, ...steps.slice(1)], early)).not.toBe("ok");
    // Of another ledger.
    const other = await (await found(["a", "b"], { origin: "history.example/other" })).open("a");
    expect(judge(steps, trustFromGenesis(other.chain.genesisBytes))).toBe("other-ledger");
    void w;
  });

  const signs = (trust: Trust, id: number): boolean =>
    trust.checkpointKeys.some(
      (publicKey) =>
        noteSigner({ ...signerFor("x"), publicKey }, "history.example/founders").keyId === id,
    );

  async function trustAfter(trust: Trust, ledger: Ledger["id"], steps: readonly PolicyStep[]) {
    const followed = followPolicySteps(trust, encodePolicySteps(ledger, steps));
    if (!followed.ok) throw new Error(followed.reason);
    return followed.trust;
  }

  it("is told where it claims to be further than the ledger", async () => {
    const { hl } = await thrice();
    for (const position of [
      { size: hl.chain.size + 99 },
      { policyHeight: hl.chain.size },
      { policyHeight: -1 },
      { size: 0.5 },
    ]) {
      await expect(hl.governance.policySteps(position)).rejects.toMatchObject({
        code: "ERR_PROOF_RANGE",
      });
    }
    const trust = trustFromGenesis(hl.chain.genesisBytes);
    await expect(hl.governance.policySteps(trust as never)).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
  });
});

describe("the step of a change", () => {
  /** A storage whose chain of steps takes nothing while it is cut off. */
  function cutting(storage: FullStorage) {
    const state = { cut: false };
    const chains: FullStorage["chains"] = {
      ...storage.chains,
      caps: storage.chains.caps,
      append: (name, expected, added) =>
        state.cut && name.endsWith("/policy")
          ? Promise.reject(new Error("killed"))
          : storage.chains.append(name, expected, added),
    };
    return { state, storage: { ...storage, chains } as FullStorage };
  }

  it("is made up for by the next opening, where the process died in between", async () => {
    const w = await found(["a", "b"], { checkpointKeys: [signerOf(await organisation("a"))] });
    const { state, storage } = cutting(w.storage as FullStorage);
    const hl = await w.open("a", { storage, settleWithin: 20 });
    await record(hl);
    const keys = w.keys["a"]!;
    const fresh = await keys.generate({ use: "checkpoint" });
    state.cut = true;
    expect(await hl.governance.changeKey({ op: "add", key: fresh.key })).toMatchObject({
      steps: "missing",
    });
    // The entry is there; the step is not. The process is never closed.
    const b = await w.open("b");
    expect(b.chain.state.policy().checkpointKeys).toHaveLength(2);
    const genesis = trustFromGenesis(w.genesis);
    expect(decodePolicySteps(await b.governance.policySteps()).steps).toHaveLength(0);
    // Another member cannot take away the key that the step needs.
    const retire = { members: [{ change: keys.signer().actor, roles: ["custodian"] as const }] };
    const own = await w.keys["b"]!.generate({ use: "checkpoint" });
    await b.governance.changeKey({ op: "add", key: own.key });
    await expect(w.change(b, retire, ["a", "b"])).rejects.toMatchObject({
      code: "ERR_CHAIN_POLICY",
    });
    const again = await w.open("a");
    expect(decodePolicySteps(await again.governance.policySteps()).steps).not.toHaveLength(0);
    const old = keys.list().find(({ use }) => use === "checkpoint")!;
    expect(await again.governance.changeKey({ op: "retire", key: old.key })).toMatchObject({
      steps: "kept",
    });
    expect((await catchUp(again, genesis)).checkpointKeys).toHaveLength(2);
    await w.change(b, retire, ["a", "b"]);
    const last = await catchUp(b, genesis);
    expect(last.checkpointKeys).toEqual([own.publicKey]);
  });

  it("is broken only on purpose, and then readers of old are told so", async () => {
    const w = await found(["a", "b"], { checkpointKeys: [signerOf(await organisation("a"))] });
    const b = await w.open("b");
    await record(b);
    const own = await w.keys["b"]!.generate({ use: "checkpoint" });
    // The key of the genesis record is lost: nobody can sign the step.
    expect(await b.governance.changeKey({ op: "add", key: own.key })).toMatchObject({
      steps: "missing",
    });
    const change = { policy: { checkpointKeys: [own.publicKey] } };
    const approver = async (proposal: Uint8Array) =>
      (await w.open("a", { readOnly: true })).governance.approve(proposal);
    const proposal = await b.governance.propose(change);
    const approvals = [await approver(proposal), await b.governance.approve(proposal)];
    await expect(b.governance.enact(proposal, approvals)).rejects.toMatchObject({
      code: "ERR_CHAIN_POLICY",
    });
    await expect(
      b.governance.enact(proposal, approvals, { breakstep: true } as never),
    ).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
    const broken = await b.governance.enact(proposal, approvals, { breakSteps: true });
    expect(broken.steps).toBe("missing");
    const { entry } = await record(b);
    await expect(b.receipt(entry)).rejects.toMatchObject({ code: "ERR_CHAIN_POLICY" });
  });

  it("is taken from another member's store, and from no forger", async () => {
    const w = await found(["a", "b"], { checkpointKeys: [signerOf(await organisation("a"))] });
    const hl = await w.open("a");
    await record(hl);
    await rotateCheckpointKey(hl, w.keys["a"]!);
    await record(hl);
    const steps = await hl.governance.policySteps();
    const { ledger, steps: read } = decodePolicySteps(steps);
    const copy = memoryStorage();
    for await (const { record: block } of w.storage.chains!.read(`${hl.id.toString()}/blocks`, {
      ...{ from: 0, limit: hl.chain.size },
    })) {
      const name = `${hl.id.toString()}/blocks`;
      await copy.chains.append(name, await copy.chains.head(name), [block]);
    }
    const b = await w.open("b", { storage: copy, signedHeads: "store" });
    const spoilt = read.map((step) => ({
      ...step,
      policy: step.policy.with(9, step.policy[9]! ^ 1),
    }));
    for (const [bytes, code] of [
      [encodePolicySteps(ledger, spoilt), "ERR_PROOF_INVALID"],
      [encodePolicySteps(ledger, [...read, ...spoilt]), "ERR_PROOF_INVALID"],
      [new Uint8Array(5), /^ERR_ENCODING_/],
    ] as const) {
      await expect(b.governance.takePolicySteps(bytes)).rejects.toMatchObject({
        code: typeof code === "string" ? code : (expect.stringMatching(code) as unknown),
      });
    }
    expect(decodePolicySteps(await b.governance.policySteps()).steps).toHaveLength(0);
    expect(await b.governance.takePolicySteps(encodePolicySteps(ledger, read.slice(0, 1)))).toBe(
      read.length === 1,
    );
    expect(await b.governance.takePolicySteps(steps)).toBe(true);
    expect(toHex(await b.governance.policySteps())).toBe(toHex(steps));
  });
});

describe("the list of members", () => {
  it("is refused where the store left one out", async () => {
    const w = await found(["a", "b"]);
    const hl = await w.open("a");
    const joins = await signDescription(await organisation("c"), {
      ...{ name: "c", roles: ["auditor"], for: hl.id },
    });
    await w.change(hl, { members: [{ add: joins }] }, ["a", "b"]);
    await record(hl);
    expect(await hl.governance.members()).toHaveLength(3);
    const { state } = w.storage as FullStorage;
    const prefix = new Uint8Array([
      ...new TextEncoder().encode("chain/"),
      ...hl.id.multihash.digest.subarray(0, 16),
      5,
    ]);
    const rows: Uint8Array[] = [];
    for await (const { key } of state.scan({
      gte: prefix,
      lt: new Uint8Array([...prefix.slice(0, -1), 6]),
    })) {
      rows.push(key);
    }
    expect(rows).toHaveLength(1);
    await state.batch(rows.map((key) => ({ key, value: null })));
    await expect(hl.governance.members()).rejects.toMatchObject({ code: "ERR_CHAIN_INVALID" });
    await hl.close();
    const mended = await w.open("a", { repair: { derived: true } });
    expect(await mended.governance.members()).toHaveLength(3);
  });
});
