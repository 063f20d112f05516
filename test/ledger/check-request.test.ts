import { describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { ledgerId } from "../../src/block/genesis.ts";
import { openVault } from "../../src/ledger/vault.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import {
  alcoholDependence,
  bytesOfState,
  foundWorld,
  MRN,
  treatmentOnly,
} from "../support/hospital.ts";
import { collect } from "../support/ward.ts";

describe("forgetExpired", () => {
  it("forgets the ids of requests some time after they expired, and no sooner", async () => {
    const world = await foundWorld();
    const { storage, hospitalA, hospitalB, clock, genesis } = world;
    const b = { signer: hospitalB.signer(), agreement: hospitalB.agreement() };
    const vault = await openVault({
      storage: storage as FullStorage,
      keys: hospitalA,
      ledger: ledgerId(genesis),
      actor: hospitalA.signer().actor,
      random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    });
    const prefix = vault.name("requests").subarray(0, 16);
    const remembered = async () => (await collect(vault.scan(prefix))).length;
    const ask = async () => {
      // A process of its own: it forgets when it meets its first request.
      const hl = await world.open();
      await hl.ensureSubject(MRN);
      await hl.request(b, { patient: MRN, purposes: ["TREAT"] });
      await hl.close();
    };
    await ask();
    await ask();
    expect(await remembered()).toBe(2);
    clock.now += 300_000 + 59_000;
    await ask();
    expect(await remembered()).toBe(3);
    clock.now += 2_000;
    await ask();
    expect(await remembered()).toBe(2);
  });
});

describe("the state store", () => {
  it("does not tell which access broke the glass", async () => {
    const world = await foundWorld();
    const { hospitalB, patient, clock, storage } = world;
    const hl = await world.open({ privilegedRoles: ["emergency-physician"] });
    const me = await hl.ensureSubject(MRN);
    await hl.consent(me, treatmentOnly(patient), { grantor: patient });
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
    expect(state).not.toContain(toHex(answer.access));
  });
});
