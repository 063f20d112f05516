import { afterEach, describe, expect, it } from "vitest";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import { codeOf, emptied, twoHospitals, type TwoHospitals } from "../../support/elsewhere.ts";
import { MRN, observation } from "../../support/hospital.ts";

let two: TwoHospitals;
const opened: Ledger[] = [];
async function open(): Promise<Ledger> {
  const hl = await two.open();
  opened.push(hl);
  return hl;
}
afterEach(async () => {
  for (const hl of opened.splice(0)) await hl.close();
  await two.close();
});

const key = { idempotencyKey: "message-1" };

describe("an idempotency key whose first call waits for the home", () => {
  it.each(["in the same process", "after a restart"])(
    "is joined by the next call %s",
    async (when) => {
      two = await twoHospitals();
      let hl = await open();
      const patient = await hl.ensureSubject(MRN);
      two.peer.isDown = true;
      const { peer } = two;
      expect(await codeOf(hl.record(patient, observation("1"), key))).toBe("ERR_CHAIN_PENDING");
      // As long as it waits, nothing more is filed.
      expect(await codeOf(hl.record(patient, observation("1"), key))).toBe("ERR_CHAIN_PENDING");
      const waiting = (await hl.outbox()).flatMap(({ entries }) => entries);
      expect(waiting).toHaveLength(1);
      if (when === "after a restart") {
        await hl.close();
        hl = await open();
      }
      const joined = hl.record(patient, observation("1"), key);
      const other = hl.record(patient, observation("1"), { idempotencyKey: "message-2" });
      const conflicting = codeOf(hl.record(patient, observation("2"), key));
      peer.isDown = false;
      expect((await joined).entry).toBe(waiting[0]);
      expect((await other).entry).not.toBe(waiting[0]);
      expect(await conflicting).toBe("ERR_RECORD_CONFLICT");
      await emptied(two, hl);
      expect(await hl.record(patient, observation("1"), key)).toEqual(await joined);
      const records = await hl.records(patient);
      expect(records.map(({ retracted }) => retracted)).toEqual([false, false]);
      expect(await hl.outbox()).toEqual([]);
    },
  );

  it("hears with the first that the home refuses it, and is free then", async () => {
    two = await twoHospitals();
    const hl = await open();
    const patient = await hl.ensureSubject(MRN);
    two.peer.isDown = true;
    expect(await codeOf(hl.record(patient, observation("1"), key))).toBe("ERR_CHAIN_PENDING");
    const [waited] = (await hl.outbox()).flatMap(({ entries }) => entries);
    two.peer.before = (all) => all.map(() => ({ ok: false, reason: "rule-refused" }) as const);
    const joined = codeOf(hl.record(patient, observation("1"), key));
    two.peer.isDown = false;
    expect(await joined).toBe("ERR_CHAIN_REFUSED");
    expect(await hl.outbox()).toEqual([]);
    two.peer.before = () => undefined;
    expect((await hl.record(patient, observation("1"), key)).entry).not.toBe(waited);
    const records = await hl.records(patient);
    expect(records.map(({ retracted }) => retracted)).toEqual([false]);
  });
});
