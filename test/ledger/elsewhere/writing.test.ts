import { afterEach, describe, expect, it } from "vitest";
import { toHex } from "../../../src/bytes/hex.ts";
import { decodeTransaction, signTransaction } from "../../../src/block/transaction.ts";
import { trustFromGenesis } from "../../../src/chain/trust.ts";
import { verifyReceipt } from "../../../src/chain/verify-receipt.ts";
import { verifyExport } from "../../../src/chain/export.ts";
import { TransportError } from "../../../src/errors.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import { openLedger } from "../../../src/ledger/open-ledger.ts";
import type { FollowedEntry } from "../../../src/network/follow-entries.ts";
import {
  codeOf,
  counts,
  emptied,
  placesIn,
  twoHospitals,
  type TwoHospitals,
} from "../../support/elsewhere.ts";
import { MRN, observation } from "../../support/hospital.ts";
import { recordEntries } from "../../support/ledger.ts";

let two: TwoHospitals;
const opened: Ledger[] = [];
async function open(...given: Parameters<TwoHospitals["open"]>): Promise<Ledger> {
  const hl = await two.open(...given);
  opened.push(hl);
  return hl;
}
afterEach(async () => {
  for (const hl of opened.splice(0)) await hl.close();
  await two.close();
});

describe("a member elsewhere", () => {
  it("records through the home, and reads it from its own copy", async () => {
    two = await twoHospitals();
    const hl = await open();
    const patient = await hl.ensureSubject(MRN);
    const first = await hl.record(patient, observation("o1"));
    expect(new TextDecoder().decode(await hl.read(first.id))).toBe(observation("o1"));
    const second = await hl.amend(first.id, observation("o1", "120.00"));
    expect(await hl.outbox()).toEqual([]);
    expect(hl.chain.size).toBe(two.source.newest!.size);
    const reached = await counts(two, hl.member);
    expect([...reached.values()].every((count) => count === 1)).toBe(true);
    expect(reached.has(second.id)).toBe(true);
    await hl.close();
    const again = await open();
    expect(new TextDecoder().decode(await again.read(first.id))).toBe(observation("o1", "120.00"));
  });

  it("proves what it wrote under the newest accepted checkpoint, without a key of its own", async () => {
    two = await twoHospitals();
    const hl = await open();
    const patient = await hl.ensureSubject(MRN);
    const { entry } = await hl.record(patient, observation("o1"));
    const trust = trustFromGenesis(two.genesis);
    const result = verifyReceipt(await hl.receipt(entry), trust);
    expect(result).toMatchObject({ ok: true });
    expect(await hl.checkpoint()).toEqual(two.source.newest!.note);
    expect(await verifyExport(await hl.export(), { ledger: hl.id })).toMatchObject({
      ok: true,
      size: hl.chain.size,
    });
    expect(await hl.verify()).toMatchObject({ ok: true, size: hl.chain.size });
  });

  it("keeps what it cannot send, says so, and sends it once the home is back", async () => {
    two = await twoHospitals();
    const hl = await open();
    const patient = await hl.ensureSubject(MRN);
    two.peer.isDown = true;
    const error = await hl.record(patient, observation("o1")).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "ERR_CHAIN_PENDING" });
    expect((error as Error).cause).toMatchObject({ code: "ERR_TRANSPORT_FAILED" });
    const waiting = await hl.outbox();
    expect(waiting).toMatchObject([
      { since: two.clock.now, error: { code: "ERR_TRANSPORT_FAILED" } },
    ]);
    const [kept] = waiting[0]!.entries;
    expect(JSON.stringify(waiting)).not.toContain(MRN.value);
    two.peer.isDown = false;
    await emptied(two, hl);
    expect((await counts(two, hl.member)).get(kept!)).toBe(1);
    const [record] = await hl.records(patient);
    expect(record?.record).toBe(kept);
    expect(two.faults.some(({ error: fault }) => fault instanceof TransportError)).toBe(true);
  });

  it("sends again in order after a restart, with the numbers that were signed", async () => {
    two = await twoHospitals();
    const hl = await open();
    const patient = await hl.ensureSubject(MRN);
    const before = two.peer.handedIn.length;
    two.peer.isDown = true;
    for (const id of ["o1", "o2", "o3"]) {
      expect(await codeOf(hl.record(patient, observation(id)))).toBe("ERR_CHAIN_PENDING");
    }
    const waiting = (await hl.outbox()).map(({ entries }) => entries);
    await hl.close();
    const again = await open();
    expect((await again.outbox()).map(({ entries }) => entries)).toEqual(waiting);
    two.peer.isDown = false;
    // A new call takes a number after those that wait.
    const last = await again.record(patient, observation("o4"));
    await emptied(two, again);
    const records = await again.records(patient);
    expect(records.map(({ record }) => record)).toEqual([...waiting.flat(), last.id]);
    const numbers = placesIn(two.peer.handedIn.slice(before).flat());
    expect(new Set(numbers)).toEqual(new Set(["0/1", "0/2", "0/3", "0/4"]));
    expect([...(await counts(two, again.member)).values()]).toEqual([1, 1, 1, 1, 1]);
  });

  it("learns the place of what the home recorded although the answer was lost", async () => {
    two = await twoHospitals();
    const hl = await open();
    const patient = await hl.ensureSubject(MRN);
    let lost = 0;
    two.peer.after = (outcomes) => {
      if (lost++ === 0) throw new TransportError("ERR_TRANSPORT_TIMEOUT", "cut");
      return outcomes;
    };
    const { id } = await hl.record(patient, observation("o1"));
    expect(lost).toBeGreaterThan(0);
    expect((await counts(two, hl.member)).get(id)).toBe(1);
    expect(await hl.records(patient)).toHaveLength(1);
  });

  it("signs anew what grew too old, with the same entries, and never twice", async () => {
    two = await twoHospitals();
    const hl = await open();
    const patient = await hl.ensureSubject(MRN);
    // The first is recorded, but nobody learns of it: no checkpoint, no answer.
    await two.source.close();
    two.peer.after = () => {
      throw new TransportError("ERR_TRANSPORT_TIMEOUT", "cut");
    };
    expect(await codeOf(hl.record(patient, observation("o1")))).toBe("ERR_CHAIN_PENDING");
    two.peer.isDown = true;
    expect(await codeOf(hl.record(patient, observation("o2")))).toBe("ERR_CHAIN_PENDING");
    const waiting = (await hl.outbox()).flatMap(({ entries }) => entries);
    await hl.close();
    const sent = two.peer.handedIn.flat();
    two.clock.now += 3 * 600_000;
    two.peer.after = (outcomes) => outcomes;
    const before = two.peer.handedIn.length;
    const again = await open();
    two.peer.isDown = false;
    await emptied(two, again);
    const resent = two.peer.handedIn.slice(before).flat();
    const times = resent.map(({ tx }) => decodeTransaction(tx).time);
    expect(Math.min(...times)).toBe(two.clock.now);
    expect(new Set(placesIn(resent))).toEqual(new Set(["0/1", "0/2"]));
    expect(placesIn(sent)).toContain("0/1");
    const reached = await counts(two, again.member);
    expect([...reached.values()].every((count) => count === 1)).toBe(true);
    expect(waiting.map((id) => reached.get(id))).toEqual([1, 1]);
    expect((await again.records(patient)).map(({ record: one }) => one)).toEqual(waiting);
  });

  it("takes another number where its own is taken, once no block can have the first", async () => {
    two = await twoHospitals();
    const hl = await open();
    const patient = await hl.ensureSubject(MRN);
    // Another copy of this member's keys wrote on the same lane.
    const other = await signTransaction(two.awayKeys.signer(), {
      ...{ ledger: hl.id, lane: 0, seq: 9, time: two.clock.now, entries: recordEntries(1) },
    });
    await two.home.sequencer.submit(other).durable;
    const { id } = await hl.record(patient, observation("o1"));
    expect((await counts(two, hl.member)).get(id)).toBe(1);
    const places = placesIn(two.peer.handedIn.at(-1)!);
    expect(places).toHaveLength(1);
    expect(places[0]).not.toBe("0/1");
  });

  it("keeps the order of two calls at once, and of a hundred", async () => {
    two = await twoHospitals();
    const hl = await open();
    const patient = await hl.ensureSubject(MRN);
    const made = await Promise.all(
      Array.from({ length: 100 }, (_, i) => hl.record(patient, observation(`o${i}`))),
    );
    const records = await hl.records(patient);
    expect(records.map(({ record }) => record)).toEqual(made.map(({ id }) => id));
  });

  it("gives out the entries of all members as they come, from any height", async () => {
    two = await twoHospitals();
    const hl = await open();
    const patient = await hl.ensureSubject(MRN);
    const { id } = await hl.record(patient, observation("o1"));
    const seen: FollowedEntry[] = [];
    const ending = new AbortController();
    const following = (async () => {
      for await (const entry of hl.follow({ kinds: ["record"], signal: ending.signal })) {
        seen.push(entry);
        if (seen.length === 2) ending.abort();
      }
    })();
    const second = await hl.record(patient, observation("o2"));
    await following;
    expect(seen.map((one) => toHex(one.id))).toEqual([id, second.id]);
    const later: string[] = [];
    for await (const entry of hl.follow({ from: second.place.height })) {
      later.push(toHex(entry.id));
      break;
    }
    expect(later).toEqual([second.id]);
  });

  it("refuses options that contradict each other", async () => {
    two = await twoHospitals();
    for (const more of [{ readOnly: true }, { cosigners: [] }]) {
      expect(await codeOf(open(more))).toBe("ERR_INPUT_INVALID");
    }
    const alone = { storage: two.awayStorage, keys: two.awayKeys, genesis: two.genesis };
    expect(await codeOf(openLedger({ ...alone, peers: [] }))).toBe("ERR_INPUT_INVALID");
    expect(await codeOf(openLedger(alone))).toBe("ERR_CHAIN_READ_ONLY");
  });
});
