import { afterEach, describe, expect, it } from "vitest";
import type { SubmitOutcome } from "../../../src/transport/types.ts";
import { twoHospitals, type TwoHospitals } from "../../support/elsewhere.ts";
import { MRN, observation } from "../../support/hospital.ts";

let two: TwoHospitals;
afterEach(() => two.close());

describe("a member elsewhere whose transactions are altered on their way", () => {
  it.each(["entries-root-mismatch", "bad-signature", "replaxed-sequence"])(
    "sends again what it knows to be right, though the home says %s",
    async (reason) => {
      two = await twoHospitals();
      const hl = await two.open();
      const patient = await hl.ensureSubject(MRN);
      let altered = 0;
      const submit = two.peer.submit.bind(two.peer);
      two.peer.submit = async (transactions) => {
        if (altered++ > 1) return submit(transactions);
        return transactions.map((): SubmitOutcome => ({ ok: false, reason }));
      };
      const { id } = await hl.record(patient, observation("o1"));
      expect(altered).toBe(3);
      expect(new TextDecoder().decode(await hl.read(id))).toBe(observation("o1"));
      expect(await hl.outbox()).toEqual([]);
      expect(two.faults.slice(-2)).toMatchObject([
        { error: { code: "ERR_TRANSPORT_MALFORMED" } },
        { error: { code: "ERR_TRANSPORT_MALFORMED" } },
      ]);
      await hl.close();
    },
  );

  it("believes any other refusal", async () => {
    two = await twoHospitals();
    const hl = await two.open();
    const patient = await hl.ensureSubject(MRN);
    two.peer.submit = async (transactions) =>
      transactions.map((): SubmitOutcome => ({ ok: false, reason: "not-a-member" }));
    await expect(hl.record(patient, observation("o1"))).rejects.toMatchObject({
      code: "ERR_CHAIN_REFUSED",
    });
    await hl.close();
  });
});
