import { afterEach, describe, expect, it } from "vitest";
import { decodeForkEvidence } from "../../src/chain/fork-evidence.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { GOVERNANCE_CALLS, LEDGER_CALLS } from "../../src/ledger/until-closed.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { peerOf } from "../support/network.ts";
import { codeOf, emptied, twoHospitals, until, type TwoHospitals } from "../support/elsewhere.ts";
import { forgedEvidence } from "../support/forks.ts";
import { recordEntries, signerFor } from "../support/ledger.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { collect, texts, ward } from "../support/ward.ts";
import { sleep } from "../../src/storage/sleep.ts";
import type { ChainError } from "../../src/errors.ts";
import type { LedgerPeer } from "../../src/transport/types.ts";
import type { FoundFork } from "../../src/network/replica.ts";

const FORKED = "ERR_CHAIN_FORKED";
/** What a frozen ledger still does. */
const READS_ONLY = [
  ...["findSubject", "mixed", "proposals", "find", "unassigned", "read", "attachments", "records"],
  ...["held", "evidence", "directives", "decide", "pull", "deliveries", "audit", "pendingReviews"],
  "compact",
  ...["pendingErasures", "pendingWork", "fork", "takeFork", "verify", "verifyBlobs", "lost"],
  ...["contractValue", "follow", "outbox", "members", "propose", "explain", "policySteps"],
];

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

  it("refuses every call that is not known to read only, in each process", async () => {
    const w = await ward();
    const { hl, me } = w;
    const { id } = await hl.record(me, observation("bp-1"));
    const other = await w.again();
    const { origin } = hl.chain.genesis;
    const { size } = hl.chain;
    await hl.takeFork(await forgedEvidence(origin, [w.hospitalA.signer("checkpoint")], size));
    // What another process has kept is seen when the block is about to be appended.
    const transaction = await signTransaction(w.hospitalA.signer(), {
      ...{ ledger: hl.id, lane: 900, seq: 0, time: w.clock.now, entries: recordEntries(1) },
    });
    expect(await codeOf(other.sequencer.submit(transaction).durable)).toBe(FORKED);
    const entry = [{ resource: JSON.parse(observation("bp-3")) as object }];
    const bundle = JSON.stringify({ resourceType: "Bundle", type: "collection", entry });
    // Without a person some would say so, and some read what they are given before they wait for anything.
    const given: Record<string, readonly unknown[]> = {
      merge: [me, me],
      reattribute: [id, me],
      assign: [id, me],
      relabelStale: [],
      deliverPending: [],
      record: [me, observation("bp-2")],
      amend: [id, observation("bp-2")],
      recordBundle: [me, bundle],
    };
    for (const ledger of [other, hl]) {
      const readsOnly: string[] = [];
      const calls = [
        ...Object.entries(LEDGER_CALLS).map(([name, guard]) => ({ of: ledger, name, guard })),
        ...Object.entries(GOVERNANCE_CALLS).map(([name, guard]) => {
          return { of: ledger.governance, name, guard };
        }),
      ];
      for (const { of, name, guard } of calls) {
        const call = (of as unknown as Record<string, (...all: unknown[]) => Promise<unknown>>)[
          name
        ];
        if (["reads", "iterates"].includes(guard)) readsOnly.push(name);
        else if (guard !== "ends") {
          expect(await codeOf(call!(...(given[name] ?? (of === ledger ? [me] : [])))), name).toBe(
            FORKED,
          );
        }
      }
      expect(readsOnly).toEqual(READS_ONLY);
      expect(ledger.chain.size).toBe(size);
      await ledger.close();
    }
  }, 60_000);

  it("appends nothing that waited in the queue when the evidence came", async () => {
    const w = await ward();
    const { hl } = w;
    const other = await w.again();
    const { size } = hl.chain;
    const { origin } = hl.chain.genesis;
    const evidence = await forgedEvidence(origin, [w.hospitalA.signer("checkpoint")], size);
    const [first, second] = await Promise.all(
      [0, 1].map((seq) =>
        signTransaction(w.hospitalA.signer(), {
          ...{ ledger: hl.id, lane: 900, seq, time: w.clock.now, entries: recordEntries(1) },
        }),
      ),
    );
    let waiting: Promise<string> | undefined;
    w.traps.before = async () => {
      waiting = codeOf(hl.sequencer.submit(second!).durable);
      await other.takeFork(evidence);
    };
    await hl.sequencer.submit(first!).durable;
    expect(await waiting).toBe(FORKED);
    expect(await hl.chain.refresh()).toBe(size + 1);
    await other.close();
    await hl.close();
  });

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
    // A head of another history, and one that nobody has yet, thaw nothing, now or later.
    const others = { ...trustFromGenesis(two.genesis), size: size + 5, root: new Uint8Array(32) };
    expect(await codeOf(two.open({ trust: others }))).toBe("ERR_CHAIN_INVALID");
    const still = await two.open();
    expect(await codeOf(still.record(patient, observation("bp-2")))).toBe(FORKED);
    expect(await codeOf(still.export())).toBe(FORKED);
    await still.close();
    expect(two.peer.handedIn).toHaveLength(handedIn);
    const trust = { ...trustFromGenesis(two.genesis), size, root };
    const decided = await two.open({ peers: [forger], trust });
    await decided.record(patient, observation("bp-2"));
    await emptied(two, decided);
    expect(await decided.records(patient)).toHaveLength(2);
    expect(await decided.fork()).toBeUndefined();
    await decided.close();
  }, 60_000);

  it("asks the home for nothing while it is frozen, and says why what was written waits", async () => {
    two = await twoHospitals();
    const frozen = { asked: 0, is: false };
    const home: LedgerPeer = {
      ...two.peer,
      checkpoint: async (options) => {
        if (frozen.is) frozen.asked++;
        return two.peer.checkpoint(options);
      },
    };
    const hl = await two.open({ home, settleWithin: 2000 });
    const patient = await hl.ensureSubject(MRN);
    const { size } = two.source.newest!;
    const { origin } = two.home.chain.genesis;
    const evidence = await forgedEvidence(origin, [two.homeKeys.signer("checkpoint")], size);
    // Evidence comes while the home records.
    two.peer.before = async () => {
      expect(await hl.takeFork(evidence)).toMatchObject({ frozen: true });
      frozen.is = true;
      return undefined;
    };
    const recorded = codeOf(hl.record(patient, observation("bp-1")));
    await until(two, async () => (await hl.outbox())[0]?.error !== undefined);
    // Twenty times as long for the member.
    await sleep(300);
    expect(frozen.asked).toBeLessThanOrEqual(2);
    expect((await hl.outbox())[0]!.error).toMatchObject({ code: FORKED });
    expect(two.faults.map(({ error }) => (error as ChainError).code)).toContain(FORKED);
    expect(two.faults.length).toBeLessThan(10);
    expect(await recorded).toBe("ERR_CHAIN_PENDING");
    await hl.close();
  }, 60_000);
});
