import { describe, expect, it } from "vitest";
import {
  alcoholDependence,
  bytesOfState,
  foundWorld,
  MRN,
  observation,
  treatmentOnly,
} from "../../support/hospital.ts";
import { collect, ward } from "../../support/ward.ts";

describe("a request", () => {
  it("is answered once: not again by another process, after a restart, or with rows lost", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    const request = await w.request();
    const other = await w.again();
    expect(await w.hl.disclose(request)).toMatchObject({ ok: true });
    const replayed = { ok: false, reason: "replayed" };
    for (const hl of [w.hl, other]) expect(await hl.disclose(request)).toEqual(replayed);
    await w.hl.close();
    await other.close();
    const again = await w.again();
    expect(await again.disclose(request)).toEqual(replayed);
    await again.close();
    // Whatever the state store lost of the index, the ledger says it.
    const anew = await w.again({ repair: { index: true } });
    expect(await anew.disclose(request)).toEqual(replayed);
    w.clock.now += 300_000 + 61_000;
    expect(await anew.disclose(request)).toEqual({ ok: false, reason: "stale" });
  });

  it("is answered once where two processes meet it at the same moment", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    await w.permit();
    const request = await w.request();
    const other = await w.again();
    let first: unknown;
    w.traps.before = async () => {
      first = await other.disclose(request);
    };
    expect(await w.hl.disclose(request)).toEqual({ ok: false, reason: "replayed" });
    expect(first).toMatchObject({ ok: true });
  });

  it("is not taken for a first one while an access of its time was erased", async () => {
    const w = await ward();
    const request = await w.request();
    expect(await w.hl.disclose(request)).toMatchObject({ ok: true });
    await w.hl.erase(w.me, { class: "audit", all: true, reason: "x" });
    await w.hl.close();
    const again = await w.again();
    expect(await again.disclose(request)).toEqual({ ok: false, reason: "replayed" });
  });
});

describe("the state store", () => {
  it("does not tell which access broke the glass", async () => {
    const world = await foundWorld();
    const { hospitalB, patient, clock, storage } = world;
    const hl = await world.open({ breakGlass: { roles: ["emergency-physician"] } });
    const me = await hl.ensureSubject(MRN);
    await hl.consent(me, treatmentOnly(patient), { signer: patient });
    await hl.record(me, alcoholDependence("c-1"));
    const answer = await hl.request(
      { signer: hospitalB.signer(), agreement: hospitalB.agreement() },
      {
        patient: MRN,
        purposes: ["BTG"],
        roles: [{ code: "emergency-physician", attestedBy: hospitalB.signer().actor }],
        declaration: { reason: "unconscious", until: clock.now + 60_000 },
      },
    );
    expect(await collect(hl.pendingReviews())).toHaveLength(1);
    await hl.close();
    const state = await bytesOfState(storage);
    expect(state.length).toBeGreaterThan(1000);
    expect(state).not.toContain(answer.access);
  });
});
