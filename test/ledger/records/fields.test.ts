import { describe, expect, it } from "vitest";
import { isCustom } from "../../../src/block/entry.ts";
import { toHex } from "../../../src/bytes/hex.ts";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import { trustFromGenesis } from "../../../src/chain/trust.ts";
import { verifyReceipt } from "../../../src/chain/verify-receipt.ts";
import { FIELDS_PART, proveFields, verifyFields } from "../../../src/envelope/disclosed.ts";
import { MRN, observation } from "../../support/hospital.ts";
import { opened, texts, ward, type Ward } from "../../support/ward.ts";

/**
 * What a stranger does with a receipt and a proof. Beside them he has the genesis record and the
 * hospital's public key, nothing of the ledger, no envelope and no key to one.
 */
function judge(w: Ward, receipt: Uint8Array, proof: Uint8Array) {
  const proved = verifyReceipt(receipt, trustFromGenesis(w.genesis));
  if (!proved.ok) throw new Error(proved.reason);
  const { author, decoded } = proved;
  if (isCustom(decoded) || decoded.kind !== "record") throw new Error("another kind of entry");
  const { ledger } = trustFromGenesis(w.genesis);
  const { alg, publicKey } = w.hospitalA.signer();
  return verifyFields(proof, {
    envelope: decoded.body,
    context: { ledger, author, kind: decoded.kind },
    author: { alg, publicKey },
  });
}

async function disclosed(w: Ward) {
  const [item] = await opened(await w.ask());
  return item!;
}

describe("record with fields", () => {
  it("lets who was given a record prove single values of it to a stranger", async () => {
    const w = await ward();
    await w.permit();
    await w.hl.record(w.me, observation("bp-1", "107.50"), { fields: true });
    const { header, fields, receipt } = await disclosed(w);
    const proof = proveFields({ header, part: fields!, paths: ["/valueQuantity/value"] });
    const result = judge(w, receipt, proof);
    if (!result.ok) throw new Error(result.reason);
    expect(result.fields.map(({ path, value }) => [path, bytesToUtf8(value)])).toEqual([
      ["/valueQuantity/value", "107.50"],
    ]);
    const shown = toHex(proof);
    for (const hidden of ["bp-1", "8480-6", "mmHg", "2025-11-03", "Patient/p1", "manifest-of"]) {
      expect(shown).not.toContain(toHex(new TextEncoder().encode(hidden)));
    }
    // Another value under the same proof, and the proof under another record's receipt.
    const forged = proof.slice();
    const at = Buffer.from(forged).indexOf("107.50");
    expect(at).toBeGreaterThan(0);
    forged[at] = "2".charCodeAt(0);
    expect(judge(w, receipt, forged)).toEqual({ ok: false, reason: "field" });
    const other = await w.hl.record(w.me, observation("bp-2", "88"), { fields: true });
    expect(judge(w, await w.hl.receipt(other.entry), proof)).toEqual({ ok: false, reason: "name" });
  });

  it("is off by default, and nobody gets it who is granted the manifest alone", async () => {
    const w = await ward();
    await w.permit();
    await w.hl.record(w.me, observation("bp-1"));
    expect((await disclosed(w)).fields).toBeUndefined();
    const again = await ward();
    await again.permit();
    const { id } = await again.hl.record(again.me, observation("bp-1"), { fields: true });
    const [item] = await opened(await again.ask(again.b, { query: { parts: ["manifest"] } }));
    expect([item!.fields, item!.text]).toEqual([undefined, undefined]);
    const [record] = await again.hl.records(again.me);
    expect(record!.record).toBe(id);
    await again.hl.amend(id, observation("bp-1", "1"));
    expect((await disclosed(again)).fields).toBeUndefined();
  });

  it("is there for every resource of a bundle, and goes with a record that is moved", async () => {
    const w = await ward();
    await w.permit();
    const entry = [1, 2].map((i) => ({
      fullUrl: `urn:uuid:00000000-0000-4000-8000-00000000000${i}`,
      resource: JSON.parse(observation(`bp-${i}`)) as unknown,
    }));
    const patient = { resourceType: "Patient", id: "p1", identifier: [MRN] };
    const bundle = {
      resourceType: "Bundle",
      type: "collection",
      entry: [{ resource: patient }, ...entry],
    };
    await w.hl.recordBundle(w.me, JSON.stringify(bundle), { fields: true });
    const items = await opened(await w.ask(w.b, { query: { types: ["Observation"] } }));
    expect(items.map(({ fields }) => fields !== undefined)).toEqual([true, true]);
    const other = await w.hl.ensureSubject({ system: "urn:oid:9", value: "OTHER-77" });
    const moved = await w.hl.reattribute(items[0]!.record, other, "mistaken");
    const [record] = await w.hl.records(other);
    expect(record!.record).toBe(moved.id);
    expect(record!.head.manifest).not.toHaveProperty(FIELDS_PART);
    expect(await texts(await w.ask(w.b, { query: { types: ["Observation"] } }))).toHaveLength(1);
  });
});
