import { describe, expect, it } from "vitest";
import { explain } from "../../../src/consent/index.ts";
import { observation, alcoholDependence } from "../../support/hospital.ts";
import { revoking, ward, type Ward } from "../../support/ward.ts";

const asking = (w: Ward) => ({ requester: w.b.signer.actor, purposes: ["TREAT"] });
const outcomes = async (w: Ward, ...[question, time]: [object?, object?]): Promise<string[]> => {
  const { records } = await w.hl.decide(w.me, { ...asking(w), ...question }, time);
  return records.map(({ decision }) => decision.outcome);
};

describe("decide", () => {
  it("answers as of any earlier height what would have been decided then", async () => {
    await using w = await foundedWard();
    const before = w.hl.chain.size - 1;
    await w.hl.record(w.me, observation("o1"));
    const first = await w.permit();
    const permitted = w.hl.chain.size - 1;
    await w.hl.consent(w.me, revoking(w.patient, { predecessors: [first] }), {
      signer: w.patient,
    });
    const revoked = w.hl.chain.size - 1;
    expect(await outcomes(w)).toEqual(["not-applicable"]);
    expect(await outcomes(w, {}, { height: revoked })).toEqual(["not-applicable"]);
    expect(await outcomes(w, {}, { height: permitted })).toEqual(["permit"]);
    // Nothing had been recorded.
    expect(await outcomes(w, {}, { height: before })).toEqual([]);
    const history: string[] = [];
    for (let height = before; height <= revoked; height++) {
      history.push((await outcomes(w, {}, { height }))[0] ?? "nothing");
    }
    expect(history).toEqual(["nothing", "not-applicable", "permit", "not-applicable"]);
  });

  it("tells legal time from what was known", async () => {
    await using w = await foundedWard();
    await w.hl.record(w.me, observation("o1"));
    const end = w.clock.now + 86_400_000;
    await w.permit({ validity: { from: w.clock.now - 1000, to: end, zone: "UTC" } });
    expect(await outcomes(w, {}, { asOf: end })).toEqual(["permit"]);
    expect(await outcomes(w, {}, { asOf: end + 1 })).toEqual(["deny"]);
    expect(await outcomes(w, {}, { asOf: w.clock.now - 2000 })).toEqual(["not-applicable"]);
    // The same moment, before anybody had said anything.
    expect(await outcomes(w, {}, { asOf: end, height: w.hl.chain.size - 2 })).not.toEqual([
      "permit",
    ]);
  });

  it("leaves out what had been retracted, and what was not", async () => {
    await using w = await foundedWard();
    const { id } = await w.hl.record(w.me, observation("o1"));
    await w.permit();
    await w.hl.retract(id, "wrong patient");
    expect(await outcomes(w)).toEqual([]);
    expect(await outcomes(w, {}, { height: w.hl.chain.size - 2 })).toEqual(["permit"]);
  });

  it("judges by the labels that a record had", async () => {
    await using w = await foundedWard();
    const { id } = await w.hl.record(w.me, observation("o1"));
    await w.permit();
    const then = w.hl.chain.size - 1;
    const stamp = { labeller: "by hand", version: "1" };
    const system = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
    await w.hl.relabel(id, { codes: [{ system, code: "PSY" }], stamp });
    expect(await outcomes(w)).toEqual(["deny"]);
    expect(await outcomes(w, {}, { height: then })).toEqual(["permit"]);
  });

  it("gives the decision, and names the snapshot, of the disclosure at that height and time", async () => {
    await using w = await foundedWard();
    await w.hl.record(w.me, observation("o1"));
    await w.hl.record(w.me, alcoholDependence("c1"));
    await w.permit();
    await w.ask();
    const [access] = await w.audit();
    w.clock.now += 1000;
    await w.hl.record(w.me, observation("o2"));
    const { height, records } = access!;
    const { asOf, snapshot } = records[0]!.decision;
    const then = await w.hl.decide(w.me, asking(w), { height, asOf });
    expect(then.snapshot.toString()).toBe(snapshot.toString());
    const decided = then.records.map(({ record, decision }) => [record.record, decision.outcome]);
    expect(decided.sort()).toEqual(
      records.map(({ record, decision }) => [record, decision.outcome]).sort(),
    );
    expect(decided.map(([, outcome]) => outcome).sort()).toEqual(["deny", "permit"]);
  });

  it("says who can see what and why, and leaves no trace", async () => {
    await using w = await foundedWard();
    await w.hl.record(w.me, observation("o1"));
    await w.hl.record(w.me, alcoholDependence("c1"));
    await w.permit();
    const size = w.hl.chain.size;
    const { request, records } = await w.hl.decide(w.me, {
      ...asking(w),
      query: { types: ["Condition"] },
    });
    expect(records).toHaveLength(1);
    expect(explain(records[0]!.decision)).toContain("the sensitivity of the record");
    expect(request.outcome).toBe("partial");
    expect(explain(request)).toContain("Permitted in part");
    expect(w.hl.chain.size).toBe(size);
    expect(await w.audit()).toEqual([]);
  });

  it("counts a role that a member of that height vouches for", async () => {
    await using w = await foundedWard();
    await w.hl.record(w.me, observation("o1"));
    await w.permit({
      root: {
        id: "nurses",
        effect: "permit",
        combine: "deny-overrides",
        when: { roles: ["nurse"] },
      },
    });
    const nurse = (attestedBy: string) => ({ roles: [{ code: "nurse", attestedBy }] });
    expect(await outcomes(w, nurse(w.b.signer.actor))).toEqual(["permit"]);
    expect(await outcomes(w, nurse(w.patient.actor))).toEqual(["deny"]);
    expect(await outcomes(w)).toEqual(["deny"]);
  });

  it("refuses heights that the ledger does not have", async () => {
    await using w = await foundedWard();
    for (const height of [-2, 0.5, Number.NaN, w.hl.chain.size]) {
      await expect(w.hl.decide(w.me, asking(w), { height })).rejects.toThrow(RangeError);
    }
  });
});

/** A ward that closes its ledger when the test is over. */
async function foundedWard(...options: Parameters<typeof ward>): Promise<Ward & AsyncDisposable> {
  const w = await ward(...options);
  return { ...w, [Symbol.asyncDispose]: () => w.hl.close() };
}
