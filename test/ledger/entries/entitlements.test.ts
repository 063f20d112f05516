import * as reference from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import { toEntryId } from "../../../src/codec/ids.ts";
import { openCatalogue } from "../../../src/ledger/entries/catalogue.ts";
import { decodeManifest } from "../../../src/ledger/entries/manifest.ts";
import { openLedger } from "../../../src/ledger/open-ledger.ts";
import { contextOf } from "../../support/by-hand.ts";
import { foundWorld, observation, treatmentOnly } from "../../support/hospital.ts";
import { ward, type Ward } from "../../support/ward.ts";

/** What the index in the store says a member is entitled to. */
async function listed(w: Ward, actor: string) {
  const catalogue = openCatalogue(await contextOf(w), {
    carryOut: async () => undefined,
    assertCarriedOut: () => undefined,
  });
  await catalogue.catchUp();
  return (await catalogue.entitledTo(actor)).map(({ id, kind, erasedBy }) =>
    erasedBy === undefined ? [kind, toEntryId(id)] : [kind, toEntryId(id), "erased"],
  );
}

/** A ward whose institute audits hospital A. */
async function audited(): Promise<Ward & { readonly auditor: string }> {
  const { institute } = await foundWorld();
  const auditor = institute.signer().actor;
  return { ...(await ward({ policy: { auditors: [auditor] } })), auditor };
}

describe("entitlements", () => {
  it("are the auditors' to accesses and erasures from when they are named", async () => {
    const w = await ward();
    const auditor = w.institute.signer().actor;
    await w.ask();
    await w.hl.close();
    const hl = await w.again({ policy: { auditors: [auditor] } });
    const unknown = { patient: { system: "urn:x", value: "nobody" }, purposes: ["TREAT"] };
    const asked = await hl.request(w.b, unknown);
    await hl.record(w.me, observation("bp-1"));
    const erased = await hl.erase(w.me, { all: true, reason: "asked" });
    await hl.close();
    expect(await listed(w, auditor)).toEqual([
      ["access", asked.access],
      ["erase", erased.id],
    ]);
    expect(await listed(w, w.hospitalB.signer().actor)).toEqual([]);
  });

  it("are the named custodians' to a directive", async () => {
    const w = await ward();
    const b = w.hospitalB.signer().actor;
    await w.permit();
    const directive = treatmentOnly(w.patient, { lineage: "another" });
    const custodians = [b, b];
    const { id } = await w.hl.consent(w.me, directive, { signer: w.patient, custodians });
    await w.hl.close();
    expect(await listed(w, b)).toEqual([["consent", id]]);
    expect(await listed(w, w.institute.signer().actor)).toEqual([]);
  });

  it("leave the numbers of what is erased, also in an index that is built afterwards", async () => {
    const w = await audited();
    const accesses = [];
    for (let i = 0; i < 3; i++) accesses.push((await w.ask()).access);
    const [first, second, third] = accesses;
    const what = { class: "audit", accesses: [second!], reason: "asked" } as const;
    const erased = await w.hl.erase(w.me, what);
    await w.hl.close();
    const expected = [
      ["access", first],
      ["access", second, "erased"],
      ["access", third],
      ["erase", erased.id],
    ];
    expect(await listed(w, w.auditor)).toEqual(expected);
    await (await w.again({ repair: { index: true } })).close();
    expect(await listed(w, w.auditor)).toEqual(expected);
    // The newest, too: the next entry does not get its number.
    const hl = await w.again();
    const last = await hl.erase(w.me, { ...what, accesses: [third!] });
    await hl.close();
    await (await w.again({ repair: { index: true } })).close();
    expect(await listed(w, w.auditor)).toEqual([
      ...expected.slice(0, 2),
      ["access", third, "erased"],
      expected[3],
      ["erase", last.id],
    ]);
  });

  it("are for did:keys only", async () => {
    const { storage, hospitalA: keys, genesis } = await foundWorld();
    const policy = { auditors: ["the institute"] };
    const refused = { code: "ERR_INPUT_INVALID" };
    await expect(openLedger({ storage, keys, genesis, policy })).rejects.toMatchObject(refused);
    const w = await ward();
    const options = { signer: w.patient, custodians: ["hospital b"] };
    const filing = w.hl.consent(w.me, treatmentOnly(w.patient), options);
    await expect(filing).rejects.toMatchObject(refused);
  });

  it("have one encoding in a manifest", async () => {
    const { hospitalA, hospitalB } = await foundWorld();
    const [one, other] = [hospitalA, hospitalB].map((keys) => keys.signer().actor).sort();
    const read = (more: object) =>
      decodeManifest(reference.encode({ v: 1, op: "erase", local: new Uint8Array(16), ...more }));
    const ids = [new Uint8Array(32)];
    expect(read({ entitled: [one, other], erased: [{ entitled: [one], ids }] })).toMatchObject({
      entitled: [one, other],
    });
    for (const names of [[], [other, one], [one, one], ["hospital a"]]) {
      const shape = { code: "ERR_ENCODING_SHAPE" };
      expect(() => read({ entitled: names })).toThrow(expect.objectContaining(shape));
      expect(() => read({ erased: [{ entitled: names, ids }] })).toThrow(
        expect.objectContaining(shape),
      );
    }
  });
});
