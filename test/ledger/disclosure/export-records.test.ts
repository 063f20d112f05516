import { readable } from "../../support/ward.ts";
import { describe, expect, it } from "vitest";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import { trustFromGenesis } from "../../../src/chain/trust.ts";
import { verifyReceipt } from "../../../src/chain/verify-receipt.ts";
import { importJwe } from "../../../src/envelope/jwe.ts";
import type { Access } from "../../../src/ledger/disclosure/audit.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import type { Subject } from "../../../src/ledger/entries/subjects.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import {
  alcoholDependence,
  foundWorld,
  MRN,
  observation,
  treatmentOnly,
} from "../../support/hospital.ts";

async function audit(hl: Ledger, subject: Subject): Promise<Access[]> {
  return readable(hl.audit(subject));
}

async function begin(storage?: FullStorage, random?: (length: number) => Uint8Array) {
  const world = await foundWorld(storage);
  const hl = await world.open({ settleWithin: 1, ...(random === undefined ? {} : { random }) });
  const me = await hl.ensureSubject(MRN);
  const asking = { signer: world.hospitalB.signer(), agreement: world.hospitalB.agreement() };
  const version = await hl.record(me, observation("bp-1"));
  await hl.record(me, alcoholDependence("c-1"));
  await hl.consent(me, treatmentOnly(world.patient), { signer: world.patient });
  return { ...world, hl, me, asking, version };
}

describe("exportRecords", () => {
  it("gives as JWE what the decision admits, with an access entry and a receipt", async () => {
    const { hl, me, asking, genesis, version } = await begin();
    const what = { patient: MRN, purposes: ["TREAT"], compress: true };
    const { exported, access, decision } = await hl.exportRecords(asking, what);
    expect(exported).toHaveLength(1);
    const [one] = exported;
    expect(one!.record).toBe(version.id);
    const { content, contentType } = await importJwe(one!.jwe, one!.key);
    expect(bytesToUtf8(content)).toBe(observation("bp-1"));
    expect(contentType).toBe("application/fhir+json");
    expect(decision.outcome).toBe("permit");
    expect(verifyReceipt(one!.receipt, trustFromGenesis(genesis))).toMatchObject({ ok: true });
    const [entry, ...others] = await audit(hl, me);
    expect(others).toEqual([]);
    expect([entry!.id, entry!.requester]).toEqual([access, asking.signer.actor]);
    expect(entry!.records.map(({ released }) => released)).toEqual([true, false]);
  });

  it("gives nothing that is denied, and records that it was asked for", async () => {
    const { hl, me, asking } = await begin();
    const { exported, decision } = await hl.exportRecords(asking, {
      patient: MRN,
      purposes: ["HRESCH"],
    });
    expect(exported).toEqual([]);
    expect(decision.outcome).toBe("deny");
    expect(await audit(hl, me)).toHaveLength(1);
  });

  it("makes no key before the access entry is durable", async () => {
    const inner = memoryStorage() as FullStorage;
    let fail = false;
    let drawn = 0;
    const commit: FullStorage["commit"] = async (batch, options) => {
      if (fail) throw new Error("no space");
      return inner.commit(batch, options);
    };
    let counting = false;
    const random = (length: number): Uint8Array => {
      if (counting && length === 32) drawn++;
      return crypto.getRandomValues(new Uint8Array(length));
    };
    const { hl, asking } = await begin({ ...inner, commit }, random);
    counting = true;
    const what = { patient: MRN, purposes: ["TREAT"] };
    await hl.exportRecords(asking, what);
    const succeeded = drawn;
    drawn = 0;
    fail = true;
    await expect(hl.exportRecords(asking, what)).rejects.toMatchObject({
      code: "ERR_STORAGE_AMBIGUOUS",
    });
    expect(drawn).toBeLessThan(succeeded);
  });
});
