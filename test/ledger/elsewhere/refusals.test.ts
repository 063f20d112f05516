import { afterEach, describe, expect, it } from "vitest";
import { toHex } from "../../../src/bytes/hex.ts";
import { signTransaction } from "../../../src/block/transaction.ts";
import { TransactionRefused } from "../../../src/chain/submission.ts";
import { TransportError } from "../../../src/errors.ts";
import { memorySigner } from "../../../src/identity/signer.ts";
import { outboxRows } from "../../../src/ledger/elsewhere/outbox-rows.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import { codeOf, counts, emptied, twoHospitals, until } from "../../support/elsewhere.ts";
import type { TwoHospitals } from "../../support/elsewhere.ts";
import { MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor, recordEntries, START } from "../../support/ledger.ts";
import { snapshotOf, storageFrom, VAULT } from "../../support/loss-scene.ts";

let two: TwoHospitals;
const opened: { close(): Promise<void> }[] = [];
async function open(...given: Parameters<TwoHospitals["open"]>): Promise<Ledger> {
  const hl = await two.open(...given);
  opened.push(hl);
  return hl;
}
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
  await two.close();
});

const refusal = { ok: false, reason: "rule-refused" } as const;

/** Rows of the outbox in the member's store. */
const rowsOf = (hl: Ledger) => outboxRows(two.awayStorage.state!, hl.id).list();

const witness = { user: "clerk-7", form: "paper", takenAt: START } as const;
const patient = memorySigner({ alg: "Ed25519", secret: bytesFor("patient") });

describe("what a home refuses", () => {
  it("is told, and leaves nothing behind once it can never be recorded", async () => {
    two = await twoHospitals();
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    const first = await two.awayStorage.blobs!.count();
    await hl.record(me, observation("o1"));
    const blobs = await two.awayStorage.blobs!.count();
    two.peer.before = (all) => all.map(() => refusal);
    const error = await hl.record(me, observation("o2")).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(TransactionRefused);
    expect((error as TransactionRefused).refused).toEqual({ reason: "rule-refused" });
    expect(await hl.outbox()).toEqual([]);
    // The home could still record it: nothing is deleted yet.
    expect(await two.awayStorage.blobs!.count()).toBeGreaterThan(blobs);
    const { state: before } = await snapshotOf(two.awayStorage as never);
    two.peer.before = () => undefined;
    await hl.record(me, observation("o3"));
    await until(two, async () => (await rowsOf(hl)).length === 0);
    expect(await hl.records(me)).toHaveLength(2);
    expect((await two.awayStorage.blobs!.count()) - blobs).toBe(blobs - first);
    const { state } = await snapshotOf(two.awayStorage as never);
    const gone = [...before.keys()].filter((key) => key.startsWith(VAULT) && !state.has(key));
    expect(gone).toHaveLength(1);
  });

  it("opens all the same if the home recorded it", async () => {
    two = await twoHospitals();
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    two.peer.after = (all) => all.map(() => refusal);
    expect(await codeOf(hl.record(me, observation("o1")))).toBe("ERR_CHAIN_REFUSED");
    two.peer.after = (all) => all;
    await hl.record(me, observation("o2"));
    await until(two, async () => (await rowsOf(hl)).length === 0);
    expect(await hl.lost()).toEqual([]);
    const records = await hl.records(me);
    expect(records).toHaveLength(2);
    const texts = await Promise.all(records.map(({ record }) => hl.read(record)));
    expect(texts.map((text) => new TextDecoder().decode(text))).toEqual([
      observation("o1"),
      observation("o2"),
    ]);
    expect((await hl.verifyBlobs()).missing).toEqual([]);
  });

  it("stays visible until dismissed if nobody was told, and nothing is decided without a refusal", async () => {
    two = await twoHospitals();
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    await hl.record(me, observation("o1"));
    const question = { requester: two.home.member, purposes: ["TREAT"] };
    expect(await codeOf(hl.decide(me, question))).toBe("resolved");
    two.peer.isDown = true;
    const consent = () => hl.consent(me, treatmentOnly(patient), { witness });
    expect(await codeOf(consent())).toBe("ERR_CHAIN_PENDING");
    expect(await codeOf(hl.decide(me, question))).toBe("ERR_CHAIN_PENDING");
    expect(await codeOf(hl.disclose(Uint8Array.of(1)))).toBe("ERR_CHAIN_PENDING");
    two.peer.before = (all) => all.map(() => refusal);
    two.peer.isDown = false;
    await until(two, async () => (await hl.outbox())[0]?.refused === "rule-refused");
    await hl.close();
    const again = await open();
    const [item] = await again.outbox();
    expect(item).toMatchObject({ refused: "rule-refused", since: two.clock.now });
    expect(await codeOf(again.decide(me, question))).toBe("ERR_CHAIN_PENDING");
    expect(await codeOf(again.dismissRefused("nothing"))).toBe("ERR_INPUT_INVALID");
    await again.dismissRefused(item!.id);
    expect(await again.outbox()).toEqual([]);
    expect(await codeOf(again.decide(me, question))).toBe("resolved");
    expect(await codeOf(again.dismissRefused(item!.id))).toBe("resolved");
  });
});

describe("a refusal that is being written", () => {
  /** A store that keeps a change of the state, and says so only once it is let. */
  function slowToAnswer() {
    const memory = memoryStorage();
    let release = (): void => undefined;
    const slow = { isOn: false, release: () => release() };
    const until = new Promise<void>((resolve) => (release = resolve));
    const batch: typeof memory.state.batch = async (changes) => {
      await memory.state.batch(changes);
      if (slow.isOn) await until;
    };
    return { slow, storage: { ...memory, state: { ...memory.state, batch } } };
  }

  it("stays visible if its caller heard meanwhile that the entries are kept", async () => {
    const { slow, storage } = slowToAnswer();
    two = await twoHospitals({ awayStorage: storage });
    const hl = await open({ settleWithin: 2000 });
    const me = await hl.ensureSubject(MRN);
    two.peer.before = (all) => {
      slow.isOn = true;
      return all.map(() => refusal);
    };
    expect(await codeOf(hl.record(me, observation("o1")))).toBe("ERR_CHAIN_PENDING");
    slow.isOn = false;
    slow.release();
    await until(two, async () => (await hl.outbox())[0]?.refused === "rule-refused");
    two.peer.before = () => undefined;
    await hl.record(me, observation("o2"));
    const [item, ...others] = await hl.outbox();
    expect([item?.refused, others]).toEqual(["rule-refused", []]);
  });

  it("stays visible if the process ends before its caller hears of it", async () => {
    const { slow, storage } = slowToAnswer();
    two = await twoHospitals({ awayStorage: storage });
    const before = await open({ settleWithin: 1e8 });
    const me = await before.ensureSubject(MRN);
    two.peer.before = (all) => {
      slow.isOn = true;
      return all.map(() => refusal);
    };
    const told = codeOf(before.record(me, observation("o1")));
    await until(two, async () => (await rowsOf(before)).some(({ row }) => row?.refused));
    // What a process finds that is started then.
    slow.isOn = false;
    const after = await open();
    expect((await after.outbox()).map(({ refused }) => refused)).toEqual(["rule-refused"]);
    await after.close();
    slow.release();
    expect(await told).toBe("ERR_CHAIN_REFUSED");
    expect(await before.outbox()).toEqual([]);
  });
});

describe("a home that is wrong", () => {
  it("is found out when it names a block that holds something else", async () => {
    two = await twoHospitals();
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    let lies = 0;
    two.peer.before = (all) =>
      lies++ === 0
        ? all.map((_, transaction) => ({ ok: true, height: 0, transaction }))
        : undefined;
    const { entry } = await hl.record(me, observation("o1"));
    expect(two.faults.map(({ error }) => (error as { code?: string }).code)).toContain(
      "ERR_CHAIN_LOST",
    );
    expect((await counts(two, hl.member)).get(entry)).toBe(1);
  });

  it("gives outcomes that are none, and nothing is lost or doubled", async () => {
    two = await twoHospitals();
    const hl = await open({ settleWithin: 60_000 });
    const me = await hl.ensureSubject(MRN);
    const nonsense: readonly unknown[] = [
      [],
      [{ ok: false, reason: "x".repeat(100) }],
      [{ ok: false }],
      [{ ok: true, height: -1, transaction: 0 }],
      [{ ok: true, height: "7", transaction: 0 }],
      [refusal, refusal],
    ];
    let at = 0;
    two.peer.before = () => nonsense[at++] as undefined;
    const { entry } = await hl.record(me, observation("o1"));
    expect(at).toBeGreaterThan(nonsense.length);
    expect((await counts(two, hl.member)).get(entry)).toBe(1);
  }, 20_000);

  it("is sent again what it lost before anybody saw it, after a backup was restored", async () => {
    two = await twoHospitals({ home: { signedHeads: "store" } });
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    const backup = await snapshotOf(two.homeStorage as never);
    await two.source.close();
    expect(await codeOf(hl.record(me, observation("o1")))).toBe("ERR_CHAIN_PENDING");
    const [kept] = (await hl.outbox())[0]!.entries;
    await hl.close();
    await two.close();
    const { awayStorage } = two;
    const homeStorage = await storageFrom(backup);
    two = await twoHospitals({ homeStorage, awayStorage, home: { signedHeads: "store" } });
    const again = await open();
    await emptied(two, again);
    expect((await counts(two, again.member)).get(kept!)).toBe(1);
  });

  it("is noticed when it lost a block that is here: writing stops, own records stay readable", async () => {
    two = await twoHospitals({ home: { signedHeads: "store" } });
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    const backup = await snapshotOf(two.homeStorage as never);
    const { id } = await hl.record(me, observation("o1"));
    await hl.close();
    await two.close();
    const { awayStorage } = two;
    const homeStorage = await storageFrom(backup);
    two = await twoHospitals({ homeStorage, awayStorage, home: { signedHeads: "store" } });
    const theirs = await two.home.ensureSubject({ ...MRN, value: "theirs" });
    await two.home.record(theirs, observation("o2"));
    await two.source.look();
    const again = await open();
    await until(
      two,
      async () => (await codeOf(again.record(me, observation("o3")))) === "ERR_CHAIN_FORKED",
    );
    expect(new TextDecoder().decode(await again.read(id))).toBe(observation("o1"));
    expect(await again.records(me)).toHaveLength(1);
  });
});

describe("whoever can write to the store", () => {
  it("cannot have this member sign what it never signed", async () => {
    two = await twoHospitals();
    const hl = await open();
    await hl.ensureSubject(MRN);
    await hl.close();
    const entries = recordEntries(1);
    const stranger = memorySigner({
      alg: "Ed25519",
      secret: bytesFor("stranger"),
      actor: hl.member,
    });
    const own = two.awayKeys.signer();
    const rows = outboxRows(two.awayStorage.state!, hl.id);
    const fields = { ledger: hl.id, lane: 7, seq: 1, time: two.clock.now - 500_000, entries };
    const forged = await signTransaction({ ...stranger, key: own.key }, fields);
    const row = { withBlock: [], since: 1, told: false };
    const genuine = await signTransaction(own, { ...fields, entries: recordEntries(1), seq: 2 });
    await two.awayStorage.state!.batch([
      ...rows.put(900, { ...row, signed: forged }),
      // Another entry under a signature of this member's.
      ...rows.put(901, { ...row, signed: { ...genuine, entries } }),
      { key: rows.keyOf(902), value: Uint8Array.of(1, 2, 3) },
    ]);
    const again = await open();
    await until(two, async () => (await again.outbox()).every(({ refused }) => refused));
    expect((await again.outbox()).map(({ refused }) => refused).sort()).toEqual([
      ...["bad-signature", "damaged", "damaged"],
    ]);
    const handed = two.peer.handedIn.flat().filter((one) => one.entries[0] === entries[0]);
    for (const one of handed) expect(toHex(one.sig)).toBe(toHex(forged.sig));
    expect((await counts(two, hl.member)).size).toBe(1);
    for (const { id } of await again.outbox()) await again.dismissRefused(id);
    expect(await again.outbox()).toEqual([]);
  });

  it("cannot have an entry recorded twice by putting an old row back", async () => {
    two = await twoHospitals();
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    two.peer.isDown = true;
    expect(await codeOf(hl.record(me, observation("o1")))).toBe("ERR_CHAIN_PENDING");
    const [waiting] = await rowsOf(hl);
    await hl.close();
    const other = await signTransaction(two.awayKeys.signer(), {
      ...{ ledger: hl.id, lane: 0, seq: 9, time: two.clock.now, entries: recordEntries(1) },
    });
    await two.home.sequencer.submit(other).durable;
    two.peer.isDown = false;
    const again = await open();
    await emptied(two, again);
    await again.close();
    const rows = outboxRows(two.awayStorage.state!, hl.id);
    await two.awayStorage.state!.batch(rows.put(waiting!.order, waiting!.row!));
    const third = await open();
    await emptied(two, third);
    const reached = await counts(two, hl.member);
    expect([...reached.values()].every((count) => count === 1)).toBe(true);
    expect(reached.size).toBe(3);
  });
});

describe("a store that loses what waits", () => {
  it("has nothing decided without a refusal that may be lost, until somebody dismisses it", async () => {
    two = await twoHospitals();
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    await hl.record(me, observation("o1"));
    two.peer.isDown = true;
    const refusing = hl.consent(me, treatmentOnly(patient), { witness });
    expect(await codeOf(refusing)).toBe("ERR_CHAIN_PENDING");
    const [waiting] = await rowsOf(hl);
    await hl.close();
    const rows = outboxRows(two.awayStorage.state!, hl.id);
    await two.awayStorage.state!.batch([{ key: rows.keyOf(waiting!.order), value: null }]);
    const again = await open();
    const [item, ...more] = await again.outbox();
    expect([item?.refused, more]).toEqual(["damaged", []]);
    const question = { requester: two.home.member, purposes: ["TREAT"] };
    expect(await codeOf(again.decide(me, question))).toBe("ERR_CHAIN_PENDING");
    expect(await codeOf(again.disclose(Uint8Array.of(1)))).toBe("ERR_CHAIN_PENDING");
    two.peer.isDown = false;
    await again.dismissRefused(item!.id);
    expect(await again.outbox()).toEqual([]);
    expect(await codeOf(again.decide(me, question))).toBe("resolved");
    await again.close();
    expect(await (await open()).outbox()).toEqual([]);
  });
});

describe("a copy that cannot reach anybody", () => {
  it("opens what it has, but founds no vault in an empty store", async () => {
    two = await twoHospitals();
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    const { id } = await hl.record(me, observation("o1"));
    await hl.close();
    two.peer.isDown = true;
    const again = await open();
    expect(new TextDecoder().decode(await again.read(id))).toBe(observation("o1"));
    expect(await codeOf(again.record(me, observation("o2")))).toBe("ERR_CHAIN_PENDING");
    const empty = open({ storage: memoryStorage(), signedHeads: "store" });
    await expect(empty).rejects.toBeInstanceOf(TransportError);
  });
});
