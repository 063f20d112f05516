import { afterEach, describe, expect, it } from "vitest";
import { decodeForkEvidence } from "../../src/chain/fork-evidence.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { peerOf } from "../support/network.ts";
import { codeOf, emptied, twoHospitals, type TwoHospitals } from "../support/elsewhere.ts";
import { forgedEvidence } from "../support/forks.ts";
import { signerFor } from "../support/ledger.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { collect, texts, ward } from "../support/ward.ts";
import type { FoundFork } from "../../src/network/replica.ts";

const FORKED = "ERR_CHAIN_FORKED";

describe("a ledger whose checkpoint key signed two histories", () => {
  it("files, signs and releases nothing until its operator decides, and reads what is its own", async () => {
    const w = await ward();
    const { hl, me } = w;
    const { id } = await hl.record(me, observation("bp-1"));
    await w.permit();
    await w.ask();
    const other = await w.again();
    const { size } = hl.chain;
    const { origin } = hl.chain.genesis;
    const evidence = await forgedEvidence(origin, [w.hospitalA.signer("checkpoint")], size);
    const request = await w.request();
    expect(await hl.takeFork(evidence)).toEqual({ frozen: true, cosigners: [] });
    expect(await hl.fork()).toEqual(evidence);
    // The other process knows it by the store alone.
    for (const ledger of [hl, other]) {
      const refused = {
        ensureSubject: () => ledger.ensureSubject({ ...MRN, value: "new" }),
        record: () => ledger.record(me, observation("bp-2")),
        consent: () => ledger.consent(me, treatmentOnly(w.patient), { signer: w.patient }),
        request: () => ledger.request(w.b, { patient: MRN, purposes: ["TREAT"] }),
        disclose: () => ledger.disclose(request),
        erase: () => ledger.erase(me, { reason: "asked" } as never),
        checkpoint: () => ledger.checkpoint(),
        export: () => ledger.export(),
        governance: () => ledger.governance.submit([] as never),
        sequencer: () => ledger.sequencer.ready(),
      };
      for (const [what, call] of Object.entries(refused)) {
        expect(await codeOf(call()), what).toBe(FORKED);
      }
      expect(new TextDecoder().decode(await ledger.read(id))).toBe(observation("bp-1"));
      expect(await ledger.records(me)).toHaveLength(1);
      expect(await collect(ledger.audit(me))).not.toHaveLength(0);
      expect(ledger.chain.size).toBe(size);
      await ledger.close();
    }
    const again = await w.again();
    expect(await codeOf(again.record(me, observation("bp-2")))).toBe(FORKED);
    await again.close();
    const trust = trustFromGenesis(w.genesis);
    const early = { ...trust, size: 1, root: await rootAt(w, 1) };
    const still = await w.again({ trust: early });
    expect(await codeOf(still.checkpoint())).toBe(FORKED);
    await still.close();
    const thawed = await w.again({ trust: { ...trust, size, root: await rootAt(w, size) } });
    expect(await thawed.fork()).toBeUndefined();
    await thawed.record(me, observation("bp-2"));
    expect(await texts(await thawed.request(w.b, { patient: MRN, purposes: ["TREAT"] }))).toEqual([
      observation("bp-1"),
      observation("bp-2"),
    ]);
    // The same evidence stops nothing any more, by whomever it is brought.
    expect(await thawed.takeFork(evidence)).toEqual({ frozen: false, cosigners: [] });
    await thawed.close();
    const later = await w.again();
    expect(await later.fork()).toBeUndefined();
    await later.record(me, observation("bp-3"));
  }, 60_000);

  it("is stopped by no key that is not a checkpoint key in force", async () => {
    const w = await ward();
    const { origin } = w.hl.chain.genesis;
    for (const signer of [w.hospitalA.signer(), signerFor("thief"), w.patient]) {
      const evidence = await forgedEvidence(origin, [signer]);
      expect((await w.hl.takeFork(evidence)).frozen).toBe(false);
    }
    await w.hl.record(w.me, observation("bp-1"));
    expect(await w.hl.fork()).toBeUndefined();
  });
});

async function rootAt(w: Awaited<ReturnType<typeof ward>>, size: number): Promise<Uint8Array> {
  const hl = await w.again();
  const root = await hl.chain.rootAt(size);
  await hl.close();
  return root;
}

describe("a member elsewhere that is shown two histories", () => {
  let two: TwoHospitals;
  afterEach(() => two.close());

  it("keeps the evidence, hands in nothing, and sends what waits once its operator decides", async () => {
    two = await twoHospitals();
    const hl = await two.open();
    const patient = await hl.ensureSubject(MRN);
    await hl.record(patient, observation("bp-1"));
    await hl.close();
    const { size } = two.source.newest!;
    const root = await two.home.chain.rootAt(size);
    const signer = two.homeKeys.signer("checkpoint");
    const { origin } = two.home.chain.genesis;
    // A peer that shows a checkpoint of the home's key and of the same size, with another root.
    const evidence = decodeForkEvidence(await forgedEvidence(origin, [signer], size));
    const forger = { ...peerOf(two.source), checkpoint: async () => evidence.second };
    const found: FoundFork[] = [];
    const onFork = (fork: FoundFork): void => void found.push(fork);
    const shown = await two.open({ peers: [forger], onFork });
    expect(found).toMatchObject([{ frozen: true }]);
    const handedIn = two.peer.handedIn.length;
    expect(await codeOf(shown.record(patient, observation("bp-2")))).toBe(FORKED);
    expect(await codeOf(shown.export())).toBe(FORKED);
    const kept = decodeForkEvidence((await shown.fork())!);
    expect([kept.first, kept.second]).toContainEqual(evidence.second);
    expect(await shown.records(patient)).toHaveLength(1);
    await shown.close();
    const again = await two.open();
    expect(await codeOf(again.record(patient, observation("bp-2")))).toBe(FORKED);
    await again.close();
    expect(two.peer.handedIn).toHaveLength(handedIn);
    const trust = { ...trustFromGenesis(two.genesis), size, root };
    const decided = await two.open({ peers: [forger], trust });
    await decided.record(patient, observation("bp-2"));
    await emptied(two, decided);
    expect(await decided.records(patient)).toHaveLength(2);
    expect(await decided.fork()).toBeUndefined();
    await decided.close();
  }, 60_000);
});
