import { describe, expect, it } from "vitest";
import { randomBytes } from "#crypto";
import { encodeBlock } from "../../src/block/block.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { openDerived } from "../../src/chain/derived.ts";
import { openState } from "../../src/chain/ledger-state.ts";
import { encodeHeader, headerCid } from "../../src/block/header.ts";
import {
  encodeKeyState,
  encodeMemberState,
  keyStateKey,
  memberKey,
  POLICY_KEY,
} from "../../src/chain/state.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import type { KeyStore } from "../../src/identity/key-store.ts";
import { signWith } from "../../src/identity/signer.ts";
import { createRequest } from "../../src/ledger/disclosure/request.ts";
import { treeRoot } from "../../src/merkle/tree.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { keysFor, MRN, observation } from "../support/hospital.ts";
import { foundLedger } from "../support/ledger.ts";
import { opened, ward, type Ward } from "../support/ward.ts";

/** A hospital that was closed with one record in it, and a stranger with keys of his own. */
async function attacked() {
  const w = await ward();
  await w.hl.record(w.me, observation("o1"));
  await w.permit();
  const seen = { ...trustFromGenesis(w.genesis), size: w.hl.chain.size, root: w.hl.chain.root };
  await w.hl.close();
  return { w, seen, evil: await keysFor("evil") };
}

/** Writes a state in which the stranger is a sequencer, well formed, and the mark that names it. */
async function forgeState(w: Ward, evil: KeyStore) {
  const derived = openDerived(w.storage.state!, w.hl.id);
  const mark = (await derived.mark())!;
  const state = openState(mark.root, derived.stateNodes);
  const [s, a] = [evil.signer(), evil.agreement()];
  const key = { actor: s.actor, from: 0, until: null, compromisedSince: null };
  const changes = new Map([
    [
      memberKey(s.actor),
      encodeMemberState({ roles: ["sequencer"], from: 0, until: null, keys: [s.key, a.key] }),
    ],
    [
      keyStateKey(s.key),
      encodeKeyState({ ...key, use: "sign", alg: "Ed25519", publicKey: s.publicKey }),
    ],
    [
      keyStateKey(a.key),
      encodeKeyState({ ...key, use: "agree", alg: "X25519", publicKey: a.publicKey }),
    ],
  ]);
  await state.load([POLICY_KEY, ...changes.keys()]);
  const nodes = state.apply(changes);
  derived.add({
    height: mark.size - 1,
    completed: [],
    nodes,
    transactions: [],
    root: state.root,
    record: mark.record,
  });
  await derived.flush();
  return { derived, mark: { ...mark, root: state.root } };
}

const ask = async (w: Ward, evil: KeyStore, hl: Ward["hl"]) =>
  hl.disclose(
    await createRequest({
      patient: MRN,
      purposes: ["TREAT"],
      ledger: hl.id,
      custodian: hl.member,
      custodianKey: w.hospitalA.agreement(),
      signer: evil.signer(),
      agreement: evil.agreement(),
      now: w.clock.now,
      random: randomBytes,
    }),
  );

describe("openLedger, on a store that somebody without a key wrote to", () => {
  it("does not believe a state that no block led to", async () => {
    const { w, seen, evil } = await attacked();
    const { derived, mark } = await forgeState(w, evil);
    // A chain told to trust the store does: so much the forgery is worth.
    const naive = await openChain({ storage: w.storage, genesis: w.genesis, trustStore: true });
    expect(naive.state.root).toEqual(mark.root);
    // Nor signed by the stranger under the member's name.
    const own = w.hospitalA.signer();
    derived.addSigned(own.key, mark, await signWith(evil.signer(), "anchor", new Uint8Array(1)));
    await derived.flush();
    for (const trust of [undefined, seen]) {
      const hl = await w.again(trust === undefined ? {} : { trust });
      expect(await ask(w, evil, hl)).toMatchObject({ ok: false });
      expect(hl.chain.state.root).not.toEqual(mark.root);
      // What the hospital itself permits goes on.
      const answer = await hl.request(w.b, { patient: MRN, purposes: ["TREAT"] });
      expect(await opened(answer)).toHaveLength(1);
      await hl.close();
    }
  });

  it("does not believe a block that a forged state would admit", async () => {
    const { w, evil } = await attacked();
    const { mark } = await forgeState(w, evil);
    const forger = await openChain({ storage: w.storage, genesis: w.genesis, trustStore: true });
    const signer = evil.signer();
    const header = encodeHeader({
      v: 1,
      ledger: forger.ledger,
      height: forger.size,
      prev: headerCid(forger.tip.header!),
      transactions: treeRoot([]),
      count: 0,
      state: mark.root,
      time: w.clock.now,
      proposer: signer.actor,
      key: signer.key,
    });
    const sig = await signWith(signer, "header", header);
    const block = encodeBlock({ header, alg: "Ed25519", sig, transactions: [] });
    const record = forger.recordFor(header, block);
    await w.storage.chains!.append(blocksChain(forger.ledger), forger.head, [record]);
    // It stands for who believes the state, and for nobody else.
    expect(await forger.refresh()).toBe(forger.size);
    await forger.close();
    await expect(w.again()).rejects.toMatchObject({
      code: "ERR_CHAIN_INVALID",
      message: expect.stringContaining("wrong-state"),
    });
  });
});

describe("openLedger with trust", () => {
  it("opens what extends what was seen, at any size", async () => {
    const { w } = await attacked();
    for (let size = 0; size <= w.hl.chain.size; size++) {
      const trust = { ...trustFromGenesis(w.genesis), size, root: await w.hl.chain.rootAt(size) };
      const again = await w.again({ trust });
      expect(again.chain.size, `trust of ${size} blocks`).toBe(w.hl.chain.size);
      await again.close();
    }
  });

  it("refuses another ledger, a shorter history and another root", async () => {
    const { w, seen } = await attacked();
    const other = { ...seen, ledger: (await foundOther()).ledger };
    const longer = { ...seen, size: seen.size + 1 };
    const refused = [other, longer];
    for (const size of [0, 1, seen.size - 1, seen.size]) {
      const root = (await w.hl.chain.rootAt(size)).slice();
      root[31]! ^= 1;
      refused.push({ ...seen, size, root });
    }
    for (const trust of refused) {
      await expect(w.again({ trust })).rejects.toMatchObject({
        code: "ERR_CHAIN_INVALID",
        message: expect.stringContaining("trusted"),
      });
    }
  });

  it("refuses a store that was rolled back, which is sound in itself", async () => {
    const { w, seen } = await attacked();
    const older = memoryStorage();
    const name = blocksChain(w.hl.id);
    const records: Uint8Array[] = [];
    for await (const { record } of w.storage.chains!.read(name, { from: 0 })) records.push(record);
    await older.chains.append(name, { size: 0, hash: null }, records.slice(0, -1));
    await expect(w.again({ storage: older, trust: seen })).rejects.toMatchObject({
      code: "ERR_CHAIN_INVALID",
    });
    // Nor is a new vault founded where the member's entries tell of one that is lost.
    await expect(w.again({ storage: older })).rejects.toMatchObject({
      code: "ERR_STORAGE_CORRUPT",
      message: expect.stringContaining("vault's root is lost"),
    });
  });
});

async function foundOther() {
  const { genesis } = await foundLedger({ a: ["sequencer"] }, { threshold: 1 });
  return trustFromGenesis(genesis);
}
